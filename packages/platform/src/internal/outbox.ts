import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import { within } from "./within.js"

/**
 * The socket to which an `Outbox` sends.
 *
 * @internal
 */
export interface Destination<in A, out E> {
  /** True if the socket buffers more than its high-water mark. */
  readonly isFull: () => boolean
  /** The error if nothing can be sent now; undefined if it can. */
  readonly obstacle: () => E | undefined
  /** Passes a message to the socket, which may throw. */
  readonly write: (message: A) => void
  readonly onRefused: (cause: unknown) => E
  /** Runs when a message has to wait. Must make sure that `flush` is called once the socket has drained. */
  readonly onWaiting: Effect.Effect<void>
  readonly onSendTimeout: () => E
  readonly settings: { readonly sendTimeout: Duration.Duration }
}

interface Entry<in out A, in out E> {
  readonly message: A
  exit: Exit.Exit<void, E> | undefined
  resume: (exit: Exit.Exit<void, E>) => void
}

/**
 * The sending side of a connection. Passes messages to the socket in the order of the calls. While the socket is full,
 * messages wait, at most for `sendTimeout`.
 *
 * @internal
 */
export class Outbox<in out A, in out E> {
  private waiting: Set<Entry<A, E>> | undefined

  constructor(private readonly destination: Destination<A, E>) {}

  send(message: A): Effect.Effect<void, E> {
    return Effect.suspend(() => this.isIdle && !this.destination.isFull() ? this.handOver(message) : this.wait(message))
  }

  /** True if no message waits. */
  get isIdle(): boolean {
    return this.waiting === undefined || this.waiting.size === 0
  }

  /** Sends waiting messages until the socket is full. Returns true if it has sent any. */
  flush(): boolean {
    let progress = false
    for (const entry of this.waiting ?? []) {
      if (this.destination.isFull()) break
      this.settle(entry, this.handOver(entry.message))
      progress = true
    }
    return progress
  }

  /** Fails all waiting messages. */
  fail(error: E): void {
    for (const entry of this.waiting ?? []) this.settle(entry, Exit.fail(error))
  }

  private handOver(message: A): Exit.Exit<void, E> {
    const obstacle = this.destination.obstacle()
    if (obstacle !== undefined) return Exit.fail(obstacle)
    try {
      this.destination.write(message)
      return Exit.void
    } catch (cause) {
      return Exit.fail(this.destination.onRefused(cause))
    }
  }

  private settle(entry: Entry<A, E>, exit: Exit.Exit<void, E>): void {
    this.waiting?.delete(entry)
    entry.exit = exit
    entry.resume(exit)
  }

  private wait(message: A): Effect.Effect<void, E> {
    return Effect.uninterruptibleMask((restore) => {
      // Joins the queue before the fiber of the timeout starts: no later message may overtake this one.
      const entry: Entry<A, E> = { message, exit: undefined, resume: constVoid }
      const waiting = this.waiting ??= new Set()
      waiting.add(entry)
      const turn = Effect.async<void, E>((resume) => {
        if (entry.exit !== undefined) return resume(entry.exit)
        entry.resume = resume
      })
      const { onWaiting, settings } = this.destination
      return Effect.zipRight(onWaiting, restore(within(turn, settings.sendTimeout))).pipe(
        // The message may have been sent in the same instant as the timeout: then the send succeeds.
        Effect.flatMap((inTime) => inTime ? Exit.void : entry.exit ?? Exit.fail(this.destination.onSendTimeout())),
        Effect.ensuring(Effect.sync(() => waiting.delete(entry)))
      )
    })
  }
}
