/**
 * WebSockets, in browsers, Node, Bun, and everywhere else with a `WebSocketConstructor` of `@effect/platform/Socket`.
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
 * The address of the server: an absolute `ws:` or `wss:` URL without a fragment, and the subprotocols to offer. A
 * persistent connection looks the address up at every attempt, so the query can contain a new token.
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
 * A WebSocket connection. It may have ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface WebSocketConnection extends Inspectable {
  readonly [TypeId]: TypeId

  /** The URL of the server, without user, password and query, which may be secrets. */
  readonly url: string

  /** The subprotocol that the server chose; empty if none. */
  readonly protocol: string

  /**
   * Gives a message to the platform, which sends messages in the order of the calls. It waits while more than
   * `sendHighWaterMark` unsent bytes are buffered, for at most `sendTimeout`. Its success does not mean that the
   * message has arrived.
   *
   * Fails if the message cannot be sent: with `SendTimeout`; with `Closing` if this side closes; with the reason for
   * the end if the connection has ended; with `SendFailed` if the platform refuses. If the server closes, `send` waits
   * for the end, at most for `sendTimeout`, and fails with its reason (D13). After a failure the message has not been
   * sent; after an interruption it may have been sent. Do not change the `Uint8Array` after the call.
   */
  readonly send: (message: string | Uint8Array) => Effect.Effect<void, WebSocketError>

  /**
   * The messages, in order, from the first one that the server sent on, also those that arrived before the stream runs.
   * Nothing received is dropped, even if the connection ended long ago. After the last received message, the stream
   * ends if the connection was closed in the regular way, and otherwise fails with the error of `closed`.
   *
   * Each message goes to one run of the stream only. A run gets all waiting messages as one chunk. When a run is
   * interrupted, the next run goes on after the last delivered chunk. So a run that takes a few elements
   * (`Stream.take`, `Stream.runHead`) drops the rest of their chunk: use `receive` to take single messages.
   *
   * Backpressure: while more than `receiveHighWaterMark` bytes wait to be taken, nothing is read from the server, if
   * the platform can do so (`ws` in Node). Then the connection answers no pings, gets no close frame, detects its end
   * only when it sends, and the messages that are still in the system can get lost. So read the messages even if you do
   * not need them. On other platforms the connection is lost with `ReceiveOverflow` at `receiveLimit`.
   */
  readonly messages: Stream.Stream<string | Uint8Array, WebSocketError>

  /**
   * Takes the next message only, for instance in a handshake in `Connector.setup`. Fails as `messages` does, and with
   * `Closed` or `Closing` where `messages` would end regularly.
   */
  readonly receive: Effect.Effect<string | Uint8Array, WebSocketError>

  /** How many messages have arrived so far, read or not. Use it as the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if this side closed it, and the server completed the close. Fails
   * with `Closed` if the server closed it (with any code, D13), or if it broke without a close frame (1006). In all
   * other cases it fails with the first error. `isRegularEnd` of the error is true for 1000, 1001 and a close frame
   * without a code (1005).
   */
  readonly closed: Effect.Effect<CloseEvent, WebSocketError>

  /** True if the connection is closed or closing now. */
  readonly isClosed: () => boolean

  /**
   * Closes the connection, by default with code 1000, and waits for the answer of the server, for at most
   * `closeTimeout`. An interruption does not stop that timeout. With `ws`, messages that the server still sends are
   * delivered, up to `receiveLimit`, without backpressure; browsers drop them. A `send` that still waits fails with
   * `Closing`. If the connection is closing, `close` only waits in the same way; if it is closed, it does nothing.
   *
   * A close by this side is a loss with an empty cause (D13). So if the work of `Connector.runInBackground` closes the
   * connection and then fails, its failure is not the cause of the loss.
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
   * How long `close`, and leaving the scope, wait until the server has completed the close. Then `ws` destroys the
   * socket; other platforms cannot do this, and close the socket later. Default: 2 s.
   *
   * The same limit applies to a close that the server begins and does not complete. With `ws` the time runs from the
   * close frame of the server; on other platforms it runs from the next call of `isClosed` or `send`, if the platform
   * does not end the connection before.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /** `send` waits while the platform holds more unsent bytes than this. Default: 1 MiB. */
  readonly sendHighWaterMark?: number | undefined

  /**
   * Backpressure begins when more received bytes than this are unread, and ends at half of it. A message counts as its
   * length (in bytes, or UTF-16 code units) plus 64. Default: 1 MiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection is lost with `ReceiveOverflow` when a message arrives and more bytes than this, counted in the same
   * way, are unread. So a single message may have any length. Default: 64 MiB.
   *
   * It applies if there is no backpressure: on platforms other than `ws`, and during a close. Messages that `ws` had
   * read before it stopped reading are kept without a limit; decompression can make them much longer.
   */
  readonly receiveLimit?: number | undefined

  /**
   * Detects a silent server with pings of the WebSocket protocol, if the platform can send them (`ws` can; browsers and
   * Node's own WebSocket cannot). False for no pings. Default: the defaults of `PingOptions`, which detect a silent
   * server within 13 seconds.
   */
  readonly ping?: PingOptions | false | undefined
}

/**
 * As `Connector.HealthCheckOptions`. Everything that is received counts as an answer, also a part of a long message. No
 * pings are sent during backpressure, because no answers are read then.
 *
 * @since 0.1.0
 * @category models
 */
export interface PingOptions {
  /** The time of silence before a ping; shortened by a random part of up to a quarter. Default: 7 s. */
  readonly interval?: Duration.DurationInput | undefined

  /** How long the answer to a ping may take. Default: 3 s. */
  readonly timeout?: Duration.DurationInput | undefined

  /** The connection is lost with `PingTimeout` after this many consecutive pings without an answer. Default: 2. */
  readonly missedProbes?: number | undefined
}

/**
 * The required members of a `ws` socket. Other members are used if they are present: for backpressure and pings, to
 * destroy the socket, and to read the answer of a server that refuses the upgrade.
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
 * A connector that opens WebSockets. It needs a `WebSocketConstructor`: in Node use `layerWs`, and in browsers
 * `Socket.layerWebSocketConstructorGlobal` of `@effect/platform`. From Node 22 on, the latter and
 * `NodeSocket.layerWebSocketConstructor` of `@effect/platform-node` use Node's own WebSocket, which has no pings and no
 * backpressure, and cannot be destroyed.
 *
 * Opening fails with `InvalidAddress` (at once), `OpenFailed` or `OpenTimeout`. An interruption ends the opening at
 * once. Leaving the scope closes the connection with code 1000 and drops messages that still arrive; if the server has
 * closed the connection, or is closing it, it is only released (X6). This takes `closeTimeout` at most.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import { WebSocket } from "ws"
 *
 * export const program = Effect.gen(function*() {
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "feed",
 *     address: Effect.succeed("wss://example.com/feed"),
 *     connector: WebSocketConnector.make().pipe(
 *       // On every new connection
 *       Connector.setup((connection) => connection.send("hello"))
 *     )
 *   })
 *   yield* PersistentConnection.stream(feed, (connection) => connection.messages).pipe(
 *     Stream.runForEach((message) => Effect.log(message))
 *   )
 * }).pipe(Effect.scoped, Effect.provide(WebSocketConnector.layerWs(WebSocket)))
 * ```
 */
export const make: (
  options?: Options
) => Connector<WebSocketAddress, WebSocketConnection, WebSocketError, Socket.WebSocketConstructor> = internal.make
