/**
 * The `RpcClient.Protocol` of `@effect/rpc` over a persistent connection. It replaces `RpcClient.layerProtocolSocket`:
 * code that uses `RpcClient.make` needs no change.
 *
 * A call runs on the current connection, or waits for the next one, at most for `maxWait`. It fails with an
 * `RpcClientError` after that time, or at once if its connection is lost, cannot send, or is closed. The `cause` is the
 * typed error of this library: `NotConnected`, `ConnectionLost`, `ConnectionClosed` or `RpcCallError`. A server that
 * stops is a loss; it does not interrupt the fibers of the calls. A call is never sent twice; for idempotent calls, see
 * `PersistentRpcClient`.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcClient from "@effect/rpc/RpcClient"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
 * import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Schema from "effect/Schema"
 * import { WebSocket } from "ws"
 *
 * class Prices extends RpcGroup.make(
 *   Rpc.make("Price", { payload: { symbol: Schema.String }, success: Schema.Number })
 * ) {}
 *
 * const connector = WebSocketConnector.make().pipe(RpcConnector.make)
 *
 * class Server extends Context.Tag("app/Server")<Server, PersistentConnection.Of<typeof connector>>() {}
 *
 * const ServerLive = PersistentConnection.layer(Server, {
 *   serverName: "prices",
 *   address: Effect.succeed("wss://prices.example.com/rpc"),
 *   connector,
 *   ...RetryPolicy.production
 * })
 *
 * const ProtocolLive = RpcProtocol.layer(Server).pipe(
 *   Layer.provide(ServerLive),
 *   Layer.provide([WebSocketConnector.layerWs(WebSocket), RpcSerialization.layerNdjson])
 * )
 *
 * export const program = Effect.gen(function*() {
 *   const client = yield* RpcClient.make(Prices)
 *   return yield* client.Price({ symbol: "EURUSD" })
 * }).pipe(Effect.scoped, Effect.provide(ProtocolLive))
 * ```
 *
 * @since 0.1.0
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as internal from "./internal/protocol.js"
import type { RpcConnection } from "./RpcConnector.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How long a call waits if there is no connection; with 0 it fails at once, and with `Duration.infinity` there is no
   * limit. For single calls, provide `RpcAnnotation.MaxWait`; annotations of procedures do not apply, because the
   * protocol does not see them. Default: 10 s.
   */
  readonly maxWait?: Duration.DurationInput | undefined
}

/**
 * Makes a `RpcClient.Protocol` from a persistent connection. It holds no resources, and serves any number of clients.
 * After the end of the persistent connection, calls fail.
 *
 * A call runs in a `PersistentConnection.use` until its answer has arrived, so `refresh` and `closeGracefully` let it
 * finish. A call with `discard: true` waits for its answer too, as over HTTP. As with every protocol of `RpcClient`, an
 * answer that does not match the schemas of its procedure is a defect of the call.
 *
 * Throws an `IllegalArgumentException` for a negative `maxWait`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <E0, E>(
  connection: PersistentConnection<RpcConnection<E0>, E>,
  options?: Options
) => Effect.Effect<RpcClient.Protocol["Type"]> = internal.make

/**
 * A layer of the `RpcClient.Protocol` over the persistent connection of a tag; see `make`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const layer = <Id, E0, E>(
  tag: Context.Tag<Id, PersistentConnection<RpcConnection<E0>, E>>,
  options?: Options
): Layer.Layer<RpcClient.Protocol, never, Id> =>
  Layer.effect(RpcClient.Protocol, Effect.flatMap(tag, (connection) => make(connection, options)))
