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
  private failure: E | undefined
  private exit: Exit.Exit<Info, E> | undefined
  private opening: ((exit: Exit.Exit<void, E>) => void) | undefined
  private watches: Set<(exit: Exit.Exit<Info, E>) => void> | undefined

  /** How the connection ended. */
  get closed(): Effect.Effect<Info, E> {
    return Effect.async<Info, E>((resume) => {
      if (this.exit !== undefined) return resume(this.exit)
      const watches = this.watches ??= new Set()
      watches.add(resume)
      return Effect.sync(() => watches.delete(resume))
    })
  }

  /** Has it been open? */
  get wasOpen(): boolean {
    return this.isOpen
  }

  /** Why nothing can be sent any more; undefined while the connection has not ended. */
  get whyEnded(): E | undefined {
    return this.failure
  }

  /** How the connection ended; undefined while it has not. */
  get ended(): Exit.Exit<Info, E> | undefined {
    return this.exit
  }

  open(): void {
    this.isOpen = true
    this.settle(Exit.void)
  }

  /** Ends the connection; false if it had ended before. */
  end(exit: Exit.Exit<Info, E>, whyEnded: E): boolean {
    if (this.exit !== undefined) return false
    this.exit = exit
    this.failure = whyEnded
    this.watches?.forEach((resume) => resume(exit))
    this.watches = undefined
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
