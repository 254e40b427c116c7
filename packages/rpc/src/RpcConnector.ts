/**
 * Connectors whose connections speak the protocol of `@effect/rpc`. `make` turns a transport into a connector of
 * `RpcConnection`s, which send requests and receive their answers. `client` turns that connector into one of
 * `RpcClient`s.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
 * import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * class Prices extends RpcGroup.make(
 *   Rpc.make("Price", { payload: { symbol: Schema.String }, success: Schema.Number })
 * ) {}
 *
 * export const program = Effect.gen(function*() {
 *   const prices = yield* PersistentConnection.make({
 *     serverName: "prices",
 *     address: Effect.succeed({ host: "prices.local", port: 7000 }),
 *     connector: TcpConnector.make().pipe(RpcConnector.make, RpcConnector.client(Prices)),
 *     ...RetryPolicy.production
 *   })
 *   return yield* PersistentConnection.use(prices, (client) => client.Price({ symbol: "EURUSD" }))
 * }).pipe(Effect.scoped, Effect.provide(RpcSerialization.layerNdjson))
 * ```
 *
 * @since 0.1.0
 */
import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import type {
  FromClientEncoded,
  RequestEncoded,
  ResponseChunkEncoded,
  ResponseDefectEncoded,
  ResponseExitEncoded
} from "@effect/rpc/RpcMessage"
import type * as RpcSerialization from "@effect/rpc/RpcSerialization"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { Inspectable } from "effect/Inspectable"
import type * as Stream from "effect/Stream"
import * as clients from "./internal/client.js"
import * as internal from "./internal/rpcConnector.js"
import type { RpcCallError, RpcProtocolError } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/RpcConnection" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * A message that answers a request. An `Exit` or a `Defect` is the last answer. A `Defect` answers all requests that
 * are open on the connection: a handler has died, and the server does not say which.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer = ResponseChunkEncoded | ResponseExitEncoded | ResponseDefectEncoded

/**
 * A connection to an RPC server. It may have ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface RpcConnection<out E> extends Inspectable {
  readonly [TypeId]: TypeId

  /**
   * Sends a request, and calls `onAnswer` with each message that answers it, one after the other. Completes after the
   * call with the last answer. Dies if an open request of this connection has the same id. Use each id once: the server
   * may still answer a request that was interrupted.
   *
   * Fails with `ConnectionLost` if the connection is lost before the last answer; then `onAnswer` has been called with
   * all answers that had arrived. Fails with an `RpcCallError` if the request could not be encoded or sent, and with
   * the error of `onAnswer`. A failure of `onAnswer` or an interruption asks the server to interrupt its handler;
   * further answers are dropped.
   *
   * An `Exit` that is only an interruption is not given to `onAnswer`: a server that stops sends it, and then ends the
   * connection. If the connection is lost within 3 s, the request fails with that, otherwise with an `RpcCallError`.
   */
  readonly request: <E2, R>(
    request: RequestEncoded,
    onAnswer: (answer: Answer) => Effect.Effect<void, E2, R>
  ) => Effect.Effect<void, E2 | ConnectionLost<E> | RpcCallError, R>

  /**
   * Encodes and sends a message, and does not wait for an answer. Answers to such a request are dropped. Fails with an
   * `RpcCallError` if the message could not be encoded or sent, and with `ConnectionLost` if the connection has ended.
   */
  readonly send: (message: FromClientEncoded) => Effect.Effect<void, ConnectionLost<E> | RpcCallError>

  /** The `received` of the transport: a count of the input. */
  readonly received: () => number
}

/**
 * A transport of messages, such as `WebSocketConnection`, or of bytes, such as `TcpConnection`. `messages` or `data`
 * must end when the connection does. `received` counts what has arrived.
 *
 * @since 0.1.0
 * @category models
 */
export type Transport<E> =
  & {
    readonly send: (data: string | Uint8Array) => Effect.Effect<void, E>
    readonly received: () => number
  }
  & (
    | { readonly messages: Stream.Stream<string | Uint8Array, E> }
    | { readonly data: Stream.Stream<Uint8Array, E> }
  )

/**
 * The errors of sending and receiving on a transport.
 *
 * @since 0.1.0
 * @category models
 */
export type FailureOf<T> = T extends Transport<infer E> ? E : never

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Detects a silent server with the pings of the RPC protocol. Everything that is received counts as an answer, and a
   * server that sends gets no pings. False turns the pings off. Default: the defaults of `PingOptions`, as in Jane
   * Street's RPC: a ping every 10 s, and a loss after 30 s of silence.
   */
  readonly ping?: PingOptions | false | undefined

  /**
   * The connection is lost with `MessageTooLong` if a message of the transport is longer than this. In bytes, or in
   * UTF-16 code units for text; more than 0. It applies to transports of messages. For transports of bytes, the
   * serialization has its own limit, `maxBufferSize`. Default: 16 MiB, as in the serializations.
   */
  readonly maxMessageSize?: number | undefined
}

