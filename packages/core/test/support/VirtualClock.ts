/**
 * Virtual time for tests, without any real time: a `Clock` and a `Scheduler` that move only when told to. A run is a
 * function of the program alone, and costs as much as the work in it (`TestClock.adjust` costs milliseconds a step).
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"

export interface VirtualClock {
  /** The time, in ms from 0. */
  readonly now: number
  /** Forks an effect that sees this clock, as all that it forks does. It runs up to its first suspension at once. */
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Calls a function in so many ms, in a turn of its own, also if that is in the present ms. Returns a cancel. */
  readonly after: (millis: number, task: () => void) => () => void
  /** Runs all fibers until each has ended or is waiting, without moving time. */
  readonly flush: () => void
  /**
   * Moves time to the given ms, and through every timer due until then, in the order of their times and, at the same
   * time, of their making. Before each, everything runs until it waits, and so it does at the end.
   */
  readonly advanceTo: (millis: number) => void
}

interface Timer {
  readonly madeAt: number
  readonly time: number
  readonly task: () => void
}

/** So many turns that follow from one another in one ms are a loop that waits for nothing. */
const tooManyTurns = 10_000

export const make = (): VirtualClock => {
  let now = 0
  let turns = 0
  const timers: Array<Timer> = []
  const ready = new Scheduler.PriorityBuckets()

  const countTurn = () => {
    if (++turns > tooManyTurns) throw new Error(`At ${now} ms there is no end to the work: something never waits`)
  }

  const drain = () => {
    while (ready.buckets.length > 0) {
      countTurn()
      const buckets = ready.buckets
      ready.buckets = []
      for (const [_, tasks] of buckets) {
        for (const task of tasks) task()
      }
    }
  }

  const after = (millis: number, task: () => void) => {
    const timer: Timer = { madeAt: now, time: now + millis, task }
    const next = timers.findIndex((other) => other.time > timer.time)
    timers.splice(next === -1 ? timers.length : next, 0, timer)
    return () => {
      const index = timers.indexOf(timer)
      if (index !== -1) timers.splice(index, 1)
    }
  }

  const flush = () => {
    turns = 0
    drain()
  }

  const advanceTo = (millis: number) => {
    flush()
    for (let timer = timers[0]; timer !== undefined && timer.time <= millis; timer = timers[0]) {
      timers.shift()
      now = Math.max(now, timer.time)
      if (timer.madeAt < now) turns = 0
      countTurn()
      timer.task()
      drain()
    }
    now = Math.max(now, millis)
  }

  const unsafeCurrentTimeNanos = () => BigInt(Math.round(now * 1_000_000))

  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    currentTimeMillis: Effect.sync(() => now),
    unsafeCurrentTimeNanos,
    currentTimeNanos: Effect.sync(unsafeCurrentTimeNanos),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const cancel = after(Duration.toMillis(duration), () => resume(Effect.void))
        return Effect.sync(cancel)
      })
  }

  const runtime = Effect.runSync(
    Effect.runtime<never>().pipe(
      Effect.withClock(clock),
      Effect.withScheduler(Scheduler.make((task, priority) => ready.scheduleTask(task, priority)))
    )
  )

  return {
    get now() {
      return now
    },
    run: Runtime.runFork(runtime),
    after,
    flush,
    advanceTo
  }
}
