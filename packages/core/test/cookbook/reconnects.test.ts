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
      "0 ms      AttemptingToConnect  generation 1",
      "0 ms      ObtainedAddress      attempt 1",
      "0 ms      Connected            generation 1",
      "4000 ms   Disconnected         generation 1: a close without an error",
      "10000 ms  AttemptingToConnect  generation 2",
      "10000 ms  ObtainedAddress      attempt 1",
      "10000 ms  Connected            generation 2"
    ].join("\n"))
  }))
