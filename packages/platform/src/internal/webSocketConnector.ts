import * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { CloseEvent, Options, WebSocketAddress, WebSocketConnection } from "../WebSocketConnector.js"
import type { WebSocketError } from "../WebSocketError.js"
import { bytes, duration } from "./options.js"
import { parse, refused, type Target } from "./webSocketAddress.js"
import { Connection, type Settings } from "./webSocketConnection.js"

/** @internal */
export { TypeId } from "./webSocketConnection.js"

/** @internal */
export const make = (
  options: Options = {}
): Connector.Connector<WebSocketAddress, WebSocketConnection, WebSocketError, Socket.WebSocketConstructor> => {
  const connectTimeout = duration("connectTimeout", options.connectTimeout, "10 seconds")
  const settings: Settings = {
    sendTimeout: duration("sendTimeout", options.sendTimeout, "30 seconds"),
    closeTimeout: duration("closeTimeout", options.closeTimeout, "2 seconds"),
    sendHighWaterMark: bytes("sendHighWaterMark", options.sendHighWaterMark, 1024 * 1024),
    receiveHighWaterMark: bytes("receiveHighWaterMark", options.receiveHighWaterMark, 1024 * 1024),
    receiveLimit: bytes("receiveLimit", options.receiveLimit, 64 * 1024 * 1024)
  }
  return Connector.make({
    connect: (address: WebSocketAddress) => connect(address, connectTimeout, settings),
    closed: (connection: WebSocketConnection) => connection.closed,
    isClosed: (connection) => connection.isClosed()
  })
}

const connect = Effect.fnUntraced(function*(
  address: WebSocketAddress,
  connectTimeout: Duration.Duration,
  settings: Settings
): Effect.fn.Return<WebSocketConnection, WebSocketError, Scope.Scope | Socket.WebSocketConstructor> {
  const target = yield* parse(address)
  const connection = yield* Effect.uninterruptible(open(target, settings))
  yield* connection.opened(connectTimeout)
  return connection
})

const open = Effect.fnUntraced(function*(target: Target, settings: Settings) {
  const construct = yield* Socket.WebSocketConstructor
  const scope = yield* Effect.scope
  const clock = yield* Effect.clock
  const end = yield* Deferred.make<CloseEvent, WebSocketError>()
  // In one turn, or events could pass unheard between the making of the socket and the adding of its listeners.
  const connection = yield* Effect.try({
    try: () => new Connection(construct(target.url, target.protocols), target.redacted, settings, scope, clock, end),
    catch: (cause) => refused(target, cause)
  })
  yield* Scope.addFinalizer(scope, Effect.suspend(() => connection.release()))
  return connection
})
