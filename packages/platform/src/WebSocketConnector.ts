/**
 * WebSockets, in browsers, Node, Bun and wherever there is a `WebSocketConstructor` of `@effect/platform/Socket`.
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
 * connection looks the address up before every attempt, so its query can carry a fresh token.
 *
 * @since 0.1.0
 * @category models
 */
export type WebSocketAddress =
  | string
  | URL
  | { readonly url: string | URL; readonly protocols?: string | ReadonlyArray<string> | undefined }

/**
 * The code and the text of a close, and whether both sides completed the closing handshake.
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
   * Hands a message to the platform, which sends messages in the order of the calls. It waits, at most for
   * `sendTimeout`, while more than `sendHighWaterMark` unsent bytes are buffered. Its success does not mean that the
   * message has arrived.
   *
   * Fails if the message cannot be sent: with `SendTimeout`; with `Closing` or the reason of the end if the connection
   * is not open; with `SendFailed` if the platform refuses. After a failure the message has not been sent; after an
   * interruption it may have been. Do not change a `Uint8Array` afterwards.
   */
  readonly send: (message: string | Uint8Array) => Effect.Effect<void, WebSocketError>

  /**
   * The messages, in order, from the first one that the server sent: what arrives before the stream runs is kept. Ends
   * after the last received message: nothing received is dropped, even if the connection has ended long ago. Then fails
   * with the error of `closed`, unless the connection was closed in a regular way.
   *
   * Each message goes to one run of the stream only; concurrent runs share the messages. A run takes no more than it
   * delivers, so one run can take the first messages (`Stream.take`) and another the rest. When a run is interrupted,
   * the next run goes on after the last delivered message, even if the processing of that message was interrupted.
   *
   * Backpressure: while more than `receiveHighWaterMark` bytes wait to be read, nothing is read from the server, if the
   * platform can do so (`ws` in Node). Then the connection answers no pings, sees no close frame, and notices its end
   * only by sending, and the unread messages in the system can get lost. So read the messages even if you do not need
   * them. On other platforms the connection fails with `ReceiveOverflow` at `receiveLimit`.
   */
  readonly messages: Stream.Stream<string | Uint8Array, WebSocketError>

  /** How many messages have arrived so far, read or not. Use it as the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if this side closed it, and the server completed the close. Fails
   * with `Closed` if the server closed it with any code (D13), or if it broke without a close frame (1006); and
   * otherwise with what went wrong first. For 1000, 1001 and a close frame without a code (1005) the error has
   * `isRegularEnd`.
   */
  readonly closed: Effect.Effect<CloseEvent, WebSocketError>

  /** Is the connection closed or closing now? */
  readonly isClosed: () => boolean

  /**
   * Closes the connection, by default with code 1000, and waits for the answer of the server, at most for
   * `closeTimeout`. An interruption does not stop that timeout. With `ws`, what the server still sends is delivered, up
   * to `receiveLimit`, without backpressure; browsers drop it. A `send` that still waits fails with `Closing`. Does
   * nothing if the connection is closed; if it is closing, only waits in the same way.
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
  /** How long opening may take; `Duration.infinity` for no limit. Default: 10 s. */
  readonly connectTimeout?: Duration.DurationInput | undefined

  /** How long `send` may wait for earlier messages to drain; `Duration.infinity` for no limit. Default: 30 s. */
  readonly sendTimeout?: Duration.DurationInput | undefined

  /**
   * How long `close`, and leaving the scope, wait for the server to finish the close. Then `ws` destroys the socket;
   * other platforms cannot, and close it in their own time. Default: 2 s.
   *
   * The same limit applies to a close that the server begins and does not finish. With `ws` the time runs from the
   * server's close frame; on other platforms it runs from the next call of `isClosed` or `send`, unless the platform
   * gives up earlier.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /** `send` waits while the platform holds more unsent bytes than this. Default: 1 MiB. */
  readonly sendHighWaterMark?: number | undefined

  /**
   * Backpressure begins when more received bytes than this wait to be read, and ends at half of it. A message counts as
   * its length (in bytes, or UTF-16 code units) plus 64. Default: 1 MiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection fails with `ReceiveOverflow` when a message arrives and more bytes than this, counted in the same
   * way, already wait. So a single message may have any length. Default: 64 MiB.
   *
   * It applies where there is no backpressure: on platforms other than `ws`, and during a close. What `ws` had read
   * before it stopped reading is kept in full, and decompression can make it much longer.
   */
  readonly receiveLimit?: number | undefined

  /**
   * Detects a silent server with pings of the WebSocket protocol, if the platform can send them (`ws` can; browsers and
   * Node's own WebSocket cannot). False for no pings. Default: with `ws` a silent server is detected within 13 seconds.
   */
  readonly ping?: PingOptions | false | undefined
}

/**
 * See `Connector.HealthCheckOptions`. Everything that is received counts as an answer, also a part of a long message.
 * No pings are sent during backpressure, which holds back the answers too.
 *
 * @since 0.1.0
 * @category models
 */
export interface PingOptions {
  /** How long a server may be silent before a ping; shortened by a random part of up to a quarter. Default: 7 s. */
  readonly interval?: Duration.DurationInput | undefined

  /** How long the answer to a ping may take. Default: 3 s. */
  readonly timeout?: Duration.DurationInput | undefined

  /** The connection fails with `PingTimeout` after this many consecutive pings without an answer. Default: 2. */
  readonly missedProbes?: number | undefined
}

/**
 * The members of a `ws` socket that are required. More are used if present: for backpressure, to ping, to destroy the
 * socket, and to read the answer of a server that refuses.
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
 * A `WebSocketConstructor` that uses the class `WebSocket` of `ws` with its options: headers, certificates, the agent
 * of a proxy …
 *
 * Throws an `IllegalArgumentException` if the first argument is not a class, or the options are not an object.
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
 * From Node 22 on, the two of `@effect/platform` use Node's own WebSocket, which has no ping, no backpressure, and
 * cannot be destroyed: prefer `ws` there.
 *
 * Opening fails with `InvalidAddress` (at once), `OpenFailed` or `OpenTimeout`. An interruption abandons the opening at
 * once. Leaving the scope closes the connection with code 1000 and drops what is still received; if the server has
 * closed the connection, or is closing it, it is only released (X6). That takes `closeTimeout` at most.
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
