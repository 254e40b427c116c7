import { type ConnectionClosed, ConnectionLost, type NotConnected } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { connectionOf } from "./rpcConnection.js"

type End<E> = ConnectionLost<E> | ConnectionClosed<E>
type Missing<E> = NotConnected<E> | ConnectionClosed<E>

/**
 * Makes an effect interruptible in an uninterruptible region.
 *
 * @internal
 */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Holds the current connection, or waits for the next one, at most for this time. Then it fails with `NotConnected`.
 * Called in an uninterruptible region; `f` must release the connection.
 *
 * @internal
 */
export const withHold = <Connection extends object, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  restore: Restore,
  f: (hold: PersistentConnection.Hold<Connection, E>) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | Missing<E>, R> => {
  const held = PersistentConnection.unsafeHold(self, endUse)
  if (Exit.isSuccess(held)) return f(held.value)
  if (Duration.lessThanOrEqualTo(maxWait, Duration.zero)) return Effect.failCause(held.cause)
  return Effect.flatMap(
    restore(Effect.timed(Effect.timeoutOption(self.connectedOrClosed, maxWait))),
    // The connection may be lost again before it is held.
    ([passed]) => withHold(self, Duration.subtract(maxWait, passed), restore, f)
  )
}

const endUse = (connection: object, reason: End<unknown>): void => connectionOf(connection)?.endUse(reason)

/**
 * Makes a call, which the connection ends itself. Called in an uninterruptible region.
 *
 * @internal
 */
export const call = <Connection extends object, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  restore: Restore,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | Missing<E> | End<E>, R> =>
  withHold(self, maxWait, restore, (hold) =>
    Effect.matchCauseEffect(attempted(() => f(hold.connection)), {
      onFailure: (cause) => Effect.ensuring(failWithEnd(hold, cause), Effect.sync(() => hold.release())),
      onSuccess: (value) => {
        hold.release()
        return Exit.succeed(value)
      }
    }))

/**
 * Fails with the cause, but with the end of the connection if it was lost. The persistent connection knows better why:
 * it may have been closed, or a combinator may map the cause. It needs some turns if `closed` is made of combinators.
 *
 * @internal
 */
export const failWithEnd = <E, E2>(
  hold: PersistentConnection.Hold<unknown, E>,
  cause: Cause.Cause<E2>,
  turns = 32
): Effect.Effect<never, E2 | End<E>> => {
  const isLost = Option.exists(Cause.failureOption(cause), (error) => error instanceof ConnectionLost)
  if (isLost && hold.end !== undefined) return Effect.fail(hold.end)
  return isLost && turns > 0
    ? Effect.flatMap(Effect.yieldNow(), () => failWithEnd(hold, cause, turns - 1))
    : Effect.failCause(cause)
}

/** Like `Effect.suspend`, but calls the function now. */
const attempted = <A, E, R>(f: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  try {
    return f()
  } catch (defect) {
    return Effect.die(defect)
  }
}
