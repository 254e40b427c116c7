import type * as Clock from "effect/Clock"

/**
 * The clock's monotonic time, in ms. Only differences mean something: its zero is arbitrary (T5).
 *
 * @internal
 */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000
