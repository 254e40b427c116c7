import { describe, expect, it as itInTestTime } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { readFileSync } from "node:fs"
import { it, pass } from "../support/virtualTime.js"

/** Measurements of the original's default; see `conformance/README.md`. */
interface Run {
  readonly mean: number
  readonly stdev: number
  readonly quantiles: Readonly<Record<string, number>>
  readonly histogram: { readonly from: number; readonly bin_width: number; readonly counts: ReadonlyArray<number> }
}

const original: { readonly runs: ReadonlyArray<Run> } = JSON.parse(
  readFileSync(new URL("../fixtures/jitter.json", import.meta.url), "utf8")
)

interface Options<In> {
  readonly seed?: number
  /** The moments at which the attempts began, in ms. */
  readonly now?: (step: number) => number
  readonly input?: (step: number) => In
}

/** Steps a schedule like a persistent connection does. Stops early if the schedule ends. */
const steps = <Out, In>(
  schedule: Schedule.Schedule<Out, In>,
  count: number,
  { input, now = () => 0, seed = 1 }: Options<In>
): ReadonlyArray<{ readonly delay: number; readonly output: Out }> =>
  Effect.gen(function*() {
    const taken: Array<{ readonly delay: number; readonly output: Out }> = []
    let state = schedule.initial
    for (let step = 0; step < count; step++) {
      const [next, output, decision] = yield* schedule.step(now(step), input?.(step) as In, state)
      if (ScheduleDecision.isDone(decision)) break
      taken.push({ delay: Intervals.start(decision.intervals) - now(step), output })
      state = next
    }
    return taken
  }).pipe(Effect.withRandom(Random.make(seed)), Effect.runSync)

const delays = <Out, In>(schedule: Schedule.Schedule<Out, In>, count: number, options: Options<In> = {}) =>
  steps(schedule, count, options).map(({ delay }) => delay)

const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)
const mean = (values: ReadonlyArray<number>) => sum(values) / values.length

const histogram = (values: ReadonlyArray<number>, from: number, width: number, bins: number) => {
  const counts = Array.from({ length: bins }, () => 0)
  for (const value of values) counts[Math.floor((value - from) / width)]! += 1
  return counts
}

/** Pearson's chi-squared statistic against the uniform distribution. */
const chiSquared = (counts: ReadonlyArray<number>) => {
  const expected = mean(counts)
  return sum(counts.map((count) => (count - expected) ** 2 / expected))
}

/** Compares two histograms with equal numbers of values: the chi-squared statistic for the same distribution. */
const chiSquaredOfTwo = (these: ReadonlyArray<number>, those: ReadonlyArray<number>) =>
  sum(these.map((count, bin) => (count - those[bin]!) ** 2 / (count + those[bin]!)))

/** With 19 degrees of freedom, chance exceeds this value once in 2,000 times. */
const limit = 45.97

const message = (f: () => unknown): string | undefined => {
  try {
    f()
  } catch (error) {
    if (Cause.isIllegalArgumentException(error)) return error.message
  }
  return undefined
}

/** A clock with independent monotonic time and wall time. */
class TwoTimes implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** In ms. */
  wall = 1_000_000
  /** In ms. */
  monotonic = 5_000_000
  unsafeCurrentTimeMillis = () => this.wall
  unsafeCurrentTimeNanos = () => BigInt(this.monotonic) * 1_000_000n
  readonly currentTimeMillis = Effect.sync(this.unsafeCurrentTimeMillis)
  readonly currentTimeNanos = Effect.sync(this.unsafeCurrentTimeNanos)
  sleep = () => Effect.never
}

