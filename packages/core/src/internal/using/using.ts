import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionClosed, ConnectionLost } from "../../ConnectionError.js"
import type { AttemptFailure } from "../../Connector.js"
import type { PersistentConnection, ReconnectOptions, RefreshOptions, UseOptions } from "../../PersistentConnection.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import { interruptAsDefect } from "../base/cause.js"
import { interrupt } from "../base/fibers.js"
import * as option from "../base/options.js"
import { never, sleepUntil } from "../base/sleep.js"
import { loopOf } from "../loop/persistentConnection.js"
import { type Caller, isTorn, type Session } from "../loop/session.js"

/** What is done with the current session, or the next one, and without one. */
interface Visit<Connection, E, A, E2, R> {
  /** At the stroke at which the session is found open. `again` begins anew, as often as one likes. */
  readonly onOpen: (
    session: Session<Connection, E>,
    caller: Caller,
    again: Effect.Effect<A, E2, R>
  ) => Effect.Effect<A, E2, R>
  /** From the moment at which closing begins. */
  readonly onClosed: (closed: ConnectionClosed<E>) => Effect.Effect<A, E2>
  /** Instead of waiting. */
  readonly onDisconnected?: ((lost: ConnectionLost<E>) => Effect.Effect<A, E2>) | undefined
}

const visit = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  { onClosed, onDisconnected, onOpen }: Visit<Connection, E, A, E2, R>
): Effect.Effect<A, E2, R> =>
  Effect.uninterruptibleMask((restore) => {
    const loop = loopOf(self)
    const enter: Effect.Effect<A, E2, R> = Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      if (loop.isOpen()) return onOpen(loop.session, { fiber, runtimeFlags, restore }, enter)
      if (loop.isClosing) return onClosed(loop.closed)
      if (onDisconnected !== undefined) return onDisconnected(disconnected(self))
      return Effect.zipRight(restore(loop.waitFor(fiber, loop.changed.next)), enter)
    })
    return enter
  })

/** What failed last. A connection that is dead is lost, even if its end is not known yet. */
const disconnected = <Connection, E>(self: PersistentConnection<Connection, E>): ConnectionLost<E> => {
  const { disconnected, session } = loopOf(self)
  if (session === undefined) return disconnected
  return session.end?._tag === "ConnectionLost" ? session.end : session.lost(Cause.empty)
}

/** @internal */
export const use = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Effect.Effect<A, E2, R>,
  options?: UseOptions
): Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E>, R> =>
  visit<Connection, E, A, E2 | ConnectionLost<E> | ConnectionClosed<E>, R>(self, {
    onOpen: (session, caller) =>
      Effect.flatMap(
        session.use(caller, Effect.suspend(() => f(session.connection))),
        (exit) => session.resultOf(exit)
      ),
    onClosed: Effect.fail,
    onDisconnected: options?.whenDisconnected === "fail" ? Effect.fail : undefined
  })

/** @internal */
export const useRetrying = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | ConnectionClosed<E>, R> =>
  visit<Connection, E, A, E2 | ConnectionClosed<E>, R>(self, {
    onOpen: (session, caller, again) =>
      Effect.flatMap(session.use(caller, Effect.suspend(() => f(session.connection))), (exit) => {
        if (Exit.isSuccess(exit) || hasDefects(exit.cause)) return exit
        if (session.end !== undefined && isTorn(exit.cause)) {
          return session.end._tag === "ConnectionClosed" ? Effect.fail(session.end) : again
        }
        if (session.successor?._tag === "ConnectionClosed") return exit
        // It may have failed because the connection is lost, before that was known.
        return Effect.flatMap(loopOf(self).hasLost(session), (hasLost) => hasLost ? again : exit)
      }),
    onClosed: Effect.fail
  })

const hasDefects = (cause: Cause.Cause<unknown>): boolean => Option.isSome(Cause.keepDefects(cause))

/**
 * Runs an effect in every session as it comes, until it is no longer the one to follow; then in the next. Ends with the
 * reason for which there is no next one. Where `goesOn`, asked at once when the connection is lost, says so, the effect
 * goes on until there is another connection.
 *
 * @internal
 */
export const forEachSession = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (session: Session<Connection, E>) => Effect.Effect<unknown, E2, R>,
  goesOn?: () => boolean
): Effect.Effect<ConnectionClosed<E>, E2, R> =>
  visit<Connection, E, ConnectionClosed<E>, E2, R>(self, {
    onOpen: (session, caller, again) =>
      Effect.flatMap(
        session.follow(caller, untilFailed(self, session, f), goesOn && lingering(self, caller, goesOn)),
        (exit) =>
          session.successor !== undefined && Exit.isFailure(exit) && isTorn(exit.cause) && !hasDefects(exit.cause)
            ? again
            : exit
      ),
    onClosed: Effect.succeed
  })

