import { describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { assertProperty, cases } from "../support/proof.js"
import { run } from "./lockstep.js"
import { command, scenario } from "./Scenario.js"
import { shuffled } from "./testCase.js"

describe("the model", () => {
  it("agrees with the implementation for random actions of users and their code", async () => {
    const commands = FastCheck.array(command, { maxLength: 30 })
    // Only some of the runs observe the streams.
    const streams = FastCheck.nat({ max: 3 }).map((n) => n === 3)
    // The order of actions within one ms must not be visible from outside.
    const order = FastCheck.option(FastCheck.noShrink(FastCheck.integer()), { nil: undefined })
    const property = FastCheck.property(scenario, commands, streams, order, (scenario, commands, streams, order) => {
      run(scenario, commands, streams, order === undefined ? {} : shuffled(order, 0))
    })
    await assertProperty(property, cases(300, 10_000))
  })
})
