import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

type Resume = (effect: Effect.Effect<void>) => void

/**
 * A buffer between one producer and one consumer. The producer waits for room *before* it pulls, so an interruption
 * never loses a chunk. It is at most two chunks ahead of the consumer.
 *
 * A `Mailbox` does the same at twice the cost: here a chunk stays a chunk, and no side waits on a `Deferred`. An
 * interrupted wait leaves a callback behind, which does nothing.
 *
 * @internal
 */
export class Handoff<in out A, in out E> {
  private elements: Chunk.Chunk<A> = Chunk.empty()
  private end: Exit.Exit<void, E> | undefined
  private producer: Resume | undefined
  private consumer: Resume | undefined

  /**
   * Beyond `capacity` elements the oldest ones are dropped. `onWait` is called when the consumer begins to wait.
   */
  constructor(private readonly capacity = Infinity, private readonly onWait: () => void = () => {}) {}

  /** Does the consumer wait for more? Then it has taken everything. */
  get isAwaited(): boolean {
    return this.consumer !== undefined
  }

  /** Gives elements to the consumer. Returns whether there is room for more. */
  give(elements: Chunk.Chunk<A>): boolean {
    if (Chunk.isEmpty(elements)) return this.isEmpty
    const all = this.isEmpty ? elements : Chunk.appendAll(this.elements, elements)
    this.elements = all.length > this.capacity ? Chunk.takeRight(all, this.capacity) : all
    return this.resumeConsumer()
  }

  /** Ends the stream after the elements given so far. Only the first end counts. */
  finish(exit: Exit.Exit<void, E>): void {
    this.end ??= exit
    this.resumeConsumer()
  }

  /** Waits until the consumer has taken everything. */
  readonly room: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.isEmpty) resume(Exit.void)
    else this.producer = resume
  })

  private readonly more = Channel.fromEffect(Effect.async<void>((resume) => {
    // After an interrupted pull, the next pull begins here.
    if (!this.isEmpty || this.end !== undefined) return resume(Exit.void)
    this.consumer = resume
    this.onWait()
  }))

  /** The channel that the consumer pulls from. There must be only one consumer. */
  readonly channel: Channel.Channel<Chunk.Chunk<A>, unknown, E> = Channel.suspend(() => this.take())

  private take(): Channel.Channel<Chunk.Chunk<A>, unknown, E> {
    const { elements } = this
    const again = () => this.take()
    if (this.isEmpty) {
      return this.end === undefined ? Channel.flatMap(this.more, again) : Channel.fromEffect(this.end)
    }
    this.elements = Chunk.empty()
    this.producer?.(Exit.void)
    this.producer = undefined
    return Channel.flatMap(Channel.write(elements), again)
  }

  private get isEmpty(): boolean {
    return this.elements.length === 0
  }

  private resumeConsumer(): boolean {
    const { consumer } = this
    this.consumer = undefined
    consumer?.(Exit.void)
    return consumer !== undefined
  }
}
