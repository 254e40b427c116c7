import * as Connector from "@persistent-connection/core/Connector"
import * as option from "@persistent-connection/core/Options"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import type { Options, TcpAddress, TcpConnection } from "../TcpConnector.js"
import type { TcpError } from "../TcpError.js"
import { describe } from "./describe.js"
import { invalid, parse, type Target } from "./tcpAddress.js"
import { Connection, type Settings } from "./tcpConnection.js"

/** @internal */
export { TypeId } from "./tcpConnection.js"

/** @internal */
export const make = (options?: Options): Connector.Connector<TcpAddress, TcpConnection, TcpError> => {
  const { keepAlive, noDelay = true, ...rest } = option.read(options, readers)
  const settings: Settings = {
    ...rest,
    receiveHighWaterMark: rest.receiveHighWaterMark ?? 256 * 1024,
    receiveLimit: rest.receiveLimit ?? 64 * 1024 * 1024,
    socket: {
      allowHalfOpen: false,
      noDelay,
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

/** The range that Node and Linux accept. Node rounds down to whole seconds, and 0 means the default of the system. */
const isKeepAlive = (time: Duration.Duration): boolean =>
  !Duration.isFinite(time) || Duration.between(time, { minimum: "1 seconds", maximum: "32767 seconds" })

const inRange = option.value(
  "a duration from 1 second to 32767 seconds, infinite or false",
  (input) => isKeepAlive(option.duration("keepAlive", input))
)

/** The idle time before TCP keep-alive probes, in whole seconds; undefined for never. */
const keepAliveSeconds: option.Reader<number | undefined> = (name, input = "1 minute") => {
  if (input === false) return undefined
  const time = option.duration(name, inRange(name, input))
  return Duration.isFinite(time) ? Math.ceil(Duration.toSeconds(time)) : undefined
}

const readers = {
  connectTimeout: option.withDefault(option.duration, "10 seconds"),
  sendTimeout: option.withDefault(option.duration, "30 seconds"),
  closeTimeout: option.withDefault(option.duration, "2 seconds"),
  receiveHighWaterMark: option.optional(option.bytes),
  receiveLimit: option.optional(option.bytes),
  noDelay: option.optional(option.boolean),
  keepAlive: keepAliveSeconds
}

const own = (connection: TcpConnection): Connection => {
  if (connection instanceof Connection) return connection
  throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
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
  // No yield here: between the construction of the socket and the registration of its listeners, events would be lost.
  const connection = yield* Effect.try({
    try: () => new Connection(Net.connect({ ...address, ...settings.socket }), name, settings, clock),
    catch: (cause) => invalid(name, describe(cause))
  })
  yield* Scope.addFinalizer(yield* Effect.scope, Effect.suspend(() => connection.release()))
  return connection
})
