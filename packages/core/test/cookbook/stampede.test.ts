import { expect, it } from "@effect/vitest"
import * as Dispersion from "@persistent-connection/core/Dispersion"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"

const retry = RetryPolicy.exponential({ base: "500 millis", cap: "30 seconds" })

it.effect("does not let 200 clients come back together when the server restarts", () =>
  Effect.gen(function*() {
    const restart = yield* Dispersion.simulate({ retry, spread: "5 seconds" })
    yield* Dispersion.check(restart, { window: "100 millis", atMost: 0.1 })

    // What the spread is good for: without it, connections that have lived for an hour are all replaced at once.
    const carelessly = yield* Dispersion.simulate({ retry, seeds: [1] })
    expect(Dispersion.peak(carelessly, "100 millis").share).toBe(1)
  }))
