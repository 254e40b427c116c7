/**
 * What can go wrong with a WebSocket.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { meaning } from "./internal/closeCode.js"
import { describe, oneLine } from "./internal/describe.js"

/**
 * What went wrong:
 *
 * - `InvalidAddress`: the address is no WebSocket address, or the platform refused it; nothing was opened.
 * - `OpenFailed`: refused, unreachable, not a WebSocket server … `status` is the status of the HTTP response where the
 *   platform tells (`ws` does, browsers do not); `cause` is what the platform says, if anything: of an error the name,
 *   `code` and text, without what may be secret in the URLs that it quotes.
 * - `OpenTimeout`: the server did not answer within `connectTimeout`.
 * - `Closed`: the connection was closed with this code and text, by either side; 1006 if it broke without a close
 *   frame. `wasClean` as in the platform's close event.
 * - `Failed`: the platform reported an error on the open connection, such as a frame that breaks the protocol; `cause`
 *   as above.
 * - `ReceiveOverflow`: messages came faster than they were read, where the server is not held back, since the platform
 *   cannot do so or the connection is being closed, and more than `receiveLimit` were waiting.
 * - `CloseTimeout`: the connection was closing, and the server did not finish that within `closeTimeout`.
 * - `Closing`: the message was not sent, because the closing handshake has begun.
 * - `SendTimeout`: the message was not sent, because what was sent before did not drain within `sendTimeout`.
 * - `SendFailed`: the platform refused to send the message.
 * - `InvalidClose`: the platform refused the code, or the text, with which to close; the connection is as it was.
 *
 * @since 0.1.0
 * @category models
 */
export type WebSocketErrorReason =
  | { readonly _tag: "InvalidAddress"; readonly description: string }
  | { readonly _tag: "OpenFailed"; readonly status?: number; readonly cause?: unknown }
  | { readonly _tag: "OpenTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "Closed"; readonly code: number; readonly reason: string; readonly wasClean: boolean }
  | { readonly _tag: "Failed"; readonly cause: unknown }
  | { readonly _tag: "ReceiveOverflow"; readonly limit: number }
  | { readonly _tag: "CloseTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "Closing" }
  | { readonly _tag: "SendTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "SendFailed"; readonly cause: unknown }
  | { readonly _tag: "InvalidClose"; readonly cause: unknown }

/**
 * The error of a WebSocket: to which server, and what went wrong. `url` is without user, password, query and fragment,
 * which may be secrets.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * ```ts
 * import { WebSocketError } from "@persistent-connection/platform/WebSocketError"
 *
 * const mustLogInAgain = (error: WebSocketError): boolean =>
 *   error.reason._tag === "OpenFailed" && error.reason.status === 401 ||
 *   error.reason._tag === "Closed" && error.reason.code === 4401
 *
 * const error = new WebSocketError({
 *   url: "wss://example.com/feed",
 *   reason: { _tag: "Closed", code: 4401, reason: "token expired", wasClean: true }
 * })
 *
 * console.log(error.message)
 * console.log(mustLogInAgain(error))
 * ```
 */
export class WebSocketError extends Data.TaggedError("WebSocketError")<{
  readonly url: string
  readonly reason: WebSocketErrorReason
}> {
  /**
   * One line for a person: the server and what went wrong. Line breaks and other control characters of what the server
   * says are spaces; `reason` has it as it was.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return oneLine(`WebSocket ${this.url}: ${explain(this.reason)}`)
  }
}

const explain = (reason: WebSocketErrorReason): string => {
  switch (reason._tag) {
    case "InvalidAddress":
      return `invalid address: ${reason.description}`
    case "OpenFailed":
      return reason.cause === undefined ? "could not be opened" : `could not be opened: ${describe(reason.cause)}`
    case "OpenTimeout":
      return `was not open after ${Duration.format(reason.timeout)}`
    case "Closed":
      return `was closed with ${reason.code} (${meaning(reason.code)})` +
        (reason.reason === "" ? "" : `: ${reason.reason}`)
    case "Failed":
      return `failed: ${describe(reason.cause)}`
    case "ReceiveOverflow":
      return `more than ${reason.limit} bytes were received and not read`
    case "CloseTimeout":
      return `the server did not finish the close within ${Duration.format(reason.timeout)}`
    case "Closing":
      return "not sent, because the connection is closing"
    case "SendTimeout":
      return `not sent, because the server did not take what was sent before within ${Duration.format(reason.timeout)}`
    case "SendFailed":
      return `not sent: ${describe(reason.cause)}`
    case "InvalidClose":
      return `cannot be closed like this: ${describe(reason.cause)}`
  }
}
