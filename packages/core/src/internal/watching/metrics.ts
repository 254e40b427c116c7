import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const counter = (name: string, description: string) =>
  Metric.counter(`persistent_connection_${name}`, { description, incremental: true })

const gauge = (name: string, description: string) => Metric.gauge(`persistent_connection_${name}`, { description })

const seconds = (name: string, boundaries: ReadonlyArray<number>, description: string) =>
  Metric.histogram(
    `persistent_connection_${name}_seconds`,
    MetricBoundaries.fromIterable(boundaries),
    description
  )

const minute = 60
const hour = 60 * minute
const day = 24 * hour

/** @internal */
export const attempts = counter("attempts", "Attempts to connect that have ended, by server_name and outcome")

/** @internal */
export const connections = counter("connections", "Connections that have been established, by server_name")

/** @internal */
export const losses = counter("losses", "Connections that have been lost, by server_name")

/** @internal */
export const timeToConnect = seconds(
  "time_to_connect",
  [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, minute],
  "Seconds that the attempts that succeeded have taken, by server_name"
)

/** @internal */
export const uptime = seconds(
  "uptime",
  [1, 10, minute, 5 * minute, 15 * minute, hour, 4 * hour, 12 * hour, day, 7 * day, 30 * day],
  "Seconds that connections have lasted, by server_name"
)

/** @internal */
export const timeDisconnected = seconds(
  "time_disconnected",
  [0.1, 0.5, 1, 5, 10, 30, minute, 5 * minute, 15 * minute, hour, 4 * hour, day],
  "Seconds without a connection at a stretch, by server_name"
)

/** @internal */
export const state = gauge("state", "Persistent connections that are in a phase now, by server_name and phase")

/** @internal */
export const waiting = gauge("waiting", "Fibers that wait for a connection now, by server_name")
