import { type ConnectionClosed, ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { connectionOf } from "./rpcConnection.js"

type UseError<E> = NotConnected<E> | ConnectionLost<E> | ConnectionClosed<E>

/**
 * As `PersistentConnection.use`, but waits for a connection for at most this time. Then it fails with `NotConnected`.
 *
 * @internal
 */
export const useWithin = <Connection extends object, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | UseError<E>, R> =>
  within(self, maxWait, () => PersistentConnection.use(self, f, { whenDisconnected: "fail" }))

/**
 * As `useWithin`, for a call, which the connection ends itself: it runs in the fiber of the caller.
 *
 * @internal
 */
export const call = <Connection extends object, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | UseError<E>, R> => {
  const called = () => {
    let end: ConnectionLost<E> | ConnectionClosed<E> | undefined
    /**
     * The persistent connection knows better why the connection has ended: it may have been closed, or a combinator may
     * map the cause. It needs some turns if `closed` is made of combinators.
     */
    const endOr = (
      error: ConnectionLost<E>,
      turns: number
    ): Effect.Effect<never, ConnectionLost<E> | ConnectionClosed<E>> =>
      Effect.suspend(() =>
        end !== undefined || turns === 0
          ? Effect.fail(end ?? error)
          : Effect.zipRight(Effect.yieldNow(), endOr(error, turns - 1))
      )
    return PersistentConnection.use(
      self,
      (connection) =>
        Effect.catchAll(
          f(connection),
          (error): Effect.Effect<never, E2 | UseError<E>> =>
            error instanceof ConnectionLost ? endOr(error, 32) : Effect.fail(error)
        ),
      {
        whenDisconnected: "fail",
        onEnd: (connection, reason) => {
          end = reason as typeof end
          connectionOf(connection)?.endUse(reason)
        }
      }
    )
  }
  return within(self, maxWait, called)
}

const within = <Connection, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  use: () => Effect.Effect<A, E2 | UseError<E>, R>
): Effect.Effect<A, E2 | UseError<E>, R> =>
  Effect.catchAll(use(), (error) =>
    // Tests the class, because an error of a procedure may have the same tag.
    !(error instanceof NotConnected) || Duration.lessThanOrEqualTo(maxWait, Duration.zero)
      ? Effect.fail(error)
      : Effect.flatMap(
        Effect.timed(Effect.timeoutOption(self.connectedOrClosed, maxWait)),
        // The connection may be lost again before the use.
        ([passed]) => within(self, Duration.subtract(maxWait, passed), use)
      ))
