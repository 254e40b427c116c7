import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConnectionClosed, type ConnectionLost } from "../ConnectionError.js"
import type { AttemptFailure } from "../Connector.js"
import type { PersistentConnection, ReconnectOptions, RefreshOptions, UseOptions } from "../PersistentConnection.js"
import * as RetryPolicy from "../RetryPolicy.js"
import * as option from "./options.js"
import { loopOf } from "./persistentConnection.js"
import type { Session, SessionEnd } from "./session.js"
import { never, sleep } from "./sleep.js"

/** The current session, or the next one. Refused from the moment at which closing begins. */
const nextSession = <Connection, E>(
  self: PersistentConnection<Connection, E>
): Effect.Effect<Session<Connection, E>, ConnectionClosed<E>> => {
  const loop = loopOf(self)
  return Effect.withFiberRuntime((fiber) => {
    if (loop.isOpen()) return Effect.succeed(loop.session)
    if (loop.isClosing) return Effect.fail(loop.closed)
    return Effect.zipRight(loop.waitFor(fiber, loop.changed.next), nextSession(self))
  })
}

const currentSession = <Connection, E>(
  self: PersistentConnection<Connection, E>
): Effect.Effect<Session<Connection, E>, SessionEnd<E>> =>
  Effect.suspend(() => {
    const loop = loopOf(self)
    if (loop.isOpen()) return Effect.succeed(loop.session)
    return Effect.fail(loop.isClosing ? loop.closed : loop.disconnected)
  })

/** @internal */
export const use = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Effect.Effect<A, E2, R>,
  options?: UseOptions
): Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E>, R> =>
  Effect.flatMap(
    options?.whenDisconnected === "fail" ? currentSession(self) : nextSession(self),
    (session) => session.use(Effect.suspend(() => f(session.connection)))
  )

/** @internal */
export const retryWhenLost = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | ConnectionClosed<E>, R> =>
  Effect.flatMap(
    nextSession(self),
    (session) =>
      Effect.catchAll(session.use(Effect.suspend(() => f(session.connection))), (error) =>
        // By identity: the loss of another persistent connection, with which `f` may fail, is not this one's.
        error === session.end && session.end?._tag === "ConnectionLost"
          ? retryWhenLost(self, f)
          : Effect.fail(error as E2 | ConnectionClosed<E>))
  )

/**
 * Runs an effect in every session as it comes, until it is no longer the one to follow; then the next.
 *
 * @internal
 */
export const forEachSession = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (session: Session<Connection, E>) => Effect.Effect<unknown, E2, R>
): Effect.Effect<never, E2 | ConnectionClosed<E>, R> =>
  Effect.flatMap(
    nextSession(self),
    (session) =>
      Effect.catchAll(session.follow(Effect.zipRight(f(session), never)), (error) =>
        error === session.successor
          ? forEachSession(self, f)
          : Effect.fail(error as E2 | ConnectionClosed<E>))
  )

/** @internal */
export const forEachConnection = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Effect.Effect<unknown, E2, R>
): Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  Effect.catchIf(
    forEachSession(
      self,
      ({ connection }) => Effect.scoped(Effect.zipRight(Effect.suspend(() => f(connection)), never))
    ),
    (error) => isEndOf(self, error),
    () => Effect.void
  )

/**
 * Is it the error with which this persistent connection says that its owner has closed it?
 *
 * @internal
 */
export const isEndOf = <Connection, E>(self: PersistentConnection<Connection, E>, error: unknown): boolean =>
  error instanceof ConnectionClosed && error.serverName === self.serverName && error.reason._tag === "ClosedByOwner"

/** @internal */
export const closeGracefully = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  drain: Duration.DurationInput
): Effect.Effect<void> => {
  const time = option.duration("drain", drain)
  return Effect.withFiberRuntime((fiber) => {
    const loop = loopOf(self)
    loop.session?.letGo(fiber)
    loop.beginClosing(time)
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
  signal: (connection: Connection) => Effect.Effect<unknown, never, R>,
  options?: RefreshOptions
): Effect.Effect<void, ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  const refreshed: Effect.Effect<void, ConnectionClosed<E>> = Effect.catchAll(
    Effect.retry(refresh(self, options), {
      schedule: refreshRetry,
      until: (error) => error instanceof ConnectionClosed
    }),
    (error) => error instanceof ConnectionClosed ? Effect.fail(error) : Effect.void
  )
  return forEachConnection(self, (connection) => Effect.zipRight(signal(connection), refreshed))
}

const refreshRetry = RetryPolicy.exponential({ base: "1 second", cap: "1 minute", jitter: "equal" })

/** @internal */
export const maxAge = (
  age: Duration.DurationInput,
  options?: { readonly jitter?: number | undefined }
): (connection: unknown) => Effect.Effect<void> => {
  const millis = Duration.toMillis(option.duration("maxAge", age))
  const jitter = options?.jitter ?? 0.1
  option.check(jitter >= 0 && jitter <= 1, "jitter", "a part between 0 and 1", jitter)
  return () =>
    Effect.flatMap(
      Effect.clock,
      (clock) => Effect.flatMap(Random.next, (part) => sleep(clock, Duration.millis(millis * (1 - jitter * part))))
    )
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
        return loop.probe
      default:
        return Effect.void
    }
  })

/** @internal */
export const wake = <Connection, E, E2, R>(
  self: PersistentConnection<Connection, E>,
  signals: Stream.Stream<unknown, E2, R>,
  options?: ReconnectOptions
): Effect.Effect<void, E2, R> =>
  Effect.raceFirst(Stream.runForEach(signals, () => reconnectNow(self, options)), self.closeFinished)
