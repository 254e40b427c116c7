import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import { type ConnectionClosed, isRegularEnd } from "../../ConnectionError.js"

/**
 * Logs that a persistent connection has ended, if its owner does not know: no event says so. To have given up after a
 * regular close is what a policy can intend (D13).
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
