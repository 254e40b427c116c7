import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as MutableQueue from "effect/MutableQueue"
import * as Stream from "effect/Stream"

/**
 * Who the messages come from, and how much of them is kept.
 *
 * @internal
 */
export interface Source {
  /** Can the sender be held back? */
  readonly canPause: boolean
  /** Called when the high-water mark is passed. */
  readonly pause: () => void
  /** Called when there is room again, only after `pause`. */
  readonly resume: () => void
  readonly settings: {
    /** Above this the sender is held back, until no more than half of it is left. */
    readonly receiveHighWaterMark: number
    /** When more than this waits already, a further message of a sender that is not held back is refused. */
    readonly receiveLimit: number
  }
}

/**
 * The receiving side of a connection, between callbacks and effects: everything received, in order, and then the end.
 *
 * @internal
 */
export class Inbox<in out A extends { readonly length: number }, in out E> {
  /** How many messages have come, also of those that were dropped. */
  received = 0
  private messages: MutableQueue.MutableQueue<A> | undefined
  /** The runs that wait for a message, the one that has waited longest first. */
  private runs: Set<(exit: Exit.Exit<void>) => void> | undefined
  private waiting = 0
  private limit: number
  private paused = false
  private closed = false
  private exit: Exit.Exit<void, E> | undefined

  constructor(private readonly source: Source) {
    this.limit = source.canPause ? Infinity : source.settings.receiveLimit
  }

  /**
   * What was received and not yet taken, what will be, and then the end. One message at a time: a stream that is run
   * for its first messages only (a handshake) must leave the rest to the next run, which a chunk of many would take
   * along.
   */
  get stream(): Stream.Stream<A, E> {
    return Stream.fromChannel(Channel.ensuring(Channel.suspend(this.take), this.passOn))
  }

  /** Is the sender held back? */
  get isPaused(): boolean {
    return this.paused
  }

  /** Keeps a message; false if there is no room for it. Drops it if nothing is kept any more. */
  offer(message: A): boolean {
    this.received++
    if (this.closed) return true
    if (this.waiting > this.limit) return false
    this.waiting += sizeOf(message)
    MutableQueue.offer(this.messages ??= MutableQueue.unbounded(), message)
    this.wake()
    // A platform that has been paused may still hand on what it had read, so there is no limit to it.
    if (this.limit === Infinity && !this.paused && this.waiting > this.source.settings.receiveHighWaterMark) {
      this.paused = true
      this.source.pause()
    }
    return true
  }

  /** The peer is not held back any more, so that its close can be noticed. What comes from now on has a limit. */
  letIn(): void {
    if (this.limit === Infinity) this.limit = this.waiting + this.source.settings.receiveLimit
    this.unpause()
  }

  /** Nothing more is kept. */
  close(): void {
    this.closed = true
    this.letIn()
  }

  /** Lets the stream end like this, after what is kept. */
  end(exit: Exit.Exit<void, E>): void {
    if (this.exit !== undefined) return
    this.close()
    this.exit = exit
    while (this.runs !== undefined && this.runs.size > 0) this.wake()
  }

  private readonly take = (): Channel.Channel<Chunk.Chunk<A>, unknown, E> => {
    const message = this.messages && MutableQueue.poll(this.messages, undefined)
    if (message !== undefined) {
      // Counted and handed on without a yield: an interruption comes before both or after both.
      this.taken(message)
      return Channel.flatMap(Channel.write(Chunk.of(message)), this.take)
    }
    return this.exit === undefined
      ? Channel.flatMap(Channel.fromEffect(this.arrival), this.take)
      : Channel.fromEffect(this.exit)
  }

  private get arrival(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.hasNews) return resume(Exit.void)
      const runs = this.runs ??= new Set()
      runs.add(resume)
      return Effect.zipRight(Effect.sync(() => runs.delete(resume)), this.passOn)
    })
  }

  // A run that was woken for a message may be interrupted before it takes it: then it is another's.
  private get passOn(): Effect.Effect<void> {
    return Effect.sync(() => {
      if (this.hasNews) this.wake()
    })
  }

  private get hasNews(): boolean {
    return this.exit !== undefined || this.messages !== undefined && !MutableQueue.isEmpty(this.messages)
  }

  private wake(): void {
    if (this.runs === undefined) return
    const [resume] = this.runs
    if (resume === undefined) return
    this.runs.delete(resume)
    resume(Exit.void)
  }

  private taken(message: A): void {
    this.waiting -= sizeOf(message)
    if (this.waiting <= this.source.settings.receiveHighWaterMark / 2) this.unpause()
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.source.resume()
  }
}

// What is empty takes room too.
const sizeOf = (message: { readonly length: number }): number => message.length + 64
