import * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as option from "@persistent-connection/core/Options"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import type { Options, PingOptions, WebSocketAddress, WebSocketConnection, WsSocket } from "../WebSocketConnector.js"
import type { WebSocketError } from "../WebSocketError.js"
import { parse, refused, type Target } from "./webSocketAddress.js"
import { Connection, makePinger, type Pinger, type Settings } from "./webSocketConnection.js"

/** @internal */
export { TypeId } from "./webSocketConnection.js"

/** @internal */
export const make = (
  options?: Options
): Connector.Connector<WebSocketAddress, WebSocketConnection, WebSocketError, Socket.WebSocketConstructor> => {
  const { ping, ...rest } = option.read(options, readers)
  const settings: Settings = {
    ...rest,
    sendHighWaterMark: rest.sendHighWaterMark ?? 1024 * 1024,
    receiveHighWaterMark: rest.receiveHighWaterMark ?? 1024 * 1024,
    receiveLimit: rest.receiveLimit ?? 64 * 1024 * 1024,
    pinger: ping
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

const pingReaders = {
  interval: option.withDefault(option.positive, "7 seconds"),
  timeout: option.withDefault(option.positive, "3 seconds"),
  missedProbes: option.optional(option.count)
}

const pingerOf: option.Reader<Pinger | undefined> = (name, input) => {
  if (input === false) return undefined
  const { missedProbes = 2, ...times } = option.read(input as PingOptions | undefined, pingReaders, name)
  return makePinger({ ...times, missedProbes })
}

const readers = {
  connectTimeout: option.withDefault(option.duration, "10 seconds"),
  sendTimeout: option.withDefault(option.duration, "30 seconds"),
  closeTimeout: option.withDefault(option.duration, "2 seconds"),
  sendHighWaterMark: option.optional(option.bytes),
  receiveHighWaterMark: option.optional(option.bytes),
  receiveLimit: option.optional(option.bytes),
  ping: pingerOf
}

const own = (connection: WebSocketConnection): Connection => {
  if (connection instanceof Connection) return connection
  throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
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
  // No yield here: between the construction of the socket and the registration of its listeners, events would be lost.
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
  option.func("WebSocket", WebSocket)
  option.optional(option.kind("an object", Predicate.isRecord))("options", options)
  return Layer.succeed(
    Socket.WebSocketConstructor,
    // The class of `ws` has all members of a WebSocket that are used, but not all members of the standard.
    (url, protocols) => new WebSocket(url, protocols, options) as globalThis.WebSocket
  )
}