const lingering =
  <Connection, E>(self: PersistentConnection<Connection, E>, caller: Caller, goesOn: () => boolean) =>
  (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => {
    const loop = loopOf(self)
    if (!goesOn()) return false
    const { next } = loop.changed
    // From now on the caller waits for a connection, and where it must not it is told when it asks for one (D7).
    const waited = Effect.exit(Effect.zipRight(loop.beforeWaiting(caller.fiber, "connection"), next))
    loop.fibers.fork(Effect.map(waited, () => interrupt(fiber)))
    return true
  }

/** A failure that is but a consequence of the end of the connection does not count. */
const untilFailed = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  session: Session<Connection, E>,
  f: (session: Session<Connection, E>) => Effect.Effect<unknown, E2, R>
): Effect.Effect<never, E2, R> =>
  Effect.matchCauseEffect(Effect.suspend(() => f(session)), {
    onSuccess: () => never,
    onFailure: (cause) => {
      const failure = Effect.failCause(interruptAsDefect(cause))
      return hasDefects(cause)
        ? failure
        : Effect.flatMap(
          session.successor === undefined ? loopOf(self).hasLost(session) : Effect.succeed(true),
          (isOver) => isOver ? never : failure
        )
    }
  })

/** @internal */
export const forEachConnection = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection, since: number) => Effect.Effect<unknown, E2, R>
): Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  Effect.flatMap(
    // What `f` leaves in its scope lives as long as the connection.
    forEachSession(
      self,
      ({ connection, since }) => Effect.scoped(Effect.zipRight(Effect.suspend(() => f(connection, since)), never))
    ),
    endOf
  )

/**
 * A close by the owner is an end; anything else is a failure.
 *
 * @internal
 */
export const endOf = <E>(closed: ConnectionClosed<E>): Effect.Effect<void, ConnectionClosed<E>> =>
  closed.reason._tag === "ClosedByOwner" ? Effect.void : Effect.fail(closed)

/** @internal */
export const closeGracefully = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  drain: Duration.DurationInput
): Effect.Effect<void> => {
  const time = option.duration("drain", drain)
  return Effect.withFiberRuntime((fiber) => {
    loopOf(self).beginClosing(fiber, time)
    return self.closeFinished
  })
}

const refreshDrain = Duration.seconds(30)

/** @internal */
export const refresh = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  options?: RefreshOptions
): Effect.Effect<void, AttemptFailure<E> | ConnectionClosed<E>> => {
  const drain = option.duration("drain", options?.drain ?? refreshDrain)
  return Effect.withFiberRuntime((fiber) => {
    const loop = loopOf(self)
    if (loop.willNotReconnect) return loop.refusal
    const result = loop.waitFor(fiber, loop.results.next)
    loop.refresh(drain)
    loop.hurry()
    return Effect.asVoid(result)
  })
}

/** @internal */
export const refreshWhen = <Connection, E, R>(
  self: PersistentConnection<Connection, E>,
  signal: (connection: Connection, since: number) => Effect.Effect<unknown, never, R>,
  options?: RefreshOptions
): Effect.Effect<void, ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  const refreshed = Effect.retry(refresh(self, options), {
    schedule: refreshRetry,
    // A connection that will be the last goes on to its end.
    while: () => !loopOf(self).willNotReconnect
  })
  return forEachConnection(
    self,
    (connection, since) =>
      signal(connection, since).pipe(
        Effect.zipRight(untilTime(since + refreshRest)),
        Effect.zipRight(Effect.ignore(refreshed))
      )
  )
}

/** So long, in ms, a connection lasts at least: where every one asks to be replaced at once there must be no busy loop. */
const refreshRest = 1_000

const untilTime = (at: number): Effect.Effect<void> => Effect.flatMap(Effect.clock, (clock) => sleepUntil(clock, at))

const refreshRetry = RetryPolicy.exponential({ base: "1 second", maxDelay: "1 minute", jitter: "equal" })

/** @internal */
export const maxAge = (
  age: Duration.DurationInput,
  options?: { readonly jitter?: number | undefined }
): (connection: unknown, since: number) => Effect.Effect<void> => {
  const millis = Duration.toMillis(option.duration("maxAge", age))
  const jitter = options?.jitter ?? 0.1
  option.check(jitter >= 0 && jitter <= 1, "jitter", "a part between 0 and 1", jitter)
  return (_, since) => Effect.flatMap(Random.next, (part) => untilTime(since + millis * (1 - jitter * part)))
}

/** @internal */
export const reconnectNow = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  options?: ReconnectOptions
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const loop = loopOf(self)
    loop.hurry()
    switch (options?.whenConnected) {
      case "replace":
        return Effect.sync(() => loop.refresh(refreshDrain))
      case "probe":
        return probe(self)
      default:
        return Effect.void
    }
  })

/** Asks the peer whether it is still there, if the connector can; without a good answer the connection is lost. */
const probe = <Connection, E>(self: PersistentConnection<Connection, E>): Effect.Effect<void> => {
  const loop = loopOf(self)
  const { probe } = loop.settings.connector
  if (probe === undefined) return Effect.void
  return visit(self, {
    onOpen: (session, caller) =>
      Effect.map(session.follow(caller, Effect.suspend(() => probe(session.connection))), (exit) => {
        if (Exit.isFailure(exit)) loop.drop(session, interruptAsDefect(exit.cause))
      }),
    onClosed: () => Effect.void,
    onDisconnected: () => Effect.void
  })
}

/** @internal */
export const reconnectOn = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  signals: Stream.Stream<unknown, E2, R>,
  options?: ReconnectOptions
): Effect.Effect<void, E2, R> =>
  Effect.raceFirst(Stream.runForEach(signals, () => reconnectNow(self, options)), self.closeFinished)
