import * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Options, PingOptions, WebSocketAddress, WebSocketConnection, WsSocket } from "../WebSocketConnector.js"
import type { WebSocketError } from "../WebSocketError.js"
import { bytes, count, duration, functionLike, positive, record } from "./options.js"
import { parse, refused, type Target } from "./webSocketAddress.js"
import { Connection, makePinger, type Pinger, type Settings } from "./webSocketConnection.js"

/** @internal */
export { TypeId } from "./webSocketConnection.js"

/** @internal */
export const make = (
  options: Options = {}
): Connector.Connector<WebSocketAddress, WebSocketConnection, WebSocketError, Socket.WebSocketConstructor> => {
  record("options", options)
  const settings: Settings = {
    connectTimeout: duration("connectTimeout", options.connectTimeout, "10 seconds"),
    sendTimeout: duration("sendTimeout", options.sendTimeout, "30 seconds"),
    closeTimeout: duration("closeTimeout", options.closeTimeout, "2 seconds"),
    sendHighWaterMark: bytes("sendHighWaterMark", options.sendHighWaterMark, 1024 * 1024),
    receiveHighWaterMark: bytes("receiveHighWaterMark", options.receiveHighWaterMark, 1024 * 1024),
    receiveLimit: bytes("receiveLimit", options.receiveLimit, 64 * 1024 * 1024),
    pinger: pingerOf(options.ping)
  }
  return Connector.make({
    connect: (address: WebSocketAddress, { serverName }) => connect(address, serverName, settings),
    closed: (connection: WebSocketConnection) => connection.closed,
    isClosed: (connection) => connection.isClosed(),
    probe: (connection) => Effect.suspend(() => own(connection).probe),
    terminate: (connection) => Effect.suspend(() => own(connection).terminate),
    close: (connection) => connection.close()
  })
}

const pingerOf = (input: PingOptions | false = {}): Pinger | undefined => {
  if (input === false) return undefined
  record("ping", input)
  return makePinger({
    interval: positive("ping.interval", input.interval, "7 seconds"),
    timeout: positive("ping.timeout", input.timeout, "3 seconds"),
    missedProbes: count("ping.missedProbes", input.missedProbes, 2)
  })
}

const own = (connection: WebSocketConnection): Connection => {
  if (connection instanceof Connection) return connection
  throw new Cause.IllegalArgumentException("The connection is not one of this connector's")
}

const connect = Effect.fnUntraced(function*(
  address: WebSocketAddress,
  serverName: string,
  settings: Settings
): Effect.fn.Return<WebSocketConnection, WebSocketError, Scope.Scope | Socket.WebSocketConstructor> {
  const target = yield* parse(address)
  const connection = yield* Effect.uninterruptible(open(target, settings))
  yield* connection.opened()
  yield* connection.beginPings(serverName)
  return connection
})

const open = Effect.fnUntraced(function*(target: Target, settings: Settings) {
  const construct = yield* Socket.WebSocketConstructor
  const scope = yield* Effect.scope
  const clock = yield* Effect.clock
  // Without a yield, or events could pass unheard between the making of the socket and the adding of its listeners.
  const connection = yield* Effect.try({
    try: () => new Connection(construct(target.url, target.protocols), target.redacted, settings, scope, clock),
    catch: (cause) => refused(target, cause)
  })
  yield* Scope.addFinalizer(scope, Effect.suspend(() => connection.release()))
  return connection
})

/** @internal */
export const layerWs = <Options extends object>(
  WebSocket: new(url: string, protocols?: string | Array<string>, options?: Options) => WsSocket,
  options?: Options
): Layer.Layer<Socket.WebSocketConstructor> => {
  functionLike("WebSocket", WebSocket)
  if (options !== undefined) record("options", options)
  return Layer.succeed(
    Socket.WebSocketConstructor,
    // `ws` has all that anybody uses of a WebSocket, if not all that the standard asks for.
    (url, protocols) => new WebSocket(url, protocols, options) as globalThis.WebSocket
  )
}
