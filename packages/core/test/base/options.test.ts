import * as Options from "#internal/base/options.js"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"

/** The exception that a function throws. */
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
    ])("rejects %s, and names it in the message", (input, shown) => {
      expect(message(() => Options.duration("delay", input))).toBe(
        `delay must be a duration of 0 or more, but is ${shown}`
      )
    })

    it.each([1e308, 1e16, 10n ** 400n, Duration.millis(1e17)])(
      "rejects %s, which is finite but too long for exact arithmetic",
      (input) => {
        expect(message(() => Options.duration("delay", input))).toContain(
          "delay must be infinite, or at most 285,000 years"
        )
      }
    )

    it.each(["wss://me:hush@example.com", "hush-hush-hush-hush-hush-hush", "hush=hush"])(
      "does not show %s in the message, because it may be a secret",
      (input) => {
        expect(message(() => Options.duration("delay", input))).toBe(
          "delay must be a duration of 0 or more, but is of type string"
        )
      }
    )

    it.prop("accepts every number of 0 or more, and rejects all others", [FastCheck.double()], ([input]) => {
      const decode = () => Duration.toMillis(Options.duration("delay", input))
      if (input === Infinity) expect(decode()).toBe(Infinity)
      else if (input >= 0 && input <= 9e15) {
        // A duration has a precision of 1 ns, and its conversion rounds like any number.
        expect(Math.abs(decode() - input)).toBeLessThanOrEqual(1e-6 + 2 * Number.EPSILON * input)
      } else expect(message(decode)).toContain("delay")
    })
  })

  describe("finite", () => {
    it("returns a duration", () => {
      expect(Options.finite("delay", "2 seconds")).toEqual(Duration.seconds(2))
    })

    it.each([Infinity, Duration.infinity, -1])("rejects %s", (input) => {
      expect(message(() => Options.finite("delay", input))).toContain("delay must be a finite duration of 0 or more")
    })

    it("rejects 1e300", () => {
      expect(message(() => Options.finite("delay", 1e300))).toContain("delay must be infinite, or at most")
    })
  })

  describe("nonEmpty", () => {
    it("returns the string unchanged", () => {
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

    it("returns the options with their defaults", () => {
      expect(read({ port: 80 })).toEqual({ port: 80, delay: Duration.seconds(1) })
      expect(read({ port: 80, delay: undefined })).toEqual({ port: 80, delay: Duration.seconds(1) })
      expect(read({ port: 80, delay: 5 })).toEqual({ port: 80, delay: Duration.millis(5) })
    })

    it("accepts an instance of a class, which may have other members", () => {
      class Settings {
        readonly more = true
        get port() {
          return 80
        }
      }
      expect(read(new Settings()).port).toBe(80)
    })

    it.each([null, 5, "port", true, [80], () => 80, new Date(), Promise.resolve(), new Map([["port", 80]])])(
      "rejects %s instead of an object of options",
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
