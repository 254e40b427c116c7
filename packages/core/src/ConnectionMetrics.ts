/**
 * Effect metrics of persistent connections, for any exporter.
 *
 * Call `track` for each persistent connection that is to be measured. Only `handlerDefects`, `slowHandlers` and
 * `roundTripTime` need no `track`. The metrics of persistent connections with the same `serverName` are added up.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Metric from "effect/Metric"
import * as prober from "./internal/connector/prober.js"
import * as events from "./internal/loop/events.js"
import * as tracker from "./internal/watching/connectionMetrics.js"
import * as internal from "./internal/watching/metrics.js"
import type { PersistentConnection } from "./PersistentConnection.js"

/**
 * How an attempt to connect has ended:
 *
 * - `success`: with a connection;
 * - `failure`: with a typed error of the look-up or of the connector;
 * - `timeout`: with a `TimeoutException`, because it took too long (D9);
 * - `defect`: with a defect (C6);
 * - `interrupted`: the persistent connection was closed or aborted meanwhile (D1, D2), or a `refresh` was under way and
 *   the connection that it would replace was lost.
 *
 * @since 0.1.0
 * @category models
 */
export type AttemptOutcome = "success" | "failure" | "timeout" | "defect" | "interrupted"

/**
 * The phases of a persistent connection, as in `ConnectionState`. A closed one is in no phase.
 *
 * @since 0.1.0
 * @category models
 */
export type Phase = "connecting" | "connected" | "waiting" | "closing"

/**
 * Measures a persistent connection from now on until it has closed; then the gauges no longer count it. It starts no
 * fiber, and costs a few hundred bytes for an idle connection.
 *
 * Metric labels of the fiber (`Effect.tagMetrics`) come after the metrics' own tags. A persistent connection that is
 * tracked twice is counted twice.
 *
 * @example
 * ```ts
 * import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
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
 * }).pipe(Effect.tap(ConnectionMetrics.track))
 * ```
 *
 * @since 0.1.0
 * @category tracking
 */
export const track: <Connection, E>(self: PersistentConnection<Connection, E>) => Effect.Effect<void> = tracker.track

/**
 * `persistent_connection_attempts`: attempts that have ended, tagged by `server_name` and `outcome`, an
 * `AttemptOutcome`. Attempts that no event reports (C5), and those of a `refresh`, count too.
 *
 * @example
 * ```ts
 * import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
 * import * as Effect from "effect/Effect"
 * import * as Metric from "effect/Metric"
 *
 * // The order of the tags matters to Effect: `server_name` is the first.
 * export const timeouts = ConnectionMetrics.attempts.pipe(
 *   Metric.tagged("server_name", "prices"),
 *   Metric.tagged("outcome", "timeout"),
 *   Metric.value,
 *   Effect.map(({ count }) => count)
 * )
 * ```
 *
 * @since 0.1.0
 * @category metrics
 */
export const attempts: Metric.Metric.Counter<number> = internal.attempts

/**
 * `persistent_connection_connections`: connections that have been established, tagged by `server_name`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const connections: Metric.Metric.Counter<number> = internal.connections

/**
 * `persistent_connection_losses`: connections that have been lost, with an error or without, tagged by `server_name`. A
 * connection that the owner closed, or that a `refresh` replaced, is not lost.
 *
 * @since 0.1.0
 * @category metrics
 */
export const losses: Metric.Metric.Counter<number> = internal.losses

/**
 * `persistent_connection_time_to_connect_seconds`: how long each successful attempt took, in seconds, including
 * everything that it waited for, such as event handlers; tagged by `server_name`. The attempts of a `refresh` are not
 * measured.
 *
 * @since 0.1.0
 * @category metrics
 */
export const timeToConnect: Metric.Metric.Histogram<number> = internal.timeToConnect

/**
 * `persistent_connection_uptime_seconds`: how long each connection lasted until it was lost, replaced, or began to be
 * closed, in seconds; tagged by `server_name`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const uptime: Metric.Metric.Histogram<number> = internal.uptime

/**
 * `persistent_connection_time_disconnected_seconds`: how long each period without a connection lasted, in seconds: from
 * the beginning, or a loss, to the next connection or the close; tagged by `server_name`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const timeDisconnected: Metric.Metric.Histogram<number> = internal.timeDisconnected

/**
 * `persistent_connection_state`: how many persistent connections are in a phase now, tagged by `server_name` and
 * `phase`, a `Phase`. If there is only one with this name, its phase has the value 1 and the other phases have 0.
 *
 * @since 0.1.0
 * @category metrics
 */
export const state: Metric.Metric.Gauge<number> = internal.state

/**
 * `persistent_connection_waiting`: how many fibers wait for a connection now, in `connected`, `use` and the like;
 * tagged by `server_name`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const waiting: Metric.Metric.Gauge<number> = internal.waiting

/**
 * `persistent_connection_handler_defects`: calls of `onEvent` that ended in a defect (D6), tagged by `server_name`.
 * Counted for every persistent connection.
 *
 * @since 0.1.0
 * @category metrics
 */
export const handlerDefects: Metric.Metric.Counter<number> = events.handlerDefects

/**
 * `persistent_connection_slow_handlers`: calls of `onEvent` that delayed the loop for longer than
 * `slowHandlerThreshold`, tagged by `server_name`. Counted for every persistent connection.
 *
 * @since 0.1.0
 * @category metrics
 */
export const slowHandlers: Metric.Metric.Counter<number> = events.slowHandlers

/**
 * `persistent_connection_round_trip_time_seconds`: how long each answer to a probe of a health check took, in seconds;
 * tagged by `server_name`. Measured for every connection with a health check, and for every WebSocket that can ping.
 *
 * @since 0.1.0
 * @category metrics
 */
export const roundTripTime: Metric.Metric.Histogram<number> = prober.roundTripTime
