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
 * The same failure is never logged twice in a row, not even if there was a connection in between, unless that has
 * lasted a minute or longer. How many attempts have failed is told when one succeeds.
 *
 * Each line is annotated: `server_name`, `event`, and what is known of `generation`, `attempt`, `address`. Credentials
 * in addresses and in what errors quote of them are left out. It goes to the loggers, with the annotations, of the fiber
 * that called this.
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
