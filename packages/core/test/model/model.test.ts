import { describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { run } from "./lockstep.js"
import { command, scenario } from "./Scenario.js"
import { assert, timeout } from "./settings.js"

describe("the model", () => {
  it("says what the real thing says, whatever users and their code do", { timeout }, async () => {
    const commands = FastCheck.array(command, { maxLength: 30 })
    // The streams are observed in a part of the runs only.
    const streams = FastCheck.nat({ max: 3 }).map((n) => n === 3)
    await assert(FastCheck.property(scenario, commands, streams, run), 1_000)
  })
})
