import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { objectsReachableFrom } from "../../../core/test/support/size.js"
import { Lifeline } from "../../src/internal/lifeline.js"

const lost = new Error("lost")
const late = new Error("late")

const make = () => new Lifeline<string, Error>()

const opened = (lifeline: Lifeline<string, Error>, timeout: Duration.Duration = Duration.seconds(10)) =>
  lifeline.opened(timeout, () => late)

const steps = Effect.repeatN(Effect.yieldNow(), 29)

const pollAll = <A, E>(fibers: ReadonlyArray<Fiber.RuntimeFiber<A, E>>) =>
  Effect.map(steps, () => fibers.map((fiber) => fiber.unsafePoll()))

describe("the end of a lifeline", () => {
  it.effect("is given to all who wait and to those who come later, and only the first counts", () =>
    Effect.gen(function*() {
      const lifeline = make()
      assert.deepStrictEqual([lifeline.ended, lifeline.whyEnded], [undefined, undefined])
      const fibers = yield* Effect.forEach([1, 2], () => Effect.fork(lifeline.closed))
      assert.deepStrictEqual(yield* pollAll(fibers), [null, null])
      assert.isTrue(lifeline.end(Exit.succeed("bye"), lost))
      assert.isFalse(lifeline.end(Exit.fail(late), late))
      fibers.push(yield* Effect.fork(lifeline.closed))
      const bye = Exit.succeed("bye")
      assert.deepStrictEqual(yield* pollAll(fibers), [bye, bye, bye])
      assert.deepStrictEqual(lifeline.ended, bye)
      assert.strictEqual(lifeline.whyEnded, lost)
    }))

  it.effect("retains nobody who no longer waits for it", () =>
    Effect.gen(function*() {
      const lifeline = make()
      const wait = Effect.flatMap(
        Effect.fork(lifeline.closed),
        (fiber) => Effect.zipRight(steps, Fiber.interrupt(fiber))
      )
      yield* wait
      const before = objectsReachableFrom(lifeline)
      yield* Effect.repeatN(wait, 20)
      assert.isBelow(objectsReachableFrom(lifeline), before + 20)
    }))
})

describe("the opening of a lifeline", () => {
  it.effect("succeeds if it happens before or during the wait, also if the end has come since", () =>
    Effect.gen(function*() {
      const lifeline = make()
      assert.isFalse(lifeline.wasOpen)
      const waiting = yield* Effect.fork(opened(lifeline))
      assert.deepStrictEqual(yield* pollAll([waiting]), [null])
      lifeline.open()
      assert.isTrue(lifeline.wasOpen)
      const after = yield* Effect.fork(opened(lifeline))
      lifeline.end(Exit.succeed("bye"), lost)
      const atTheEnd = yield* Effect.fork(opened(lifeline))
      assert.deepStrictEqual(yield* pollAll([waiting, after, atTheEnd]), [Exit.void, Exit.void, Exit.void])
      assert.isTrue(lifeline.wasOpen)
    }))

  it.effect("stops the timer, and runs none for an infinite timeout", () =>
    Effect.gen(function*() {
      let timers = 0
      const clock: Clock.Clock = {
        ...Clock.make(),
        sleep: () =>
          Effect.acquireUseRelease(
            Effect.sync(() => timers++),
            () => Effect.never,
            () => Effect.sync(() => timers--)
          )
      }
      for (const [timeout, expected] of [[Duration.seconds(10), 1], [Duration.infinity, 0]] as const) {
        const lifeline = make()
        const fiber = yield* Effect.fork(Effect.withClock(opened(lifeline, timeout), clock))
        yield* steps
        assert.strictEqual(timers, expected)
        lifeline.open()
        assert.deepStrictEqual(yield* pollAll([fiber]), [Exit.void])
        assert.strictEqual(timers, 0)
      }
    }))

  it.effect("fails if the end comes first, before or during the wait", () =>
    Effect.gen(function*() {
      const lifeline = make()
      const fibers = [yield* Effect.fork(opened(lifeline))]
      yield* steps
      lifeline.end(Exit.succeed("bye"), lost)
      fibers.push(yield* Effect.fork(opened(lifeline)))
      assert.deepStrictEqual(yield* pollAll(fibers), [Exit.fail(lost), Exit.fail(lost)])
      assert.isFalse(lifeline.wasOpen)
    }))

  it.effect("fails at the timeout, unless that is infinite", () =>
    Effect.gen(function*() {
      const fibers = [
        yield* Effect.fork(opened(make())),
        yield* Effect.fork(opened(make(), Duration.infinity))
      ]
      yield* TestClock.adjust("9999 millis")
      assert.deepStrictEqual(yield* pollAll(fibers), [null, null])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* pollAll(fibers), [Exit.fail(late), null])
      yield* TestClock.adjust("1000 days")
      assert.deepStrictEqual(yield* pollAll(fibers), [Exit.fail(late), null])
    }))

  it.effect("fails at a timeout of 0, also if that passes before the wait begins", () =>
    Effect.gen(function*() {
      // Each number makes the waiting fiber yield at another place.
      for (let ops = 11; ops < 40; ops++) {
        const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(opened(make(), Duration.zero), ops))
        assert.deepStrictEqual(yield* pollAll([fiber]), [Exit.fail(late)], `a yield after ${ops} steps`)
      }
    }))
})
