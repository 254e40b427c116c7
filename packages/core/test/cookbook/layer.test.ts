import { expect, it } from "@effect/vitest"
import type { Connector } from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"

class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}

interface Feed {
  readonly price: (symbol: string) => Effect.Effect<number, FeedError>
}

// The application. Its transport is a service, so that a test can replace it.

class FeedTransport extends Context.Tag("app/FeedTransport")<FeedTransport, Connector<string, Feed, FeedError>>() {}

class PriceFeed extends Context.Tag("app/PriceFeed")<
  PriceFeed,
  PersistentConnection.Of<Context.Tag.Service<typeof FeedTransport>>
>() {}

const PriceFeedLive = Layer.unwrapEffect(
  Effect.map(FeedTransport, (connector) =>
    PersistentConnection.layer(PriceFeed, {
      serverName: "feed",
      address: Effect.succeed("feed.example.com"),
      connector,
      ...RetryPolicy.production
    }))
)

const invoice = (symbol: string, amount: number) =>
  Effect.gen(function*() {
    const feed = yield* PriceFeed
    const price = yield* PersistentConnection.useRetrying(feed, ({ price }) => price(symbol))
    return amount * price
  })

// The test

it.effect("writes the invoice even if the connection is lost in between", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make<Feed, FeedError>({
      connection: (line) => ({ price: () => line.number === 1 ? Effect.never : Effect.succeed(4) })
    })
    const written = yield* invoice("EURUSD", 3).pipe(
      Effect.provide(PriceFeedLive),
      Effect.provideService(FeedTransport, server.connector),
      Effect.fork
    )
    // The first connection is open, and the price has been asked for on it.
    yield* TestClock.adjust("1 second")
    yield* server.lose()
    yield* TestClock.adjust("15 seconds")
    expect(yield* Fiber.join(written)).toBe(12)
    expect(yield* server.leaked).toEqual([])
  }))
