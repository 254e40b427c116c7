import { expect, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"

class Refused extends Data.TaggedError("Refused")<{}> {}

const refuse = TestConnector.fail(new Refused())

it.scoped("waits longer after each failure, and starts again after a success", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make({
      script: [
        refuse,
        refuse,
        refuse,
        TestConnector.succeed().pipe(TestConnector.thenLose({ after: "1 minute" })),
        refuse
      ]
    })
    yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector,
      retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "30 seconds", jitter: "none" })
    })
    yield* TestClock.adjust("80 seconds")

    const seconds = (yield* server.attempts).map((attempt) => attempt.begunAt / 1_000)
    // After the attempts at 0, 1 and 3 it waits 1, 2 and 4 seconds. The connection of second 7 lives for a minute: its
    // delay has passed when it is lost, so the next attempt is made at once, at 67. It fails, and the delays are 1, 2
    // and 4 seconds again, not 8 and 16.
    expect(seconds).toEqual([0, 1, 3, 7, 67, 68, 70, 74])
  }))
