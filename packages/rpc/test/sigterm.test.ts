/** A server in a process of its own that SIGTERM stops while calls are open, as in a rolling deployment. */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import { assert, it } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { until } from "../../platform/test/support/servers.js"
import { connector, layer, type Wire } from "./support/realServer.js"

class Shop extends RpcGroup.make(
  Rpc.make("Price", { payload: { item: Schema.String }, success: Schema.Number })
    .annotate(RpcAnnotation.Idempotent, true),
  Rpc.make("Order", { payload: { item: Schema.String }, success: Schema.String }),
  Rpc.make("Sales", { payload: { after: Schema.Number }, success: Schema.Number, stream: true }),
  RpcAnnotation.resumable(
    Rpc.make("Trades", { payload: { after: Schema.Number }, success: Schema.Number, stream: true }),
    (_, last) => ({ after: last })
  )
) {}

const program = fileURLToPath(new URL("support/shopServer.mjs", import.meta.url))

/** The process of a server; the end of the scope kills it. */
const start = ({ transport }: Wire, speed: "slow" | "fast", port = 0) =>
  Effect.gen(function*() {
    const child: ChildProcess = yield* Effect.acquireRelease(
      Effect.sync(() => fork(program, [transport, String(port), speed], { execArgv: [] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const messages: Array<unknown> = []
    child.on("message", (message) => messages.push(message))
    yield* until(() => messages.length > 0)
    return { child, begun: messages, port: Number(messages[0]) }
  })

const stop = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGTERM")
  })

for (const transport of ["WebSocket", "TCP"] as const) {
  const wire: Wire = { transport, serialization: "ndjson" }

  it.scopedLive(`a server that stops at SIGTERM is a lost connection, over ${transport}`, () =>
    Effect.gen(function*() {
      const server = yield* start(wire, "slow")
      const options = {
        serverName: "shop",
        address: Effect.succeed(server.port),
        retry: RetryPolicy.fixed("20 millis"),
        minUptime: 0
      }
      const connection = yield* PersistentConnection.make({
        ...options,
        connector: RpcConnector.client(connector(wire), Shop)
      })
      const shop = PersistentRpcClient.make(Shop, connection)
      const protocol = yield* RpcProtocol.make(
        yield* PersistentConnection.make({ ...options, connector: connector(wire) })
      )
      const dropIn = yield* Effect.provideService(RpcClient.make(Shop), RpcClient.Protocol, protocol)

      const trades: Array<number> = []
      yield* Effect.forkScoped(
        Stream.runForEach(shop.Trades({ after: 0 }), (trade) => Effect.sync(() => trades.push(trade)))
      )
      const sales: Array<number> = []
      const lost = yield* Effect.fork(Effect.all([
        Effect.flip(shop.Order({ item: "book" })),
        Effect.flip(Stream.runForEach(shop.Sales({ after: 0 }), (sale) => Effect.sync(() => sales.push(sale)))),
        Effect.flip(dropIn.Price({ item: "book" })),
        Effect.flip(Stream.runDrain(dropIn.Sales({ after: 0 })))
      ], { concurrency: "unbounded" }))
      const again = yield* Effect.fork(Effect.all([
        shop.Price({ item: "book" }),
        PersistentConnection.useRetrying(connection, (client) => client.Price({ item: "book" }))
      ], { concurrency: "unbounded" }))
      yield* until(() => server.begun.length === 8)

      yield* stop(server.child)
      for (const error of yield* Fiber.join(lost)) {
        assert.instanceOf(error instanceof RpcClientError ? error.cause : error, ConnectionLost)
      }
      assert.deepStrictEqual(sales, [1, 2])
      yield* start(wire, "fast", server.port)
      assert.deepStrictEqual(yield* Fiber.join(again), [10, 10])
      yield* until(() => trades.length === 4)
      assert.deepStrictEqual(trades, [1, 2, 3, 4])
    }).pipe(Effect.provide(layer(wire))))
}
