import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Ending } from "./ending.js"

/**
 * The state of a connection: opening, open or ended. The callbacks of the socket set it, and effects wait for it. Only
 * the first end counts.
 *
 * @internal
 */
export class Lifeline<in out Info, in out E extends object> extends Ending<Info, E> {
  private isOpen = false
  private failure: E | undefined
  private opening: ((exit: Exit.Exit<void, E>) => void) | undefined

  /** True once the connection has been open, also after its end. */
  get wasOpen(): boolean {
    return this.isOpen
  }

  /** The error for a `send` after the end; undefined before the end. */
  get whyEnded(): E | undefined {
    return this.failure
  }

  open(): void {
    this.isOpen = true
    this.settle(Exit.void)
  }

  /** Ends the connection; false if it had ended before. */
  end(exit: Exit.Exit<Info, E>, whyEnded: E): boolean {
    if (this.ended !== undefined) return false
    this.failure = whyEnded
    this.finish(exit)
    this.settle(Exit.fail(whyEnded))
    return true
  }

  /**
   * Waits until the connection has opened, and fails if it ends before that or the timeout passes. Succeeds too if the
   * connection has opened and then ended: `closed` reports that end.
   */
  opened(timeout: Duration.Duration, onTimeout: () => E): Effect.Effect<void, E> {
    let late: Exit.Exit<never, E> | undefined
    const opened = Effect.async<void, E>((resume) => {
      if (this.isOpen) resume(Exit.void)
      else if (this.failure !== undefined) resume(Exit.fail(this.failure))
      // A timeout of 0 may pass before this wait begins.
      else if (late !== undefined) resume(late)
      else this.opening = resume
    })
    if (!Duration.isFinite(timeout)) return opened
    // One fiber for the time is enough: an `Effect.timeout` would fork a second one for the wait.
    const tooLate = Effect.map(Effect.sleep(timeout), () => this.settle(late = Exit.fail(onTimeout())))
    return Effect.acquireUseRelease(
      Effect.fork(Effect.interruptible(tooLate)),
      () => opened,
      (timer) => Fiber.interruptFork(timer)
    )
  }

  // Clears `opening`, which would otherwise retain the fiber of the attempt.
  private settle(exit: Exit.Exit<void, E>): void {
    const { opening } = this
    this.opening = undefined
    opening?.(exit)
  }
}
