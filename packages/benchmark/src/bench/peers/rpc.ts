/** Remote procedure calls over a WebSocket: `@effect/rpc` alone, and with this library. */
import * as Socket from "@effect/platform/Socket"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import { us } from "../harness/section.js"
import { Calls } from "./calls.js"
import { type Hooks, ignore, type Pace, type Peer, windowOf } from "./peer.js"

type Protocol = Effect.Effect<
  RpcClient.Protocol["Type"],
  unknown,
  Scope.Scope | Socket.WebSocketConstructor | RpcSerialization.RpcSerialization
>
type MakeProtocol = (url: string, pace: Pace) => Protocol

const overSocket: MakeProtocol = (url, pace) =>
  Effect.flatMap(
    Socket.makeWebSocket(url),
    (socket) =>
      RpcClient.makeProtocolSocket(pace === "fast" ? { retrySchedule: Schedule.forever } : {}).pipe(
        Effect.provideService(Socket.Socket, socket)
      )
  )

const connector = RpcConnector.make(WebSocketConnector.make())

const overOurs: MakeProtocol = (url, pace) =>
  Effect.gen(function*() {
    const connection = yield* PersistentConnection.make({
      serverName: "calls",
      address: Effect.succeed(url),
      connector,
      ...(pace === "fast" ? { retry: Schedule.forever } : RetryPolicy.production)
    })
    return yield* RpcProtocol.make(connection)
  })

/** The WebSockets report to the hooks: the client of `@effect/rpc` itself does not say whether it is connected. */
const observed = (hooks: Hooks) =>
  Layer.succeed(Socket.WebSocketConstructor, (url, protocols) => {
    const socket = new WebSocket(url, protocols)
    socket.on("open", hooks.up)
    socket.on("close", hooks.down)
    socket.on("error", () => {})
    return socket as unknown as globalThis.WebSocket
  })

const start = (make: MakeProtocol, port: number, hooks: Hooks, pace: Pace) => {
  const scope = Effect.runSync(Scope.make())
  const protocol = make(`ws://127.0.0.1:${port}`, pace)
  const client = Effect.gen(function*() {
    return yield* RpcClient.make(Calls, { disableTracing: true }).pipe(
      Effect.provideService(RpcClient.Protocol, yield* protocol)
    )
  }).pipe(Effect.provide(Layer.merge(observed(hooks), RpcSerialization.layerNdjson)), Scope.extend(scope), Effect.orDie)
  return {
    client: Effect.runPromise(client),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const rpcPeer = (name: string, make: MakeProtocol): Peer => ({
  name,
  server: "rpc",
  keep: (port, hooks, pace) => start(make, port, hooks, pace).close,
  talk: async (port) => {
    let up = ignore
    const opened = new Promise<void>((resolve) => up = resolve)
    const { client, close } = start(make, port, { up: () => up(), down: ignore }, "fast")
    const calls = await client
    await opened
    return {
      echo: (text) => Effect.runPromise(calls.Echo({ text })),
      receive: (count, size) => Effect.runPromise(Stream.runDrain(calls.Flood({ count, size }))),
      // A call has an answer: there is no message without one.
      send: (count, text) =>
        Effect.runPromise(
          Effect.replicateEffect(calls.Echo({ text }), count, { concurrency: windowOf(text), discard: true })
        ),
      close
    }
  }
})

export const effectRpc = rpcPeer("@effect/rpc", overSocket)
export const oursRpc = rpcPeer(`${us}, RPC`, overOurs)
