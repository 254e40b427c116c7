/**
 * Logs the events of a persistent connection.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as internal from "./internal/watching/connectionLog.js"
import type { PersistentConnection } from "./PersistentConnection.js"

/**
 * Logs from now on, until the persistent connection has closed: every event at its level (E5), every `refresh` that
 * fails, as a warning, and the close by the owner. (A persistent connection logs an abort and a give-up by itself.) It
 * starts no fiber that goes on. A persistent connection that is tracked twice is logged twice.
 *
 * A failure that repeats causes no event (C5). Then the log has reminders, as errors (D12). They come after about 1, 2,
 * 4, 8 … minutes of the outage, and later every 6 hours, each at the beginning of an attempt. A second outage is logged
 * like the first.
 *
 * Each line has the annotations `server_name` and `event`, and the `generation`, `attempt` or `address` of the event.
 * It contains only texts, without secrets; `docs/watching.md` says what is hidden. It goes to the loggers of the fiber
 * that called `track`, with the annotations of that fiber.
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
