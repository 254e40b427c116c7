/**
 * The errors of WebSockets.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import { isRegular, meaning } from "./internal/closeCode.js"
import { describe, errorCode, isCertificateCode, oneLine } from "./internal/describe.js"

/**
 * The reason of a `WebSocketError`:
 *
 * - `InvalidAddress`: the address is not a WebSocket address, or the platform refused it; nothing was opened.
 * - `OpenFailed`: refused, unreachable, a bad certificate, not a WebSocket server … With `ws` (not in browsers) it has
 *   the HTTP response of a server that refuses the upgrade: `status`; `retryAfter`, the time in the header
 *   `Retry-After`; and the first 8 KiB of the `body`, redacted because it may contain secrets. `cause` is the error of
 *   the platform, if it reports one: the name, `code` and text, without possible secrets in URLs.
 * - `OpenTimeout`: the server did not answer within `connectTimeout`.
 * - `Closed`: the connection was closed with this code and text; 1006 if it broke without a close frame. `wasClean` is
 *   the field of the platform's close event.
 * - `Failed`: the platform reported an error on the open connection, such as a frame that violates the protocol;
 *   `cause` as in `OpenFailed`.
 * - `PingTimeout`: the server answered none of the last `missedProbes` pings, and sent nothing else. `timeout` is their
 *   time together.
 * - `ReceiveOverflow`: more than `receiveLimit` bytes were unread, without backpressure: on a platform that has none,
 *   or during a close.
 * - `CloseTimeout`: the connection was closing, and the server did not complete the close within `closeTimeout`.
 * - `Closing`: the message was not sent, because the closing handshake has begun.
 * - `SendTimeout`: the message was not sent, because earlier messages did not drain within `sendTimeout`.
 * - `SendFailed`: the platform refused to send the message.
 * - `InvalidClose`: the platform refused the code or the text of a `close`; the connection is unchanged.
 *
 * @since 0.1.0
 * @category models
 */
export type WebSocketErrorReason =
  | { readonly _tag: "InvalidAddress"; readonly description: string }
  | {
    readonly _tag: "OpenFailed"
    readonly status?: number
    readonly retryAfter?: Duration.Duration
    readonly body?: Redacted.Redacted<string>
    readonly cause?: unknown
  }
  | { readonly _tag: "OpenTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "Closed"; readonly code: number; readonly reason: string; readonly wasClean: boolean }
  | { readonly _tag: "Failed"; readonly cause: unknown }
  | { readonly _tag: "PingTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "ReceiveOverflow"; readonly limit: number }
  | { readonly _tag: "CloseTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "Closing" }
  | { readonly _tag: "SendTimeout"; readonly timeout: Duration.Duration }
  | { readonly _tag: "SendFailed"; readonly cause: unknown }
  | { readonly _tag: "InvalidClose"; readonly cause: unknown }

/**
 * The error of a WebSocket: the URL of the server, and the reason. `url` has no user, password, query or fragment,
 * which may be secrets.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * ```ts
 * import { WebSocketError } from "@persistent-connection/platform/WebSocketError"
 *
 * const mustLogInAgain = (error: WebSocketError): boolean =>
 *   error.status === 401 || (error.reason._tag === "Closed" && error.reason.code === 4401)
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
export class WebSocketError extends /* @__PURE__ */ Data.TaggedError("WebSocketError")<{
  readonly url: string
  readonly reason: WebSocketErrorReason
}> {
  /**
   * The HTTP status with which the server refused the upgrade, if the platform reports it.
   *
   * @since 0.1.0
   */
  get status(): number | undefined {
    return this.reason._tag === "OpenFailed" ? this.reason.status : undefined
  }

  /**
   * How long to wait, counted from the answer, if the server refused the upgrade with a header `Retry-After`.
   *
   * @since 0.1.0
   */
  get retryAfter(): Duration.Duration | undefined {
    return this.reason._tag === "OpenFailed" ? this.reason.retryAfter : undefined
  }

  /**
   * The code of the system's or TLS's error, if the platform reports it: `ECONNREFUSED`, `ENOTFOUND`,
   * `CERT_HAS_EXPIRED` …
   *
   * @since 0.1.0
   */
  get code(): string | undefined {
    return "cause" in this.reason ? errorCode(this.reason.cause) : undefined
  }

  /**
   * True if the certificate of the server was refused, so another attempt is useless. False if the platform does not
   * report it.
   *
   * @since 0.1.0
   */
  get isCertificateError(): boolean {
    return isCertificateCode(this.code)
  }

  /**
   * True if the connection was closed in the regular way: with code 1000 or 1001, or with a close frame without a code
   * (1005). Such an end is logged as information.
   *
   * @since 0.1.0
   */
  get isRegularEnd(): boolean {
    return this.reason._tag === "Closed" && isRegular(this.reason.code)
  }

  /**
   * One line of text: the URL of the server, and the reason. Line breaks and other control characters are replaced by
   * spaces; `reason` has the original text.
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
      return `did not open within ${Duration.format(reason.timeout)}`
    case "Closed":
      return `was closed with ${reason.code} (${meaning(reason.code)})` +
        (reason.reason === "" ? "" : `: ${reason.reason}`)
    case "Failed":
      return `failed: ${describe(reason.cause)}`
    case "PingTimeout":
      return `the server answered no ping for ${Duration.format(reason.timeout)}`
    case "ReceiveOverflow":
      return `more than ${reason.limit} bytes were received and not read`
    case "CloseTimeout":
      return `the server did not finish the close within ${Duration.format(reason.timeout)}`
    case "Closing":
      return "not sent, because the connection is closing"
    case "SendTimeout":
      return `not sent, because earlier messages did not drain within ${Duration.format(reason.timeout)}`
    case "SendFailed":
      return `not sent: ${describe(reason.cause)}`
    case "InvalidClose":
      return `could not be closed with this code or text: ${describe(reason.cause)}`
  }
}
