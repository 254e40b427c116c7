/**
 * Lists every persistent connection of the process, for a debug endpoint or a signal handler. You do not have to
 * register them: it finds every persistent connection whose scope has not been left.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { ConnectionState } from "./ConnectionState.js"
import * as internal from "./internal/watching/inspect.js"
import type { PersistentConnection } from "./PersistentConnection.js"

/**
 * One persistent connection, as plain data that JSON and `console.table` can print. It contains no secrets;
 * `docs/watching.md` says what is hidden.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  /** The name of the server, as given to `PersistentConnection.make`. */
  readonly serverName: string
  /** The tag of its state. */
  readonly phase: ConnectionState<unknown, unknown>["_tag"]
  /** When the phase began, in ms of the `Clock`. */
  readonly since: number
  /** How long ago that was, in ms. */
  readonly forMillis: number
  /** How many connections have been established so far. */
  readonly generation: number
  /** The number of the attempt under way, or of the last one made, within its cycle; from 1. */
  readonly attempt: number
  /**
   * When the next attempt is due, in ms of the `Clock`; null if none is scheduled. `Infinity` if only `reconnectNow` or
   * `refresh` starts it; JSON shows that as null.
   */
  readonly nextAttemptAt: number | null
  /** How many fibers wait for a connection. */
  readonly waiting: number
  /** The address from the last successful look-up, as text; null before the first. */
  readonly address: string | null
  /** The cause of the last failure or loss, or of the close, as text; null if there was none. */
  readonly lastCause: string | null
}

/**
 * Summarizes one persistent connection.
 *
 * @since 0.1.0
 * @category getters
 */
export const summarize: <Connection, E>(self: PersistentConnection<Connection, E>) => Effect.Effect<Summary> =
  internal.summarize

/**
 * Summarizes every persistent connection of the process whose scope has not been left, sorted by the name of the
 * server. Those with the same name are in the order in which they were made.
 *
 * @example
 * ```ts
 * import * as Inspect from "@persistent-connection/core/Inspect"
 * import * as Effect from "effect/Effect"
 *
 * export const json = Effect.map(Inspect.all, (summaries) => JSON.stringify(summaries))
 *
 * export const print = Effect.map(Inspect.all, (summaries) => console.table(summaries))
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const all: Effect.Effect<ReadonlyArray<Summary>> = internal.all
