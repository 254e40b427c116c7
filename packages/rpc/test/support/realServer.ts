/** RPC servers of `@effect/rpc` on loopback, which the tests kill and restart. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Socket from "@effect/platform/Socket"
import * as SocketServer from "@effect/platform/SocketServer"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Connector from "@persistent-connection/core/Connector"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { WebSocket } from "ws"
import { Counting, handlers, type Tally } from "./counting.js"

export interface Wire {
  readonly transport: "WebSocket" | "TCP" | "Unix"
  readonly serialization: keyof typeof serializations
}

const serializations = {
  json: RpcSerialization.json,
  ndjson: RpcSerialization.ndjson,
  msgPack: RpcSerialization.msgPack,
  jsonRpc: RpcSerialization.jsonRpc(),
  ndJsonRpc: RpcSerialization.ndJsonRpc()
}

/** All transports, with all serializations that they can have. */
export const wires: ReadonlyArray<Wire> = (["WebSocket", "TCP", "Unix"] as const).flatMap((transport) =>
  (["json", "ndjson", "msgPack", "jsonRpc", "ndJsonRpc"] as const)
    .filter((serialization) => transport === "WebSocket" || serializations[serialization].includesFraming)
    .map((serialization) => ({ transport, serialization }))
)

/** Whatever can be served over a wire. */
type Service = Layer.Layer<never, never, RpcServer.Protocol>

/** The group `Counting`. */
const counting = (tally: Tally): Service =>
  RpcServer.layer(Counting, { disableTracing: true }).pipe(Layer.provide(handlers(tally)))

/** The path of a Unix socket. The port is only a number here. */
const pathOf = (port: number): string => join(tmpdir(), `persistent-connection-rpc-${process.pid}-${port}.sock`)

let lastUnixPort = 0

export interface RealServer {
  readonly port: number
  /** How many connections are open. */
  readonly connections: () => number
  /** Resets all connections, and ends the server. */
  readonly kill: Effect.Effect<void>
  /** Ends the server in the regular way: it interrupts its handlers, and then closes all connections. */
  readonly stop: Effect.Effect<void>
}

/** Starts a server of the group `Counting`; the end of the scope kills it. */
export const start = (wire: Wire, tally: Tally, port = 0): Effect.Effect<RealServer, never, Scope.Scope> =>
  serve(wire, counting(tally), port)

/** Starts a server; the end of the scope kills it. */
export const serve = (wire: Wire, service: Service, port = 0): Effect.Effect<RealServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const resets = new Set<() => void>()
    let isKilled = false
    const accept = (reset: () => void) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          if (isKilled) reset()
          resets.add(reset)
        }),
        () => Effect.sync(() => resets.delete(reset))
      )
    const listening = yield* Deferred.make<number>()
    const host = "127.0.0.1"
    const socketServer = Effect.gen(function*() {
      const unixPort = port === 0 ? ++lastUnixPort : port
      const server = yield* wire.transport === "WebSocket"
        ? NodeSocketServer.makeWebSocket({ host, port })
        : NodeSocketServer.make(wire.transport === "TCP" ? { host, port } : { path: pathOf(unixPort) })
      yield* Deferred.succeed(listening, server.address._tag === "TcpAddress" ? server.address.port : unixPort)
      return SocketServer.SocketServer.of({
        address: server.address,
        run: (handler) =>
          server.run((socket) =>
            Effect.gen(function*() {
              const tcp = yield* Effect.serviceOption(NodeSocket.NetSocket)
              const web = yield* Effect.serviceOption(Socket.WebSocket)
              if (tcp._tag === "Some") {
                // A Unix socket cannot be reset.
                yield* accept(() => wire.transport === "TCP" ? tcp.value.resetAndDestroy() : tcp.value.destroy())
              }
              if (web._tag === "Some") yield* accept(() => (web.value as unknown as WebSocket).terminate())
              return yield* handler(socket)
            }).pipe(Effect.scoped) as Effect.Effect<unknown, never, never>
          ) as never
      })
    })
    const running = yield* Layer.launch(
      service.pipe(
        Layer.provide(RpcServer.layerProtocolSocketServer),
        Layer.provide(Layer.scoped(SocketServer.SocketServer, socketServer)),
        Layer.provide(Layer.succeed(RpcSerialization.RpcSerialization, serializations[wire.serialization]))
      )
    ).pipe(Effect.forkDaemon)
    const stop = Effect.asVoid(Fiber.interrupt(running))
    const kill = Effect.suspend(() => {
      isKilled = true
      for (const reset of resets) reset()
      return stop
    })
    yield* Effect.addFinalizer(() => kill)
    const bound = yield* Effect.raceFirst(Deferred.await(listening), Effect.orDie(Fiber.join(running)))
    return { port: bound, connections: () => resets.size, kill, stop }
  })

/** A connector of RPC connections to a server on the port that is the address. */
export const connector = ({ transport }: Wire, options?: RpcConnector.Options) =>
  (transport === "WebSocket" ? overWebSocket(options) : overTcp(transport, options)) as unknown as Connector.Connector<
    number,
    RpcConnector.RpcConnection<Failure>,
    Failure,
    Socket.WebSocketConstructor | RpcSerialization.RpcSerialization
  >

type Failure = Connector.Error<ReturnType<typeof overTcp>> | Connector.Error<ReturnType<typeof overWebSocket>>

const overTcp = (transport: "TCP" | "Unix", options?: RpcConnector.Options) =>
  TcpConnector.make().pipe(
    Connector.mapAddress((port: number): TcpConnector.TcpAddress =>
      transport === "TCP" ? { host: "127.0.0.1", port } : { path: pathOf(port) }
    ),
    (transport) => RpcConnector.make(transport, options)
  )

const overWebSocket = (options?: RpcConnector.Options) =>
  WebSocketConnector.make().pipe(
    Connector.mapAddress((port: number) => `ws://127.0.0.1:${port}`),
    (transport) => RpcConnector.make(transport, options)
  )

/** What the connectors of a wire need. */
export const layer = (wire: Wire) =>
  Layer.merge(
    WebSocketConnector.layerWs(WebSocket),
    Layer.succeed(RpcSerialization.RpcSerialization, serializations[wire.serialization])
  )
