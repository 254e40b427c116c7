import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { AttemptFailure } from "../../Connector.js"
import type {
  ConnectionAge,
  PersistentConnection,
  ReconnectOptions,
  RefreshOptions
} from "../../PersistentConnection.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import { interruptAsDefect } from "../base/cause.js"
import { type AnyFiber, asCaller } from "../base/effect3.js"
import * as option from "../base/options.js"
import { isStream } from "../base/poll.js"
import { now, sleepUntil } from "../base/time.js"
import { loopOf } from "../loop/service.js"
import { forEachSession } from "./following.js"
import { whileCurrent } from "./work.js"

const refreshDrain = Duration.seconds(30)

const refreshReaders = {
  drain: option.withDefault(option.duration, refreshDrain),
  elsewhere: option.optional(option.boolean)
}

/** @internal */
export const refresh = <C, E>(
  self: PersistentConnection<C, E>,
  options?: RefreshOptions
): Effect.Effect<void, AttemptFailure<E> | ConnectionClosed<E>> => {
  const { drain, elsewhere } = option.read(options, refreshReaders)
  return Effect.withFiberRuntime((fiber) => {
    const loop = loopOf(self)
    if (loop.willNotReconnect) return loop.closedExit
    if (elsewhere === true) loop.elsewhere = true
    const result = loop.waitFor(fiber as AnyFiber, loop.attemptEnded.next)
    loop.refresh(drain)
    loop.attemptNow()
    return Effect.asVoid(result)
  })
}

/**
 * The minimum age of a connection before a refresh, in ms. Otherwise a signal that comes at once would make a busy
 * loop.
 */
const minAge = 1_000

const refreshRetry = RetryPolicy.exponential({ base: "1 second", maxDelay: "1 minute", jitter: "equal" })

/** @internal */
export const refreshWhen = <C, E, R>(
  self: PersistentConnection<C, E>,
  signal: (connection: C, age: ConnectionAge) => Effect.Effect<unknown, never, R>,
  options?: RefreshOptions
): Effect.Effect<void, ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  option.func("signal", signal)
  const loop = loopOf(self)
  const { clock } = loop
  const refreshed = Effect.retry(refresh(self, options), {
    schedule: refreshRetry,
    // The last connection is not refreshed: it stays until it ends.
    while: () => !loop.willNotReconnect
  })
  return forEachSession(
    self,
    ({ connection, establishedAt }) =>
      Effect.suspend(() => signal(connection, ageSince(clock, establishedAt))).pipe(
        Effect.zipRight(sleepUntil(clock, establishedAt + minAge)),
        Effect.zipRight(Effect.ignore(refreshed))
      )
  )
}

const ageSince = (clock: Clock.Clock, establishedAt: number): ConnectionAge => ({
  now: Effect.sync(() => Duration.millis(now(clock) - establishedAt)),
  reaches: (age) =>
    Effect.suspend(() => sleepUntil(clock, establishedAt + Duration.toMillis(option.duration("age", age))))
})

const maxAgeReaders = { jitter: option.optional(option.part) }

/** @internal */
export const maxAge = (
  age: Duration.DurationInput,
  options?: { readonly jitter?: number | undefined }
): (connection: unknown, age: ConnectionAge) => Effect.Effect<void> => {
  const most = option.duration("maxAge", age)
  const { jitter = 0.1 } = option.read(options, maxAgeReaders)
  return (_, age) => Effect.flatMap(Random.next, (part) => age.reaches(Duration.times(most, 1 - jitter * part)))
}

const reconnectReaders = {
  whenConnected: option.optional(option.oneOf("keep", "probe", "refresh", "drop")),
  whenConnecting: option.optional(option.oneOf("keep", "restart"))
}

/** @internal */
export const reconnectNow = <C, E>(
  self: PersistentConnection<C, E>,
  options?: ReconnectOptions
): Effect.Effect<void> => {
  const { whenConnected, whenConnecting } = option.read(options, reconnectReaders)
  return Effect.suspend(() => {
    const loop = loopOf(self)
    if (whenConnecting === "restart") loop.restartAttempt()
    loop.attemptNow()
    switch (whenConnected) {
      case "refresh":
        return Effect.sync(() => loop.refresh(refreshDrain))
      case "probe":
        return probe(self)
      case "drop":
        // Uninterruptible, because a use that drops its own connection is interrupted by the drop.
        return Effect.uninterruptible(drop(self))
      default:
        return Effect.void
    }
  })
}

/** Asks the peer whether it is still there, if the connector has a `probe`. If that fails, the connection is lost. */
const probe = <C, E>(self: PersistentConnection<C, E>): Effect.Effect<void> =>
  asCaller((caller) => {
    const loop = loopOf(self)
    const { openSession, settings: { connector: { probe } } } = loop
    if (probe === undefined || openSession === undefined) return Effect.void
    const probed = whileCurrent(openSession, caller, Effect.suspend(() => probe(openSession.connection)))
    return Effect.map(probed, (exit) => {
      if (Exit.isFailure(exit) && openSession.supersededBy === undefined) {
        loop.connectionLost(openSession, interruptAsDefect(exit.cause))
      }
    })
  })

/**
 * Break before make: the connection counts as lost, the next attempt is due at once, and there is no closing handshake.
 */
const drop = <C, E>(self: PersistentConnection<C, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const loop = loopOf(self)
    const { terminate } = loop.settings.connector
    const { session } = loop
    // Not `openSession`: a connection that is known to be closed may still take long to end.
    if (session === undefined || session.supersededBy !== undefined) return Effect.void
    loop.connectionLost(session, Cause.empty, true)
    return terminate === undefined ? Effect.void : terminate(session.connection)
  })

/** @internal */
export const reconnectOn = <C, E, E2, R>(
  self: PersistentConnection<C, E>,
  signals: Stream.Stream<unknown, E2, R>,
  options?: ReconnectOptions
): Effect.Effect<void, E2, R> => {
  isStream("signals", signals)
  const reconnect = reconnectNow(self, options)
  return Effect.raceFirst(Stream.runForEach(signals, () => reconnect), self.closeFinished)
}

/** @internal */
export const closeGracefully = <C, E>(
  self: PersistentConnection<C, E>,
  drain: Duration.DurationInput
): Effect.Effect<void> => {
  const time = option.duration("drain", drain)
  return Effect.suspend(() => {
    loopOf(self).close(time)
    return self.closeFinished
  })
}
