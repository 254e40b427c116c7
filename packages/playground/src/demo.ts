/**
 * A price feed goes down and comes back: the demo shows the events, states and messages that an application gets.
 *
 *     npm run demo
 *
 *     npm run demo -- --url wss://…
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { parseArgs } from "node:util"
import { WebSocket } from "ws"
import * as Feed from "./feed.js"
import type { Price } from "./server.js"
import { Tally } from "./tally.js"
import { describeState, makePrinter, type Printer, table } from "./terminal.js"

class Prices extends Context.Tag("demo/Prices")<
  Prices,
  PersistentConnection.PersistentConnection<WebSocketConnector.WebSocketConnection, WebSocketError>
>() {}

/** The persistent connection of the application to the feed. This is all the code that it needs. */
const pricesLive = (url: string, print: Printer) =>
  PersistentConnection.layer(Prices, {
    serverName: "prices",
    address: Effect.succeed(url),
    connector: WebSocketConnector.make({ connectTimeout: "2 seconds" }),
    // Shorter delays than in `RetryPolicy.production`, for a short demo. An invalid address ends the retries.
    retry: RetryPolicy.classify(RetryPolicy.exponential({ base: "500 millis", maxDelay: "2 seconds" }), (cause) =>
      Option.exists(Cause.failureOption(cause), (error) =>
          error._tag === "WebSocketError" && error.reason._tag === "InvalidAddress")
        ? RetryPolicy.giveUp
        : RetryPolicy.follow),
    onEvent: (event) =>
      print(event._tag === "FailedToConnect" ? "red" : "magenta", "event", ConnectionEvent.message(event))
  }).pipe(Layer.provide(WebSocketConnector.layerWs(WebSocket)))

/** Prints every change of the state until the scope is closed. */
const followState = (print: Printer, tally: Tally) =>
  Effect.gen(function*() {
    const prices = yield* Prices
    yield* prices.state.changes.pipe(
      Stream.tap((state) => Effect.sync(() => tally.state(state))),
      Stream.map(describeState),
      Stream.changes,
      Stream.runForEach((state) => print("blue", "state", state)),
      Effect.forkScoped
    )
  })

/** Prints every price, across connections, and marks possible gaps. */
const followPrices = (print: Printer, tally: Tally) =>
  Effect.gen(function*() {
    const prices = yield* Prices
    yield* PersistentConnection.resumableStream(prices, {
      subscribe: (connection) => Effect.succeed(Stream.map(connection.messages, parse)),
      cursor: (price) => price.number
    }).pipe(
      Stream.runForEach((resumed) => {
        if (resumed._tag === "Gap") {
          const seconds = ((resumed.restoredAt - resumed.lostAt) / 1000).toFixed(2)
          return print("yellow", "gap", `of ${seconds} s, ended by connection ${resumed.generation}`)
        }
        const { number, price, symbol } = resumed.value
        tally.price(resumed.value)
        return print("green", "price", `${symbol} ${price.toFixed(4).padStart(9)}  #${number}`)
      }),
      Effect.forkScoped
    )
  })

const parse = (message: string | Uint8Array): Price => JSON.parse(String(message))

/** The feed runs, is killed, stays down for 3 seconds, and is restarted on the same port. */
const story = Effect.gen(function*() {
  const print = yield* makePrinter
  const tally = new Tally()
  const servers = yield* Effect.scope
  const first = yield* Feed.start(0)
  yield* print("dim", "server", `listens on port ${first.port}`)
  yield* Effect.gen(function*() {
    yield* followState(print, tally)
    yield* followPrices(print, tally)
    yield* Effect.sleep("2500 millis")
    yield* print("dim", "server", "is killed")
    yield* first.kill
    yield* Effect.sleep("3 seconds")
    yield* Scope.extend(Feed.start(first.port), servers)
    yield* print("dim", "server", "has started again")
    yield* Effect.sleep("3500 millis")
    yield* (yield* Prices).close
  }).pipe(Effect.scoped, Effect.provide(pricesLive(`ws://127.0.0.1:${first.port}`, print)))
  yield* Console.log(`\n${table(tally.rows)}`)
}).pipe(Effect.scoped)

const failed = Effect.sync(() => {
  process.exitCode = 1
})

/** Connects to a real server and prints its messages, until Ctrl-C or until the address proves to be invalid. */
const watch = (url: string) =>
  Effect.gen(function*() {
    const print = yield* makePrinter
    const tally = new Tally()
    yield* Effect.gen(function*() {
      yield* followState(print, tally)
      yield* PersistentConnection.stream(yield* Prices, (connection) => connection.messages).pipe(
        Stream.runForEach((message) => print("green", "message", String(message).slice(0, 100))),
        // The persistent connection itself logs the reason of the close.
        Effect.catchTag("ConnectionClosed", () => failed)
      )
    }).pipe(Effect.scoped, Effect.provide(pricesLive(url, print)))
  })

const usage = ({ message }: Error) =>
  Effect.zipRight(Console.error(`${message}\n\nusage: npm run demo [-- --url ws://… | wss://…]`), failed)

const program = Effect.try({
  try: () => parseArgs({ options: { url: { type: "string" } } }).values,
  catch: (error) => error as Error
}).pipe(Effect.matchEffect({
  onFailure: usage,
  onSuccess: ({ url }) => url === undefined ? story : watch(url)
}))

// Exits if the reader of the output has exited, as in `npm run demo | head`.
process.stdout.on("error", () => process.exit())

NodeRuntime.runMain(program)