describe("RetryPolicy", () => {
  describe("standard", () => {
    it.each([42, 7])("T3: is uniform over 7 to 13 s, like the original (seed %i)", (seed) => {
      const drawn = delays(RetryPolicy.standard, 10_000, { seed })
      const sorted = [...drawn].sort((a, b) => a - b)
      expect(sorted[0]).toBeGreaterThanOrEqual(7000)
      expect(sorted.at(-1)).toBeLessThanOrEqual(13_000)
      const counts = histogram(drawn, 7000, 300, 20)
      expect(chiSquared(counts)).toBeLessThan(limit)
      const center = mean(drawn)
      const deviation = Math.sqrt(mean(drawn.map((delay) => (delay - center) ** 2)))
      for (const run of original.runs) {
        expect(run.histogram).toMatchObject({ from: 7000, bin_width: 300 })
        expect(chiSquaredOfTwo(counts, run.histogram.counts)).toBeLessThan(limit)
        // The limits are four standard errors: of the difference of two means, and of two deviations.
        expect(Math.abs(center - run.mean)).toBeLessThan(98)
        expect(Math.abs(deviation - run.stdev)).toBeLessThan(45)
        for (const [part, quantile] of Object.entries(run.quantiles)) {
          expect(Math.abs(sorted[Math.floor(Number(part) * drawn.length)]! - quantile)).toBeLessThan(170)
        }
      }
      // The draws are independent.
      const lagged = mean(drawn.slice(1).map((delay, index) => (delay - center) * (drawn[index]! - center)))
      expect(Math.abs(lagged / deviation ** 2)).toBeLessThan(0.04)
    })

    it("T3: the same statistic rejects a jitter of 29 %", () => {
      const narrower = delays(RetryPolicy.randomized("10 seconds", { jitter: 0.29 }), 10_000)
      expect(chiSquared(histogram(narrower, 7000, 300, 20))).toBeGreaterThan(limit)
    })

    it("T3: draws a new delay for every attempt, also after a success", () => {
      expect(new Set(delays(RetryPolicy.standard, 1000)).size).toBe(1000)
      const [first, second] = Effect.gen(function*() {
        const { initial, step } = RetryPolicy.standard
        return [yield* step(0, undefined, initial), yield* step(0, undefined, initial)]
      }).pipe(Effect.withRandom(Random.make(1)), Effect.runSync)
      expect(first![1]).not.toEqual(second![1])
    })

    it("T4: is deterministic for a given seed", () => {
      expect(delays(RetryPolicy.standard, 10, { seed: 3 })).toEqual(delays(RetryPolicy.standard, 10, { seed: 3 }))
      expect(delays(RetryPolicy.standard, 10, { seed: 3 })).not.toEqual(delays(RetryPolicy.standard, 10, { seed: 4 }))
    })
  })

  describe("randomized", () => {
    it("T3: covers the whole range of the jitter, and stays within it", () => {
      const drawn = delays(RetryPolicy.randomized("1 second", { jitter: 0.5 }), 10_000)
      expect(Math.min(...drawn)).toBeGreaterThanOrEqual(500)
      expect(Math.max(...drawn)).toBeLessThanOrEqual(1500)
      expect(chiSquared(histogram(drawn, 500, 50, 20))).toBeLessThan(limit)
    })

    it("T3: uses the exact delay without jitter", () => {
      expect(delays(RetryPolicy.randomized("1 second", { jitter: 0 }), 3)).toEqual([1000, 1000, 1000])
    })

    it.each([-0.1, 1.1, NaN, Infinity])("rejects a jitter of %d", (jitter) => {
      expect(message(() => RetryPolicy.randomized("1 second", { jitter }))).toBe(
        `jitter must be a number from 0 to 1, but is ${jitter}`
      )
    })

    it("rejects a jitter that is not a number, and options that are not an object", () => {
      const text = "0.5" as unknown
      expect(message(() => RetryPolicy.randomized("1 second", { jitter: text as number }))).toBe(
        "jitter must be a number from 0 to 1, but is \"0.5\""
      )
      expect(message(() => RetryPolicy.randomized("1 second", text as { jitter: number }))).toBe(
        "options must be an object of options, but is of type string"
      )
    })

    it("rejects a negative or infinite delay", () => {
      expect(message(() => RetryPolicy.randomized("-1 seconds"))).toContain("delay must be")
      expect(message(() => RetryPolicy.randomized(Infinity))).toContain("delay must be")
    })
  })

  describe("fixed", () => {
    it("T3: returns the exact delay", () => {
      expect(delays(RetryPolicy.fixed("3 seconds"), 4)).toEqual([3000, 3000, 3000, 3000])
    })

    it("T3: 0 retries at once", () => {
      expect(delays(RetryPolicy.fixed(0), 2, { now: () => 17 })).toEqual([0, 0])
    })

    it("T1: the delay runs from the beginning of the attempt", () => {
      const moments = [0, 100_000, 100_001, 7]
      expect(delays(RetryPolicy.fixed("3 seconds"), 4, { now: (step) => moments[step]! })).toEqual([
        3000,
        3000,
        3000,
        3000
      ])
    })

    it("rejects a negative or infinite delay", () => {
      expect(message(() => RetryPolicy.fixed(-1))).toBe("delay must be a finite duration of 0 or more, but is -1")
      expect(message(() => RetryPolicy.fixed(Duration.infinity))).toContain("delay must be a finite duration")
    })
  })

  describe("exponential", () => {
    const parameters = [
      FastCheck.integer({ min: 1, max: 100_000 }),
      FastCheck.double({ min: 1, max: 1e9, noNaN: true }),
      FastCheck.double({ min: 1, max: 1e6, noNaN: true }),
      FastCheck.integer()
    ] as const

    it.prop("no jitter: the delay grows by the factor up to the cap", [...parameters], ([
      base,
      factor,
      room,
      seed
    ]) => {
      const cap = base * room
      const drawn = delays(RetryPolicy.exponential({ base, factor, maxDelay: cap, jitter: "none" }), 60, { seed })
      drawn.forEach((delay, step) => {
        const expected = Math.min(cap, base * factor ** step)
        expect(Math.abs(delay - expected)).toBeLessThanOrEqual(expected * 1e-9 + 1e-6)
        expect(delay).toBeGreaterThanOrEqual(drawn[step - 1] ?? 0)
      })
    })

    it.prop("full jitter: from 0 to the capped delay", [...parameters], ([base, factor, room, seed]) => {
      const cap = base * room
      delays(RetryPolicy.exponential({ base, factor, maxDelay: cap, jitter: "full" }), 60, { seed }).forEach(
        (delay, step) => {
          expect(delay).toBeGreaterThanOrEqual(0)
          expect(delay).toBeLessThanOrEqual(Math.min(cap, base * factor ** step) * (1 + 1e-9) + 1e-6)
        }
      )
    })

    it.prop("equal jitter: from half of the capped delay to all of it", [...parameters], ([
      base,
      factor,
      room,
      seed
    ]) => {
      const cap = base * room
      delays(RetryPolicy.exponential({ base, factor, maxDelay: cap, jitter: "equal" }), 60, { seed }).forEach(
        (delay, step) => {
          const most = Math.min(cap, base * factor ** step)
          expect(delay).toBeGreaterThanOrEqual((most / 2) * (1 - 1e-9) - 1e-6)
          expect(delay).toBeLessThanOrEqual(most * (1 + 1e-9) + 1e-6)
        }
      )
    })

    it.prop("proportional jitter: the capped delay plus or minus the given part of it", [...parameters], ([
      base,
      factor,
      room,
      seed
    ]) => {
      const cap = base * room
      delays(RetryPolicy.exponential({ base, factor, maxDelay: cap, jitter: 0.2 }), 60, { seed }).forEach(
        (delay, step) => {
          const capped = Math.min(cap, base * factor ** step)
          expect(delay).toBeGreaterThanOrEqual(capped * 0.8 * (1 - 1e-9) - 1e-6)
          expect(delay).toBeLessThanOrEqual(capped * 1.2 * (1 + 1e-9) + 1e-6)
        }
      )
    })

    it.prop("decorrelated jitter: from the base to the factor times the last delay, capped", [...parameters], ([
      base,
      factor,
      room,
      seed
    ]) => {
      const cap = base * room
      const drawn = delays(RetryPolicy.exponential({ base, factor, maxDelay: cap, jitter: "decorrelated" }), 60, {
        seed
      })
      drawn.forEach((delay, step) => {
        expect(delay).toBeGreaterThanOrEqual(base * (1 - 1e-9))
        expect(delay).toBeLessThanOrEqual(Math.min(cap, (drawn[step - 1] ?? base) * factor) * (1 + 1e-9) + 1e-6)
      })
    })

    // As published in "Exponential Backoff And Jitter" on the AWS Architecture Blog; `part` is uniform between 0 and 1.
    const aws = {
      full: (temp: number, part: number) => temp * part,
      equal: (temp: number, part: number) => temp / 2 + (temp / 2) * part
    }

    const parts = (seed: number, count: number) =>
      Effect.runSync(Effect.withRandom(Effect.replicateEffect(Random.next, count), Random.make(seed)))

    it.each(["full", "equal"] as const)("%s jitter matches the formula published by AWS", (jitter) => {
      const policy = RetryPolicy.exponential({ base: 100, maxDelay: 2_000, jitter })
      const expected = parts(1, 10).map((part, n) => aws[jitter](Math.min(2_000, 100 * 2 ** n), part))
      delays(policy, 10, { seed: 1 }).forEach((delay, n) => expect(delay).toBeCloseTo(expected[n]!, 6))
    })

    it("decorrelated jitter matches the formula published by AWS, which caps after the draw", () => {
      const policy = RetryPolicy.exponential({ base: 100, maxDelay: 2_000, jitter: "decorrelated" })
      let last = 100
      const expected = parts(1, 50).map((part) => {
        last = Math.min(2_000, 100 + (last * 3 - 100) * part)
        return last
      })
      delays(policy, 50, { seed: 1 }).forEach((delay, n) => expect(delay).toBeCloseTo(expected[n]!, 6))
    })

    /** The delays of 1,000 clients, long after the delay has reached the cap. */
    const atTheCap = (jitter: RetryPolicy.ExponentialOptions["jitter"]) => {
      const policy = RetryPolicy.exponential({ base: 1000, maxDelay: 30_000, jitter })
      return Array.from({ length: 1000 }, (_, seed) => delays(policy, 30, { seed }).at(-1)!)
    }

    it.each<["full" | "equal" | number, number, number]>([
      ["full", 0, 30_000],
      ["equal", 15_000, 30_000],
      [0.2, 24_000, 36_000]
    ])("%s jitter still applies at the cap", (jitter, from, to) => {
      const drawn = atTheCap(jitter)
      expect(new Set(drawn).size).toBe(1000)
      expect(chiSquared(histogram(drawn, from, (to - from) / 20, 20))).toBeLessThan(limit)
    })

    it("with decorrelated jitter more than a third of the clients wait for exactly the cap, as documented", () => {
      const capped = atTheCap("decorrelated").filter((delay) => delay === 30_000)
      expect(capped.length).toBeGreaterThan(333)
      expect(capped.length).toBeLessThan(500)
    })

    it.each(["none", "full", "equal", "decorrelated", 0.2] as const)(
      "%s jitter: if the base is 0, every delay is 0",
      (jitter) => {
        expect(delays(RetryPolicy.exponential({ base: 0, jitter }), 20)).toEqual(Array.from({ length: 20 }, () => 0))
      }
    )

    it.each(["none", "full", "equal", "decorrelated"] as const)(
      "%s jitter: the delay before attempt 10,000 does not exceed the cap",
      (jitter) => {
        for (const factor of [2, Number.MAX_VALUE]) {
          const drawn = delays(
            RetryPolicy.exponential({ base: "1 second", factor, maxDelay: "30 seconds", jitter }),
            10_000
          )
          expect(drawn).toHaveLength(10_000)
          expect(drawn.every((delay) => delay >= 0 && delay <= 30_000)).toBe(true)
        }
      }
    )

    it("by default the delay doubles, up to one minute, with full jitter", () => {
      const half = {
        next: Effect.succeed(0.5),
        nextRange: (min: number, max: number) => Effect.succeed((min + max) / 2)
      }
      const halved = (policy: Schedule.Schedule<Duration.Duration>) =>
        Effect.gen(function*() {
          const outputs: Array<number> = []
          let state = policy.initial
          for (let step = 0; step < 8; step++) {
            const [next, output] = yield* policy.step(0, undefined, state)
            outputs.push(Duration.toMillis(output))
            state = next
          }
          return outputs
        }).pipe(Effect.withRandom({ ...Random.make(0), ...half }), Effect.runSync)
      expect(halved(RetryPolicy.exponential({ base: "1 second" }))).toEqual(
        [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
      )
      expect(halved(RetryPolicy.exponential({ base: "2 minutes" }))[7]).toBe(60_000)
      expect(halved(RetryPolicy.exponential({ base: 1000, jitter: "equal" })).slice(0, 3)).toEqual([750, 1500, 3000])
      expect(halved(RetryPolicy.exponential({ base: 1000, jitter: "decorrelated" })).slice(0, 3)).toEqual(
        [2000, 3500, 5750]
      )
    })

    it.each<[string, RetryPolicy.ExponentialOptions]>([
      ["base must be a finite duration of 0 or more, but is -1", { base: -1 }],
      ["base must be a finite duration of 0 or more, but is Infinity", { base: Infinity }],
      ["maxDelay must be a duration of base (1000 ms) or more, but is 999", { base: 1000, maxDelay: 999 }],
      ["maxDelay must be a finite duration of 0 or more, but is Infinity", { base: 1000, maxDelay: Infinity }],
      ["maxDelay must be a finite duration of 0 or more, but is \"-1 minutes\"", {
        base: 1000,
        maxDelay: "-1 minutes"
      }],
      ["factor must be a number of 1 or more, but is 0.5", { base: 1000, factor: 0.5 }],
      ["factor must be a number of 1 or more, but is NaN", { base: 1000, factor: NaN }],
      ["factor must be a number of 1 or more, but is Infinity", { base: 1000, factor: Infinity }],
      ...[["\"some\"", "some"], ["-0.1", -0.1], ["1.1", 1.1], ["NaN", NaN], ["true", true], ["null", null]].map(
        ([shown, jitter]): [string, RetryPolicy.ExponentialOptions] => [
          `jitter must be one of full, equal, none, decorrelated, or a number from 0 to 1, but is ${shown}`,
          { base: 1000, jitter: jitter as number }
        ]
      ),
      ["base must be a finite duration of 0 or more, but is undefined", undefined as never]
    ])("throws at once: %s", (expected, options) => {
      expect(message(() => RetryPolicy.exponential(options))).toBe(expected)
    })
  })

  describe("as schedules", () => {
    const policies = {
      standard: RetryPolicy.standard,
      fixed: RetryPolicy.fixed("2 seconds"),
      exponential: RetryPolicy.exponential({ base: 1000 }),
      decorrelated: RetryPolicy.exponential({ base: 1000, jitter: "decorrelated" }),
      proportional: RetryPolicy.exponential({ base: 1000, jitter: 0.2 }),
      production: RetryPolicy.production.retry
    }

    it.each(Object.entries(policies))("%s outputs its delay, from any start time", (_, policy) => {
      for (const { delay, output } of steps(policy, 50, { now: (step) => step * 12_345 })) {
        expect(delay).toBeCloseTo(Duration.toMillis(output), 5)
      }
    })

    it.each(Object.entries(policies))("D11: %s ends with recurs, and has the same delays before", (_, policy) => {
      expect(delays(policy.pipe(Schedule.intersect(Schedule.recurs(5))), 100)).toEqual(delays(policy, 5))
    })

    it("D11: ends with upTo", () => {
      const policy = RetryPolicy.fixed("2 seconds").pipe(Schedule.upTo("7 seconds"))
      expect(delays(policy, 100, { now: (step) => step * 2000 })).toEqual([2000, 2000, 2000, 2000])
    })

    it("D11: ends with whileInput", () => {
      const policy = RetryPolicy.exponential({ base: 1000, jitter: "none" }).pipe(
        Schedule.whileInput((cause: Cause.Cause<string>) => !Cause.contains(cause, Cause.fail("refused")))
      )
      const causes = ["unreachable", "slow", "unreachable", "refused"].map((error) => Cause.fail(error))
      expect(delays(policy, 100, { input: (step) => causes[step]! })).toEqual([1000, 2000, 4000])
    })

    it("D11: can follow another policy with andThen", () => {
      const policy = Schedule.recurs(1).pipe(Schedule.andThen(RetryPolicy.exponential({ base: 1000, jitter: "none" })))
      expect(delays(policy, 4)).toEqual([0, 1000, 2000, 4000])
    })

    it("D11: restarts from its initial state", () => {
      const policy = RetryPolicy.exponential({ base: 1000, jitter: "none" })
      expect(delays(policy, 3)).toEqual([1000, 2000, 4000])
      expect(delays(policy, 3)).toEqual([1000, 2000, 4000])
    })

    it.effect("drives Effect.retry like any schedule", () =>
      Effect.gen(function*() {
        const attempts: Array<number> = []
        const policy = RetryPolicy.exponential({ base: "1 second", maxDelay: "4 seconds", jitter: "none" })
        const fiber = yield* Clock.currentTimeMillis.pipe(
          Effect.tap((now) => attempts.push(now)),
          Effect.zipRight(Effect.fail("no")),
          Effect.retry(policy.pipe(Schedule.intersect(Schedule.recurs(4)))),
          Effect.exit,
          Effect.fork
        )
        yield* pass(60)
        yield* Fiber.join(fiber)
        expect(attempts).toEqual([0, 1000, 3000, 7000, 11_000])
      }))
  })

  describe("giveUpAfter", () => {
    it("T5: counts in monotonic time, independent of the wall clock", () => {
      const clock = new TwoTimes()
      const policy = RetryPolicy.fixed("1 second").pipe(RetryPolicy.giveUpAfter("1 minute"))
      let state = policy.initial
      /** Advances the time and sets the wall clock, both in seconds. Returns true if the policy continues. */
      const goesOn = (seconds: number, set: number) => {
        clock.monotonic += seconds * 1_000
        clock.wall += set * 1_000
        const [next, , decision] = Effect.runSync(
          Effect.withClock(policy.step(clock.monotonic, undefined, state), clock)
        )
        state = next
        return !ScheduleDecision.isDone(decision)
      }
      expect([goesOn(0, 0), goesOn(30, 3_600), goesOn(29, -7_200), goesOn(1, 0)]).toEqual([true, true, true, false])
    })

    it("does not change the delays of the policy", () => {
      const policy = RetryPolicy.exponential({ base: "1 second", jitter: "none" })
      expect(delays(RetryPolicy.giveUpAfter(policy, "1 minute"), 4)).toEqual([1_000, 2_000, 4_000, 8_000])
    })

    it.each<[string, () => unknown]>([
      ["-1", () => RetryPolicy.fixed(0).pipe(RetryPolicy.giveUpAfter(-1))],
      ["undefined", () => (RetryPolicy.giveUpAfter as Function)(RetryPolicy.fixed(0))],
      ["undefined", () => RetryPolicy.fixed(0).pipe(RetryPolicy.giveUpAfter(undefined as never))]
    ])("rejects a time of %s", (time, make) => {
      expect(message(make)).toContain(`giveUpAfter must be a duration of 0 or more, but is ${time}`)
    })
  })

  it("T5: retryAfter counts in monotonic time", () => {
    const clock = new TwoTimes()
    const policy = RetryPolicy.fixed("1 second").pipe(RetryPolicy.classify(() => RetryPolicy.retryAfter("1 minute")))
    // The attempt began 10 seconds ago. Since then the wall clock was set back.
    const begunAt = clock.monotonic - 10_000
    clock.wall -= 3_600_000
    const [, , decision] = Effect.runSync(
      Effect.withClock(policy.step(begunAt, Cause.empty, policy.initial), clock)
    )
    expect(ScheduleDecision.isContinue(decision) && Intervals.start(decision.intervals)).toBe(clock.monotonic + 61_000)
  })

  // https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md: INITIAL_BACKOFF 1 s, MULTIPLIER 1.6, JITTER 0.2,
  // MAX_BACKOFF 120 s, MIN_CONNECT_TIMEOUT 20 s. A backoff runs from the beginning of the attempt.
  describe("the backoff of gRPC", () => {
    const retry = RetryPolicy.exponential({ base: "1 second", factor: 1.6, maxDelay: "2 minutes", jitter: 0.2 })
    const backoff = ({ number }: { readonly number: number }) => Duration.seconds(1.6 ** (number - 1))
    const connectTimeout = Connector.connectTimeout((attempt) =>
      Duration.clamp(backoff(attempt), { minimum: "20 seconds", maximum: "2 minutes" })
    )
    /** The published backoff after the attempt with this index, in ms. */
    const published = (index: number) => Math.min(120_000, 1_000 * 1.6 ** index)

    /** The begin and the end of 16 attempts, in ms, against a server that always answers with this effect. */
    const attemptsAt = (answer: TestConnector.Answer, seed: number) =>
      Effect.gen(function*() {
        const server = yield* TestConnector.make({ script: [answer] })
        yield* PersistentConnection.make({
          serverName: "grpc",
          address: Effect.succeed("grpc.example.com"),
          connector: server.connector.pipe(connectTimeout),
          retry,
          attemptTimeout: Duration.infinity
        })
        yield* TestClock.adjust("30 minutes")
        const attempts = yield* server.attempts
        return attempts.slice(0, 16).map(({ begunAt, outcome }) => ({
          begunAt,
          took: "at" in outcome ? outcome.at - begunAt : NaN
        }))
      }).pipe(Effect.scoped, Effect.withRandom(Random.make(seed)), Effect.provide(TestContext.TestContext))

    for (const seed of [1, 2, 3]) {
      itInTestTime.effect(
        `stays within its published bounds against a server that refuses (seed ${seed})`,
        () =>
          Effect.gen(function*() {
            const attempts = yield* attemptsAt(TestConnector.die("refused"), seed)
            expect(attempts).toHaveLength(16)
            const factors = attempts.slice(1).map(({ begunAt }, index) =>
              (begunAt - attempts[index]!.begunAt) / published(index)
            )
            for (const factor of factors) {
              expect(factor).toBeGreaterThanOrEqual(0.8)
              expect(factor).toBeLessThanOrEqual(1.2)
            }
            expect(Math.max(...factors.slice(11)) - Math.min(...factors.slice(11))).toBeGreaterThan(0.05)
          })
      )
    }

    for (const seed of [1, 2, 3]) {
      itInTestTime.effect(
        `a hanging attempt times out after the backoff, but not before 20 seconds (seed ${seed})`,
        () =>
          Effect.gen(function*() {
            const attempts = yield* attemptsAt(TestConnector.hang, seed)
            expect(attempts).toHaveLength(16)
            attempts.forEach(({ took }, index) => {
              expect(took).toBeCloseTo(Math.max(20_000, published(index)), 3)
            })
            attempts.slice(1).forEach(({ begunAt }, index) => {
              const backoff = begunAt - attempts[index]!.begunAt
              expect(backoff).toBeGreaterThanOrEqual(Math.max(20_000, published(index)) - 0.001)
              expect(backoff).toBeLessThanOrEqual(Math.max(20_000, published(index) * 1.2) + 0.001)
            })
          })
      )
    }
  })
})
