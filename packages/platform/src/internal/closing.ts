import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { within } from "./within.js"

/**
 * The closing of a socket, from when it begins until the socket has gone or is given up. Its time runs in a fiber of
 * its own: a caller that waits can be interrupted. Leaving the scope waits too, so that fiber does not outlive it.
 *
 * @internal
 */
export class Closing {
  private readonly over = Effect.unsafeMakeLatch()

  /**
   * The clock is that of the fiber that opened the socket. Not its runtime, which would keep all that the attempt had.
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

  /** Waits until it is over. */
  get ended(): Effect.Effect<void> {
    return this.over.await
  }

  /** The socket has gone. */
  end(): void {
    this.over.unsafeOpen()
  }
}
