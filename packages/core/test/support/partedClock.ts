import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The clock of the test, of which the wall clock can be set while the monotonic time goes on. */
export const partedClock = Effect.map(Effect.clock, (clock) => {
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
    /** Sets the wall clock forward, or back, by so many seconds. */
    set: (seconds: number) => {
      ahead += seconds * 1_000
    }
  }
})
