import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The longest time that a timer of the platform can be set to, in ms; a longer `Clock.sleep` never wakes up. */
const longest = 2 ** 31 - 1

/**
 * Never completes. Unlike `Effect.never` it does not keep the process alive. The unused parameter saves half a kB:
 * Effect makes an `AbortSignal` for a callback with any other number of parameters.
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
 * A moment of monotonic time as people read it: in ms of the clock's wall time, as of now.
 *
 * @internal
 */
export const toWallTime = (clock: Clock.Clock, at: number): number =>
  at + (clock.unsafeCurrentTimeMillis() - now(clock))

/**
 * The time left until a moment of monotonic time, in ms. Less than any timer can measure counts as 0: otherwise
 * rounding could leave a clock just before a moment for ever.
 *
 * @internal
 */
export const millisUntil = (clock: Clock.Clock, at: number): number => {
  const left = at - now(clock)
  return left < 0.001 ? 0 : left
}

/**
 * Sleeps until a moment of monotonic time, however far away it is.
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
 * Sleeps for a time, however long it is.
 *
 * @internal
 */
export const sleep = (clock: Clock.Clock, duration: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => sleepUntil(clock, now(clock) + Duration.toMillis(duration)))
