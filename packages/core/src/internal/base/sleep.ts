import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The longest time for which a machine's timer can be set, in ms; a `Clock` never wakes from a longer sleep. */
const longest = 2 ** 31 - 1

/**
 * Never answers, without keeping the process alive as `Effect.never` does. The parameter is there for its absence to be
 * noticed: a callback that does not take exactly one is given an `AbortSignal`, at half a kB.
 *
 * @internal
 */
export const never: Effect.Effect<never> = Effect.async<never>((_) => {})

/**
 * How long it is until a moment, in ms. What is too short for any timer is nothing: with the rounding of large numbers
 * a clock can stand a trace before a moment for ever.
 *
 * @internal
 */
export const millisUntil = (clock: Clock.Clock, at: number): number => {
  const left = at - clock.unsafeCurrentTimeMillis()
  return left < 0.001 ? 0 : left
}

/**
 * Sleeps until a moment, in ms of the clock, however far away it is.
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
 * Sleeps for a time, however long it is; measured by the clock's nanoseconds, so that a wall clock that is set delays
 * nothing (T5).
 *
 * @internal
 */
export const sleep = (clock: Clock.Clock, duration: Duration.Duration): Effect.Effect<void> => {
  const millis = Duration.toMillis(duration)
  return millis > Number.MAX_SAFE_INTEGER ?
    never :
    Effect.suspend(() =>
      sleepUntilNanos(clock, clock.unsafeCurrentTimeNanos() + BigInt(Math.round(millis * 1_000_000)))
    )
}

const sleepUntilNanos = (clock: Clock.Clock, at: bigint): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = Number(at - clock.unsafeCurrentTimeNanos()) / 1_000_000
    return left < 0.001
      ? Effect.void
      : Effect.zipRight(clock.sleep(Duration.millis(Math.min(left, longest))), sleepUntilNanos(clock, at))
  })
