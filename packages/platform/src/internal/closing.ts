import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { within } from "./within.js"

/**
 * The close of a socket, which ends when the socket has closed or the timeout has passed. A separate fiber runs the
 * timeout, because a waiting caller can be interrupted. The release of the scope waits for the end too, so that fiber
 * does not outlive the scope.
 *
 * @internal
 */
export class Closing {
  private readonly over = Effect.unsafeMakeLatch()

  /**
   * Takes the clock of the fiber that opened the socket, but not its runtime: that would retain the context of the
   * attempt.
   */
  constructor(timeout: Duration.Duration, clock: Clock.Clock, giveUp: () => void) {
    const deadline = within(this.ended, timeout).pipe(
      Effect.map((inTime) => {
        if (!inTime) giveUp()
      }),
      Effect.ensuring(Effect.sync(() => this.end()))
    )
    Runtime.runFork(Runtime.defaultRuntime)(Effect.withClock(deadline, clock))
  }

  /** Waits for the end of the close. */
  get ended(): Effect.Effect<void> {
    return this.over.await
  }

  /** Called when the socket has closed. */
  end(): void {
    this.over.unsafeOpen()
  }
}
