import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { inTurns, orderOf, ratios, spread } from "../src/bench/harness/samples.js"
import { ratioFigure } from "../src/bench/harness/section.js"
import { isMet } from "../src/measuring.js"

describe("the spread of values", () => {
  it("has the median and the quartiles, in any order of the values", () => {
    expect(spread([9, 1, 5, 3, 7])).toEqual({ low: 3, median: 5, high: 7 })
  })

  it("is that value if there is only one", () => {
    expect(spread([4])).toEqual({ low: 4, median: 4, high: 4 })
  })
})

describe("turns", () => {
  it("begin with another contender in each round", () => {
    expect([0, 1, 2, 3].map((round) => orderOf(["a", "b", "c"], round).join(""))).toEqual(["abc", "bca", "cab", "abc"])
  })

  it.effect("run each contender once a round, and drop the round that warms up", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const contender = (name: string) => Effect.sync(() => ran.push(name))
      const samples = yield* inTurns(2, { a: contender("a"), b: contender("b") })
      expect(ran.join("")).toBe("abbaab")
      expect(samples).toEqual({ a: [4, 5], b: [3, 6] })
    }))
})

describe("ratios", () => {
  const samples = { ours: [10, 30, 8], theirs: [5, 10, 4] }

  it("compare the values of the same round", () => {
    expect(ratios(samples, "ours", "theirs")).toEqual([2, 3, 2])
  })

  it("are compared with the floor by their median", () => {
    const figure = ratioFigure("time", samples, "ours", "theirs", { atMost: 2 })
    expect(figure.value).toBe(2)
    expect(isMet(figure)).toBe(true)
    expect(isMet({ ...figure, floor: { atMost: 1.9 } })).toBe(false)
    expect(isMet({ ...figure, floor: { atLeast: 2.1 } })).toBe(false)
  })
})
