import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"

/**
 * What happens to what is received: it is kept for whoever listens, and the sender is held back while too much of it
 * waits.
 *
 * @internal
 */
export interface Options<in A> {
  /** How much a message counts against the marks. */
  readonly size: (message: A) => number
  /** Above this the sender is held back, until no more than half of it is left. */
  readonly highWaterMark: number
  /** When more than this waits already, a further message is refused. */
  readonly limit: number
  /** Called when the high-water mark is passed. */
  readonly pause: () => void
  /** Called when there is room again, only after `pause`. */
  readonly resume: () => void
}

/**
 * The receiving side of a connection, between callbacks and effects: everything received, in order, and then the end.
 *
 * @internal
 */
export class Inbox<in out A, in out E> {
  /** How many messages have come, also of those that were dropped. */
  received = 0
  private waiting = 0
  private paused = false
  private closed = false

  constructor(
    private readonly options: Options<A>,
    private readonly mailbox: Mailbox.Mailbox<A, E>
  ) {}

  /**
   * What was received and not yet taken, what will be, and then the end. One message at a time: a stream that is run
   * for its first messages only (a handshake) must leave the rest to the next run, which a chunk of many would take
   * along.
   */
  get stream(): Stream.Stream<A, E> {
    const next = Effect.matchEffect(this.mailbox.take, {
      onFailure: (error) => Cause.isNoSuchElementException(error) ? Effect.succeedNone : Effect.fail(error),
      onSuccess: (message) => {
        this.taken(message)
        return Effect.succeedSome(message)
      }
    })
    const rest: Channel.Channel<Chunk.Chunk<A>, unknown, E> = Channel.flatMap(
      Channel.fromEffect(next),
      (message) =>
        message._tag === "None"
          ? Channel.void
          : Channel.flatMap(Channel.write(Chunk.of(message.value)), () => rest)
    )
    return Stream.fromChannel(rest)
  }

  /** Keeps a message; false if there is no room for it. Drops it if nothing is kept any more. */
  offer(message: A): boolean {
    this.received++
    if (this.closed) return true
    if (this.waiting > this.options.limit) return false
    this.waiting += this.options.size(message)
    this.mailbox.unsafeOffer(message)
    if (!this.paused && this.waiting > this.options.highWaterMark) {
      this.paused = true
      this.options.pause()
    }
    return true
  }

  /** Nothing more is kept, and the peer is not held back any more, so that its close can be noticed. */
  close(): void {
    this.closed = true
    this.unpause()
  }

  /** Lets the stream end like this, after what is kept. */
  end(exit: Exit.Exit<void, E>): void {
    this.close()
    this.mailbox.unsafeDone(exit)
  }

  private taken(message: A): void {
    this.waiting -= this.options.size(message)
    if (this.waiting <= this.options.highWaterMark / 2) this.unpause()
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.options.resume()
  }
}
