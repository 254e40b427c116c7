import { expect, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"

it.scoped("ends an attempt that hangs, and makes the next attempt", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make({ script: [TestConnector.hang, TestConnector.succeed()] })
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector,
      retry: RetryPolicy.fixed("10 seconds"),
      attemptTimeout: "5 seconds"
    })
    const result = yield* Effect.fork(Effect.flip(feed.connectedOrFailedToConnect))

    yield* TestClock.adjust("4999 millis")
    expect(yield* feed.state.get).toMatchObject({ _tag: "Connecting" })

    yield* TestClock.adjust("1 millis")
    expect(yield* Fiber.join(result)).toBeInstanceOf(Cause.TimeoutException)
    expect(yield* feed.state.get).toMatchObject({ _tag: "Waiting" })

    yield* TestClock.adjust("5 seconds")
    expect((yield* server.attempts).map((attempt) => attempt.outcome)).toMatchObject([
      { _tag: "Interrupted", at: 5_000 },
      { _tag: "Succeeded", at: 10_000 }
    ])
  }))