/**
 * As `Connector.HealthCheckOptions`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PingOptions {
  /** The time of silence before a ping; shortened by a random part of up to a quarter. Default: 10 s. */
  readonly interval?: Duration.DurationInput | undefined

  /** How long the answer to a ping may take. Default: 10 s. */
  readonly timeout?: Duration.DurationInput | undefined

  /**
   * The connection is lost with a `TimeoutException` after this many consecutive pings without an answer. Default: 2.
   */
  readonly missedProbes?: number | undefined
}

/**
 * The errors of failed attempts and of lost connections over a transport.
 *
 * @since 0.1.0
 * @category models
 */
export type RpcFailure<T, E> = E | FailureOf<T> | RpcProtocolError | Cause.TimeoutException

/**
 * A connector whose connections speak the RPC protocol over those of a transport, with the `RpcSerialization` of the
 * context. Each connection has a separate parser. JSON and JSON-RPC need a transport of messages: over bytes, every
 * attempt dies with an `IllegalArgumentException`. Use NDJSON, ND-JSON-RPC or MsgPack there.
 *
 * A fiber always reads the connection, so it notices a loss. The connection is lost with the error of the transport,
 * with an `RpcProtocolError` if the server violates the protocol, and with a `TimeoutException` if the server does not
 * answer pings. All input is handled before the connection counts as lost.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <Address, T extends Transport<unknown>, E, R>(
  transport: Connector.Connector<Address, T, E, R>,
  options?: Options
) => Connector.Connector<
  Address,
  RpcConnection<RpcFailure<T, E>>,
  RpcFailure<T, E>,
  R | RpcSerialization.RpcSerialization
> = internal.make

/**
 * The errors of calls, besides those of the procedure: `ConnectionLost` if the connection is lost before the answer,
 * and `RpcCallError` if the call cannot be encoded or sent, or its answer does not match the schemas.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientError<E> = ConnectionLost<E> | RpcCallError

/**
 * As the options of `RpcClient.make`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions {
  /** The first part of the names of spans. Default: `"RpcClient"`. */
  readonly spanPrefix?: string | undefined
  /** Attributes of all spans. */
  readonly spanAttributes?: Record<string, unknown> | undefined
  /** True turns the spans off. Default: false. */
  readonly disableTracing?: boolean | undefined
}

/**
 * A connector whose connection is an `RpcClient` for this group, for `PersistentConnection.use`, `stream` and
 * `resumableStream`. `PersistentRpcClient` makes one client over all connections.
 *
 * When the connection is lost, its open calls and streams get all answers that had arrived, and fail with
 * `ConnectionLost`. Later calls fail at once. A call whose answer does not match the schemas of the procedure fails
 * with an `RpcCallError`, and the connection stays. If a handler of the server dies, all open calls die, as with
 * `RpcClient.make`. With `disableFatalDefects` on the server, only the call of that handler dies.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 * import * as Schema from "effect/Schema"
 *
 * const Price = Schema.Struct({ number: Schema.Number, value: Schema.Number })
 *
 * class Prices extends RpcGroup.make(
 *   Rpc.make("Follow", { payload: { after: Schema.Number }, success: Price, stream: true })
 * ) {}
 *
 * const connector = WebSocketConnector.make().pipe(RpcConnector.make, RpcConnector.client(Prices))
 *
 * declare const prices: PersistentConnection.Of<typeof connector>
 *
 * // All prices, without a loss: it resumes after the last number on each new connection.
 * export const all = PersistentConnection.resumableStream(prices, {
 *   subscribe: (client, last: Option.Option<number>) =>
 *     Effect.succeed(client.Follow({ after: Option.getOrElse(last, () => 0) })),
 *   cursor: (price) => price.number
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const client: {
  <Rpcs extends Rpc.Any>(group: RpcGroup.RpcGroup<Rpcs>, options?: ClientOptions): <Address, E0, E, R>(
    self: Connector.Connector<Address, RpcConnection<E0>, E, R>
  ) => Connector.Connector<
    Address,
    RpcClient.RpcClient<Rpcs, ClientError<E0>>,
    E | ConnectionLost,
    R | Rpc.MiddlewareClient<Rpcs>
  >
  <Address, E0, E, R, Rpcs extends Rpc.Any>(
    self: Connector.Connector<Address, RpcConnection<E0>, E, R>,
    group: RpcGroup.RpcGroup<Rpcs>,
    options?: ClientOptions
  ): Connector.Connector<
    Address,
    RpcClient.RpcClient<Rpcs, ClientError<E0>>,
    E | ConnectionLost,
    R | Rpc.MiddlewareClient<Rpcs>
  >
} = /* @__PURE__ */ dual((args) => Connector.TypeId in args[0], clients.client)
