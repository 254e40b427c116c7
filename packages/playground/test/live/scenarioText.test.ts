import { describe, expect, it } from "vitest"
import { examples } from "../../src/live/examples.js"
import { defaults, type Scenario } from "../../src/live/scenario.js"
import { decode, encode } from "../../src/live/scenarioText.js"

describe("the text of a scenario", () => {
  it("gives the same scenario again", () => {
    const scenario: Scenario = {
      settings: { ...defaults, policy: "exponential", jitter: "equal", base: 250, healthCheck: false, clients: 40 },
      steps: [
        { at: 0, action: { tag: "slow", value: 300 } },
        { at: 2_000, action: { tag: "kill" } },
        { at: 2_000, action: { tag: "start" } }
      ],
      until: 9_000
    }
    expect(decode(encode(scenario))).toEqual(scenario)
  })

  it("is short, and can be read", () => {
    expect(
      encode({ settings: { ...defaults, clients: 5 }, steps: [{ at: 1_500, action: { tag: "hang" } }], until: 8_000 })
    )
      .toBe("clients=5&do=1500:hang&until=8000")
  })

  it("is the same after a round trip, for every example", () => {
    for (const { text } of examples) {
      expect(new URLSearchParams(encode(decode(text)))).toEqual(new URLSearchParams(text))
    }
  })

  it("gets defaults for whatever is not understood", () => {
    const text =
      "#policy=none&jitter=9&clients=501&base=-1&factor=x&until=1e9&do=1:explode,x:kill,3000:kill,2000:hang,9"
    expect(decode(text)).toEqual({
      settings: defaults,
      steps: [{ at: 2_000, action: { tag: "hang" } }, { at: 3_000, action: { tag: "kill" } }],
      until: 18_000
    })
  })

  it("never has a longest delay below the first one", () => {
    expect(decode("policy=exponential&base=5000&maxDelay=10").settings.maxDelay).toBe(5_000)
  })
})
