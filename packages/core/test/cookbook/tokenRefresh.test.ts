import { expect, it } from "@effect/vitest"
import type { Attempt } from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"

class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}

interface Login {
  readonly host: string
  readonly token: string
}

const isUnauthorized = (cause: Cause.Cause<unknown>) =>
  Option.exists(Cause.failureOption(cause), (error) => error instanceof FeedError && error.status === 401)

/** Keeps the token, and gets a new one only when the server has refused the old one. */
const login = (refreshToken: Effect.Effect<string>) => {
  let token = "from yesterday"
  return ({ lastCause }: Attempt<unknown>) =>
    Effect.gen(function*() {
      if (Option.exists(lastCause, isUnauthorized)) token = yield* refreshToken
      return { host: "feed.example.com", token }
    })
}

it.scoped("gets a new token when the old one is refused, and only then", () =>
  Effect.gen(function*() {
    let refreshed = 0
    const server = yield* TestConnector.make({
      script: [
        TestConnector.fail(new FeedError({ status: 503 })),
        TestConnector.decide((login: Login) =>
          login.token === "from today"
            ? TestConnector.succeed()
            : TestConnector.fail(new FeedError({ status: 401 }))
        )
      ]
    })
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: login(Effect.sync(() => (refreshed++, "from today"))),
      connector: server.connector
    })
    yield* TestClock.adjust("1 minute")

    yield* feed.connected
    expect(refreshed).toBe(1)
    expect((yield* server.attempts).map((attempt) => attempt.address.token))
      .toEqual(["from yesterday", "from yesterday", "from today"])
  }))
