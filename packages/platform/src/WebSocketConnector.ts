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
import type * as Layer from "effect/Layer"
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
   * after the last message that was received, also when the connection has long ended: nothing that was received is
   * dropped. Fails then with the error of `closed`, unless the connection was closed in a regular way.
   *
   * Each message goes to one run of the stream only. A run takes no more than it hands on, so the first messages can be
   * taken by one run (`Stream.take`) and the rest by another; runs at the same time share the messages between them.
   * When a run is interrupted, the next one goes on after the last message that was handed on, even if the handling of
   * it was interrupted.
   *
   * When more than `receiveHighWaterMark` bytes wait to be read, the server is held back where the platform can do so
   * (`ws` in Node): what it sends waits in the systems of both sides, its close frame too. Then the connection neither
   * answers pings nor notices its end, except by sending, which can cost what waits in this system; so read the
   * messages even if you need none of them. Elsewhere the connection fails with `ReceiveOverflow` at `receiveLimit`.
   */
  readonly messages: Stream.Stream<string | Uint8Array, WebSocketError>

  /** How many messages have come so far, read or not: the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if this side closed it, and the server agreed. Fails with `Closed`
   * if the server closed it, whatever the code (D13), also 1006, which stands for a connection that broke without a
   * close frame; and otherwise with what went wrong first. For 1000, 1001 and a close frame without a code (1005) the
   * error says `isRegularEnd`.
   */
  readonly closed: Effect.Effect<CloseEvent, WebSocketError>

  /** Is the connection closed, or closing, as of now? */
  readonly isClosed: () => boolean

  /**
   * Closes the connection, by default with code 1000, and waits until the server has answered, at most for
   * `closeTimeout`; then gives up on it. That time goes on if this is interrupted. What the server still sends is
   * delivered with `ws`, up to `receiveLimit`, for the server is not held back any more; it is dropped by browsers.
   * Messages that have been waiting to be sent fail with `Closing`. Does nothing to a connection that is closed, and
   * waits in the same way for one that is closing.
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
   * destroys the socket, and any other platform, which cannot, is left to close it in its own time. Default: 2 s.
   *
   * A close that the server began, and does not finish, is given as long: with `ws` from the server's close frame on;
   * elsewhere from when somebody calls `isClosed` or `send`, or until the platform has had enough.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /** `send` waits while the platform holds more unsent bytes than this. Default: 1 MiB. */
  readonly sendHighWaterMark?: number | undefined

  /**
   * The server is held back while more received bytes than this wait to be read, until half of them are left. A
   * message counts as its length (in bytes, or UTF-16 code units) and 64 more. Default: 1 MiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection fails with `ReceiveOverflow` when a message arrives and more bytes than this, counted in the same
   * way, wait already; so a single message may be of any length. Default: 64 MiB.
   *
   * It holds where the server cannot be held back: for other platforms than `ws`, and for what comes while the
   * connection is being closed. What `ws` had read before it stopped reading is taken in, however long: with
   * compression a little of it can become much.
   */
  readonly receiveLimit?: number | undefined

  /**
   * How a server is noticed that has gone silent: with pings of the WebSocket protocol, where the platform can send
   * them (`ws` can, browsers and Node's own WebSocket cannot). False for none. Default: with `ws` a silent server is
   * noticed within 13 seconds.
   */
  readonly ping?: PingOptions | false | undefined
}

/**
 * See `Connector.HealthCheckOptions`. Everything that is received counts as an answer, also a part of a long message.
 * While the server is held back, and so are its answers, it is not asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface PingOptions {
  /** How long a server may be silent before it is asked; shortened by a random part of up to a quarter. Default: 7 s. */
  readonly interval?: Duration.DurationInput | undefined

  /** How long the answer to a ping may take. Default: 3 s. */
  readonly timeout?: Duration.DurationInput | undefined

  /** How many pings in a row may go without an answer before the connection fails with `PingTimeout`. Default: 2. */
  readonly missedProbes?: number | undefined
}

/**
 * What is used of a socket of `ws`. More is used where it is there: to hold the server back, to ping, to destroy it,
 * and to read the answer of a server that refuses.
 *
 * @since 0.1.0
 * @category models
 */
export interface WsSocket {
  readonly readyState: number
  readonly bufferedAmount: number
  readonly protocol: string
  readonly send: (data: string | Uint8Array<ArrayBuffer>) => void
  readonly close: (code?: number, reason?: string) => void
}

/**
 * A `WebSocketConstructor` that makes sockets with the class `WebSocket` of `ws`, and with its options: headers,
 * certificates, a proxy's agent …
 *
 * Throws an `IllegalArgumentException` if the class is none, or the options are not an object.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import { WebSocket } from "ws"
 *
 * export const WebSocketLive = WebSocketConnector.layerWs(WebSocket, { headers: { authorization: "Bearer 123" } })
 * ```
 */
export const layerWs: <Options extends object>(
  WebSocket: new(url: string, protocols?: string | Array<string>, options?: Options) => WsSocket,
  options?: Options
) => Layer.Layer<Socket.WebSocketConstructor> = internal.layerWs

/**
 * A connector that opens WebSockets. It needs a `WebSocketConstructor`: `layerWs`, or
 * `Socket.layerWebSocketConstructorGlobal` of `@effect/platform`, or the one of `@effect/platform-node`, or your own.
 * In Node from 22 on the last two are Node's own WebSocket, which can neither ping, nor hold the server back, nor be
 * destroyed: prefer `ws` there.
 *
 * Opening fails at once with `InvalidAddress`, and otherwise with `OpenFailed` or `OpenTimeout`. An interrupted opening
 * is abandoned at once. Leaving the scope of the connection closes it with code 1000 and drops what is still received;
 * a connection that the server has closed, or is closing, is only released (X6). It waits for the server for
 * `closeTimeout` at most.
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
