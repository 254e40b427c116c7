import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Attempt } from "../../Connector.js"
import { Dial, type DialContext, type DialListener } from "./dial.js"

/**
 * Make before break: the attempt to replace the current connection, and the number of failed ones before it.
 *
 * @internal
 */
export class Replacement<A, C, E, R> {
  dial: Dial<A, C, E, R> | undefined
  failures = 0
  lastCause: Option.Option<Cause.Cause<unknown>> = Option.none()

  begin(context: DialContext<A, C, E, R>, attempt: Omit<Attempt<A>, "untimed">, listener: DialListener<A, C, E>): void {
    const onFailed = (cause: Parameters<typeof listener.onFailed>[0]) => {
      this.dial = undefined
      this.failures++
      this.lastCause = Option.some(cause)
      listener.onFailed(cause)
    }
    this.dial = new Dial(context, attempt, { ...listener, onFailed }, true)
  }

  /** Ends the attempt, if there is one, at once. The effect waits for the end of its release. */
  abandon(): Effect.Effect<void> {
    const { dial } = this
    this.dial = undefined
    return dial === undefined ? Effect.void : dial.abandon()
  }
}
