import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { identity } from "effect/Function"
import * as Inspectable from "effect/Inspectable"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { ConnectionMap, Options } from "../../ConnectionMap.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { ownRuntime } from "../base/effect3.js"
import type { Inferred } from "../base/inferred.js"
import * as option from "../base/options.js"
import { render } from "../base/render.js"
import { millisUntil, now, sleepUntil } from "../base/time.js"
import { limitAttempts, makeAttemptLimiter } from "../connector/attemptLimiter.js"
import * as persistentConnection from "../loop/service.js"

/** @internal */
export const TypeId = "~persistent-connection/ConnectionMap" as const

/** The connection of a key, and the number of its users. */
interface Entry<Key, Connection, E> {
  readonly key: Key
  readonly scope: Scope.CloseableScope
  /** Makes the connection. */
  readonly making: Fiber.RuntimeFiber<PersistentConnection<Connection, E>>
  users: number
  /** When the idle time of an entry without users ends, in monotonic ms. */
  expiresAt: number
  /** Completes when the connection has been closed. Defined once the close has begun. */
  closed: Deferred.Deferred<void> | undefined
}

/**
 * Does not use `RcMap` of effect 3.22, for three reasons: two concurrent calls can make two connections for one key;
 * the release of an invalidated entry removes its successor from the map; and each idle entry needs its own fiber.
 */
class Impl<Key, Connection, E> extends Inspectable.Class implements ConnectionMap<Key, Connection, E> {
  private readonly entries = MutableHashMap.empty<Key, Entry<Key, Connection, E>>()
  /** The entries without users, in the order in which they expire. */
  private readonly idle = new Set<Entry<Key, Connection, E>>()
  /** Entries that were removed from the map and are not closed yet. */
  private readonly detached = new Set<Entry<Key, Connection, E>>()
  /** One timer for all idle entries. */
  private sweeper: Fiber.RuntimeFiber<void> | undefined
  private isClosed = false

  constructor(
    private readonly open: (key: Key) => Effect.Effect<PersistentConnection<Connection, E>, never, Scope.Scope>,
    private readonly idleTimeToLive: number,
    private readonly scope: Scope.Scope,
    private readonly clock: Clock.Clock,
    private readonly runtime: Runtime.Runtime<never>
  ) {
    super()
  }

  get [TypeId]() {
    return { _Key: identity<Key>, _Connection: identity<never>, _E: identity<never> }
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  toJSON() {
    return { _id: "ConnectionMap", keys: this.keys.map(render) }
  }

  get keys(): Array<Key> {
    return Array.from(MutableHashMap.keys(this.entries))
  }

  get(key: Key): Effect.Effect<PersistentConnection<Connection, E>, never, Scope.Scope> {
    const acquire = Effect.suspend(() => {
      let entry = Option.getOrUndefined(MutableHashMap.get(this.entries, key))
      if (entry !== undefined && this.detachIfClosing(entry)) entry = undefined
      entry ??= this.make(key)
      entry.users++
      this.idle.delete(entry)
      return Effect.succeed(entry)
    })
    return Effect.flatMap(Effect.scope, (scope) =>
      Effect.flatMap(
        // A user in the scope of the map needs no release: the map closes all connections together. Releases would
        // close them one after the other.
        scope === this.scope ? acquire : Effect.acquireRelease(acquire, (entry) => this.release(entry)),
        (entry) => this.connectionOf(entry)
      ))
  }

  /** Makes a connection with the services of the map, not with those of the first caller (T4). */
  private make(key: Key): Entry<Key, Connection, E> {
    const scope = Effect.runSync(Scope.make())
    const making = Runtime.runFork(this.runtime, Scope.extend(this.open(key), scope))
    const entry = { key, scope, making, users: 0, expiresAt: Infinity, closed: undefined }
    if (this.isClosed) this.detached.add(entry)
    else MutableHashMap.set(this.entries, key, entry)
    return entry
  }

  private connectionOf(entry: Entry<Key, Connection, E>): Effect.Effect<PersistentConnection<Connection, E>> {
    const exit = entry.making.unsafePoll()
    if (exit === null) return Effect.flatMap(Fiber.await(entry.making), () => this.connectionOf(entry))
    // The options of this key are invalid. The next call may return other options, so the entry is removed.
    if (Exit.isFailure(exit)) this.detach(entry)
    return this.isClosed ? Effect.zipRight(this.close(entry), exit) : exit
  }

  private release(entry: Entry<Key, Connection, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      entry.users--
      if (entry.users > 0 || entry.closed !== undefined) return Effect.void
      if (this.detached.has(entry) || this.idleTimeToLive === 0) {
        this.detach(entry)
        return this.close(entry)
      }
      entry.expiresAt = now(this.clock) + this.idleTimeToLive
      this.idle.add(entry)
      this.sweeper ??= Runtime.runFork(this.runtime, this.sweep, { immediate: false })
      return Effect.void
    })
  }

  /** Closes each entry when its idle time ends. Stops when no entry is idle. */
  private get sweep(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const [oldest] = this.idle
      if (oldest === undefined) {
        this.sweeper = undefined
        return Effect.void
      }
      if (millisUntil(this.clock, oldest.expiresAt) > 0) {
        return Effect.zipRight(sleepUntil(this.clock, oldest.expiresAt), this.sweep)
      }
      this.detach(oldest)
      // Does not wait, because the close may take long.
      Runtime.runFork(this.runtime, this.close(oldest))
      return this.sweep
    })
  }

  invalidate(key: Key): Effect.Effect<void> {
    return Effect.suspend(() => {
      const entry = Option.getOrUndefined(MutableHashMap.get(this.entries, key))
      if (entry === undefined) return Effect.void
      this.detach(entry)
      return entry.users > 0 ? Effect.void : Effect.flatMap(Effect.forkDaemon(this.close(entry)), Fiber.join)
    })
  }

  private detach(entry: Entry<Key, Connection, E>): void {
    this.idle.delete(entry)
    if (this.detached.has(entry)) return
    this.detached.add(entry)
    MutableHashMap.remove(this.entries, entry.key)
  }

  /** Removes an entry from the map if it will never connect again: for example, its policy gave up. */
  private detachIfClosing(entry: Entry<Key, Connection, E>): boolean {
    const made = entry.making.unsafePoll()
    if (made === null || Exit.isFailure(made) || !persistentConnection.loopOf(made.value).isClosing) return false
    this.detach(entry)
    // Its users need it no more, but a graceful close goes on.
    Runtime.runFork(this.runtime, Effect.zipRight(made.value.closeFinished, this.close(entry)))
    return true
  }

  private close(entry: Entry<Key, Connection, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (entry.closed !== undefined) return Deferred.await(entry.closed)
      const closed = entry.closed = Deferred.unsafeMake<void>(FiberId.none)
      return Effect.ensuring(
        Scope.close(entry.scope, Exit.void),
        Effect.sync(() => {
          this.detached.delete(entry)
          Deferred.unsafeDone(closed, Exit.void)
        })
      )
    })
  }

  /** Closes all connections together. */
  get leave(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      this.isClosed = true
      const { sweeper } = this
      for (const [_, entry] of this.entries) this.detach(entry)
      // Excludes a connection that is being closed and has started this fiber: it would wait for itself.
      const others = [...this.detached].filter((entry) =>
        entry.closed === undefined || !hasStarted(entry.making.unsafePoll(), fiber)
      )
      return Effect.zipRight(
        sweeper === undefined ? Effect.void : Fiber.interrupt(sweeper),
        Effect.forEach(others, (entry) => this.close(entry), { concurrency: "unbounded", discard: true })
      )
    })
  }
}

