import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"

interface Timer {
  readonly time: number
  readonly task: () => void
}

/** So many turns that follow from one another in one ms are a loop that waits for nothing. */
const tooManyTurns = 10_000

/**
 * Time, in ms from 0, that passes only when told to, and a scheduler to which it is told: without any real time, so
 * that a run is a function of the program alone, and costs as much as the work in it.
 *
 * @internal
 */
export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly scheduler = Scheduler.make((task, priority) => this.ready.scheduleTask(task, priority))
  private readonly ready = new Scheduler.PriorityBuckets()
  /** In the order in which they are due, and if that is the same, in which they were made. */
  private readonly timers: Array<Timer> = []
  private time = 0
  /** How many turns there have been in the present ms. */
  private turns = 0

  get now(): number {
    return this.time
  }

  unsafeCurrentTimeMillis(): number {
    return this.time
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.time * 1_000_000))
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const cancel = this.after(Duration.toMillis(duration), () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }

  /** Calls a function after a number of ms, in a turn of its own, also if that is the present ms. Returns a cancel. */
  after(millis: number, task: () => void): () => void {
    const timer: Timer = { time: this.time + millis, task }
    const next = this.timers.findIndex((other) => other.time > timer.time)
    this.timers.splice(next === -1 ? this.timers.length : next, 0, timer)
    return () => {
      const index = this.timers.indexOf(timer)
      if (index !== -1) this.timers.splice(index, 1)
    }
  }

  /** Forks an effect that sees this clock, as all that it forks does. It runs up to its first suspension at once. */
  run<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E>
  run<A, E, R>(effect: Effect.Effect<A, E, R>, runtime: Runtime.Runtime<R>): Fiber.RuntimeFiber<A, E>
  run<A, E>(effect: Effect.Effect<A, E>, runtime = Runtime.defaultRuntime): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(runtime, Effect.withClock(effect, this), { scheduler: this.scheduler })
  }

  /** Runs all fibers until each has ended or is waiting, without moving time. */
  flush(): void {
    this.turns = 0
    this.drain()
  }

  /**
   * Moves time to the given ms, and through every timer due until then, in the order of their times and, at the same
   * time, of their making. Before each, everything runs until it waits, and so it does at the end.
   */
  advanceTo(millis: number): void {
    this.flush()
    while (this.advanceToNext(millis));
    this.time = Math.max(this.time, millis)
  }

  /** Moves time to the next timer, if that is due until then, and runs everything until it waits. Was there one? */
  advanceToNext(until: number): boolean {
    const timer = this.timers[0]
    if (timer === undefined || timer.time > until || timer.time === Infinity) return false
    this.timers.shift()
    if (timer.time > this.time) {
      this.time = timer.time
      this.turns = 0
    }
    this.countTurn()
    timer.task()
    this.drain()
    return true
  }

  private drain(): void {
    while (this.ready.buckets.length > 0) {
      this.countTurn()
      const buckets = this.ready.buckets
      this.ready.buckets = []
      for (const [_, tasks] of buckets) {
        for (const task of tasks) task()
      }
    }
  }

  private countTurn(): void {
    if (++this.turns > tooManyTurns) throw new Cause.RuntimeException(`At ${this.time} ms there is no end to the work`)
  }
}

/**
 * Runs an effect in virtual time, which begins at 0. The effect runs to its end synchronously, with everything that it
 * forks, so nothing in it may wait for anything outside. It has all services of the caller except the `Clock`, and a
 * `Scheduler` of its own.
 *
 * @internal
 */
export const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.runtime<R>(), (runtime) => {
    const clock = new VirtualClock()
    const fiber = clock.run(effect, runtime)
    const end = Effect.suspend(() => {
      clock.flush()
      while (fiber.unsafePoll() === null && clock.advanceToNext(Infinity));
      return fiber.unsafePoll() ?? Effect.dieMessage("Everything waits for something that never comes")
    })
    // What comes to no end by itself is brought to one, so that it releases what it has.
    const interrupted = Effect.suspend(() => {
      fiber.unsafeInterruptAsFork(FiberId.none)
      return end
    })
    return Effect.onError(end, () => Effect.exit(interrupted))
  })
