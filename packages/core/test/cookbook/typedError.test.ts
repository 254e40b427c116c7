import { expect, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

interface Feed {
  readonly price: (symbol: string) => Effect.Effect<number>
}

class PricesUnavailable extends Data.TaggedError("PricesUnavailable")<{ readonly symbol: string }> {}

const price = (feed: PersistentConnection.PersistentConnection<Feed>, symbol: string) =>
  PersistentConnection.use(feed, ({ price }) => price(symbol), { whenDisconnected: "fail" }).pipe(
    Effect.catchTag("NotConnected", "ConnectionLost", "ConnectionClosed", () => new PricesUnavailable({ symbol }))
  )

it.scoped("fails with its own error while there is no connection", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make<Feed>({
      connection: () => ({ price: () => Effect.succeed(1.08) }),
      script: [TestConnector.hang]
    })
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector: server.connector
    })
    yield* server.awaitAttempts(1)
    // The attempt hangs until `answer`.
    expect(yield* Effect.flip(price(feed, "EURUSD"))).toEqual(new PricesUnavailable({ symbol: "EURUSD" }))

    yield* server.answer(TestConnector.succeed())
    yield* feed.connected
    expect(yield* price(feed, "EURUSD")).toBe(1.08)

    yield* server.lose()
    expect(yield* Effect.flip(price(feed, "EURUSD"))).toEqual(new PricesUnavailable({ symbol: "EURUSD" }))
  }))
