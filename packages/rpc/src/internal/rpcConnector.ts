import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Options, RpcConnection, RpcFailure, Transport } from "../RpcConnector.js"
import * as option from "./options.js"
import { Connection, TypeId } from "./rpcConnection.js"

/** @internal */
export { TypeId }

/** @internal */
export const make = <Address, T extends Transport<unknown>, E, R>(
  transport: Connector.Connector<Address, T, E, R>,
  options?: Options
): Connector.Connector<
  Address,
  RpcConnection<RpcFailure<T, E>>,
  RpcFailure<T, E>,
  R | RpcSerialization.RpcSerialization
> => {
  type Failure = RpcFailure<T, E>
  type Rpc = Connection<Failure>
  const maxMessageSize = option.size("maxMessageSize", options?.maxMessageSize) ?? 16 * 1024 * 1024
  const { close, connect, probe, terminate } = transport
  const monitor = options?.ping === false ? undefined : Connector.monitor<Rpc, Failure>({
    probe: (connection) => connection.ping,
    interval: options?.ping?.interval ?? "10 seconds",
    timeout: options?.ping?.timeout ?? "10 seconds",
    missedProbes: options?.ping?.missedProbes,
    activity: (connection) => connection.received(),
    onFailure: (connection, cause) => connection.lose(cause)
  })

  /** A connection, and the values that belong to it. */
  interface Behind {
    readonly rpc: Rpc
    readonly transport: T
    readonly ask: Effect.Effect<unknown, Failure> | undefined
  }
  const connections = new WeakMap<RpcConnection<Failure>, Behind>()
  const behind = (connection: RpcConnection<Failure>): Behind => {
    const found = connections.get(connection)
    if (found === undefined) {
      throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
    }
    return found
  }

  return Connector.make<
    Address,
    RpcConnection<Failure>,
    Failure,
    Failure,
    R | RpcSerialization.RpcSerialization | Scope.Scope
  >({
    connect: (address, attempt) =>
      Effect.gen(function*() {
        const serialization = yield* RpcSerialization.RpcSerialization
        const connected = yield* connect(address, attempt)
        const isOfMessages = "messages" in connected
        if (!isOfMessages && !serialization.includesFraming) {
          throw new Cause.IllegalArgumentException(
            `A transport of bytes needs a serialization with framing, such as NDJSON, not ${serialization.contentType}`
          )
        }
        const limit = isOfMessages ? maxMessageSize : Infinity
        const rpc = open<T, Failure>(transport, connected, serialization.unsafeMake(), limit, attempt)
        // Added first. A release ends the open requests.
        yield* Scope.addFinalizer(yield* Effect.scope, rpc.release)
        yield* Connector.readInBackground(inputOf(connected as Transport<Failure>), transport.closed(connected), rpc)
        const monitored = monitor && (yield* monitor(rpc, attempt.serverName))
        connections.set(rpc, {
          rpc,
          transport: connected,
          ask: monitored?.ask
        })
        return rpc
      }),
    closed: (connection) => behind(connection).rpc.closed,
    isClosed: (connection) => behind(connection).rpc.isClosed,
    probe: monitor === undefined && probe === undefined
      ? undefined
      : (connection) =>
        Effect.suspend(() => {
          const { ask, transport } = behind(connection)
          return ask ?? probe?.(transport) ?? Effect.void
        }),
    terminate: terminate && ((connection) => Effect.suspend(() => terminate(behind(connection).transport))),
    close: close && ((connection) => Effect.suspend(() => close(behind(connection).transport)))
  })
}

/** A separate function, so that its closures do not retain the other variables of the attempt. */
const open = <T extends Transport<unknown>, Failure>(
  { isClosed }: Pick<Connector.Connector<never, T, Failure, unknown>, "isClosed">,
  transport: T,
  parser: RpcSerialization.Parser,
  maxMessageSize: number,
  { generation, serverName }: Connector.Attempt<unknown>
): Connection<Failure> =>
  new Connection<Failure>({
    serverName,
    generation,
    parser,
    maxMessageSize,
    transport: transport as Transport<Failure>,
    isClosed: () => isClosed?.(transport) === true
  })

const inputOf = <Failure>(transport: Transport<Failure>): Stream.Stream<string | Uint8Array, Failure> =>
  "messages" in transport ? transport.messages : transport.data
