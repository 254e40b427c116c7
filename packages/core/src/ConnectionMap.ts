/**
 * Many persistent connections, one for each key. Each is made on first use, shared by its users, and closed when it has
 * had no user for a while.
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
  /** Gives the options of the persistent connection for a key; called when that is made. */
  readonly options: (
    key: Key
  ) => PersistentConnection.Options<Address, Connection, EA, EC, RA, RC, RS, RH>

  /** How long a connection without users is kept. Default: 0, it closes with the scope of its last user. */
  readonly idleTimeToLive?: Duration.DurationInput | undefined

  /**
   * How many connects may be under way at once, over all keys. The others wait for their turn, first come, first
   * served; the wait does not count against the deadline of the attempt. Default: no limit.
   */
  readonly maxConcurrentConnects?: number | undefined
}

/**
 * Makes an empty map. All its connections use the services, the `Clock` and the `Random` of the caller. Leaving the
 * scope closes them all, also those in use; a later `get` returns a connection that is already closed.
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
 * Gives the persistent connection for a key, and makes it on first use. Like `PersistentConnection.make` it does
 * not wait until that is connected. All callers share one, and it stays open at least until the caller's scope is left.
 *
 * It closes when it has had no users for `idleTimeToLive`. A `get` does not wait for an old one of the same key that is
 * still closing.
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
 * Forgets the connection for a key: the next `get` makes a new one. The old one closes when all its users have left
 * their scopes. Without users it closes at once, and this waits for that.
 *
 * @since 0.1.0
 * @category using
 */
export const invalidate: {
  <Key>(key: Key): <Connection, E>(self: ConnectionMap<Key, Connection, E>) => Effect.Effect<void>
  <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key): Effect.Effect<void>
} = /* @__PURE__ */ dual(2, internal.invalidate)

/**
 * The keys for which there is a connection now.
 *
 * @since 0.1.0
 * @category getters
 */
export const keys: <Key, Connection, E>(
  self: ConnectionMap<Key, Connection, E>
) => Effect.Effect<Array<Key>> = internal.keys
