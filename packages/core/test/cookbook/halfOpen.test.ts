import { expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"

it.scoped("detects a dead peer that the transport does not detect", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make()
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector.pipe(
        Connector.healthCheck({
          probe: (line: TestConnector.Line) => line.ping,
          interval: "20 seconds",
          timeout: "5 seconds"
        })
      ),
      retry: RetryPolicy.fixed("10 seconds")
    })
    yield* TestClock.adjust("1 minute")
    expect(yield* server.opened).toBe(1)

    yield* server.fallSilent()
    // At most one interval until the next probe, plus the timeouts of two probes
    yield* TestClock.adjust("30 seconds")
    expect(yield* server.opened).toBe(2)
    expect(yield* server.released).toBe(1)
    expect(yield* feed.state.get).toMatchObject({ _tag: "Connected", generation: 2 })
  }))
