import { NotConnected } from "@persistent-connection/core/ConnectionError"
import type { ConnectionClosed, ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * As `PersistentConnection.use`, but waits for a connection for at most this time. Then it fails with `NotConnected`.
 *
 * @internal
 */
export const useWithin = <Connection, E, A, E2, R>(
  self: PersistentConnection.PersistentConnection<Connection, E>,
  maxWait: Duration.Duration,
  f: (connection: Connection) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | NotConnected<E> | ConnectionLost<E> | ConnectionClosed<E>, R> => {
  const use = PersistentConnection.use(self, f, { whenDisconnected: "fail" })
  const after = (wait: Duration.Duration): typeof use =>
    Effect.catchIf(use, isNotConnected, (error) =>
      Duration.lessThanOrEqualTo(wait, Duration.zero)
        ? Effect.fail(error)
        : Effect.flatMap(
          Effect.timed(Effect.timeoutOption(self.connectedOrClosed, wait)),
          // The connection may be lost again before the use.
          ([passed]) => after(Duration.subtract(wait, passed))
        ))
  return after(maxWait)
}

/** Tests the class, because an error of a procedure may have the same tag. */
const isNotConnected = (error: unknown): error is NotConnected<never> => error instanceof NotConnected
