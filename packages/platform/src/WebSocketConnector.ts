/**
 * WebSockets, in browsers, Node, Bun and wherever a `WebSocketConstructor` of `@effect/platform/Socket` can be had.
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import type { Connector } from "@persistent-connection/core/Connector"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Inspectable } from "effect/Inspectable"
import type * as Stream from "effect/Stream"
import * as internal from "./internal/webSocketConnector.js"
import type { WebSocketError } from "./WebSocketError.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/WebSocketConnection" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * Where the server is: an absolute `ws:` or `wss:` URL without a fragment, and the subprotocols to offer. A persistent
 * connection looks it up before every attempt, so a fresh token in its query is just another address.
 *
 * @since 0.1.0
 * @category models
 */
export type WebSocketAddress =
  | string
  | URL
  | { readonly url: string | URL; readonly protocols?: string | ReadonlyArray<string> | undefined }

/**
 * With which code and text the connection was closed, and whether both sides agreed to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface CloseEvent {
  readonly code: number
  readonly reason: string
  readonly wasClean: boolean
}

/**
 * An open WebSocket, or one that was.
 *
 * @since 0.1.0
 * @category models
 */
export interface WebSocketConnection extends Inspectable {
  readonly [TypeId]: TypeId

  /** The server, without user, password and query, which may be secrets. */
  readonly url: string

  /** The subprotocol that the server chose; empty if none. */
  readonly protocol: string

  /**
   * Hands a message to the platform, which sends messages in the order of the calls. While more than
   * `sendHighWaterMark` bytes are on their way it waits, at most for `sendTimeout`. It does not mean that the message
   * has arrived.
   *
   * Fails if the message cannot be sent: with `SendTimeout`; with `Closing`, or with the reason why the connection
   * ended, when it is not open; with `SendFailed` if the platform refuses. Then the message has not been sent.
   * Interrupting it leaves open whether the message has been sent. A `Uint8Array` must not be changed afterwards.
   */
  readonly send: (message: string | Uint8Array) => Effect.Effect<void, WebSocketError>

  /**
   * The messages, in order, from the first one that the server sent: what arrives before anyone listens is kept. Ends
   * after the last message that was received, as `closed` does.
   *
   * Each message goes to one run of the stream only. A run takes no more than it hands on, so the first messages can be
   * taken by one run (`Stream.take`) and the rest by another; runs at the same time share the messages between them.
   * When a run is interrupted, the next one goes on after the last message that was handed on, even if the handling of
   * it was interrupted.
   *
   * When more than `receiveHighWaterMark` bytes wait to be read, the server is held back where the platform can do so
   * (`ws` in Node). Then the connection neither answers pings nor notices its end, except by sending: so read the
   * messages even if you need none of them. Elsewhere the connection fails with `ReceiveOverflow` at `receiveLimit`.
   */
  readonly messages: Stream.Stream<string | Uint8Array, WebSocketError>

  /** How many messages have come so far, read or not: the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if it was closed normally: with code 1000, 1001, or a close frame
   * without a code (1005), by either side. Fails with `Closed` for every other code, also 1006, which stands for a
   * connection that broke without a close frame, and otherwise with what went wrong first.
   */
  readonly closed: Effect.Effect<CloseEvent, WebSocketError>

  /** Is the connection closed, or closing, as of now? */
  readonly isClosed: () => boolean

  /**
   * Closes the connection, with code 1000 unless told otherwise, and waits until the server has answered, at most for
   * `closeTimeout`; then gives up on it. That time runs even if nobody waits any more, so this can be interrupted. What
   * the server still sends is delivered with `ws`, up to `receiveLimit`, for the server is not held back any more; it is
   * dropped by browsers. Messages that have been waiting to be sent fail with `Closing`. Does nothing to a connection
   * that is closed, and waits in the same way for one that is closing.
   *
   * Fails with `InvalidClose` if the platform does not accept the code (1000 and 3000 to 4999 are accepted everywhere)
   * or the text (at most 123 bytes in UTF-8).
   */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void, WebSocketError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long opening may take, `Duration.infinity` for no limit. Default: 10 s. */
  readonly connectTimeout?: Duration.DurationInput | undefined

  /** How long `send` may wait for what was sent before, `Duration.infinity` for no limit. Default: 30 s. */
  readonly sendTimeout?: Duration.DurationInput | undefined

  /**
   * How long `close`, and leaving the scope of the connection, wait for the server to finish the close. After that `ws`
   * destroys the socket, and a browser, which cannot, is left to close it in its own time. Default: 2 s.
   *
   * A close that the server began, and does not finish, is given as long from when somebody calls `isClosed` or `send`,
   * since no platform tells of it. If nobody does, the connection ends when the platform has had enough: with `ws` after
   * 30 seconds, or the `closeTimeout` of its own options.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /** `send` waits while the platform holds more than so many unsent bytes. Default: 1 MiB. */
  readonly sendHighWaterMark?: number | undefined

  /**
   * The server is held back while more than so many received bytes wait to be read, until half of them are left. A
   * message counts as its length (in bytes, or UTF-16 code units) and 64 more. Default: 1 MiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection fails with `ReceiveOverflow` when a message arrives and more than so many bytes, counted in the same
   * way, wait already; so a single message may be of any length. Default: 64 MiB.
   */
  readonly receiveLimit?: number | undefined
}

/**
 * A connector that opens WebSockets. It needs a `WebSocketConstructor`: `Socket.layerWebSocketConstructorGlobal` of
 * `@effect/platform`, or the one of `@effect/platform-node`, or your own. In Node from 22 on both are Node's own
 * WebSocket, which can neither hold the server back nor be destroyed: prefer to make one with `ws`, with which you can
 * send headers as well.
 *
 * Opening fails at once with `InvalidAddress`, and otherwise with `OpenFailed` or `OpenTimeout`. An interrupted opening
 * is abandoned at once. Leaving the scope of the connection closes it with code 1000 and drops what is still received;
 * a connection that the server has closed, or is closing, is only released (X6).
 *
 * Throws an `IllegalArgumentException` if an option makes no sense.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import * as Socket from "@effect/platform/Socket"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Effect.gen(function*() {
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "feed",
 *     address: Effect.succeed("wss://example.com/feed"),
 *     connector: WebSocketConnector.make()
 *   })
 *   const connection = yield* feed.connected
 *   yield* connection.send("hello")
 *   yield* Stream.runForEach(connection.messages, Effect.log)
 * }).pipe(Effect.scoped, Effect.provide(Socket.layerWebSocketConstructorGlobal))
 * ```
 */
export const make: (
  options?: Options
) => Connector<WebSocketAddress, WebSocketConnection, WebSocketError, Socket.WebSocketConstructor> = internal.make
