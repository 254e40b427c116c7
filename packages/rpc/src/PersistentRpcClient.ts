/**
 * A client of `@effect/rpc` over a persistent connection: one client for all connections. A call runs on the current
 * connection, or waits for the next one, at most for `MaxWait`. If the connection is lost, the call fails with
 * `ConnectionLost` and the cause, or is sent again if its procedure is `Idempotent`.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
 * import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
 * import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * class Orders extends RpcGroup.make(
 *   Rpc.make("Status", { payload: { order: Schema.String }, success: Schema.String })
 *     .annotate(RpcAnnotation.Idempotent, true),
 *   Rpc.make("Place", { payload: { item: Schema.String }, success: Schema.String })
 *     .annotate(RpcAnnotation.MaxWait, "2 seconds")
 * ) {}
 *
 * export const program = Effect.gen(function*() {
 *   const server = yield* PersistentConnection.make({
 *     serverName: "orders",
 *     address: Effect.succeed("wss://orders.example.com/rpc"),
 *     connector: WebSocketConnector.make().pipe(RpcConnector.make, RpcConnector.client(Orders)),
 *     ...RetryPolicy.production
 *   })
 *   const orders = PersistentRpcClient.make(Orders, server)
 *   const order = yield* orders.Place({ item: "book" })
 *   // If there is no connection now, this call fails at once.
 *   return yield* orders.Status({ order }).pipe(Effect.provideService(RpcAnnotation.MaxWait, 0))
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import type { ConnectionClosed, ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import type * as Duration from "effect/Duration"
import * as internal from "./internal/persistentClient.js"
import type { ClientError } from "./RpcConnector.js"
import type { RpcCallError } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The `MaxWait` of calls without their own. Default: 10 s. */
  readonly maxWait?: Duration.DurationInput | undefined
}

/**
 * The errors of calls, besides those of the procedure:
 *
 * - `NotConnected`: there was no connection within `MaxWait`; nothing was sent.
 * - `ConnectionLost`: the connection was lost before the answer, or the server stopped; it may have run the call. An
 *   idempotent call fails with its last loss if it cannot be sent again.
 * - `ConnectionClosed`: the persistent connection is closed, or closed before the answer.
 * - `RpcCallError`: the call could not be encoded or sent, its answer does not match the schemas, or the server
 *   interrupted it and did not stop.
 *
 * @since 0.1.0
 * @category models
 */
export type CallError<E> = NotConnected<E> | ConnectionLost<E> | ConnectionClosed<E> | RpcCallError

/**
 * Makes a client from a persistent connection whose connections are clients (`RpcConnector.client`). The client holds
 * no resources: make any number of them. `E` is the error of the persistent connection.
 *
 * A call or a stream runs in a `PersistentConnection.use`: `refresh` and `closeGracefully` let it finish within
 * their drain time, and a `close` ends it with `ConnectionClosed`. After a loss, a stream delivers the elements that
 * had arrived, and fails, or resumes on the next connection if its procedure is `RpcAnnotation.resumable`.
 *
 * Throws an `IllegalArgumentException` for a negative `maxWait`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <Rpcs extends Rpc.Any, E>(
  group: RpcGroup.RpcGroup<Rpcs>,
  connection: PersistentConnection<RpcClient.RpcClient<Rpcs, ClientError<any>>, E>,
  options?: Options
) => RpcClient.RpcClient<Rpcs, CallError<E>> = internal.make
