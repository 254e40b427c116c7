import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The longest time of a platform timer, in ms. A longer `Clock.sleep` never wakes up. */
const longest = 2 ** 31 - 1

/**
 * Never completes. Unlike `Effect.never` it does not keep the process alive. The unused parameter saves half a kB: with
 * any other number of parameters Effect makes an `AbortSignal`.
 *
 * @internal
 */
export const never: Effect.Effect<never> = Effect.async<never>((_) => {})

/**
 * The present moment in ms of the clock's monotonic time (T5). It shares no origin with the clock's milliseconds.
 *
 * @internal
 */
export const now = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000

/**
 * Converts a moment of monotonic time to ms of the clock's wall time, for people. Exact only as of now.
 *
 * @internal
 */
export const toWallTime = (clock: Clock.Clock, at: number): number =>
  at + (clock.unsafeCurrentTimeMillis() - now(clock))

/**
 * The time left until a moment of monotonic time, in ms. A time shorter than a timer can measure counts as 0: otherwise
 * rounding could keep the clock just before the moment for ever.
 *
 * @internal
 */
export const millisUntil = (clock: Clock.Clock, at: number): number => {
  const left = at - now(clock)
  return left < 0.001 ? 0 : left
}

/**
 * Sleeps until a moment of monotonic time, at any distance.
 *
 * @internal
 */
export const sleepUntil = (clock: Clock.Clock, at: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = millisUntil(clock, at)
    if (left === Infinity) return never
    return left === 0
      ? Effect.void
      : Effect.zipRight(clock.sleep(Duration.millis(Math.min(left, longest))), sleepUntil(clock, at))
  })

/**
 * Sleeps for a time of any length.
 *
 * @internal
 */
export const sleep = (clock: Clock.Clock, duration: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => sleepUntil(clock, now(clock) + Duration.toMillis(duration)))
