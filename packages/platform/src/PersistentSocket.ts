/**
 * Persistent connections for programs that are written against `Socket` of `@effect/platform`, such as `RpcClient`,
 * `Socket.toChannel` and the client of the DevTools. `make` and `layer` give a socket that continues over losses.
 * `fromConnection` gives the socket of a single connection.
 *
 * A wrong argument throws an `IllegalArgumentException` that names it, when the function is called.
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Layer from "effect/Layer"
import * as internal from "./internal/persistentSocket.js"
import type { TcpConnection } from "./TcpConnector.js"
import type { WebSocketConnection } from "./WebSocketConnector.js"

/**
 * The connections that can be used as a socket. A framed connection cannot: a socket needs a `close`, which a framed
 * connection leaves to its connector, and a `Socket` promises no message boundaries. Apply framing above the socket, or
 * use the framed connection without a socket.
 *
 * @since 0.1.0
 * @category models
 */
export type SocketConnection = WebSocketConnection | TcpConnection

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How long a write may wait for a connection during an outage. With 0 it fails at once; `Duration.infinity` sets no
   * limit. Default: 30 s.
   */
  readonly waitTimeout?: Duration.DurationInput | undefined

  /**
   * When its connection is lost, a run continues with the next one (`"continue"`, the default), or ends like a run of
   * `fromConnection` (`"end"`); then the next run continues. Use `"end"` for a program that runs the socket in a loop,
   * and must see each loss: it has open requests, or a decoder with a part of a message.
   * `RpcClient.layerProtocolSocket` is such a program.
   */
  readonly whenLost?: "continue" | "end" | undefined
}

/**
 * A socket over a persistent connection. Leaving the scope of a `writer` does not close the persistent connection.
 *
 * `run` and `runRaw` pass on the messages of the current connection, then those of each next one. All messages of a
 * connection are passed on, in order, before those of the next one (S1). The effects of handlers survive losses. A run
 * ends only in these ways, unless `whenLost` is `"end"`:
 *
 * - it succeeds when the owner closes the persistent connection, or a writer sends a `CloseEvent`;
 * - it fails with a `SocketGenericError` if the persistent connection gave up or was aborted: its `reason` is `"Read"`,
 *   and its `cause` the `ConnectionClosed`;
 * - it fails with the error of a handler.
 *
 * When a run ends, it interrupts the effects of handlers that still run. These run concurrently, without a limit; they
 * start in the order of the messages. Use one run at a time: each message goes to one run only. Between two runs, the
 * messages of the current connection wait for the next run. They are dropped if that connection is lost before.
 *
 * `onOpen` starts at every connection: after the last message of the previous connection, and before the first message
 * of the new one. It is interrupted when its connection ends. Reset a decoder there, because a loss can cut a frame in
 * two. Writes do not wait for it: to log in before any other write, use `Connector.setup`.
 *
 * A write uses the current connection, or waits for the next one, for at most `waitTimeout`. If the connection is lost
 * before the message is sent, the write waits too. A message that may have been sent is never sent again. A write fails
 * with a `SocketGenericError` whose `reason` is `"Write"`. Its `cause` is `NotConnected` if the wait timed out,
 * `ConnectionClosed` if the persistent connection is closed, and otherwise the error of `send`.
 *
 * A `CloseEvent` closes the current connection with its code and its reason, and then the persistent connection. A code
 * or a reason that the platform does not accept is replaced by 1000; TCP has none. This write cannot fail.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.gen(function*() {
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "feed",
 *     address: Effect.succeed("wss://example.com/feed"),
 *     connector: WebSocketConnector.make(),
 *     ...RetryPolicy.production
 *   })
 *   const socket = PersistentSocket.make(feed, { waitTimeout: "5 seconds" })
 *   const write = yield* socket.writer
 *   // Subscribes on every connection.
 *   yield* socket.runRaw((message) => Effect.log(message), { onOpen: Effect.ignoreLogged(write("subscribe")) })
 * }).pipe(Effect.scoped)
 * ```
 */
export const make: (
  self: PersistentConnection<SocketConnection, unknown>,
  options?: Options
) => Socket.Socket = internal.make

/**
 * The `Socket` of `@effect/platform`, over the persistent connection of a tag; see `make`.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const connector = WebSocketConnector.make()
 *
 * class Feed extends Context.Tag("app/Feed")<Feed, PersistentConnection.Of<typeof connector>>() {}
 *
 * const FeedLive = PersistentConnection.layer(Feed, {
 *   serverName: "feed",
 *   address: Effect.succeed("wss://example.com/feed"),
 *   connector,
 *   ...RetryPolicy.production
 * })
 *
 * export const SocketLive = PersistentSocket.layer(Feed).pipe(Layer.provideMerge(FeedLive))
 * ```
 */
export const layer: <Id, Connection extends SocketConnection, E>(
  tag: Context.Tag<Id, PersistentConnection<Connection, E>>,
  options?: Options
) => Layer.Layer<Socket.Socket, never, Id> = internal.layer

/**
 * A socket over one connection, for instance in `PersistentConnection.use` and `forEachConnection`. Its owner still
 * closes the connection. `Socket.toChannel` makes a channel of it.
 *
 * `run` and `runRaw` end with the connection, after its last message. A run succeeds after a regular end: a close by
 * this side, the codes 1000, 1001 and 1005 of a WebSocket, the regular end of a TCP connection. After any other close
 * of a WebSocket it fails with a `SocketCloseError` with the code and the reason, and otherwise with a
 * `SocketGenericError` whose `reason` is `"Read"` and whose `cause` is the error of the connection.
 *
 * A write fails with a `SocketGenericError` whose `reason` is `"Write"` and whose `cause` is the error of `send` or
 * `close`. A `CloseEvent` closes the connection. Leaving the scope of a `writer` closes a TCP connection, as with the
 * sockets of `@effect/platform-node`: bytes that the peer still sends within `closeTimeout` are delivered.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import * as Socket from "@effect/platform/Socket"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
 * import type { WebSocketConnection } from "@persistent-connection/platform/WebSocketConnector"
 * import * as Stream from "effect/Stream"
 *
 * declare const feed: PersistentConnection.PersistentConnection<WebSocketConnection>
 *
 * // On every connection, for as long as it lasts
 * export const sessions = PersistentConnection.forEachConnection(feed, (connection) =>
 *   Stream.make("subscribe", "start").pipe(
 *     Stream.pipeThroughChannel(Socket.toChannelString(PersistentSocket.fromConnection(connection))),
 *     Stream.runDrain
 *   )
 * )
 * ```
 */
export const fromConnection: (connection: SocketConnection) => Socket.Socket = internal.fromConnection
