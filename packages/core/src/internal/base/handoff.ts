import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

type Resume = (effect: Effect.Effect<void>) => void

/**
 * A buffer between one producer and one consumer. The producer waits for room *before* it pulls, so that an
 * interruption never loses a chunk. It is at most two chunks ahead of the consumer.
 *
 * A `Mailbox` does the same at twice the cost: here a chunk stays a chunk, and neither side waits by means of a
 * `Deferred`. A wait that is interrupted leaves a callback behind, which then does nothing.
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

  /** The consumer has taken everything, and waits for more. */
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

  /** Ends the stream, after the elements that have been given. Only the first end counts. */
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
    // A pull that was interrupted begins here when it is pulled again.
    if (!this.isEmpty || this.end !== undefined) return resume(Exit.void)
    this.consumer = resume
    this.onWait()
  }))

  /** What the consumer pulls from; there is one consumer. */
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
