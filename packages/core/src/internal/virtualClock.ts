import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"

interface Timer {
  readonly time: number
  readonly task: () => void
}

/** So many turns that follow from one another in one ms are a loop that waits for nothing. */
const tooManyTurns = 10_000

/** Time that passes only when there is nothing else to do, and then at once. */
class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly scheduler = Scheduler.make((task, priority) => this.ready.scheduleTask(task, priority))
  private readonly ready = new Scheduler.PriorityBuckets()
  /** In the order in which they are due, and if that is the same, in which they were made. */
  private readonly timers: Array<Timer> = []
  private now = 0

  unsafeCurrentTimeMillis(): number {
    return this.now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.now * 1_000_000))
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const timer: Timer = { time: this.now + Duration.toMillis(duration), task: () => resume(Effect.void) }
      const next = this.timers.findIndex((other) => other.time > timer.time)
      this.timers.splice(next === -1 ? this.timers.length : next, 0, timer)
      return Effect.sync(() => {
        const index = this.timers.indexOf(timer)
        if (index !== -1) this.timers.splice(index, 1)
      })
    })
  }

  /** Runs everything until it waits, and then whoever has waited longest. Was there anybody? */
  step(): boolean {
    for (let turns = 0; this.ready.buckets.length > 0; turns++) {
      if (turns === tooManyTurns) throw new Cause.RuntimeException(`At ${this.now} ms there is no end to the work`)
      const buckets = this.ready.buckets
      this.ready.buckets = []
      for (const [_, tasks] of buckets) {
        for (const task of tasks) task()
      }
    }
    const timer = this.timers.shift()
    if (timer === undefined || timer.time === Infinity) return false
    this.now = timer.time
    timer.task()
    return true
  }
}

/**
 * Runs an effect in a time of its own, which begins at 0 and of which a day takes no longer than what happens in it. It
 * is run at one stroke, with everything that it forks, up to its end: nothing in it may wait for the world outside. It
 * has to get by without the `Scheduler` of the caller, but has all its services except the `Clock`.
 *
 * @internal
 */
export const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.runtime<R>(), (runtime) => {
    const clock = new VirtualClock()
    const fiber = Runtime.runFork(runtime, Effect.withClock(effect, clock), { scheduler: clock.scheduler })
    const end = Effect.suspend(() => {
      while (fiber.unsafePoll() === null && clock.step());
      return fiber.unsafePoll() ?? Effect.dieMessage("Everything waits for something that never comes")
    })
    // What comes to no end by itself is brought to one, so that it releases what it has.
    const interrupted = Effect.suspend(() => {
      fiber.unsafeInterruptAsFork(FiberId.none)
      return end
    })
    return Effect.onError(end, () => Effect.exit(interrupted))
  })
