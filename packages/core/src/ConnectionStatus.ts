/**
 * The status of a persistent connection, for user interfaces. It does not show short losses; see
 * `PersistentConnection.status`. `ConnectionState` shows every loss.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import type * as Option from "effect/Option"
import type { ClosedReason } from "./ConnectionError.js"
import type { AttemptFailure } from "./Connector.js"
import { printable } from "./internal/base/printable.js"
import { shownStatus } from "./internal/loop/shownState.js"

/**
 * A time without a connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outage<E> {
  /** When it began, in ms of the `Clock`: when the persistent connection was made, or lost its connection. */
  readonly since: number
  /** The number of the present or last attempt; 0 if there has been none since the loss. */
  readonly attempt: number
  /**
   * When the next attempt begins, in ms of the `Clock`; `Infinity` if only `reconnectNow` or `refresh` starts it. None
   * during an attempt, or if no other attempt will follow.
   */
  readonly nextAttemptAt: Option.Option<number>
  /** The cause of the last failure or loss; empty if a connection ended without an error, none before the first. */
  readonly lastCause: Option.Option<Cause.Cause<AttemptFailure<E>>>
}

/**
 * - `Connecting`: there has been no connection yet.
 * - `Connected`: there is a connection, or it was lost a moment ago.
 * - `Reconnecting`: the connection is lost.
 * - `Closed`: there will be no other connection. The last one may still be closing.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectionStatus<E> = Data.TaggedEnum<{
  Connecting: Outage<E>
  Connected: {}
  Reconnecting: Outage<E>
  Closed: { readonly reason: ClosedReason<E> }
}>

interface Definition extends Data.TaggedEnum.WithGenerics<1> {
  readonly taggedEnum: ConnectionStatus<this["A"]>
}

/**
 * Constructors of the statuses, with `$is` and `$match`. A status that is printed or logged shows its causes as text,
 * without secrets.
 *
 * @since 0.1.0
 * @category constructors
 */
export const { $is, $match, Closed, Connected, Connecting, Reconnecting } = printable(
  Data.taggedEnum<Definition>(),
  shownStatus
)
