import * as Options from "#internal/base/options.js"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"

/** What a function throws. */
const thrown = (f: () => unknown): unknown => {
  try {
    f()
  } catch (error) {
    return error
  }
  return undefined
}

const message = (f: () => unknown): string | undefined => {
  const error = thrown(f)
  return Cause.isIllegalArgumentException(error) ? error.message : undefined
}

/** As a user without a type checker might. */
const untyped = <A>(value: unknown): A => value as A

describe("options", () => {
  describe("duration", () => {
    it.each<[Duration.DurationInput, number]>([
      [0, 0],
      [-0, 0],
      [1.5, 1.5],
      [250n, 0.00025],
      ["2 seconds", 2000],
      ["0.5 seconds", 500],
      [[1, 500_000_000], 1500],
      [[1, -500_000_000], 500],
      [Duration.minutes(1), 60_000],
      [Infinity, Infinity],
      [Duration.infinity, Infinity],
      [[Infinity, 0], Infinity]
    ])("takes %s", (input, millis) => {
      expect(Duration.toMillis(Options.duration("delay", input))).toBe(millis)
    })

    it.each<[unknown, string]>([
      [-1, "-1"],
      [-Infinity, "-Infinity"],
      [NaN, "NaN"],
      [-1n, "-1"],
      ["-1 millis", "\"-1 millis\""],
      ["-0.5 seconds", "\"-0.5 seconds\""],
      ["1 fortnight", "\"1 fortnight\""],
      ["", "\"\""],
      [[-1, 0], "[-1, 0]"],
      [[0, -1], "[0, -1]"],
      [[NaN, 0], "[NaN, 0]"],
      [[-Infinity, 1], "[-Infinity, 1]"],
      [[-Infinity, Infinity], "[-Infinity, Infinity]"],
      [[1e300, 0], "[1e+300, 0]"],
      [[1], "[1]"],
      [undefined, "undefined"],
      [null, "null"],
      [{ seconds: 1 }, "{\"seconds\":1}"]
    ])("refuses %s, and says so", (input, shown) => {
      expect(message(() => Options.duration("delay", untyped(input)))).toBe(
        `delay must be a duration of 0 or more, but is ${shown}`
      )
    })

    it.prop("takes every number from 0 on, and refuses every other", [FastCheck.double()], ([input]) => {
      const decode = () => Duration.toMillis(Options.duration("delay", input))
      if (input >= 0) expect(decode()).toBeCloseTo(input, 5)
      else expect(message(decode)).toContain("delay")
    })
  })

  describe("finiteMillis", () => {
    it("gives milliseconds", () => {
      expect(Options.finiteMillis("delay", "2 seconds")).toBe(2000)
    })

    it.each([Infinity, Duration.infinity, 1e300])("refuses %s", (input) => {
      expect(message(() => Options.finiteMillis("delay", input))).toContain("delay must be a finite duration")
    })

    it("refuses what is not a duration", () => {
      expect(message(() => Options.finiteMillis("delay", -1))).toContain("delay must be a duration of 0 or more")
    })
  })

  describe("nonEmpty", () => {
    it("gives the string as it is", () => {
      expect(Options.nonEmpty("serverName", " prices ")).toBe(" prices ")
    })

    it.each<[unknown, string]>([["", "\"\""], [" \n", "\" \\n\""], [undefined, "undefined"], [7, "7"]])(
      "refuses %j",
      (input, shown) => {
        expect(message(() => Options.nonEmpty("serverName", untyped(input)))).toBe(
          `serverName must be a string that is not empty, but is ${shown}`
        )
      }
    )
  })

  describe("nonEmptyArray", () => {
    it("gives a copy, which nobody changes later", () => {
      const addresses: [string, ...Array<string>] = ["a", "b"]
      const copy = Options.nonEmptyArray("addresses", addresses)
      addresses[0] = "c"
      expect(copy).toEqual(["a", "b"])
    })

    it.each<[unknown, string]>([[[], "[]"], [undefined, "undefined"], ["a", "\"a\""]])(
      "refuses %j",
      (input, shown) => {
        expect(message(() => Options.nonEmptyArray("addresses", untyped<[string]>(input)))).toBe(
          `addresses must be an array that is not empty, but is ${shown}`
        )
      }
    )
  })
})
