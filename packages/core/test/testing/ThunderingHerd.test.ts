import { registry } from "#internal/loop/registry.js"
import { beforeEach, describe, expect, it } from "@effect/vitest"
import * as Inspect from "@persistent-connection/core/Inspect"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Number from "effect/Number"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { captureLog } from "../support/captureLog.js"

class Refused extends Data.TaggedError("Refused")<{}> {}

/** A simulation with a few clients. */
const simulate = <E = never, R = never>(scenario: ThunderingHerd.Scenario<E, R>) =>
  Effect.map(
    ThunderingHerd.simulate({ clients: 20, seeds: [1], ...scenario }),
    (simulation) => ({ simulation, ...simulation.runs[0]! })
  )

const times = (length: number, time: number) => Array.from({ length }, () => time)

const defect = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) =>
    Exit.isFailure(exit)
      ? Option.getOrUndefined(Option.map(Cause.dieOption(exit.cause), (defect) => (defect as Error).message))
      : undefined)

// Other tests of this process may have left scopes open.
beforeEach(() => registry.clear())

describe("simulate", () => {
  it.effect("T2: long-lived connections are all replaced at once", () =>
    Effect.gen(function*() {
      const { attempts, reconnects } = yield* simulate({})
      expect(attempts).toEqual(times(20, 0))
      expect(reconnects).toEqual(attempts)
    }))

  it.effect("T2: short-lived connections wait for the rest of the delay", () =>
    Effect.gen(function*() {
      const { attempts } = yield* simulate({ uptime: "4 seconds", retry: RetryPolicy.fixed("10 seconds") })
      expect(attempts).toEqual(times(20, 6_000))
    }))

  it.effect("reconnectJitter spreads the attempts over its window", () =>
    Effect.gen(function*() {
      const { attempts } = yield* simulate({ reconnectJitter: "5 seconds" })
      expect(new Set(attempts).size).toBe(20)
      expect([...attempts].sort((a, b) => a - b)).toEqual(attempts)
      expect(Math.min(...attempts)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...attempts)).toBeGreaterThan(3_000)
      expect(Math.max(...attempts)).toBeLessThanOrEqual(5_000)
    }))

  it.effect("clients retry until the end of an outage", () =>
    Effect.gen(function*() {
      const { attempts, reconnects } = yield* simulate({
        clients: 2,
        outage: "25 seconds",
        retry: RetryPolicy.fixed("10 seconds")
      })
      expect(attempts).toEqual([0, 10_000, 20_000, 30_000].flatMap((at) => times(2, at)))
      expect(reconnects).toEqual(times(2, 30_000))
    }))

  it.effect("D14: connections that lived for less than minUptime do not restart the policy", () =>
    Effect.gen(function*() {
      const scenario = { retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "1 hour", jitter: "none" }) }
      const { attempts } = yield* simulate({ ...scenario, clients: 1, outage: "10 seconds", uptime: "1 millis" })
      expect(attempts).toEqual([999, 2_999, 6_999, 14_999])
      const { attempts: stable } = yield* simulate({
        ...scenario,
        clients: 1,
        outage: "10 seconds",
        uptime: "1 millis",
        minUptime: "1 minute"
      })
      expect(stable).toEqual(attempts)
    }))

  it.effect("returns the same result for the same seed, and different results for different seeds", () =>
    Effect.gen(function*() {
      const scenario = { clients: 5, reconnectJitter: "5 seconds", seeds: ["a", "b"] } as const
      const first = yield* ThunderingHerd.simulate(scenario)
      expect(yield* ThunderingHerd.simulate(scenario)).toEqual(first)
      expect(first.runs.map((run) => run.seed)).toEqual(["a", "b"])
      expect(first.runs[0]!.attempts).not.toEqual(first.runs[1]!.attempts)
    }))

  it.effect("an additional client does not change the attempts of the others", () =>
    Effect.gen(function*() {
      const { attempts: few } = yield* simulate({ clients: 3, reconnectJitter: "5 seconds" })
      const { attempts: more } = yield* simulate({ clients: 4, reconnectJitter: "5 seconds" })
      expect(more).toEqual(expect.arrayContaining([...few]))
    }))

  it.effect("counts no reconnect for a client that gives up, and does not log it", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const { attempts, reconnects } = yield* captured(simulate({
        outage: "1 hour",
        retry: RetryPolicy.fixed("10 seconds").pipe(Schedule.intersect(Schedule.recurs(2)))
      }))
      expect(lines).toEqual([])
      // D11: the loss of a connection that lived for an hour uses none of the two retries.
      expect(attempts).toHaveLength(60)
      expect(reconnects).toEqual([])
    }))

  it.effect("the policy gets the failure as its input, and its services", () =>
    Effect.gen(function*() {
      class Inputs extends Context.Tag("Inputs")<Inputs, Array<unknown>>() {}
      const inputs: Array<unknown> = []
      const retry = RetryPolicy.fixed("10 seconds").pipe(
        Schedule.tapInput((cause: Cause.Cause<Refused | Cause.TimeoutException>) =>
          Effect.map(Inputs, (inputs) => inputs.push(cause))
        )
      )
      yield* simulate({ clients: 1, outage: "15 seconds", failure: Cause.fail(new Refused()), retry }).pipe(
        Effect.provideService(Inputs, inputs)
      )
      expect(inputs).toEqual([Cause.empty, Cause.fail(new Refused()), Cause.fail(new Refused())])
    }))

  it.effect("takes no real time, and leaves no fiber and no timer", () =>
    Effect.gen(function*() {
      yield* simulate({ outage: "1 hour", retry: RetryPolicy.fixed("10 minutes") })
      expect(yield* Clock.currentTimeMillis).toBe(0)
      expect(yield* Inspect.all).toEqual([])
    }))

  it.effect("the default is 200 clients with three seeds", () =>
    Effect.gen(function*() {
      const simulation = yield* ThunderingHerd.simulate({ reconnectJitter: "5 seconds" })
      expect(simulation.clients).toBe(200)
      expect(simulation.runs.map((run) => run.attempts.length)).toEqual([200, 200, 200])
    }))

  it.effect("simulates a fleet of thousands, which also close at the same moment", () =>
    Effect.gen(function*() {
      const { runs } = yield* ThunderingHerd.simulate({ reconnectJitter: "5 seconds", clients: 4_000, seeds: [1] })
      expect(runs.map(({ reconnects }) => reconnects.length)).toEqual([4_000])
    }))

  it.effect("dies with a message that names the invalid option", () =>
    Effect.gen(function*() {
      expect(yield* defect(simulate({ clients: 0 }))).toBe("clients must be a whole number of 1 or more, but is 0")
      expect(yield* defect(ThunderingHerd.simulate(5 as never))).toBe(
        "options must be an object of options, but is of type number"
      )
      expect(yield* defect(simulate({ failure: "refused" as never })))
        .toBe("failure must be a Cause, but is of type string")
      expect(yield* defect(simulate({ minUptime: -1 }))).toContain("minUptime must be a duration of 0 or more")
      expect(yield* defect(simulate({ uptime: Infinity }))).toContain("uptime must be a finite duration of 0 or more")
      expect(yield* defect(simulate({ outage: -1 }))).toContain("outage must be a finite duration of 0 or more")
      expect(yield* defect(simulate({ reconnectJitter: -1 }))).toContain(
        "reconnectJitter must be a finite duration of 0 or more"
      )
    }))

  it.effect("dies if the attempts never end", () =>
    Effect.gen(function*() {
      const endless = simulate({ clients: 1, outage: "1 second", retry: RetryPolicy.fixed(0) })
      expect(yield* defect(endless)).toBe("At 3600000 ms the program runs in an endless loop")
      expect(yield* Inspect.all).toEqual([])
    }))
})

