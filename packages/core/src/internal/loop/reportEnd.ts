import * as Effect from "effect/Effect"
import type { ConnectionClosed } from "../../ConnectionError.js"
import { redactCause } from "../base/redact.js"

/**
 * Logs that a persistent connection has ended, if its owner does not know: no event says so.
 *
 * @internal
 */
export const reportEnd = ({ message, reason, serverName }: ConnectionClosed): Effect.Effect<void> =>
  reason._tag === "ClosedByOwner"
    ? Effect.void
    : Effect.annotateLogs(Effect.logError(message, redactCause(reason.cause)), {
      server_name: serverName,
      event: "Closed",
      reason: reason._tag
    })
