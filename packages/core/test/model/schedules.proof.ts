import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { assertProperty, cases } from "../support/proof.js"
import { races } from "./races.js"
import { anOp, extras, scenario } from "./Scenario.js"
import type { Fault, Subject } from "./Subject.js"
import { perform, shuffled, type TestCase, type UserAction } from "./testCase.js"

const actions: FastCheck.Arbitrary<ReadonlyArray<UserAction>> = FastCheck.array(
  FastCheck.record({
    at: FastCheck.nat({ max: 12 }),
    does: FastCheck.oneof(
      { weight: 20, arbitrary: anOp },
      {
        weight: 10,
        arbitrary: FastCheck.constantFrom(...extras)
      },
      { weight: 2, arbitrary: FastCheck.constant("interrupt" as const) },
      { weight: 1, arbitrary: FastCheck.constant("leave" as const) }
    )
  }),
  { maxLength: 8 }
)

const testCases: FastCheck.Arbitrary<TestCase> = FastCheck.record({ scenario, actions, until: FastCheck.constant(14) })

const order = FastCheck.record({
  seed: FastCheck.noShrink(FastCheck.integer()),
  preemption: FastCheck.constantFrom(0, 0.02, 0.2),
  // Rarely true, because the streams cost as much as all the rest.
  streams: FastCheck.nat({ max: 3 }).map((n) => n === 3)
})

/** Faults by the number of the call. */
const faults = FastCheck.dictionary(
  FastCheck.nat({ max: 30 }).map(String),
  FastCheck.constantFrom<Fault>("throw", "die", "interrupt"),
  { maxKeys: 3 }
)

const noRuleIsBroken = (
  testCases: FastCheck.Arbitrary<TestCase>,
  faults: FastCheck.Arbitrary<Readonly<Record<string, Fault>>>,
  total: number
) =>
  assertProperty(
    FastCheck.property(testCases, faults, order, (testCase, faults, { preemption, seed, streams }) => {
      perform(testCase, { ...shuffled(seed, preemption), streams, inject: (_, call) => faults[call] })
    }),
    total
  )

describe("in every order of simultaneous actions, no invariant is broken", () => {
  for (const [name, testCases] of Object.entries(races)) {
    it(`with ${name}`, () =>
      noRuleIsBroken(FastCheck.constantFrom(...testCases), FastCheck.constant({}), cases(40, 1_500)))
  }

  it("with random actions of users and random faults of their code", () =>
    noRuleIsBroken(testCases, faults, cases(150, 6_000)))

  it("the same order leads to the same history", async () => {
    const history = ({ answers, bus, calls, events }: Subject) => ({ answers: [...answers], bus, calls, events })
    await assertProperty(
      FastCheck.property(testCases, order, (testCase, { preemption, seed }) => {
        const [first, second] = [1, 2].map(() => perform(testCase, { ...shuffled(seed, preemption), streams: false }))
        expect(history(first!)).toEqual(history(second!))
      }),
      cases(10, 300)
    )
  })
})
