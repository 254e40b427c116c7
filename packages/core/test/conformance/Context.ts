/** The shared context of one replay: the clock, the log, and the objects on which the ops act. */
import type { VirtualClock } from "#internal/testing/virtualClock.js"
import type * as Connector from "@persistent-connection/core/Connector"
import type * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type { Refused } from "../support/refused.js"
import type { Entry } from "./Trace.js"
import type { TraceConnection } from "./TraceConnection.js"

/** The context of a replay. Its fields are undefined as long as they were unknown to the harness of the original. */
export interface ReplayContext {
  readonly clock: VirtualClock
  readonly log: (lane: string, event: { readonly ev: string; readonly [field: string]: unknown }) => void
  persistentConnection: PersistentConnection.PersistentConnection<TraceConnection, Refused> | undefined
  /** The attempt of the last connect. */
  attempt: Connector.Attempt<string> | undefined
  /** The newest connection. */
  connection: TraceConnection | undefined
  subscribers: number
}

/** A new context, and its log by lanes. */
export const make = (
  clock: VirtualClock
): { readonly context: ReplayContext; readonly lanes: Record<string, Array<Entry>> } => {
  const lanes: Record<string, Array<Entry>> = {}
  const context: ReplayContext = {
    clock,
    log: (lane, event) => {
      const entries = (lanes[lane] ??= [])
      entries.push({ t: clock.now, ...event })
    },
    persistentConnection: undefined,
    attempt: undefined,
    connection: undefined,
    subscribers: 0
  }
  return { context, lanes }
}

/** The failure of an attempt in the format of the traces: an error value or an exception. */
export const describeFailure = (cause: Cause.Cause<unknown>): { readonly error: string } | { readonly exn: string } => {
  for (const error of Cause.failures(cause)) return { error: message(error) }
  return { exn: Chunk.isNonEmpty(Cause.defects(cause)) ? message(Cause.squash(cause)) : Cause.pretty(cause) }
}

const message = (error: unknown): string => error instanceof Error ? error.message : String(error)
