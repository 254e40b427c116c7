import { expect, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"

it.effect("lets running uses finish, and releases the connection exactly once", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make()
    const application = yield* Scope.make()
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector
    }).pipe(Scope.extend(application))
    yield* feed.connected

    const request = yield* Effect.fork(
      PersistentConnection.use(feed, () => Effect.delay(Effect.succeed(42), "2 seconds"))
    )
    yield* TestClock.adjust("1 second")
    const shutdown = yield* Effect.fork(PersistentConnection.closeGracefully(feed, "30 seconds"))
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.join(request)).toBe(42)
    yield* Fiber.join(shutdown)

    yield* feed.close
    yield* Scope.close(application, Exit.void)
    expect(yield* server.released).toBe(1)
    expect(yield* server.leaked).toEqual([])
    expect(yield* server.attempts).toHaveLength(1)
  }))
