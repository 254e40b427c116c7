import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

type Wake = (effect: Effect.Effect<void>) => void

/**
 * Elements on their way from one fiber to another. The giver waits for room before it gets elements, not when it has
 * got them: so it gives them at the stroke at which it gets them, and can be interrupted at any moment with nothing in
 * hand. It is at most two chunks ahead of the taker.
 *
 * It does what a `Mailbox` does at less than half the cost: a chunk stays a chunk, and neither side waits by means of a
 * `Deferred`. A waiter that is interrupted leaves its callback behind, which then does nothing.
 *
 * @internal
 */
export class Handoff<A, E> {
  private elements: Chunk.Chunk<A> = Chunk.empty()
  private end: Exit.Exit<void, E> | undefined
  private giver: Wake | undefined
  private taker: Wake | undefined

  /** Is there room for more? There is if the taker was waiting. */
  give(elements: Chunk.Chunk<A>): boolean {
    if (Chunk.isEmpty(elements)) return this.isEmpty
    this.elements = this.isEmpty ? elements : Chunk.appendAll(this.elements, elements)
    return this.wakeTaker()
  }

  /** There will be no more. What has been given is taken all the same. */
  finish(exit: Exit.Exit<void, E>): void {
    this.end ??= exit
    this.wakeTaker()
  }

  /** Waits until everything has been taken. */
  readonly room: Effect.Effect<void> = Effect.async<void>((wake) => {
    if (this.isEmpty) wake(Exit.void)
    else this.giver = wake
  })

  private readonly waiting = Channel.fromEffect(Effect.async<void>((wake) => {
    // A pull that was interrupted begins here when it is pulled again.
    if (this.isEmpty && this.end === undefined) this.taker = wake
    else wake(Exit.void)
  }))

  /** For one taker. */
  readonly channel: Channel.Channel<Chunk.Chunk<A>, unknown, E> = Channel.suspend(() => this.take())

  private take(): Channel.Channel<Chunk.Chunk<A>, unknown, E> {
    const { elements } = this
    const again = () => this.take()
    if (this.isEmpty) {
      return this.end === undefined ? Channel.flatMap(this.waiting, again) : Channel.fromEffect(this.end)
    }
    this.elements = Chunk.empty()
    this.giver?.(Exit.void)
    this.giver = undefined
    return Channel.flatMap(Channel.write(elements), again)
  }

  private get isEmpty(): boolean {
    return this.elements.length === 0
  }

  private wakeTaker(): boolean {
    const { taker } = this
    this.taker = undefined
    taker?.(Exit.void)
    return taker !== undefined
  }
}
