import { describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { assertProperty, cases } from "../support/proof.js"
import { run } from "./lockstep.js"
import { command, scenario } from "./Scenario.js"

describe("the model", () => {
  it("says what the real thing says, whatever users and their code do", async () => {
    const commands = FastCheck.array(command, { maxLength: 30 })
    // The streams are observed in a part of the runs only.
    const streams = FastCheck.nat({ max: 3 }).map((n) => n === 3)
    await assertProperty(FastCheck.property(scenario, commands, streams, run), cases(300, 20_000))
  })
})
