import { expect, it } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"

class Refused extends Data.TaggedError("Refused")<{}> {}

it.scoped("fails all waiting callers when it gives up", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make({ script: [TestConnector.fail(new Refused())] })
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector,
      retry: RetryPolicy.fixed("10 seconds").pipe(Schedule.intersect(Schedule.recurs(2)))
    })
    const waiting = yield* Effect.fork(Effect.flip(feed.connectedOrClosed))
    const using = yield* Effect.fork(Effect.flip(PersistentConnection.use(feed, () => Effect.void)))
    yield* TestClock.adjust("1 minute")

    const closed = new ConnectionClosed({
      serverName: "feed",
      reason: { _tag: "GaveUp", cause: Cause.fail(new Refused()) }
    })
    expect(yield* Fiber.join(waiting)).toEqual(closed)
    expect(yield* Fiber.join(using)).toEqual(closed)
    expect(yield* Effect.flip(feed.connectedOrClosed)).toEqual(closed)
    expect(yield* server.attempts).toHaveLength(3)
  }))
