import { type ConnectionClosed, ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { connectionOf } from "./rpcConnection.js"

type UseError<E> = NotConnected<E> | ConnectionLost<E> | ConnectionClosed<E>

/**
 * As `PersistentConnection.use`, but waits for a connection for at most this time. Then it fails with `NotConnected`.
 *
 * @internal
 */
export const useWithin = <Connection, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | UseError<E>, R> =>
  Effect.catchAll(
    PersistentConnection.use(self, f, { whenDisconnected: "fail" }),
    // Tests the class, because an error of a procedure may have the same tag.
    (error) =>
      error instanceof NotConnected
        ? Effect.flatMap(wait(self, maxWait, error), (left) => useWithin(self, left, f))
        : Effect.fail(error)
  )

/**
 * Makes an effect interruptible in an uninterruptible region.
 *
 * @internal
 */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * As `useWithin`, for a call, which the connection ends itself. Called in an uninterruptible region.
 *
 * @internal
 */
export const call = <Connection extends object, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  restore: Restore,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | UseError<E>, R> => {
  let end: ConnectionLost<E> | ConnectionClosed<E> | undefined
  const held = PersistentConnection.unsafeHold(self, (connection, reason) => {
    end = reason
    connectionOf(connection)?.endUse(reason)
  })
  if (Exit.isFailure(held)) {
    const waited = Effect.catchTag(Effect.failCause(held.cause), "NotConnected", (error) => wait(self, maxWait, error))
    return Effect.flatMap(restore(waited), (left) => call(self, left, restore, f))
  }
  const { value: hold } = held
  /**
   * The persistent connection knows better why the connection has ended: it may have been closed, or a combinator may
   * map the cause. It needs some turns if `closed` is made of combinators.
   */
  const fail = (cause: Cause.Cause<E2>, turns = 32): Effect.Effect<never, E2 | UseError<E>> => {
    const isLost = Option.exists(Cause.failureOption(cause), (error) => error instanceof ConnectionLost)
    if (isLost && end === undefined && turns > 0) return Effect.flatMap(Effect.yieldNow(), () => fail(cause, turns - 1))
    hold.release()
    return isLost && end !== undefined ? end : Effect.failCause(cause)
  }
  return Effect.matchCauseEffect(f(hold.connection), {
    onFailure: (cause) => fail(cause),
    onSuccess: (value) => {
      hold.release()
      return Exit.succeed(value)
    }
  })
}

/** Waits for a connection for at most this time, and returns what is left of it. Then it fails with this error. */
const wait = <Connection, E>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  error: NotConnected<E>
): Effect.Effect<Duration.Duration, NotConnected<E> | ConnectionClosed<E>> =>
  Duration.lessThanOrEqualTo(maxWait, Duration.zero)
    ? error
    : Effect.map(
      Effect.timed(Effect.timeoutOption(self.connectedOrClosed, maxWait)),
      // The connection may be lost again before the use.
      ([passed]) => Duration.subtract(maxWait, passed)
    )