const hasStarted = <Connection, E>(
  made: Exit.Exit<PersistentConnection<Connection, E>> | null,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): boolean =>
  made !== null && Exit.isSuccess(made) && persistentConnection.loopOf(made.value).fibers.whereIs(fiber) !== "outside"

/** @internal */
export function make<Key, Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Key, Address, Connection, EA, EC, RA, RC, RS, RH>
): Effect.Effect<ConnectionMap<Key, Connection, EA | EC>, never, RA | RC | Inferred<RS | RH> | Scope.Scope>
export function make<Key, Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Key, Address, Connection, EA, EC, RA, RC, RS, RH>
): Effect.Effect<ConnectionMap<Key, Connection, EA | EC>, never, RA | RC | RS | RH | Scope.Scope> {
  return Effect.uninterruptible(Effect.gen(function*() {
    const { idleTimeToLive, maxConcurrentConnects = Infinity } = yield* Effect.sync(() => option.read(options, readers))
    const adapt = limitedTo(maxConcurrentConnects)
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    const runtime = yield* ownRuntime<RA | RC | RS | RH>()
    const open = (key: Key) =>
      Effect.suspend(() => persistentConnection.make(options.options(key), adapt)).pipe(
        Effect.mapInputContext((own: Context.Context<Scope.Scope>) => Context.merge(runtime.context, own))
      )
    const self = new Impl(open, Duration.toMillis(idleTimeToLive), scope, clock, runtime)
    yield* Scope.addFinalizer(scope, self.leave)
    return self
  }))
}

const readers = {
  options: option.func,
  idleTimeToLive: option.withDefault(option.duration, 0),
  maxConcurrentConnects: option.optional(option.limit)
}

const limitedTo = (permits: number): persistentConnection.Adapt => {
  if (permits === Infinity) return identity
  const limiter = makeAttemptLimiter(permits)
  return (connector) => limitAttempts(connector, limiter)
}

const isMap = option.kind("a ConnectionMap", (input) => input instanceof Impl)

const impl = <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>) =>
  isMap("self", self) as Impl<Key, Connection, E>

/** @internal */
export const get = <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key) => impl(self).get(key)

/** @internal */
export const invalidate = <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>, key: Key) =>
  impl(self).invalidate(key)

/** @internal */
export const keys = <Key, Connection, E>(self: ConnectionMap<Key, Connection, E>): Effect.Effect<Array<Key>> =>
  Effect.sync(() => impl(self).keys)