describe("the production configuration", () => {
  const clients = 200
  const seeds = Arr.range(1, 10)
  const window = Duration.toMillis(RetryPolicy.production.reconnectJitter)

  /** The peak within 100 ms of each run. */
  const peaks = ({ clients, runs }: ThunderingHerd.Simulation) =>
    runs.map((run) => ThunderingHerd.peak({ clients, runs: [run] }, "100 millis").attempts)

  /** Clients that draw their delay uniformly, with the same random generators as in the simulation. */
  const ideal: ThunderingHerd.Simulation = {
    clients,
    runs: seeds.map((seed) => {
      const attempts = Arr.range(1, clients)
        .map((client) => Effect.runSync(Effect.withRandom(Random.next, Random.make(`${seed}/${client}`))) * window)
        .sort((a, b) => a - b)
      return { seed, attempts, reconnects: attempts }
    })
  }

  it.effect("spreads 200 clients after a common loss like uniform draws over the window", () =>
    Effect.gen(function*() {
      const kicked = yield* ThunderingHerd.simulate({ ...RetryPolicy.production, clients, seeds })
      expect(kicked.runs.map(({ reconnects }) => reconnects.length)).toEqual(seeds.map(() => clients))
      const idealPeak = Number.sumAll(peaks(ideal)) / seeds.length
      // The mean is 4 attempts in 100 ms; the peak is about three times the mean.
      expect(idealPeak).toBeGreaterThan(9)
      expect(idealPeak).toBeLessThan(15)
      expect(Number.sumAll(peaks(kicked)) / seeds.length).toBeLessThanOrEqual(1.1 * idealPeak)
    }))

  it.effect("spreads them also if their connections lived only for 2 seconds", () =>
    Effect.gen(function*() {
      const young = yield* ThunderingHerd.simulate({ ...RetryPolicy.production, seeds: [1, 2], uptime: "2 seconds" })
      expect(Math.max(...peaks(young))).toBeLessThanOrEqual(1.1 * Math.max(...peaks(ideal)))
    }))

  it.effect("at most 10 % of the clients make an attempt within 100 ms during an outage", () =>
    Effect.gen(function*() {
      const outage = yield* ThunderingHerd.simulate({ ...RetryPolicy.production, seeds: [1, 2], outage: "1 minute" })
      // First and second attempts overlap.
      yield* ThunderingHerd.check(outage, { window: "100 millis", atMost: 0.1 })
    }))
})

