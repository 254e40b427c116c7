import { type ConnectionClosed, ConnectionLost, type NotConnected } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
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
 * Like `Effect.suspend`, but calls the function now, which takes no step of the run loop.
 *
 * @internal
 */
export const attempted = <A, E, R>(f: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  try {
    return f()
  } catch (defect) {
    return Exit.die(defect)
  }
}

/**
 * Decodes an answer. The server chooses how deep it is nested, so a stack overflow is a failure, and no defect. Firefox
 * has a text of its own for it.
 *
 * @internal
 */
export const decoding = <A, E, E2, R>(
  decode: () => Effect.Effect<A, E, R>,
  mapError: (error: unknown) => E2
): Effect.Effect<A, E2, R> =>
  Effect.mapErrorCause(attempted(decode), (cause) => {
    const defect: any = Option.getOrUndefined(Cause.dieOption(cause))
    return Cause.map(/call stack|too much recursion/.test(defect?.message) ? Cause.fail(defect) : cause, mapError)
  })

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
  const isClosed = Option.exists(Cause.failureOption(held.cause), Predicate.isTagged("ConnectionClosed"))
  if (isClosed || Duration.lessThanOrEqualTo(maxWait, Duration.zero)) return Effect.failCause(held.cause)
  // Not `connectedOrClosed`, which waits for the end of a close, and so perhaps for the caller.
  const connected = Effect.ignore(PersistentConnection.use(self, () => Effect.void))
  return Effect.flatMap(
    // A timeout would wait forever for what it cannot interrupt: the call may be made in an uninterruptible region.
    restore(Effect.timed(Effect.timeoutOption(Effect.interruptible(connected), maxWait))),
    // The connection may be lost again before it is held.
    ([passed]) => withHold(self, Duration.subtract(maxWait, passed), restore, f)
  )
}

const endUse = (connection: object, reason: End<unknown>): void => connectionOf(connection)?.endUse(reason)

/**
 * Makes a call. When the connection ends, it ends the call itself (`endUse`). Called in an uninterruptible region.
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
 * Fails with the cause. If that is a loss, fails with the end of the hold instead, which says more: the persistent
 * connection may have been closed, or a combinator may have mapped the cause of the loss. That end may come some turns
 * later, if `closed` is made of combinators.
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
