import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import { within } from "./within.js"

/**
 * Where messages are sent to.
 *
 * @internal
 */
export interface Destination<in A, out E> {
  /** Is more waiting in the socket than there should be? */
  readonly isFull: () => boolean
  /** Why nothing can be sent; undefined if it can. */
  readonly obstacle: () => E | undefined
  /** Hands a message to the socket, which may throw. */
  readonly write: (message: A) => void
  readonly onRefused: (cause: unknown) => E
  /** Run when a message has to wait: sees to it that `flush` will be called once the socket has drained. */
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
 * The sending side of a connection: messages are handed to the socket in the order of the calls, and wait, for a
 * limited time, while the socket is full.
 *
 * @internal
 */
export class Outbox<in out A, in out E> {
  private waiting: Set<Entry<A, E>> | undefined

  constructor(private readonly destination: Destination<A, E>) {}

  send(message: A): Effect.Effect<void, E> {
    return Effect.suspend(() => this.isIdle && !this.destination.isFull() ? this.handOver(message) : this.wait(message))
  }

  /** Does nothing wait? */
  get isIdle(): boolean {
    return this.waiting === undefined || this.waiting.size === 0
  }

  /** Hands over what waits, as far as there is room for it; true if something was. */
  flush(): boolean {
    let progress = false
    for (const entry of this.waiting ?? []) {
      if (this.destination.isFull()) break
      this.settle(entry, this.handOver(entry.message))
      progress = true
    }
    return progress
  }

  /** Fails what waits. */
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
      // It joins the queue at once, not when the fiber of the timeout begins: no other message may overtake it.
      const entry: Entry<A, E> = { message, exit: undefined, resume: constVoid }
      const waiting = this.waiting ??= new Set()
      waiting.add(entry)
      const turn = Effect.async<void, E>((resume) => {
        if (entry.exit !== undefined) return resume(entry.exit)
        entry.resume = resume
      })
      const { onWaiting, settings } = this.destination
      return Effect.zipRight(onWaiting, restore(within(turn, settings.sendTimeout))).pipe(
        // The turn may have come in the very instant of the timeout: then the message has been handed over.
        Effect.flatMap((inTime) => inTime ? Exit.void : entry.exit ?? Exit.fail(this.destination.onSendTimeout())),
        Effect.ensuring(Effect.sync(() => waiting.delete(entry)))
      )
    })
  }
}
