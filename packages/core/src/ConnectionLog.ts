/**
 * Logs what happens to a persistent connection.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as internal from "./internal/watching/connectionLog.js"
import type { PersistentConnection } from "./PersistentConnection.js"

/**
 * Logs what happens from now on, until the persistent connection has closed: every event of `ConnectionEvent` at its
 * level (E5), every `refresh` that fails, as a warning, and the close by the owner. (A persistent connection logs any
 * other end by itself.) It leaves no fiber running.
 *
 * A failure that repeats gives no events (C5). The log then reminds of the outage, as an error, when an attempt begins:
 * first after a minute without a line about it, then each time the outage has lasted twice as long, but at least every
 * 6 hours (D12). A second outage is logged like the first.
 *
 * Each line is annotated: `server_name`, `event`, and the event's `generation`, `attempt` or `address`. It holds only
 * texts, without secrets; see `docs/watching.md` for what is hidden. It goes to the loggers of the fiber that called
 * this, with the annotations of that fiber.
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
