import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import type { Options, TcpAddress, TcpConnection } from "../TcpConnector.js"
import type { TcpError } from "../TcpError.js"
import { describe } from "./describe.js"
import { boolean, bytes, duration, keepAliveSeconds, record } from "./options.js"
import { invalid, parse, type Target } from "./tcpAddress.js"
import { Connection, type Settings } from "./tcpConnection.js"

/** @internal */
export { TypeId } from "./tcpConnection.js"

/** @internal */
export const make = (options: Options = {}): Connector.Connector<TcpAddress, TcpConnection, TcpError> => {
  record("options", options)
  const keepAlive = keepAliveSeconds(options.keepAlive)
  const settings: Settings = {
    connectTimeout: duration("connectTimeout", options.connectTimeout, "10 seconds"),
    sendTimeout: duration("sendTimeout", options.sendTimeout, "30 seconds"),
    closeTimeout: duration("closeTimeout", options.closeTimeout, "2 seconds"),
    receiveHighWaterMark: bytes("receiveHighWaterMark", options.receiveHighWaterMark, 256 * 1024),
    receiveLimit: bytes("receiveLimit", options.receiveLimit, 64 * 1024 * 1024),
    socket: {
      allowHalfOpen: false,
      noDelay: boolean("noDelay", options.noDelay, true),
      keepAlive: keepAlive !== undefined,
      keepAliveInitialDelay: (keepAlive ?? 0) * 1000
    }
  }
  return Connector.make({
    connect: (address: TcpAddress) => connect(address, settings),
    closed: (connection: TcpConnection) => connection.closed,
    isClosed: (connection) => connection.isClosed(),
    terminate: (connection) => Effect.suspend(() => own(connection).terminate),
    close: (connection) => connection.close
  })
}

const own = (connection: TcpConnection): Connection => {
  if (connection instanceof Connection) return connection
  throw new Cause.IllegalArgumentException("The connection is not one of this connector's")
}

const connect = Effect.fnUntraced(function*(
  address: TcpAddress,
  settings: Settings
): Effect.fn.Return<TcpConnection, TcpError, Scope.Scope> {
  const target = yield* parse(address)
  const connection = yield* Effect.uninterruptible(open(target, settings))
  yield* connection.opened()
  return connection
})

const open = Effect.fnUntraced(function*({ address, name }: Target, settings: Settings) {
  const clock = yield* Effect.clock
  // Without a yield, or events could pass unheard between the making of the socket and the adding of its listeners.
  const connection = yield* Effect.try({
    try: () => new Connection(Net.connect({ ...address, ...settings.socket }), name, settings, clock),
    catch: (cause) => invalid(name, describe(cause))
  })
  yield* Scope.addFinalizer(yield* Effect.scope, Effect.suspend(() => connection.release()))
  return connection
})
