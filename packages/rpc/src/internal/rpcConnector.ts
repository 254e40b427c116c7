import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Connector from "@persistent-connection/core/Connector"
import * as option from "@persistent-connection/core/Options"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Options, RpcConnection, RpcFailure, Transport } from "../RpcConnector.js"
import { Connection, type Parts, TypeId } from "./rpcConnection.js"
import { makeParser } from "./textParser.js"

/** @internal */
export { TypeId }

const size = option.optional(option.bytes)

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
  const maxMessageSize = size("maxMessageSize", options?.maxMessageSize) ?? 16 * 1024 * 1024
  const { close, connect, probe, terminate } = transport
  const monitor = options?.ping === false ? undefined : Connector.monitor<Rpc, Failure>({
    probe: (connection) => connection.ping,
    interval: options?.ping?.interval ?? "10 seconds",
    timeout: options?.ping?.timeout ?? "10 seconds",
    missedProbes: options?.ping?.missedProbes,
    activity: (connection) => connection.received(),
    onFailure: (connection, cause) => connection.lose(cause)
  })

  const connector = transport as unknown as Parts<Failure>["connector"]
  const own = (connection: RpcConnection<Failure>): Rpc => {
    if (connection instanceof Connection && connection.parts.connector === connector) return connection
    throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
  }
  const transportOf = (connection: RpcConnection<Failure>) => own(connection).parts.transport as T

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
        const rpc: Rpc = new Connection({
          serverName: attempt.serverName,
          generation: attempt.generation,
          parser: makeParser(serialization),
          maxMessageSize: isOfMessages ? maxMessageSize : Infinity,
          connector,
          transport: connected as Transport<Failure>
        })
        // Added first. A release ends the open requests.
        yield* Scope.addFinalizer(yield* Effect.scope, rpc.release)
        yield* Connector.readInBackground(inputOf(connected as Transport<Failure>), transport.closed(connected), rpc)
        if (monitor !== undefined) rpc.ask = (yield* monitor(rpc, attempt.serverName)).ask
        return rpc
      }),
    closed: (connection) => own(connection).closed,
    isClosed: (connection) => own(connection).isClosed,
    probe: monitor === undefined && probe === undefined
      ? undefined
      : (connection) => Effect.suspend(() => own(connection).ask ?? probe?.(transportOf(connection)) ?? Effect.void),
    terminate: terminate && ((connection) => Effect.suspend(() => terminate(transportOf(connection)))),
    close: close && ((connection) => Effect.suspend(() => close(transportOf(connection))))
  })
}

const inputOf = <Failure>(transport: Transport<Failure>): Stream.Stream<string | Uint8Array, Failure> =>
  "messages" in transport ? transport.messages : transport.data
