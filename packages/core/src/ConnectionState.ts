/**
 * The state of a persistent connection.
 *
 * These are all transitions; `*` is the start:
 *
 * | from         | to           | when                                                                          |
 * | ------------ | ------------ | ----------------------------------------------------------------------------- |
 * | `*`          | `Connecting` | it is made (C1)                                                                |
 * | `Connecting` | `Connecting` | an attempt begins; the look-up has answered                                    |
 * | `Connecting` | `Connected`  | an attempt succeeded (A1)                                                      |
 * | `Connecting` | `Waiting`    | an attempt failed (C3, C6, D9)                                                 |
 * | `Connecting` | `Closing`    | `close`, `closeWhenCurrentConnectionIsClosed` or abort (D1, D2)                |
 * | `Connected`  | `Connected`  | `closeWhenCurrentConnectionIsClosed` or abort: it will be the last (X4, X5); a `refresh` has replaced it |
 * | `Connected`  | `Waiting`    | the connection is lost (A2)                                                    |
 * | `Connected`  | `Closing`    | `close` (X3)                                                                   |
 * | `Waiting`    | `Connecting` | the delay has passed (T1, T2), or `reconnectNow` or `refresh` ends it          |
 * | `Waiting`    | `Closing`    | `close`, `closeWhenCurrentConnectionIsClosed`, abort (X2), or there is no next attempt (X4, X5, D11) |
 * | `Closing`    | `Closing`    | the first abort after a close replaces the reason (X5)                         |
 * | `Closing`    | `Closed`     | the last connection has been closed (X1)                                       |
 * | `Closed`     | `Closed`     | the first abort after a close replaces the reason (X5)                         |
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import type { ClosedReason } from "./ConnectionError.js"
import type { AttemptFailure } from "./Connector.js"
import { printable } from "./internal/base/printable.js"
import { shownState } from "./internal/loop/shownState.js"

/**
 * The fields of every phase.
 *
 * @since 0.1.0
 * @category models
 */
export interface Common<E> {
  /** When this phase began, in ms of the `Clock`. */
  readonly since: number
  /** How many connections have been established so far: the number of the current or last one, 0 before the first. */
  readonly generation: number
  /** The number of the attempt under way, or of the last one made, within its cycle; from 1. */
  readonly attempt: number
  /** The address from the last successful look-up; none before the first. Its type depends on the look-up (E3). */
  readonly address: Option.Option<unknown>
  /** The cause of the last failure or loss; empty if a connection ended without an error, none before the first. */
  readonly lastCause: Option.Option<Cause.Cause<AttemptFailure<E>>>
}

/**
 * - `Connecting`: the `AttemptingToConnect` handler is running, or an attempt is under way. `deadline` is when the
 *   attempt will time out (D9), in ms of the `Clock`. None if there is no deadline, before the attempt begins, and
 *   while the deadline is paused (event handlers, `Attempt.untimed`).
 * - `Connected`: there is a current connection. `isLast` is true if no other connection will follow it (X4, X5).
 * - `Waiting`: the next attempt begins at `nextAttemptAt`, in ms of the `Clock`; `Infinity` if only `reconnectNow` or
 *   `refresh` starts it. None if there will be no other attempt, and only the handler of the last event is awaited (X4,
 *   X5, D11).
 * - `Closing`: no other connection will be established; the last one, if there is one, is being closed.
 * - `Closed`: the last state.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectionState<Connection, E> = Data.TaggedEnum<{
  Connecting: Common<E> & { readonly deadline: Option.Option<number> }
  Connected: Common<E> & { readonly connection: Connection; readonly isLast: boolean }
  Waiting: Common<E> & { readonly nextAttemptAt: Option.Option<number> }
  Closing: Common<E> & { readonly connection: Option.Option<Connection>; readonly reason: ClosedReason<E> }
  Closed: Common<E> & { readonly reason: ClosedReason<E> }
}>

interface Definition extends Data.TaggedEnum.WithGenerics<2> {
  readonly taggedEnum: ConnectionState<this["A"], this["B"]>
}

/**
 * Constructors of the states, with `$is` and `$match`. A state that is printed or logged shows its causes as text,
 * without secrets, and not the connection.
 *
 * @since 0.1.0
 * @category constructors
 */
export const { $is, $match, Closed, Closing, Connected, Connecting, Waiting } = printable(
  Data.taggedEnum<Definition>(),
  shownState
)

/**
 * The current connection of this state, if it has one. That connection may be known to be closed (A2, A6).
 *
 * @since 0.1.0
 * @category getters
 */
export const connection = <Connection, E>(state: ConnectionState<Connection, E>): Option.Option<Connection> => {
  switch (state._tag) {
    case "Connected":
      return Option.some(state.connection)
    case "Closing":
      return state.connection
    default:
      return Option.none()
  }
}
