import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import { type ConnectionClosed, isRegularEnd } from "../../ConnectionError.js"

/**
 * Logs that a persistent connection has ended, unless its owner closed it: there is no event for that. A give-up after
 * a regular close is only information, because a policy may intend it (D13).
 *
 * @internal
 */
export const reportEnd = ({ message, reason, serverName }: ConnectionClosed): Effect.Effect<void> => {
  if (reason._tag === "ClosedByOwner") return Effect.void
  const isRegular = reason._tag === "GaveUp" && isRegularEnd(reason.cause)
  return Effect.annotateLogs(Effect.logWithLevel(isRegular ? LogLevel.Info : LogLevel.Error, message), {
    server_name: serverName,
    event: "Closed",
    reason: reason._tag
  })
}
