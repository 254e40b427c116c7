import { describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { assertProperty, cases } from "../support/proof.js"
import { run } from "./lockstep.js"
import { shuffled } from "./play.js"
import { command, scenario } from "./Scenario.js"

describe("the model", () => {
  it("says what the real thing says, whatever users and their code do", async () => {
    const commands = FastCheck.array(command, { maxLength: 30 })
    // The streams are observed in a part of the runs only.
    const streams = FastCheck.nat({ max: 3 }).map((n) => n === 3)
    // Whatever the order of what happens in the same ms, it looks the same from outside.
    const order = FastCheck.option(FastCheck.noShrink(FastCheck.integer()), { nil: undefined })
    const property = FastCheck.property(scenario, commands, streams, order, (scenario, commands, streams, order) => {
      run(scenario, commands, streams, order === undefined ? {} : shuffled(order, 0))
    })
    await assertProperty(property, cases(300, 10_000))
  })
})
