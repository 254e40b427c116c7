/**
 * Tests in virtual time. A test costs what happens in it, and time moves only when the test says so.
 */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import { it as inRealTime } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"

/** Closing the scope of a test may take this long, in ms of virtual time. */
const longestClose = Duration.toMillis("2 hours")

/**
 * A test may take this long, in ms of real time: a vitest timeout would not stop it, since a test never waits for real.
 */
const longestTest = 50_000

interface Passing {
  readonly until: number
  readonly resume: () => void
}

/** A clock that `pass` moves. */
class TestTime extends VirtualClock {
  private readonly passing = new Set<Passing>()

  /** Waits until this much time has passed, and all that is due by then has happened. */
  pass(millis: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const passing = { until: this.now + millis, resume: () => resume(Effect.void) }
      this.passing.add(passing)
      return Effect.sync(() => this.passing.delete(passing))
    })
  }

  /** Runs a test to its end, and throws what it fails with. Closing its scope takes the time that it takes. */
  runTest(test: Effect.Effect<unknown, unknown, Scope.Scope>): void {
    const began = performance.now()
    let limit = 0
    const close = Effect.sync(() => {
      limit = this.now + longestClose
    })
    const fiber = this.run(Effect.scoped(Effect.ensuring(test, close)), silent)
    this.flush()
    while (fiber.unsafePoll() === null && (this.passNext() || this.advanceToNext(limit))) {
      if (performance.now() - began > longestTest) throw new Error(`The test has come to ${this.now} ms, and goes on`)
      this.flush()
    }
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      return void Exit.getOrElse(exit, (cause) => {
        throw Cause.squash(cause)
      })
    }
    const problem = limit === 0
      ? "The test waits for something that does not happen, or for time that it does not let pass"
      : "The scope of the test never closes"
    fiber.unsafeInterruptAsFork(fiber.id())
    this.flush()
    throw new Error(problem)
  }

  private passNext(): boolean {
    const [first, ...others] = this.passing
    if (first === undefined) return false
    const next = others.reduce((next, other) => other.until < next.until ? other : next, first)
    this.passing.delete(next)
    this.advanceTo(next.until)
    next.resume()
    return true
  }
}

/** Nothing is logged, except to the loggers of a test. */
const silent = Effect.runSync(Effect.scoped(Layer.toRuntime(Logger.remove(Logger.defaultLogger))))

type Test = (name: string, run: () => Effect.Effect<unknown, unknown, Scope.Scope>) => void

const test: Test = (name, run) => inRealTime(name, () => new TestTime().runTest(Effect.suspend(run)))

interface It extends Pick<typeof inRealTime, "each" | "prop" | "live"> {
  (name: string, run: () => unknown): void
  readonly effect: Test
  readonly scoped: Test
}

/** The `it` of `@effect/vitest`, except that `effect` and `scoped` run in virtual time instead of a `TestClock`'s. */
export const it: It = Object.assign((name: string, run: () => unknown) => inRealTime(name, run), {
  each: inRealTime.each.bind(inRealTime),
  prop: inRealTime.prop,
  live: inRealTime.live,
  effect: test,
  scoped: test
})

/** Lets time pass, in seconds, and all that is due by then happen. */
export const pass = (seconds: number): Effect.Effect<void> =>
  Effect.clockWith((clock) =>
    clock instanceof TestTime ? clock.pass(seconds * 1_000) : TestClock.adjust(Duration.seconds(seconds))
  )

/** Lets all that is due now happen. */
export const settle: Effect.Effect<void> = pass(0)

/** Sleeps for this many seconds, in a fiber beside the test. */
export const sleep = (seconds: number): Effect.Effect<void> => Effect.sleep(Duration.seconds(seconds))

/** The time, in seconds. */
export const now: Effect.Effect<number> = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1_000)
