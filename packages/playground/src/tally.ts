/** The counters for the summary of the demo. */
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import type { Price } from "./server.js"

/** Counts the attempts, connections and downtime of a persistent connection, and the received and missed prices. */
export class Tally {
  attempts = 0
  failures = 0
  connections = 0
  downtime = 0
  received = 0
  missed = 0

  private previous: ConnectionState<unknown, unknown> | undefined
  private lastNumber: number | undefined

  state(state: ConnectionState<unknown, unknown>): void {
    const { previous } = this
    this.previous = state
    if (previous?._tag === "Connecting" && (state._tag === "Connected" || state._tag === "Waiting")) {
      this.attempts++
      if (state._tag === "Waiting") this.failures++
    }
    if (state._tag === "Connected" && previous?._tag !== "Connected") this.connections++
    if (previous !== undefined && previous._tag !== "Connected" && state.since > previous.since) {
      this.downtime += state.since - previous.since
    }
  }

  price({ number }: Price): void {
    this.received++
    if (this.lastNumber !== undefined) this.missed += Math.max(0, number - this.lastNumber - 1)
    this.lastNumber = number
  }

  get rows(): ReadonlyArray<readonly [string, string]> {
    return [
      ["attempts", `${this.attempts}, of which ${this.failures} failed`],
      ["connections", String(this.connections)],
      ["time without a connection", `${(this.downtime / 1000).toFixed(1)} s`],
      ["prices received", String(this.received)],
      ["prices missed", String(this.missed)]
    ]
  }
}
