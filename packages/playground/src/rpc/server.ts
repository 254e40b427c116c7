/** The server of the shop, in a separate process so that the example can kill it. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as SocketServer from "@effect/platform/SocketServer"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as RpcMenu from "@persistent-connection/rpc/RpcMenu"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Shop } from "./shop.js"

/** How long the shop takes for an answer. */
const delay = "700 millis"

const ShopLive = Shop.toLayer({
  Price: ({ item }) => Effect.delay(Effect.succeed(item.length * 10), delay),
  Order: ({ item }) => Effect.delay(Effect.succeed(`receipt for ${item}`), delay),
  Sales: ({ after }) =>
    Stream.iterate(after + 1, (number) => number + 1).pipe(Stream.schedule(Schedule.spaced("500 millis")))
})

const tellPort = Effect.map(SocketServer.SocketServer, ({ address }) => {
  if (address._tag === "TcpAddress") process.send?.({ port: address.port })
})

const ServerLive = RpcServer.layer(RpcMenu.addTo(Shop)).pipe(
  Layer.provide([ShopLive, RpcMenu.layer(Shop)]),
  Layer.provide(RpcServer.layerProtocolSocketServer),
  Layer.merge(Layer.effectDiscard(tellPort)),
  Layer.provide(NodeSocketServer.layerWebSocket({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) })),
  Layer.provide(RpcSerialization.layerNdjson)
)

// Exits with the example, which is the parent process.
process.on("disconnect", () => process.exit())

NodeRuntime.runMain(Layer.launch(ServerLive))
