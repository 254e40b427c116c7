/**
 * The errors of the library itself. Every other error comes from the look-up or the connector, unchanged (D5), or is a
 * `TimeoutException` of a deadline.
 *
 * When these errors are printed or logged, they show their message, without secrets. The causes that they hold are for
 * the program: `console.log`, JSON and Effect's loggers do not print them.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import type { AttemptFailure } from "./Connector.js"
import * as internal from "./internal/base/cause.js"
import { summary } from "./internal/base/render.js"

/**
 * Why a persistent connection is closed:
 *
 * - `ClosedByOwner`: by `close`, `closeGracefully` or `closeWhenCurrentConnectionIsClosed`, or because its scope was
 *   left (X1, X4, D8);
 * - `Aborted`: the look-up or the connector called `attempt.abort` with this error (X5);
 * - `GaveUp`: the retry policy ended after this failure or loss (D11).
 *
 * `Aborted` and `GaveUp` are logged as errors; a `GaveUp` after a regular close by the server (`isRegularEnd`) is
 * logged as information.
 *
 * @since 0.1.0
 * @category models
 */
export type ClosedReason<E> =
  | { readonly _tag: "ClosedByOwner" }
  | { readonly _tag: "Aborted"; readonly cause: Cause.Cause<E> }
  | { readonly _tag: "GaveUp"; readonly cause: Cause.Cause<AttemptFailure<E>> }

/**
 * Tests whether the server closed the connection in the regular way (D13): true if the cause has errors, no defects,
 * and every error has a field `isRegularEnd` that is true. `WebSocketError` sets it for the close codes 1000 and 1001,
 * and for a close without a code (1005). False for an empty cause, which says nothing about the reason.
 *
 * @example
 * ```ts
 * import * as ConnectionError from "@persistent-connection/core/ConnectionError"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 *
 * // Reconnect, except after a regular close by the server.
 * export const retry = RetryPolicy.classify(
 *   RetryPolicy.standard,
 *   (cause) => ConnectionError.isRegularEnd(cause) ? RetryPolicy.giveUp : RetryPolicy.follow
 * )
 * ```
 *
 * @since 0.1.0
 * @category predicates
 */
export const isRegularEnd: (cause: Cause.Cause<unknown>) => boolean = internal.isRegularEnd

/**
 * The persistent connection is closed or closing: there will be no other connection.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionClosed<out E = unknown> extends /* @__PURE__ */ Data.TaggedError("ConnectionClosed")<{
  readonly serverName: string
}> {
  readonly #reason: ClosedReason<E>

  /**
   * @since 0.1.0
   */
  constructor({ reason, serverName }: { readonly serverName: string; readonly reason: ClosedReason<E> }) {
    super({ serverName })
    this.#reason = reason
    internal.setMessage(this, () => `The persistent connection to "${serverName}" is closed: ${describeReason(reason)}`)
  }

  /**
   * Why it is closed. It is not printed with the error: the message has it as text.
   *
   * @since 0.1.0
   */
  get reason(): ClosedReason<E> {
    return this.#reason
  }
}

const describeReason = (reason: ClosedReason<unknown>): string => {
  switch (reason._tag) {
    case "ClosedByOwner":
      return "its owner closed it"
    case "Aborted":
      return `it was aborted with ${summary(reason.cause)}`
    case "GaveUp":
      return isRegularEnd(reason.cause)
        ? `its retry policy gave up after the server had closed the connection: ${summary(reason.cause)}`
        : `its retry policy gave up after ${summary(reason.cause)}`
  }
}

/**
 * The connection was lost while it was in use. The persistent connection reconnects.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionLost<out E = unknown> extends /* @__PURE__ */ Data.TaggedError("ConnectionLost")<{
  readonly serverName: string
  /** The number of the connection that was lost, 1 for the first. */
  readonly generation: number
}> {
  readonly #lossCause: Cause.Cause<E>

  /**
   * @since 0.1.0
   */
  constructor({ generation, lossCause, serverName }: {
    readonly serverName: string
    readonly generation: number
    readonly lossCause: Cause.Cause<E>
  }) {
    super({ serverName, generation })
    this.#lossCause = lossCause
    internal.setMessage(this, () => `Connection ${generation} to "${serverName}" ${internal.describeEnd(lossCause)}`)
  }

  /**
   * The cause of the loss: empty if the server closed the connection without an error, or if a `refresh` replaced it.
   * It is not printed with the error: the message has it as text. It is not called `cause`, because Effect's loggers
   * print a `cause` in full.
   *
   * @since 0.1.0
   */
  get lossCause(): Cause.Cause<E> {
    return this.#lossCause
  }
}

/**
 * There is no connection now, and the caller does not wait for one (`whenDisconnected: "fail"`). The persistent
 * connection goes on with its attempts.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotConnected<out E = unknown> extends /* @__PURE__ */ Data.TaggedError("NotConnected")<{
  readonly serverName: string
  /** The number of the last connection; 0 if there has been none. */
  readonly generation: number
  /** How many attempts have failed since that connection, or since the beginning. */
  readonly failedAttempts: number
}> {
  readonly #lastCause: Option.Option<Cause.Cause<AttemptFailure<E>>>

  /**
   * @since 0.1.0
   */
  constructor({ failedAttempts, generation, lastCause, serverName }: {
    readonly serverName: string
    readonly generation: number
    readonly failedAttempts: number
    readonly lastCause: Option.Option<Cause.Cause<AttemptFailure<E>>>
  }) {
    super({ serverName, generation, failedAttempts })
    this.#lastCause = lastCause
    internal.setMessage(this, () => {
      const there = generation === 0
        ? `There has been no connection to "${serverName}" yet`
        : `There is no connection to "${serverName}" now`
      const cause = Option.getOrElse(lastCause, () => Cause.empty)
      if (failedAttempts > 0) return `${there}: the last attempt failed: ${summary(cause)}`
      return generation > 0 ? `${there}: connection ${generation} ${internal.describeEnd(cause)}` : there
    })
  }

  /**
   * The cause of the last failure of an attempt, or of the last loss, if that came later. None if there was neither. It
   * is not printed with the error: the message has it as text.
   *
   * @since 0.1.0
   */
  get lastCause(): Option.Option<Cause.Cause<AttemptFailure<E>>> {
    return this.#lastCause
  }
}
