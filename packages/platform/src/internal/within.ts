import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constFalse, constTrue } from "effect/Function"

/**
 * Waits for the effect, but not longer than the limit: true if it ended in time. The limit holds in an uninterruptible
 * region too (a finalizer, say), where a plain `Effect.timeout` waits for ever for what it could not interrupt.
 *
 * @internal
 */
export const within = <E, R>(
  effect: Effect.Effect<unknown, E, R>,
  limit: Duration.Duration
): Effect.Effect<boolean, E, R> =>
  Effect.timeoutTo(Effect.interruptible(effect), { duration: limit, onSuccess: constTrue, onTimeout: constFalse })
