/** Serves a group of procedures over WebSockets, for the parent process. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as SocketServer from "@effect/platform/SocketServer"
import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const tellPort = Effect.map(SocketServer.SocketServer, ({ address }) => {
  if (address._tag === "TcpAddress") process.send?.({ port: address.port })
})

/** Runs until the parent process disconnects. */
export const serve = <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>,
  handlers: Layer.Layer<Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs> | Rpc.Context<Rpcs>>
): void => {
  process.on("disconnect", () => process.exit())
  Effect.runFork(Layer.launch(
    RpcServer.layer(group, { disableTracing: true }).pipe(
      Layer.provide(handlers),
      Layer.provide(RpcServer.layerProtocolSocketServer),
      Layer.merge(Layer.effectDiscard(tellPort)),
      Layer.provide(NodeSocketServer.layerWebSocket({ host: "127.0.0.1", port: 0 })),
      Layer.provide(RpcSerialization.layerNdjson)
    )
  ))
}
