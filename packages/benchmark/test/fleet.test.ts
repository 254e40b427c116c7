import { describe, expect, it } from "@effect/vitest"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Effect from "effect/Effect"
import { ofLibrary, type Policy } from "../src/bench/fleet/policies.js"
import { peakOf, perWindow, simulate, type World } from "../src/bench/fleet/simulate.js"

const world: World = {
  clients: 50,
  lostAt: () => 0,
  downUntil: 60_000,
  capacity: Infinity,
  until: 1e9,
  seed: "7"
}

describe("a simulated fleet", () => {
  const settings = {
    production: RetryPolicy.production,
    "full jitter": { retry: RetryPolicy.exponential({ base: "1 second" }), reconnectJitter: "5 seconds" },
    "without jitter after a loss": { retry: RetryPolicy.standard }
  } as const
  for (const [name, setting] of Object.entries(settings)) {
    it.effect(`makes the same attempts as real persistent connections: ${name}`, () =>
      Effect.gen(function*() {
        const real = yield* ThunderingHerd.simulate({ ...setting, clients: 50, outage: "1 minute", seeds: [7] })
        const { attempts } = simulate(ofLibrary(name, setting), world)
        expect(attempts.length).toBeGreaterThan(50)
        expect(attempts.map(Math.round)).toEqual(real.runs[0]!.attempts.map(Math.round))
      }))
  }

  const everySecond: Policy = {
    name: "every second",
    client: () => ({ afterLoss: (now) => now, afterFailure: (now) => now + 1_000 })
  }

  it("refuses more connections a second than the server can take", () => {
    const { attempts, gaps } = simulate(everySecond, { ...world, clients: 5, downUntil: 0, capacity: 2 })
    expect(gaps).toEqual([0, 0, 1_000, 1_000, 2_000])
    expect(attempts).toEqual([0, 0, 0, 0, 0, 1_000, 1_000, 1_000, 2_000])
  })

  it("has clients without a connection at its end", () => {
    expect(simulate(everySecond, { ...world, clients: 1, until: 2_500 })).toEqual({
      attempts: [0, 1_000, 2_000],
      gaps: [Infinity]
    })
  })
})

describe("the attempts of a time", () => {
  it("are counted in windows", () => {
    expect(perWindow([0, 99, 100, 350], 100, 300)).toEqual([2, 1, 0])
  })

  it("have their peak in a window that may begin anywhere", () => {
    expect(peakOf([0, 60, 90, 120, 150, 400], 100)).toBe(4)
  })
})
