import { describe, expect, it } from "vitest"
import { delayWindow } from "../../src/live/policy.js"
import * as Rates from "../../src/live/rates.js"
import { defaults, type Settings } from "../../src/live/scenario.js"

const phase = (tag: Rates.Phase["tag"], since: number, nextAttemptAt = Infinity): Rates.Phase => ({
  tag,
  since,
  nextAttemptAt
})

/** Follows phases, and gives the attempts and the expectations. */
const followAll = (settings: Settings, phases: ReadonlyArray<Rates.Phase>) => {
  const attempts: Array<number> = []
  const expectations: Array<Rates.Expectation> = []
  let delays = Rates.noDelays
  for (const phase of phases) {
    const result = Rates.follow(delays, phase, settings)
    delays = result.delays
    if (result.attempt !== undefined) attempts.push(result.attempt)
    if (result.expectation !== undefined) expectations.push(result.expectation)
  }
  return { attempts, expectations }
}

describe("the expected attempts", () => {
  it("of the production policy spread over 5 s after a long connection, and then back off", () => {
    const { attempts, expectations } = followAll(defaults, [
      phase("Connecting", 0),
      phase("Connected", 10),
      phase("Waiting", 60_000, 62_000),
      phase("Connecting", 62_000),
      phase("Waiting", 62_010, 65_000),
      phase("Connecting", 65_000),
      phase("Waiting", 65_010, 70_000)
    ])
    expect(attempts).toEqual([62_000, 65_000])
    expect(expectations).toEqual([
      { from: 60_000, to: 65_000 },
      { from: 64_000, to: 66_000 },
      { from: 69_000, to: 73_000 }
    ])
  })

  it("back off from a server that hangs up", () => {
    const { expectations } = followAll({ ...defaults, policy: "exponential", jitter: "none" }, [
      phase("Connecting", 0),
      phase("Connected", 10),
      phase("Waiting", 500, 1_000),
      phase("Connecting", 1_000),
      phase("Connected", 1_010),
      phase("Waiting", 1_500, 3_000)
    ])
    expect(expectations).toEqual([{ from: 1_000, to: 1_000 }, { from: 3_000, to: 3_000 }])
  })
})

describe("the window of a delay", () => {
  const exponential: Settings = { ...defaults, policy: "exponential", base: 1_000, factor: 3, maxDelay: 10_000 }

  it("is that of the jitter", () => {
    expect(delayWindow({ ...exponential, jitter: "full" }, 1, 0)).toEqual([0, 3_000])
    expect(delayWindow({ ...exponential, jitter: "equal" }, 5, 0)).toEqual([5_000, 10_000])
    expect(delayWindow({ ...exponential, jitter: "none" }, 0, 0)).toEqual([1_000, 1_000])
    expect(delayWindow({ ...exponential, jitter: "decorrelated" }, 3, 2_000)).toEqual([1_000, 6_000])
  })
})

describe("bins", () => {
  const view = { from: 1_000, to: 3_000 }

  it("count the attempts of a view", () => {
    expect(Rates.count([10, 999, 1_000, 1_499, 1_500, 2_999, 3_000], view, 500)).toEqual([2, 1, 0, 1])
  })

  it("share an expectation by time", () => {
    expect(Rates.expected([{ from: 500, to: 2_500 }, { from: 2_500, to: 2_500 }], view, 500)).toEqual([
      0.25,
      0.25,
      0.25,
      1
    ])
  })
})
