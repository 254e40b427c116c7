import { expect, it } from "@effect/vitest"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Effect from "effect/Effect"

// The options under test, as in `make({ serverName, address, connector, ...RetryPolicy.production })`
const options = RetryPolicy.production

it.effect("does not let 200 clients come back together when the server restarts", () =>
  Effect.gen(function*() {
    const restart = yield* ThunderingHerd.simulate(options)
    yield* ThunderingHerd.check(restart, { window: "100 millis", atMost: 0.1 })

    // Without a random delay, connections that have lived for an hour are all replaced at once.
    const careless = yield* ThunderingHerd.simulate({ ...options, reconnectJitter: 0, seeds: [1] })
    expect(ThunderingHerd.peak(careless, "100 millis").share).toBe(1)
  }))
