import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constFalse, constTrue } from "effect/Function"

/**
 * Waits for the effect, at most for `limit`: true if it ended in time. It also works in an uninterruptible region such
 * as a finalizer, where a plain `Effect.timeout` would wait forever for an effect that it cannot interrupt.
 *
 * @internal
 */
export const within = <E, R>(
  effect: Effect.Effect<unknown, E, R>,
  limit: Duration.Duration
): Effect.Effect<boolean, E, R> =>
  Effect.timeoutTo(Effect.interruptible(effect), { duration: limit, onSuccess: constTrue, onTimeout: constFalse })
