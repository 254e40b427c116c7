/** Virtual time for a program in a page or a test. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"

interface Timer {
  readonly at: number
  readonly ring: () => void
}

/**
 * A clock that starts at 0 ms and moves only by `advanceTo`, together with a scheduler. What runs on it takes no real
 * time but that of its work, and is the same in every run.
 */
export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly scheduler = new Scheduler.ControlledScheduler()
  /** Sorted by their times, then by their making; the next timer is the last one. */
  private readonly timers: Array<Timer> = []
  private time = 0

  unsafeCurrentTimeMillis(): number {
    return this.time
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.time * 1_000_000))
  }

  readonly currentTimeMillis = Effect.sync(() => this.time)

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const timer = { at: this.time + Duration.toMillis(duration), ring: () => resume(Effect.void) }
      this.timers.splice(this.indexOf(timer.at), 0, timer)
      return Effect.sync(() => {
        const index = this.timers.indexOf(timer)
        if (index !== -1) this.timers.splice(index, 1)
      })
    })
  }

  /** Forks an effect on this clock, and runs everything until it waits. */
  run<A, E>(effect: Effect.Effect<A, E>) {
    const fiber = Runtime.runFork(Runtime.defaultRuntime, Effect.withClock(effect, this), { scheduler: this.scheduler })
    this.settle()
    return fiber
  }

  /**
   * Moves the time, and runs everything that is due until then. Stops early when `hasTime` is false; then the time is
   * that of the last timer that has run.
   */
  advanceTo(millis: number, hasTime: () => boolean = () => true): void {
    for (let timer = this.timers.at(-1); timer !== undefined && timer.at <= millis; timer = this.timers.at(-1)) {
      if (!hasTime()) return
      this.timers.pop()
      this.time = Math.max(this.time, timer.at)
      timer.ring()
      this.settle()
    }
    this.time = Math.max(this.time, millis)
  }

  /** The index of the first timer that is not later. */
  private indexOf(at: number): number {
    let low = 0
    let high = this.timers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.timers[middle]!.at > at) low = middle + 1
      else high = middle
    }
    return low
  }

  private settle(): void {
    while (this.scheduler.tasks.buckets.length > 0) this.scheduler.step()
  }
}
