import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"

/**
 * For an effect that is the whole of a fiber whose failure is an answer to somebody. Of a fiber that fails Effect logs
 * why, at debug level, credentials and all. What the effect forks is logged as ever.
 *
 * @internal
 */
export const withoutFailureLog = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // At the end, and of a failure only: whoever joins the fiber inherits nothing of it.
  Effect.onError(effect, () => FiberRef.set(FiberRef.unhandledErrorLogLevel, Option.none()))
