/** Messages of a channel, and entries of a Redis stream, over all connections. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type Redis, redis, type RedisAddress, RedisError } from "./redisConnector.js"

interface Feed extends Pick<Redis, "run" | "ping"> {
  readonly prices: Mailbox.ReadonlyMailbox<string, RedisError>
  /** A message for every new entry of the Redis stream `orders`. */
  readonly news: Mailbox.ReadonlyMailbox<string, RedisError>
}

export const connector = (interval = 10_000, timeout = 3_000) =>
  redis.pipe(
    Connector.setup(({ ping, run, subscribe }) =>
      Effect.all({ prices: subscribe("prices"), news: subscribe("orders") }).pipe(
        Effect.map((inboxes): Feed => ({ run, ping, ...inboxes }))
      )
    ),
    Connector.connectTimeout("5 seconds"),
    Connector.healthCheck({ probe: ({ ping }) => ping, interval, timeout })
  )

/** Pub/sub: a `Gap` says that messages may have been lost. */
export const prices = PersistentConnection.resumableStream({
  subscribe: ({ prices }: Feed) => Effect.succeed(Mailbox.toStream(prices)),
  cursor: () => undefined
})

interface Order {
  readonly id: string
  readonly message: Readonly<Record<string, string>>
}

const ordersAfter = ({ news, run }: Feed, id: string) =>
  Stream.unfoldChunkEffect({ id, isUpToDate: false }, ({ id, isUpToDate }) =>
    Effect.gen(function*() {
      if (isUpToDate) yield* news.takeAll
      const streams = yield* run((redis) => redis.xRead({ key: "orders", id }, { COUNT: 100 }))
      const orders: ReadonlyArray<Order> = streams?.[0]?.messages ?? []
      const next = { id: orders.at(-1)?.id ?? id, isUpToDate: orders.length < 100 }
      return Option.some([Chunk.unsafeFromArray(orders), next] as const)
    }))

/** A Redis stream: nothing is lost. */
export const orders = PersistentConnection.resumableStream({
  subscribe: (feed: Feed, last: Option.Option<string>) =>
    Effect.succeed(ordersAfter(feed, Option.getOrElse(last, () => "0"))),
  cursor: (order: Order) => order.id
})

export const retry = RetryPolicy.classify((cause: Cause.Cause<unknown>) => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  return error instanceof RedisError && error.isRefusal ? RetryPolicy.giveUp : RetryPolicy.follow
})

/** Redis in production. Gives up if the server refuses the user or the password. */
export const make = (address: RedisAddress) =>
  PersistentConnection.make({
    serverName: "redis",
    address: Effect.succeed(address),
    connector: connector(),
    ...RetryPolicy.production,
    retry: retry(RetryPolicy.production.retry)
  })