describe("peak and check", () => {
  const simulation: ThunderingHerd.Simulation = {
    clients: 4,
    runs: [
      { seed: "a", attempts: [0, 100, 200], reconnects: [] },
      { seed: "b", attempts: [10, 50, 60, 300, 301], reconnects: [] },
      { seed: "c", attempts: [], reconnects: [] }
    ]
  }

  it("peak returns the window with the most attempts of all runs", () => {
    expect(ThunderingHerd.peak(simulation, 40)).toEqual({ seed: "b", from: 50, attempts: 2, share: 0.5 })
    expect(ThunderingHerd.peak(simulation, "100 millis")).toEqual({ seed: "b", from: 10, attempts: 3, share: 0.75 })
    expect(ThunderingHerd.peak(simulation, "1 second")).toEqual({ seed: "b", from: 10, attempts: 5, share: 1.25 })
  })

  it("a window does not include its end", () => {
    expect(ThunderingHerd.peak(simulation, 50).attempts).toBe(2)
    expect(ThunderingHerd.peak(simulation, 51).attempts).toBe(3)
  })

  it.effect("fails above the limit, not at it", () =>
    Effect.gen(function*() {
      yield* ThunderingHerd.check(simulation, { window: "100 millis", atMost: 0.75 })
      const stampede = yield* Effect.flip(ThunderingHerd.check(simulation, { window: "100 millis", atMost: 0.7 }))
      expect(stampede).toBeInstanceOf(ThunderingHerd.Stampede)
      expect(stampede).toMatchObject({ clients: 4, seed: "b", from: 10, attempts: 3, share: 0.75, atMost: 0.7 })
      expect(stampede.message).toBe(
        "3 attempts of 4 clients (75 %) within 100ms, starting 10 ms after the loss (seed b); the limit is 70 %"
      )
      expect(yield* defect(ThunderingHerd.check(simulation, { window: 100, atMost: NaN })))
        .toBe("atMost must be a number of 0 or more, but is NaN")
      expect(yield* defect(ThunderingHerd.check(simulation, { window: 100, atMost: "1" as never })))
        .toBe("atMost must be a number of 0 or more, but is \"1\"")
    }))

  it.effect("the peak is 0 if there is no attempt", () =>
    Effect.gen(function*() {
      const { simulation } = yield* simulate({ retry: Schedule.stop })
      expect(ThunderingHerd.peak(simulation, 100)).toEqual({ seed: 1, from: 0, attempts: 0, share: 0 })
      yield* ThunderingHerd.check(simulation, { window: 100, atMost: 0 })
    }))
})
