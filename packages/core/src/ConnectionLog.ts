/**
 * What happens to a persistent connection, in the log.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as internal from "./internal/watching/connectionLog.js"
import type { PersistentConnection } from "./PersistentConnection.js"

/**
 * Logs what happens from now on until the persistent connection has closed, which leaving its scope also brings about:
 * every event of `ConnectionEvent` at its level (E5), a `refresh` that fails, as a warning, and that its owner has closed
 * it; any other end a persistent connection logs by itself. It starts no fiber that stays.
 *
 * While the same failure repeats there are no events (C5). The log then reminds of the outage, as an error, when an
 * attempt begins and a minute has passed since the last line about it, and then each time the outage has lasted twice as
 * long, at least every 6 hours (D12). A second outage is logged like the first.
 *
 * Each line is annotated: `server_name`, `event`, and the event's `generation`, `attempt` or `address`. It holds no
 * connection and no error, but texts without secrets; see `docs/watching.md` for what is hidden. It goes to the loggers,
 * with the annotations, of the fiber that called this.
 *
 * @example
 * ```ts
 * import * as ConnectionLog from "@persistent-connection/core/ConnectionLog"
 * import type * as Connector from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Effect from "effect/Effect"
 *
 * declare const connector: Connector.Connector<URL, { readonly send: (text: string) => void }, Error>
 *
 * export const prices = PersistentConnection.make({
 *   serverName: "prices",
 *   address: Effect.succeed(new URL("wss://prices.example.com")),
 *   connector
 * }).pipe(Effect.tap(ConnectionLog.track))
 * ```
 *
 * @since 0.1.0
 * @category tracking
 */
export const track: <Connection, E>(self: PersistentConnection<Connection, E>) => Effect.Effect<void> = internal.track
