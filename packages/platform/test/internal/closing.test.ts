import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/TestClock"
import { Closing } from "../../src/internal/closing.js"

const begin = (giveUp: () => void) =>
  Effect.map(Effect.clock, (clock) => new Closing(Duration.seconds(2), clock, giveUp))

const ends = (closing: Closing) =>
  Effect.map(
    Effect.zipLeft(Effect.fork(closing.ended), Effect.repeatN(Effect.yieldNow(), 9)),
    (fiber) => fiber.unsafePoll()
  )

describe("a close", () => {
  it.effect("is given up at its timeout, and ends with that", () =>
    Effect.gen(function*() {
      let givenUp = 0
      const closing = yield* begin(() => givenUp++)
      yield* Effect.repeatN(Effect.yieldNow(), 9)
      yield* TestClock.adjust("1999 millis")
      assert.deepStrictEqual([givenUp, yield* ends(closing)], [0, null])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([yield* ends(closing), givenUp], [Exit.void, 1])
    }))

  it.effect("that ends in time is not given up, and its timer ends too", () =>
    Effect.gen(function*() {
      let givenUp = 0
      const closing = yield* begin(() => givenUp++)
      yield* Effect.repeatN(Effect.yieldNow(), 9)
      closing.end()
      assert.deepStrictEqual(yield* ends(closing), Exit.void)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(givenUp, 0)
      assert.lengthOf(yield* TestClock.sleeps(), 0)
    }))

  it.effect("ends also if giving up throws", () =>
    Effect.gen(function*() {
      const closing = yield* begin(() => {
        throw new Error("no")
      })
      yield* Effect.repeatN(Effect.yieldNow(), 9)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* ends(closing), Exit.void)
    }))
})
