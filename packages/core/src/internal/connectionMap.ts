import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { dual, identity } from "effect/Function"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Scope from "effect/Scope"
import type { ConnectionMap, Options } from "../ConnectionMap.js"
import * as Connector from "../Connector.js"
import type { PersistentConnection } from "../PersistentConnection.js"
import { interrupt } from "./fibers.js"
import { check, duration } from "./options.js"
import * as persistentConnection from "./persistentConnection.js"
import { sleep } from "./sleep.js"

/** @internal */
export const TypeId = "~persistent-connection/ConnectionMap" as const

/** A connection, and who uses it. */
interface Entry<Connection, E> {
  readonly connection: Deferred.Deferred<PersistentConnection<Connection, E>>
  readonly scope: Scope.CloseableScope
  users: number
  /** Waits until nobody has used it for long enough. */
  idling: Fiber.RuntimeFiber<void> | undefined
}

class Impl<Key, Connection, E> implements ConnectionMap<Key, Connection, E> {
  readonly entries = MutableHashMap.empty<Key, Entry<Connection, E>>()

  constructor(
    readonly scope: Scope.Scope,
    readonly idleTimeToLive: Duration.Duration,
    readonly open: (key: Key) => Effect.Effect<PersistentConnection<Connection, E>, never, Scope.Scope>
  ) {}

  get [TypeId]() {
    return { _Key: identity<Key>, _Connection: identity<never>, _E: identity<never> }
  }

  pipe() {
    return pipeArguments(this, arguments)
  }
}

const impl = <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>) => self as Impl<Key, Connection, E>

/** @internal */
export const make = <Key, Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Key, Address, Connection, EA, EC, RA, RC, RS, RH>
): Effect.Effect<ConnectionMap<Key, Connection, EA | EC>, never, RA | RC | RS | RH | Scope.Scope> =>
  Effect.gen(function*() {
    const idleTimeToLive = yield* Effect.sync(() => duration("idleTimeToLive", options.idleTimeToLive ?? Duration.zero))
    const { maxAttempts = Infinity } = options
    yield* Effect.sync(() => check(maxAttempts >= 1, "maxAttempts", "1 or more", maxAttempts))
    const context = yield* Effect.context<RA | RC | RS | RH>()
    const turns = Effect.unsafeMakeSemaphore(maxAttempts)
    const open = (key: Key) =>
      Effect.suspend(() => {
        const one = options.options(key)
        const connector = maxAttempts === Infinity ? one.connector : Connector.limitAttempts(one.connector, turns)
        return persistentConnection.make({ ...one, connector })
      }).pipe(
        Effect.mapInputContext((own: Context.Context<Scope.Scope>) => Context.merge(context, own))
      )
    return new Impl(yield* Effect.scope, idleTimeToLive, open)
  })

/** @internal */
export const get: {
  <Key>(key: Key): <Connection, E>(
    self: ConnectionMap<Key, Connection, E>
  ) => Effect.Effect<PersistentConnection<Connection, E>, never, Scope.Scope>
  <Key, Connection, E>(
    self: ConnectionMap<Key, Connection, E>,
    key: Key
  ): Effect.Effect<PersistentConnection<Connection, E>, never, Scope.Scope>
} = dual(2, <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key) => {
  const map = impl(self)
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const entry = yield* acquire(map, key)
      yield* Scope.addFinalizer(scope, release(map, key, entry))
      return yield* restore(Deferred.await(entry.connection))
    })
  )
})

const acquire = <Key, Connection, E>(
  map: Impl<Key, Connection, E>,
  key: Key
): Effect.Effect<Entry<Connection, E>> =>
  Effect.suspend(() => {
    const found = MutableHashMap.get(map.entries, key)
    if (Option.isSome(found)) {
      const entry = found.value
      entry.users++
      if (entry.idling !== undefined) interrupt(entry.idling)
      entry.idling = undefined
      return Effect.succeed(entry)
    }
    return Effect.gen(function*() {
      const scope = yield* Scope.fork(map.scope, ExecutionStrategy.sequential)
      if (MutableHashMap.has(map.entries, key)) {
        // Somebody else was quicker.
        yield* Scope.close(scope, Exit.void)
        return yield* acquire(map, key)
      }
      const connection = Deferred.unsafeMake<PersistentConnection<Connection, E>>(FiberId.none)
      const entry: Entry<Connection, E> = { connection, scope, users: 1, idling: undefined }
      MutableHashMap.set(map.entries, key, entry)
      const exit = yield* Effect.exit(Scope.extend(map.open(key), scope))
      // Options that make no sense are everybody's defect, and the next one may have better ones.
      if (Exit.isFailure(exit)) yield* remove(map, key, entry)
      yield* Deferred.done(connection, exit)
      return entry
    })
  })

const release = <Key, Connection, E>(
  map: Impl<Key, Connection, E>,
  key: Key,
  entry: Entry<Connection, E>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    entry.users--
    if (entry.users > 0) return Effect.void
    if (!isCurrent(map, key, entry) || Duration.equals(map.idleTimeToLive, Duration.zero)) {
      return remove(map, key, entry)
    }
    if (!Duration.isFinite(map.idleTimeToLive)) return Effect.void
    return Effect.clockWith((clock) => sleep(clock, map.idleTimeToLive)).pipe(
      Effect.zipRight(
        Effect.suspend(() => entry.users === 0 ? Effect.uninterruptible(remove(map, key, entry)) : Effect.void)
      ),
      Effect.interruptible,
      Effect.forkIn(map.scope),
      Effect.map((fiber) => {
        entry.idling = fiber
      })
    )
  })

const isCurrent = <Key, Connection, E>(map: Impl<Key, Connection, E>, key: Key, entry: Entry<Connection, E>): boolean =>
  Option.contains(MutableHashMap.get(map.entries, key), entry)

const remove = <Key, Connection, E>(
  map: Impl<Key, Connection, E>,
  key: Key,
  entry: Entry<Connection, E>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (isCurrent(map, key, entry)) MutableHashMap.remove(map.entries, key)
    return Scope.close(entry.scope, Exit.void)
  })

/** @internal */
export const invalidate: {
  <Key>(key: Key): <Connection, E>(self: ConnectionMap<Key, Connection, E>) => Effect.Effect<void>
  <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key): Effect.Effect<void>
} = dual(2, <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key) =>
  Effect.suspend(() => {
    const map = impl(self)
    const found = MutableHashMap.get(map.entries, key)
    if (Option.isNone(found)) return Effect.void
    MutableHashMap.remove(map.entries, key)
    return found.value.users === 0 ? remove(map, key, found.value) : Effect.void
  }))

/** @internal */
export const keys = <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>): Effect.Effect<Array<Key>> =>
  Effect.sync(() => Array.from(MutableHashMap.keys(impl(self).entries)))
