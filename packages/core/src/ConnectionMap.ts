/**
 * Many persistent connections, one for each key. A persistent connection is made when `get` first asks for its key,
 * shared by all callers, and closed when it has had no users for `idleTimeToLive`. A user is a caller of `get` whose
 * scope is open.
 *
 * @example
 * ```ts
 * import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
 * import type * as Connector from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Effect from "effect/Effect"
 *
 * interface Device {
 *   readonly read: Effect.Effect<number>
 * }
 * declare const device: Connector.Connector<string, Device>
 *
 * export const program = Effect.gen(function*() {
 *   const devices = yield* ConnectionMap.make({
 *     options: (host: string) => ({ serverName: host, address: Effect.succeed(host), connector: device }),
 *     idleTimeToLive: "1 minute",
 *     maxConcurrentConnects: 20
 *   })
 *   const read = (host: string) =>
 *     ConnectionMap.get(devices, host).pipe(
 *       Effect.flatMap(PersistentConnection.use((device) => device.read)),
 *       Effect.scoped
 *     )
 *   return yield* Effect.all([read("10.0.0.1"), read("10.0.0.2"), read("10.0.0.1")], { concurrency: "unbounded" })
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { Inspectable } from "effect/Inspectable"
import type { Pipeable } from "effect/Pipeable"
import type * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import type { Inferred } from "./internal/base/inferred.js"
import * as internal from "./internal/map/connectionMap.js"
import type * as PersistentConnection from "./PersistentConnection.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/ConnectionMap" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * Persistent connections by key. Keys are compared by `Equal`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionMap<in out Key, out Connection, out E = never> extends Pipeable, Inspectable {
  readonly [TypeId]: {
    readonly _Key: Types.Invariant<Key>
    readonly _Connection: Types.Covariant<Connection>
    readonly _E: Types.Covariant<E>
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<
  Key,
  Address,
  Connection,
  EA = never,
  EC = never,
  RA = never,
  RC = never,
  RS = never,
  RH = never
> {
  /** Gives the options of the persistent connection for a key. Called each time when one is made. */
  readonly options: (
    key: Key
  ) => PersistentConnection.Options<Address, Connection, EA, EC, RA, RC, RS, RH>

  /** How long a connection without users stays open. Default: 0, it closes with the scope of its last user. */
  readonly idleTimeToLive?: Duration.DurationInput | undefined

  /**
   * How many connects may run at once, over all keys; 1 or more. The others wait, first come, first served; the wait
   * does not count against the deadline of the attempt. It does not limit the number of open connections. Default: no
   * limit.
   */
  readonly maxConcurrentConnects?: number | undefined
}

/**
 * Makes an empty map. All its connections use the services, the `Clock` and the `Random` of the caller. Leaving the
 * scope closes them all at the same time, also those in use. A later `get` gives a persistent connection that is
 * already closed.
 *
 * A wrong option is a defect: an `IllegalArgumentException` that names the option. A wrong option of a key is a defect
 * of its `get`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <Key, Address, Connection, EA = never, EC = never, RA = never, RC = never, RS = never, RH = never>(
  options: Options<Key, Address, Connection, EA, EC, RA, RC, RS, RH>
) => Effect.Effect<ConnectionMap<Key, Connection, EA | EC>, never, RA | RC | Inferred<RS | RH> | Scope.Scope> =
  internal.make

/**
 * Gives the persistent connection for a key, and makes it if the map has none. As `PersistentConnection.make`, it does
 * not wait for the connection itself. All callers share one persistent connection, and it stays open at least until the
 * caller's scope is left.
 *
 * A persistent connection that is closing or closed is replaced: after its policy gave up, its attempt was aborted, or
 * a user closed it, the next `get` makes a new one. It does not wait for the old one.
 *
 * @since 0.1.0
 * @category using
 */
export const get: {
  <Key>(key: Key): <Connection, E>(
    self: ConnectionMap<Key, Connection, E>
  ) => Effect.Effect<PersistentConnection.PersistentConnection<Connection, E>, never, Scope.Scope>
  <Key, Connection, E>(
    self: ConnectionMap<Key, Connection, E>,
    key: Key
  ): Effect.Effect<PersistentConnection.PersistentConnection<Connection, E>, never, Scope.Scope>
} = /* @__PURE__ */ dual(2, internal.get)

/**
 * Removes the persistent connection of a key from the map: the next `get` makes a new one. The old one closes when the
 * scopes of all its users have closed. Without users it closes at once, and `invalidate` waits until it has closed.
 * Does nothing if there is none.
 *
 * @since 0.1.0
 * @category using
 */
export const invalidate: {
  <Key>(key: Key): <Connection, E>(self: ConnectionMap<Key, Connection, E>) => Effect.Effect<void>
  <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key): Effect.Effect<void>
} = /* @__PURE__ */ dual(2, internal.invalidate)

/**
 * The keys for which the map has a persistent connection now.
 *
 * @since 0.1.0
 * @category getters
 */
export const keys: <Key, Connection, E>(
  self: ConnectionMap<Key, Connection, E>
) => Effect.Effect<Array<Key>> = internal.keys
