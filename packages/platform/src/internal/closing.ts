import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { within } from "./within.js"

/** @internal */
export interface Options {
  readonly timeout: Duration.Duration
  /** Called when the time is over, and the socket has not gone. */
  readonly giveUp: () => void
  /** Of the fiber that opened the socket. Not its runtime, which would keep all that the attempt had. */
  readonly clock: Clock.Clock
}

/**
 * The closing of a socket, until the socket has gone or is given up. Its time runs from when it begins, in a fiber of
 * its own: whoever waits can be interrupted. Leaving the scope waits too, so that fiber does not outlive it.
 *
 * @internal
 */
export class Closing {
  private readonly over = Effect.unsafeMakeLatch()
  private hasBegun = false

  constructor(private readonly options: Options) {}

  /** Waits until it is over. */
  get ended(): Effect.Effect<void> {
    return this.over.await
  }

  begin(): void {
    if (this.hasBegun) return
    this.hasBegun = true
    Runtime.runFork(Runtime.defaultRuntime)(Effect.withClock(this.deadline, this.options.clock))
  }

  /** The socket has gone. */
  end(): void {
    this.hasBegun = true
    this.over.unsafeOpen()
  }

  private get deadline(): Effect.Effect<void> {
    return within(this.ended, this.options.timeout).pipe(
      Effect.map((inTime) => {
        if (!inTime) this.options.giveUp()
      }),
      Effect.ensuring(Effect.sync(() => this.end()))
    )
  }
}
