/**
 * The only errors that the library makes itself. Everything else that a user sees failing is the look-up's or the
 * connector's own error, unchanged (rule D5).
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import { summary } from "./internal/base/cause.js"

/**
 * Why a persistent connection is closed:
 *
 * - `ClosedByOwner`: by `close`, `closeWhenCurrentConnectionIsClosed`, or because its scope was left (X1, X4, D8);
 * - `Aborted`: the connector, or the look-up, called `attempt.abort` with this error (X5);
 * - `GaveUp`: the retry policy ended after this failure or loss (D11).
 *
 * If it is not closed by its owner, a persistent connection logs that, as an error.
 *
 * @since 0.1.0
 * @category models
 */
export type ClosedReason<E> =
  | { readonly _tag: "ClosedByOwner" }
  | { readonly _tag: "Aborted"; readonly cause: Cause.Cause<E> }
  | { readonly _tag: "GaveUp"; readonly cause: Cause.Cause<E | Cause.TimeoutException> }

/**
 * The persistent connection is closed, or closing: there is no connection and there will be no other.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionClosed<out E = unknown> extends Data.TaggedError("ConnectionClosed")<{
  readonly serverName: string
  readonly reason: ClosedReason<unknown>
}> {
  declare readonly reason: ClosedReason<E>

  /**
   * One line for a person: the server's name and the reason.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `The persistent connection to "${this.serverName}" is closed: ${describeReason(this.reason)}`
  }
}

const describeReason = (reason: ClosedReason<unknown>): string => {
  switch (reason._tag) {
    case "ClosedByOwner":
      return "its owner closed it"
    case "Aborted":
      return `it was aborted with ${summary(reason.cause)}`
    case "GaveUp":
      return `its retry policy gave up after ${summary(reason.cause)}`
  }
}

/**
 * The connection on which something was being done, or was to be, is lost. The persistent connection itself goes on.
 *
 * `generation` is the number of the connection that was lost (1 for the first), `cause` is how it ended: empty if the
 * peer closed it without an error. To who did not want to wait (`whenDisconnected: "fail"`) `generation` is 0 if there
 * has been no connection yet, and `cause` is what failed last: the connection, or an attempt since then; empty if
 * nothing has.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionLost<out E = unknown> extends Data.TaggedError("ConnectionLost")<{
  readonly serverName: string
  readonly generation: number
  readonly cause: Cause.Cause<unknown>
}> {
  declare readonly cause: Cause.Cause<E>

  /**
   * One line for a person: the server's name, the connection's number, or that there has been none yet, and the cause.
   *
   * @since 0.1.0
   */
  override get message(): string {
    if (this.generation > 0) {
      return `Connection ${this.generation} to "${this.serverName}" was lost: ${summary(this.cause)}`
    }
    const why = Cause.isEmpty(this.cause) ? "" : `: ${summary(this.cause)}`
    return `There has been no connection to "${this.serverName}" yet${why}`
  }
}
