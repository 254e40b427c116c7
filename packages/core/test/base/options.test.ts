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
      [[-1, 0], "of type array"],
      [[0, -1], "of type array"],
      [[NaN, 0], "of type array"],
      [[-Infinity, 1], "of type array"],
      [[-Infinity, Infinity], "of type array"],
      [[1e300, 0], "of type array"],
      [[1], "of type array"],
      [undefined, "undefined"],
      [null, "null"],
      [{ seconds: 1 }, "of type object"]
    ])("refuses %s, and says so", (input, shown) => {
      expect(message(() => Options.duration("delay", input))).toBe(
        `delay must be a duration of 0 or more, but is ${shown}`
      )
    })

    it.each([1e308, 1e16, 10n ** 400n, Duration.millis(1e17)])(
      "refuses %s, which is neither infinite nor a time that can be reckoned with",
      (input) => {
        expect(message(() => Options.duration("delay", input))).toContain(
          "delay must be infinite, or at most 285,000 years"
        )
      }
    )

    it.each(["wss://me:hush@example.com", "hush-hush-hush-hush-hush-hush", "hush=hush"])(
      "does not show %s, which may be a secret that belongs to another option",
      (input) => {
        expect(message(() => Options.duration("delay", input))).toBe(
          "delay must be a duration of 0 or more, but is of type string"
        )
      }
    )

    it.prop("takes every number from 0 on, and refuses every other", [FastCheck.double()], ([input]) => {
      const decode = () => Duration.toMillis(Options.duration("delay", input))
      if (input >= 0 && (input <= 9e15 || input === Infinity)) expect(decode()).toBeCloseTo(input, 5)
      else expect(message(decode)).toContain("delay")
    })
  })

  describe("finite", () => {
    it("gives a duration", () => {
      expect(Options.finite("delay", "2 seconds")).toEqual(Duration.seconds(2))
    })

    it.each([Infinity, Duration.infinity, -1])("refuses %s", (input) => {
      expect(message(() => Options.finite("delay", input))).toContain("delay must be a finite duration of 0 or more")
    })

    it("refuses 1e300", () => {
      expect(message(() => Options.finite("delay", 1e300))).toContain("delay must be infinite, or at most")
    })
  })

  describe("nonEmpty", () => {
    it("gives the string as it is", () => {
      expect(Options.nonEmpty("serverName", " prices ")).toBe(" prices ")
    })

    it.each<[unknown, string]>([["", "\"\""], [" \n", "\" \\n\""], [undefined, "undefined"], [7, "7"]])(
      "refuses %j",
      (input, shown) => {
        expect(message(() => Options.nonEmpty("serverName", input))).toBe(
          `serverName must be a string that is not empty, but is ${shown}`
        )
      }
    )
  })

  describe("nonEmptyArray", () => {
    it.each<[unknown, string]>([[[], "of type array"], [undefined, "undefined"], ["a", "\"a\""]])(
      "refuses %j",
      (input, shown) => {
        expect(message(() => Options.nonEmptyArray("addresses", input))).toBe(
          `addresses must be an array that is not empty, but is ${shown}`
        )
      }
    )
  })

  describe("read", () => {
    interface Port {
      readonly port: number
      readonly delay?: Duration.DurationInput | undefined
    }
    const readers = { port: Options.count, delay: Options.withDefault(Options.duration, "1 second") }
    const read = (input: unknown) => Options.read(input as Port, readers)

    it("gives the options, with their defaults", () => {
      expect(read({ port: 80 })).toEqual({ port: 80, delay: Duration.seconds(1) })
      expect(read({ port: 80, delay: undefined })).toEqual({ port: 80, delay: Duration.seconds(1) })
      expect(read({ port: 80, delay: 5 })).toEqual({ port: 80, delay: Duration.millis(5) })
    })

    it("takes an object of a class, which may have more than options", () => {
      class Settings {
        readonly more = true
        get port() {
          return 80
        }
      }
      expect(read(new Settings()).port).toBe(80)
    })

    it.each([null, 5, "port", true, [80], () => 80, new Date(), Promise.resolve(), new Map([["port", 80]])])(
      "refuses %s in the place of options",
      (input) => {
        expect(message(() => read(input))).toContain("options must be an object of options, but is ")
      }
    )

    it("names an option whose getter throws", () => {
      const hostile = {
        get port() {
          throw new TypeError("hush")
        }
      }
      expect(message(() => read(hostile))).toBe("port must be readable, but is a getter that throws")
    })

    it("ignores other members", () => {
      expect(read({ port: 80, more: true })).toEqual({ port: 80, delay: Duration.seconds(1) })
    })
  })
})
