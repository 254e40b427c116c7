import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { within } from "./within.js"

/** @internal */
export interface Options {
  readonly timeout: Duration.Duration
  /** Called when the time is over, and the socket has not gone. */
  readonly giveUp: () => void
  readonly runtime: Runtime.Runtime<never>
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
  readonly ended: Effect.Effect<void> = this.over.await

  begin(): void {
    if (this.hasBegun) return
    this.hasBegun = true
    Runtime.runFork(this.options.runtime)(this.deadline)
  }

  /** The socket has gone. */
  end(): void {
    this.hasBegun = true
    this.over.unsafeOpen()
  }

  private readonly deadline = Effect.suspend(() => within(this.ended, this.options.timeout)).pipe(
    Effect.map((inTime) => {
      if (!inTime) this.options.giveUp()
    }),
    Effect.ensuring(Effect.sync(() => this.end()))
  )
}
