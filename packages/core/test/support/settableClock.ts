import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The clock of the test with a wall clock that can be set. The monotonic time is not affected. */
export const settableClock = Effect.map(Effect.clock, (clock) => {
  let ahead = 0
  const millis = () => clock.unsafeCurrentTimeMillis() + ahead
  const parted: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: clock.currentTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
  return {
    clock: parted,
    /** Moves the wall clock by this many seconds, forward or back. */
    set: (seconds: number) => {
      ahead += seconds * 1_000
    }
  }
})
