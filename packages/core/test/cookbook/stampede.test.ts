import { expect, it } from "@effect/vitest"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Effect from "effect/Effect"

const retry = RetryPolicy.exponential({ base: "500 millis", maxDelay: "30 seconds" })

it.effect("does not let 200 clients come back together when the server restarts", () =>
  Effect.gen(function*() {
    const restart = yield* ThunderingHerd.simulate({ retry, reconnectJitter: "5 seconds" })
    yield* ThunderingHerd.check(restart, { window: "100 millis", atMost: 0.1 })

    // What the spread is good for: without it, connections that have lived for an hour are all replaced at once.
    const carelessly = yield* ThunderingHerd.simulate({ retry, seeds: [1] })
    expect(ThunderingHerd.peak(carelessly, "100 millis").share).toBe(1)
  }))
