/** Redis is killed and comes back: what a channel loses, and what a Redis stream keeps. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createClient } from "redis"
import { makePrinter } from "../terminal.js"
import { printEvent, runExample, show, Tally } from "./exampleSupport.js"
import { password, redis } from "./privateServer.js"
import { connector, orders, prices, retry } from "./redisEvents.js"

runExample(Effect.gen(function*() {
  const print = yield* makePrinter
  const server = yield* redis
  yield* print("dim", "server", `Redis listens on port ${server.port}`)

  /** Runs commands on a connection of their own, as another program. */
  const makeClient = () => createClient({ password, socket: { port: server.port, reconnectStrategy: false } })
  const command = <A>(f: (redis: ReturnType<typeof makeClient>) => Promise<A>) =>
    Effect.promise(async () => {
      const client = makeClient()
      await client.connect()
      const result = await f(client)
      await client.close()
      return result
    })
  const price = (text: string) =>
    Effect.zipRight(print("dim", "other", `PUBLISH ${text}`), command((redis) => redis.publish("prices", text)))
  const order = (text: string) =>
    Effect.zipRight(
      print("dim", "other", `XADD ${text}`),
      command((redis) => redis.multi().xAdd("orders", "*", { text }).publish("orders", "").exec())
    )

  const tally = new Tally()
  yield* Effect.scoped(Effect.gen(function*() {
    // While the door is closed, the look-up waits: so the listener misses everything that happens meanwhile.
    const door = yield* Effect.makeLatch(true)
    const feed = yield* PersistentConnection.make({
      serverName: "redis",
      address: Effect.as(door.await, { host: "127.0.0.1", port: server.port, password, name: "listener" }),
      connector: connector().pipe(Connector.setup(() => tally.count)),
      // Shorter delays than in `RetryPolicy.production`, for a short example.
      retry: retry(RetryPolicy.exponential({ base: "200 millis", maxDelay: "1 second" })),
      onEvent: printEvent(print)
    })
    const untilPrice = yield* show(print, "channel", prices(feed), (price) => price)
    const untilOrder = yield* show(print, "stream", orders(feed), ({ message }) => message["text"] ?? "")

    yield* feed.connected
    yield* price("1.08")
    yield* untilPrice("1.08")
    yield* order("tea")
    yield* untilOrder("tea")
    yield* door.close
    yield* server.kill
    yield* print("red", "server", "killed")
    yield* feed.state.changes.pipe(Stream.takeUntil(({ _tag }) => _tag !== "Connected"), Stream.runDrain)
    yield* server.start
    yield* print("dim", "server", "started again; the listener does not reconnect yet")
    yield* price("1.09, which is lost")
    yield* order("bread")
    yield* order("salt")
    yield* door.open
    yield* untilOrder("salt")
    // Both arrive as messages: the set-up has subscribed again.
    yield* price("1.10")
    yield* untilPrice("1.10")
    yield* order("soap")
    yield* untilOrder("soap")
  }))
  yield* tally.check(
    print,
    2,
    Effect.map(
      command((redis) => redis.clientList()),
      (clients) => clients.filter(({ name }) => name === "listener").length
    )
  )
}))
