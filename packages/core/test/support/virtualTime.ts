/** Tests in virtual time. A test is as fast as its work, and only `pass` advances the time. */
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

export { VirtualClock }

/** The limit for closing the scope of a test, in ms of virtual time. */
const longestClose = Duration.toMillis("2 hours")

/**
 * The limit for a test, in ms of real time. A timeout of vitest has no effect, because a test never yields to the event
 * loop.
 */
const longestTest = 50_000

interface Passing {
  readonly until: number
  readonly resume: () => void
}

/** A clock that `pass` advances. */
class TestTime extends VirtualClock {
  private readonly passing = new Set<Passing>()

  /** Waits until this much time has passed and everything due until then has run. */
  pass(millis: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const passing = { until: this.now + millis, resume: () => resume(Effect.void) }
      this.passing.add(passing)
      return Effect.sync(() => this.passing.delete(passing))
    })
  }

  /** Runs a test to its end, and throws its failure. The time advances by itself while its scope closes. */
  runTest(test: Effect.Effect<unknown, unknown, Scope.Scope>): void {
    const began = performance.now()
    let limit = 0
    const close = Effect.sync(() => {
      limit = this.now + longestClose
    })
    const fiber = this.run(Effect.scoped(Effect.ensuring(test, close)), silent)
    this.flush()
    while (fiber.unsafePoll() === null && (this.passNext() || this.advanceToNext(limit))) {
      if (performance.now() - began > longestTest) {
        throw new Error(
          `The test is still running after ${longestTest} ms of real time, at ${this.now} ms of virtual time`
        )
      }
      this.flush()
    }
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      return void Exit.getOrElse(exit, (cause) => {
        throw Cause.squash(cause)
      })
    }
    const problem = limit === 0
      ? "The test waits forever: for an event that does not happen, or for time that does not pass"
      : "The close of the scope of the test never ends"
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

/** Disables the default logger. */
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

/** Advances the time by this many seconds, and runs everything that is due until then. */
export const pass = (seconds: number): Effect.Effect<void> =>
  Effect.clockWith((clock) =>
    clock instanceof TestTime ? clock.pass(seconds * 1_000) : TestClock.adjust(Duration.seconds(seconds))
  )

/** Runs everything that is due now. */
export const settle: Effect.Effect<void> = pass(0)

/** Sleeps for this many seconds, in a fiber other than that of the test. */
export const sleep = (seconds: number): Effect.Effect<void> => Effect.sleep(Duration.seconds(seconds))

/** The time, in seconds. */
export const now: Effect.Effect<number> = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1_000)
