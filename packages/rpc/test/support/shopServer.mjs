// An RPC server in a separate process, as in docs/rpc.md, so that a test can stop it with a signal. It tells its parent
// process its port, and then each call and stream that has begun. With `slow`, no call ends.
//
//     node shopServer.mjs TRANSPORT PORT slow|fast
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as SocketServer from "@effect/platform/SocketServer"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const [transport, port, speed] = process.argv.slice(2)

class Shop extends RpcGroup.make(
  Rpc.make("Price", { payload: { item: Schema.String }, success: Schema.Number }),
  Rpc.make("Order", { payload: { item: Schema.String }, success: Schema.String }),
  Rpc.make("Sales", { payload: { after: Schema.Number }, success: Schema.Number, stream: true }),
  Rpc.make("Trades", { payload: { after: Schema.Number }, success: Schema.Number, stream: true })
) {}

const begun = (call) => Effect.sync(() => process.send(call))
const answer = (call, value) =>
  Effect.zipRight(begun(call), Effect.delay(Effect.succeed(value), speed === "slow" ? "1 hour" : "2 millis"))
const numbers = (call) => ({ after }) =>
  Stream.concat(Stream.make(after + 1, after + 2), Stream.zipRight(Stream.fromEffect(begun(call)), Stream.never))

const handlers = Shop.toLayer({
  Price: () => answer("Price", 10),
  Order: ({ item }) => answer("Order", item),
  Sales: numbers("Sales"),
  Trades: numbers("Trades")
})

const address = { port: Number(port), host: "127.0.0.1" }
const listening = Layer.effectDiscard(
  Effect.map(SocketServer.SocketServer, (server) => process.send(server.address.port))
)

const ServerLive = Layer.merge(RpcServer.layer(Shop, { disableFatalDefects: true }), listening).pipe(
  Layer.provide([handlers, RpcServer.layerProtocolSocketServer]),
  Layer.provide([
    transport === "WebSocket" ? NodeSocketServer.layerWebSocket(address) : NodeSocketServer.layer(address),
    RpcSerialization.layerNdjson
  ])
)

process.on("disconnect", () => process.exit())
NodeRuntime.runMain(Layer.launch(ServerLive))
