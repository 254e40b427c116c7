/** An RPC server is killed and comes back: what its client gets. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcMenu from "@persistent-connection/rpc/RpcMenu"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import * as Server from "../feed.js"
import { makePrinter, type Printer } from "../terminal.js"
import { Shop } from "./shop.js"

const start = (port: number) => Server.start(port, "rpc/server.js")

/** The persistent connection to the shop. Its connections are clients of the shop. */
const connect = (port: number, print: Printer) =>
  PersistentConnection.make({
    serverName: "shop",
    address: Effect.succeed(`ws://127.0.0.1:${port}`),
    connector: WebSocketConnector.make().pipe(RpcConnector.make, RpcMenu.check(Shop), RpcConnector.client(Shop)),
    // Shorter delays than in `RetryPolicy.production`, for a short example.
    retry: RetryPolicy.exponential({ base: "500 millis", maxDelay: "1 second" }),
    onEvent: (event) =>
      print(event._tag === "FailedToConnect" ? "red" : "magenta", "event", ConnectionEvent.message(event))
  })

const program = Effect.gen(function*() {
  const print = yield* makePrinter
  const server = yield* start(0)
  const connection = yield* connect(server.port, print)
  const shop = PersistentRpcClient.make(Shop, connection)

  /** Prints how a call ends. */
  const call = <A, E extends Error>(label: string, call: Effect.Effect<A, E>) =>
    Effect.matchEffect(Effect.zipRight(print("dim", "call", label), call), {
      onFailure: (error) => print("red", "failed", `${label}: ${error.message}`),
      onSuccess: (answer) => print("green", "answer", `${label}: ${answer}`)
    })

  // A stream over all connections: each new subscription resumes after the last number.
  yield* PersistentConnection.resumableStream(connection, {
    subscribe: (client, last: Option.Option<number>) =>
      Effect.succeed(client.Sales({ after: Option.getOrElse(last, () => 0) })),
    cursor: (number) => number
  }).pipe(
    Stream.runForEach((sale) => print("blue", "stream", sale._tag === "Gap" ? "resumed" : `sale ${sale.value}`)),
    Effect.forkScoped
  )

  yield* call("price of a book", shop.Price({ item: "book" }))
  const open = yield* Effect.fork(Effect.all([
    call("price of a pen", shop.Price({ item: "pen" })),
    call("order of a pen", shop.Order({ item: "pen" }))
  ], { concurrency: "unbounded" }))
  yield* Effect.sleep("200 millis")
  yield* server.kill
  yield* print("dim", "server", "killed")
  yield* Effect.sleep("100 millis")
  yield* call("order of a lamp, now", Effect.provideService(shop.Order({ item: "lamp" }), RpcAnnotation.MaxWait, 0))
  const waiting = yield* Effect.fork(call("order of a desk", shop.Order({ item: "desk" })))
  yield* Effect.sleep("1 second")
  yield* start(server.port)
  yield* print("dim", "server", "started again")
  yield* Fiber.join(Fiber.zip(open, waiting))
  yield* Effect.sleep("1 second")
  yield* connection.close
}).pipe(
  Effect.scoped,
  Effect.provide(Layer.merge(WebSocketConnector.layerWs(WebSocket), RpcSerialization.layerNdjson))
)

NodeRuntime.runMain(program)
