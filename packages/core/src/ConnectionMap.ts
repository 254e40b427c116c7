/**
 * Many persistent connections, one for each key: made on first use, shared by all its users, closed when nobody
 * has for a while.
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
  /** The options of the persistent connection for a key; asked when it is made. */
  readonly options: (
    key: Key
  ) => PersistentConnection.Options<Address, Connection, EA, EC, RA, RC, RS, RH>

  /** How long a connection without users is kept. Default: 0, it is closed with its last user's scope. */
  readonly idleTimeToLive?: Duration.DurationInput | undefined

  /**
   * How many connects may be under way at once, over all keys; the others wait for their turn, first come, first
   * served. That does not count against the deadline of their attempt. Default: no limit.
   */
  readonly maxConcurrentConnects?: number | undefined
}

/**
 * Makes an empty map, with the services, the `Clock` and the `Random` of all its connections. When the scope is left
 * they are all closed, also those in use. A later `get` returns one that is already closed.
 *
 * Options that make no sense are a defect, an `IllegalArgumentException` that names the option; those of a key when it
 * is asked for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <Key, Address, Connection, EA = never, EC = never, RA = never, RC = never, RS = never, RH = never>(
  options: Options<Key, Address, Connection, EA, EC, RA, RC, RS, RH>
) => Effect.Effect<ConnectionMap<Key, Connection, EA | EC>, never, RA | RC | Inferred<RS | RH> | Scope.Scope> =
  internal.make

/**
 * The connection for a key, made if there is none; like `PersistentConnection.make` it does not wait until there is
 * one. It is not closed before the scope is. All who ask get the same one.
 *
 * It is closed when it has no users and its `idleTimeToLive` is over. One that is asked for while another of the same
 * key is still being closed does not wait for that.
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
} = dual(2, internal.get)

/**
 * Forgets the connection for a key: the next `get` makes a new one. It is closed when those who have it have closed
 * their scopes; if nobody has it at once, and this waits for it.
 *
 * @since 0.1.0
 * @category using
 */
export const invalidate: {
  <Key>(key: Key): <Connection, E>(self: ConnectionMap<Key, Connection, E>) => Effect.Effect<void>
  <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key): Effect.Effect<void>
} = dual(2, internal.invalidate)

/**
 * The keys for which there is a connection now.
 *
 * @since 0.1.0
 * @category getters
 */
export const keys: <Key, Connection, E>(
  self: ConnectionMap<Key, Connection, E>
) => Effect.Effect<Array<Key>> = internal.keys
