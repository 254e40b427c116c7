/**
 * The errors of TCP connections.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { describe, errorCode, oneLine } from "./internal/describe.js"

/**
 * The reason of a `TcpError`:
 *
 * - `InvalidAddress`: the host, the port or the path is not valid; nothing was opened.
 * - `OpenFailed`: refused, unreachable, unknown host …; `cause` is Node's error.
 * - `OpenTimeout`: there was no connection after `connectTimeout`.
 * - `Failed`: the connection broke: reset by the peer, timed out, unreachable …; `cause` is Node's error.
 * - `ReceiveOverflow`: during a close, bytes arrived while more than `receiveLimit` bytes were unread.
 * - `Closed`: the bytes were not sent, because the connection was closed in the regular way.
 * - `Closing`: the bytes were not sent, because the connection is being closed.
 * - `SendTimeout`: the bytes were not sent, because earlier bytes did not drain within `sendTimeout`.
 * - `SendFailed`: Node refused to send the bytes; `cause` is the value that it threw.
 * - `CloseTimeout`: this side closed the connection, and the peer did not close its side within `closeTimeout`.
 *
 * @since 0.1.0
 * @category models
 */
export type TcpErrorReason =
  | { readonly _tag: "InvalidAddress"; readonly description: string }
  | { readonly _tag: "OpenFailed"; readonly cause: unknown }
  | { readonly _tag: "OpenTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "Failed"; readonly cause: unknown }
  | { readonly _tag: "ReceiveOverflow"; readonly limit: number }
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Closing" }
  | { readonly _tag: "SendTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "SendFailed"; readonly cause: unknown }
  | { readonly _tag: "CloseTimeout"; readonly timeout: Duration.Duration }

/**
 * The error of a TCP connection: its address, and the reason.
 *
 * @since 0.1.0
 * @category errors
 */
export class TcpError extends /* @__PURE__ */ Data.TaggedError("TcpError")<{
  readonly address: string
  readonly reason: TcpErrorReason
}> {
  /**
   * The code of Node's error, if there was one: `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND` …
   *
   * @since 0.1.0
   */
  get code(): string | undefined {
    return "cause" in this.reason ? errorCode(this.reason.cause) : undefined
  }

  /**
   * One line of text: the address, and the reason. Line breaks and other control characters are replaced by spaces.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return oneLine(`TCP connection to ${this.address}: ${explain(this.reason)}`)
  }
}

const explain = (reason: TcpErrorReason): string => {
  switch (reason._tag) {
    case "InvalidAddress":
      return `invalid address: ${reason.description}`
    case "OpenFailed":
      return `could not be opened: ${describe(reason.cause)}`
    case "OpenTimeout":
      return `did not open within ${Duration.format(reason.timeout)}`
    case "Failed":
      return `failed: ${describe(reason.cause)}`
    case "ReceiveOverflow":
      return `more than ${reason.limit} bytes were received and not read`
    case "Closed":
      return "not sent, because the connection is closed"
    case "Closing":
      return "not sent, because the connection is closing"
    case "SendTimeout":
      return `not sent, because earlier data did not drain within ${Duration.format(reason.timeout)}`
    case "SendFailed":
      return `not sent: ${describe(reason.cause)}`
    case "CloseTimeout":
      return `the peer did not close its side within ${Duration.format(reason.timeout)}`
  }
}
