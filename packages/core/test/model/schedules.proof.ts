import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { assertProperty, cases } from "../support/proof.js"
import { type Act, perform, type Play, shuffled } from "./play.js"
import { races } from "./races.js"
import { anOp, extras, scenario } from "./Scenario.js"
import type { Fault, Subject } from "./Subject.js"

const acts: FastCheck.Arbitrary<ReadonlyArray<Act>> = FastCheck.array(
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

const plays: FastCheck.Arbitrary<Play> = FastCheck.record({ scenario, acts, until: FastCheck.constant(14) })

const order = FastCheck.record({
  seed: FastCheck.noShrink(FastCheck.integer()),
  preemption: FastCheck.constantFrom(0, 0.02, 0.2),
  // Mostly not, as they cost as much as all the rest.
  streams: FastCheck.nat({ max: 3 }).map((n) => n === 3)
})

/** What goes wrong, by the number of the call. */
const faults = FastCheck.dictionary(
  FastCheck.nat({ max: 30 }).map(String),
  FastCheck.constantFrom<Fault>("throw", "die", "interrupt"),
  { maxKeys: 3 }
)

const noRuleIsBroken = (
  plays: FastCheck.Arbitrary<Play>,
  faults: FastCheck.Arbitrary<Readonly<Record<string, Fault>>>,
  total: number
) =>
  assertProperty(
    FastCheck.property(plays, faults, order, (play, faults, { preemption, seed, streams }) => {
      perform(play, { ...shuffled(seed, preemption), streams, inject: (_, call) => faults[call] })
    }),
    total
  )

describe("in whatever order things happen that happen at the same time, no rule is broken", () => {
  for (const [name, plays] of Object.entries(races)) {
    it(`by ${name}`, () => noRuleIsBroken(FastCheck.constantFrom(...plays), FastCheck.constant({}), cases(40, 1_500)))
  }

  it("by whatever users and their code do", () => noRuleIsBroken(plays, faults, cases(150, 6_000)))

  it("and the same order leads to the same history", async () => {
    const history = ({ answers, bus, calls, events }: Subject) => ({ answers: [...answers], bus, calls, events })
    await assertProperty(
      FastCheck.property(plays, order, (play, { preemption, seed }) => {
        const [first, second] = [1, 2].map(() => perform(play, { ...shuffled(seed, preemption), streams: false }))
        expect(history(first!)).toEqual(history(second!))
      }),
      cases(10, 300)
    )
  })
})
