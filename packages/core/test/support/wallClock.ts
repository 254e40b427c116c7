import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** A clock whose wall time can be set, as a person or NTP sets it; its monotonic time goes on as that of the test. */
export class SettableClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private shift = 0

  constructor(private readonly clock: Clock.Clock) {}

  /** Sets the wall time forward by this many seconds, or back. */
  setBy(seconds: number): void {
    this.shift += seconds * 1_000
  }

  unsafeCurrentTimeMillis(): number {
    return this.clock.unsafeCurrentTimeMillis() + this.shift
  }

  unsafeCurrentTimeNanos(): bigint {
    return this.clock.unsafeCurrentTimeNanos()
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return this.clock.sleep(duration)
  }
}
