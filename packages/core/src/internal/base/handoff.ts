import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

type Resume = (effect: Effect.Effect<void>) => void

/**
 * A buffer between one producer and one consumer. The producer waits for demand *before* it pulls, so an interruption
 * never loses a chunk.
 *
 * A `Mailbox` costs twice as much: here a chunk stays a chunk, and no side waits on a `Deferred`. An interrupted wait
 * leaves a callback without effect.
 *
 * @internal
 */
export class Handoff<in out A, in out E> {
  /** Called when the consumer begins to wait. */
  onWait: (() => void) | undefined

  private elements: Chunk.Chunk<A> = Chunk.empty()
  private end: Exit.Exit<void, E> | undefined
  private isWaiting = false
  private isAhead = false
  private producer: (() => void) | undefined
  private consumer: Resume | undefined

  /** Drops the oldest elements beyond `capacity`. `resume` resumes the producer. */
  constructor(
    private readonly capacity = Infinity,
    private readonly resume: (producer: Resume) => void = (producer) => producer(Exit.void)
  ) {}

  /** Does the consumer wait for more? Then it has taken everything. */
  get isAwaited(): boolean {
    return this.isWaiting
  }

  /** Gives elements to the consumer. */
  give(elements: Chunk.Chunk<A>): void {
    if (Chunk.isEmpty(elements)) return
    const all = this.isEmpty ? elements : Chunk.appendAll(this.elements, elements)
    this.elements = Chunk.takeRight(all, this.capacity)
    this.wakeConsumer()
  }

  /** Ends the stream after the elements given so far. Only the first end counts. */
  finish(exit: Exit.Exit<void, E>): void {
    this.end ??= exit
    this.wakeConsumer()
  }

  /** Waits until the consumer waits or, if the producer may go ahead, until the consumer has taken everything. */
  readonly demand: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.isDemanded) resume(Exit.void)
    else this.producer = () => this.resume(resume)
  })

  /** Calls the function when `demand` would end, now or later. A later call replaces an earlier one. */
  onDemand(produce: () => void): void {
    if (this.isDemanded) produce()
    else this.producer = produce
  }

  private get isDemanded(): boolean {
    return this.isWaiting || this.isAhead && this.isEmpty
  }

  /** May the producer go ahead of the consumer, by one chunk? */
  goAhead(isAhead: boolean): void {
    this.isAhead = isAhead
    if (isAhead && this.isEmpty) this.resumeProducer()
  }

  private readonly more = Channel.fromEffect(Effect.async<void>((resume) => {
    // After an interrupted pull, the next pull begins here.
    if (!this.isWaiting) resume(Exit.void)
    else this.consumer = resume
  }))

  /** The channel that the consumer pulls from. There must be only one consumer. */
  readonly channel: Channel.Channel<Chunk.Chunk<A>, unknown, E> = Channel.suspend(() => this.take())

  private readonly take = (): Channel.Channel<Chunk.Chunk<A>, unknown, E> => {
    if (this.isEmpty && this.end === undefined) {
      this.isWaiting = true
      // The producer may give elements before this returns.
      this.resumeProducer()
      if (this.isWaiting) this.onWait?.()
    }
    if (!this.isEmpty) {
      const { elements } = this
      this.elements = Chunk.empty()
      if (this.isAhead) this.resumeProducer()
      return Channel.flatMap(Channel.write(elements), this.take)
    }
    return this.end === undefined ? Channel.flatMap(this.more, this.take) : Channel.fromEffect(this.end)
  }

  private resumeProducer(): void {
    const { producer } = this
    this.producer = undefined
    producer?.()
  }

  private get isEmpty(): boolean {
    return this.elements.length === 0
  }

  private wakeConsumer(): void {
    const { consumer } = this
    this.isWaiting = false
    this.consumer = undefined
    consumer?.(Exit.void)
  }
}
