/**
 * Checks that the server has the procedures of the client, with the same schemas: on each new connection, before its
 * first use. A procedure of the server gives its *menu*: the tags of all its procedures, with fingerprints of their
 * schemas. `addTo` and `layer` make it from the group of the server; `check` is a combinator for the connector of the
 * client.
 *
 * A procedure may have versions: a tag `"Price@2"` is version 2 of `"Price"`. The server must have at least one of the
 * versions of the client. `newest` chooses one for each connection, so old and new servers can run behind one name.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as RpcServer from "@effect/rpc/RpcServer"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
 * import * as RpcMenu from "@persistent-connection/rpc/RpcMenu"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Schema from "effect/Schema"
 *
 * class Prices extends RpcGroup.make(
 *   Rpc.make("Price", { payload: { symbol: Schema.String }, success: Schema.Number })
 * ) {}
 *
 * // The server
 * export const ServerLive = RpcServer.layer(RpcMenu.addTo(Prices)).pipe(
 *   Layer.provide(RpcMenu.layer(Prices)),
 *   Layer.provide(Prices.toLayer({ Price: () => Effect.succeed(1.08) }))
 * )
 *
 * // The client
 * export const connector = WebSocketConnector.make().pipe(
 *   RpcConnector.make,
 *   RpcMenu.check(Prices),
 *   RpcConnector.client(Prices)
 * )
 * ```
 *
 * @since 0.1.0
 */
import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as internal from "./internal/menu.js"
import type { RpcConnection } from "./RpcConnector.js"
import type { RpcCallError, RpcMenuError } from "./RpcError.js"

/**
 * The procedure that gives the menu of a server.
 *
 * @since 0.1.0
 * @category procedures
 */
export const procedure: Rpc.Rpc<typeof internal.procedure._tag, typeof Schema.Void, typeof internal.Menu> =
  internal.procedure

/**
 * Adds the procedure of the menu to the group of a server. `layer` has its handler.
 *
 * @since 0.1.0
 * @category servers
 */
export const addTo = <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>
): RpcGroup.RpcGroup<Rpcs | typeof procedure> => group.add(procedure)

/**
 * The handler of the menu of a group. The menu has all procedures of the group, also those without a handler.
 *
 * @since 0.1.0
 * @category servers
 */
export const layer: <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>
) => Layer.Layer<Rpc.ToHandler<typeof procedure>> = internal.layer

/**
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions {
  /**
   * What to do with a server that has no menu: `"fail"` the attempt, or `"accept"` it without a check. Default:
   * `"fail"`.
   */
  readonly withoutMenu?: "fail" | "accept" | undefined
}

/**
 * Fetches the menu of the server on each new connection, and compares it with the group of the client. The attempt
 * fails with an `RpcMenuError` if the server has no menu, lacks procedures, or has other schemas for them; the error
 * names these procedures.
 *
 * Fingerprints compare the encoded side of the schemas, and ignore the order of fields and of the members of unions.
 * Any other difference makes a procedure incompatible, even a harmless one, such as a new optional field. For such a
 * change, make a new version of the procedure.
 *
 * @since 0.1.0
 * @category combinators
 */
export const check: {
  <Rpcs extends Rpc.Any>(group: RpcGroup.RpcGroup<Rpcs>, options?: CheckOptions): <Address, E0, E, R>(
    self: Connector.Connector<Address, RpcConnection<E0>, E, R>
  ) => Connector.Connector<
    Address,
    RpcConnection<E0>,
    E | RpcMenuError | RpcCallError | ConnectionLost<E0> | ConnectionLost,
    R
  >
  <Address, E0, E, R, Rpcs extends Rpc.Any>(
    self: Connector.Connector<Address, RpcConnection<E0>, E, R>,
    group: RpcGroup.RpcGroup<Rpcs>,
    options?: CheckOptions
  ): Connector.Connector<
    Address,
    RpcConnection<E0>,
    E | RpcMenuError | RpcCallError | ConnectionLost<E0> | ConnectionLost,
    R
  >
} = /* @__PURE__ */ dual((args) => Connector.TypeId in args[0], internal.check)

/**
 * Returns the first tag whose procedure the server of this connection has, with the same schemas. Give the newest
 * version first. Returns the last tag if there is no such tag, or if the server has no menu. The connector must have a
 * `check`; the connection is an `RpcConnection`, or the client that `RpcConnector.client` made from it.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RpcMenu from "@persistent-connection/rpc/RpcMenu"
 * import * as Effect from "effect/Effect"
 *
 * declare const prices: PersistentConnection.PersistentConnection<{
 *   readonly "Price@1": (payload: { readonly symbol: string }) => Effect.Effect<number>
 *   readonly "Price@2": (payload: { readonly symbol: string }) => Effect.Effect<{ readonly value: number }>
 * }>
 *
 * export const price = (symbol: string) =>
 *   PersistentConnection.use(prices, (client) =>
 *     RpcMenu.newest(client, "Price@2", "Price@1") === "Price@2"
 *       ? Effect.map(client["Price@2"]({ symbol }), ({ value }) => value)
 *       : client["Price@1"]({ symbol }))
 * ```
 *
 * @since 0.1.0
 * @category versions
 */
export const newest: <const Tags extends readonly [string, ...ReadonlyArray<string>]>(
  connection: object,
  ...tags: Tags
) => Tags[number] = internal.newest
