import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { within } from "./within.js"

/**
 * Whether a connection has opened, and how it ended: callbacks tell, effects wait. The first end counts.
 *
 * @internal
 */
export class Lifeline<in out Info, in out E extends object> {
  private isOpen = false
  private failure: E | undefined = undefined
  private opening: ((exit: Exit.Exit<void, E>) => void) | undefined = undefined

  constructor(private readonly deferred: Deferred.Deferred<Info, E>) {
    this.closed = Deferred.await(deferred)
  }

  /** How the connection ended. */
  readonly closed: Effect.Effect<Info, E>

  /** Has it been open? */
  get wasOpen(): boolean {
    return this.isOpen
  }

  /** Why nothing can be sent any more; undefined while the connection has not ended. */
  get whyEnded(): E | undefined {
    return this.failure
  }

  open(): void {
    this.isOpen = true
    this.settle(Exit.void)
  }

  /** Ends the connection; false if it had ended before. */
  end(exit: Exit.Exit<Info, E>, whyEnded: E): boolean {
    if (this.failure !== undefined) return false
    this.failure = whyEnded
    Deferred.unsafeDone(this.deferred, exit)
    this.settle(Exit.fail(whyEnded))
    return true
  }

  /** Waits until the connection has opened. One that has ended since is as good as one that ends a moment later. */
  opened(timeout: Duration.Duration, onTimeout: () => E): Effect.Effect<void, E> {
    const opened = Effect.async<void, E>((resume) => {
      if (this.isOpen) resume(Exit.void)
      else if (this.failure !== undefined) resume(Exit.fail(this.failure))
      else this.opening = resume
    })
    return Effect.flatMap(within(opened, timeout), (inTime) => inTime ? Effect.void : Effect.fail(onTimeout()))
  }

  // Forgets who waited: the fiber of the attempt must not live as long as the connection.
  private settle(exit: Exit.Exit<void, E>): void {
    const { opening } = this
    this.opening = undefined
    opening?.(exit)
  }
}
