import { expect, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"

it.scoped("reconnects after a loss", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make()
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector,
      retry: RetryPolicy.fixed("10 seconds")
    })
    const events = yield* Recorder.events(feed)
    const first = yield* feed.connected

    yield* TestClock.adjust("4 seconds")
    yield* server.lose()
    // The delay runs from the beginning of the last attempt.
    yield* TestClock.adjust("6 seconds")

    const second = yield* feed.connected
    expect(second).not.toBe(first)
    expect(yield* events.render).toBe([
      "0 ms      Connecting (connection 1)",
      "0 ms      Attempt 1 has obtained an address",
      "0 ms      Connected (connection 1)",
      "4000 ms   Connection 1 was closed",
      "10000 ms  Connecting (connection 2)",
      "10000 ms  Attempt 1 has obtained an address",
      "10000 ms  Connected (connection 2)"
    ].join("\n"))
  }))
