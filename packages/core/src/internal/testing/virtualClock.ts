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

/** More turns than this at one moment count as an endless loop. Thousands of simulated clients need many, to close. */
const tooManyTurns = 100_000

/**
 * A clock that starts at 0 ms and advances only by its methods, together with a scheduler. It uses no real time, so a
 * run is deterministic and as fast as its work.
 *
 * @internal
 */
export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly scheduler = Scheduler.make((task, priority) => this.ready.scheduleTask(task, priority))
  private readonly ready = new Scheduler.PriorityBuckets()
  /** Sorted by due time, then by creation. */
  private readonly timers: Array<Timer> = []
  private time = 0
  /** The number of turns in the current ms. */
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

  /**
   * Calls a function after a number of ms, in a separate turn even if that number is 0. Returns a function that
   * cancels.
   */
  after(millis: number, task: () => void): () => void {
    const timer: Timer = { time: this.time + millis, task }
    const next = this.timers.findIndex((other) => other.time > timer.time)
    this.timers.splice(next === -1 ? this.timers.length : next, 0, timer)
    return () => {
      const index = this.timers.indexOf(timer)
      if (index !== -1) this.timers.splice(index, 1)
    }
  }

  /** Forks an effect with this clock, which its own forks inherit. It runs up to its first suspension at once. */
  run<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E>
  run<A, E, R>(effect: Effect.Effect<A, E, R>, runtime: Runtime.Runtime<R>): Fiber.RuntimeFiber<A, E>
  run<A, E>(effect: Effect.Effect<A, E>, runtime = Runtime.defaultRuntime): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(runtime, Effect.withClock(effect, this), { scheduler: this.scheduler })
  }

  /** Runs all fibers until each has ended or waits, without advancing the time. */
  flush(): void {
    this.turns = 0
    this.drain()
  }

  /**
   * Advances the time to the given ms and runs every timer due until then, sorted by due time, then by creation.
   * Flushes before each timer and at the end.
   */
  advanceTo(millis: number): void {
    this.flush()
    while (this.advanceToNext(millis));
    this.time = Math.max(this.time, millis)
  }

  /**
   * Advances the time to the next timer if it is due by `until`, runs it, and flushes. Returns false if there was none.
   */
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
    if (++this.turns > tooManyTurns) {
      throw new Cause.RuntimeException(`At ${this.time} ms the program runs in an endless loop`)
    }
  }
}

/**
 * Runs an effect in virtual time, which begins at 0. The effect and its forks run synchronously to the end, so they
 * must not wait for anything outside. It has all services of the caller except the `Clock` and the `Scheduler`.
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
      return fiber.unsafePoll() ??
        Effect.dieMessage("The program waits forever: no fiber can run, and no timer is left")
    })
    // Interrupts a program that did not end by itself, so that it releases its resources.
    const interrupted = Effect.suspend(() => {
      fiber.unsafeInterruptAsFork(FiberId.none)
      return end
    })
    return Effect.onError(end, () => Effect.exit(interrupted))
  })
