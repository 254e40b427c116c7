/** An RPC server over WebSockets, in a process of its own. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as SocketServer from "@effect/platform/SocketServer"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Calls } from "../peers/calls.js"

const tellPort = Effect.map(SocketServer.SocketServer, ({ address }) => {
  if (address._tag === "TcpAddress") process.send?.({ port: address.port })
})

const handlers = Calls.toLayer({
  Echo: ({ text }) => Effect.succeed(text),
  Flood: ({ count, size }) => Stream.rechunk(Stream.map(Stream.range(1, count), () => "x".repeat(size)), 64)
})

const server = RpcServer.layer(Calls, { disableTracing: true }).pipe(
  Layer.provide(handlers),
  Layer.provide(RpcServer.layerProtocolSocketServer),
  Layer.merge(Layer.effectDiscard(tellPort)),
  Layer.provide(NodeSocketServer.layerWebSocket({ host: "127.0.0.1", port: 0 })),
  Layer.provide(RpcSerialization.layerNdjson)
)

process.on("disconnect", () => process.exit())
Effect.runFork(Layer.launch(server))
