/**
 * TCP connections and Unix sockets, in Node and compatible runtimes. Only this module imports `node:net`.
 *
 * @since 0.1.0
 */
import type { Connector } from "@persistent-connection/core/Connector"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Inspectable } from "effect/Inspectable"
import type * as Stream from "effect/Stream"
import * as internal from "./internal/tcpConnector.js"
import type { TcpError } from "./TcpError.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/TcpConnection" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * Where the peer is: a host (a name or an IP address, with or without the brackets of IPv6) and a port from 1 to 65535,
 * or the path of a Unix socket. A path that begins with a NUL (`"\0name"`) is an abstract socket of Linux.
 *
 * @since 0.1.0
 * @category models
 */
export type TcpAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/**
 * A TCP connection. It may have ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface TcpConnection extends Inspectable {
  readonly [TypeId]: TypeId

  /** `host:port`, or the path of the Unix socket; `@name` if it is an abstract one. */
  readonly address: string

  /**
   * Gives bytes, or text in UTF-8, to the system, in the order of the calls. It waits while more unsent bytes are
   * buffered than Node's high-water mark, for at most `sendTimeout`. Its success does not mean that the bytes have
   * arrived.
   *
   * Fails if the bytes cannot be sent: with `SendTimeout`; with `Closing`, `Closed` or the reason of the end if the
   * connection is not open; with `SendFailed` if Node refuses. After a failure no bytes have been sent; after an
   * interruption they may have been sent. Do not change the `Uint8Array` after the call.
   */
  readonly send: (data: Uint8Array | string) => Effect.Effect<void, TcpError>

  /**
   * The bytes that the peer sends, in pieces as they arrive, from the first one on, also those that arrived before the
   * stream runs. It ends as `closed` does, but after the last received bytes: nothing received is dropped, even if the
   * connection ended long ago. After the peer's regular end (FIN), it has given everything that the peer sent.
   *
   * Each piece goes to one run of the stream only. A run gets all waiting pieces as one chunk. When a run is
   * interrupted, the next run goes on after the last delivered chunk. So a run that takes a few elements
   * (`Stream.take`, `Stream.runHead`) drops the rest of their chunk: use `receive` to take single pieces.
   *
   * Backpressure: while more than `receiveHighWaterMark` bytes are unread, nothing is read from the peer. Then the
   * connection detects its end only when it sends, and the bytes that are still in the system can get lost. So read the
   * data even if you do not need it.
   */
  readonly data: Stream.Stream<Uint8Array, TcpError>

  /**
   * Takes the next piece only, for instance in a handshake in `Connector.setup`. Fails as `data` does, and with
   * `Closed` where `data` would end regularly.
   */
  readonly receive: Effect.Effect<Uint8Array, TcpError>

  /** How many bytes have arrived so far, read or not. Use it as the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if the peer ended it in the regular way (FIN), and otherwise fails
   * with the first error, such as a reset. Node may report a reset as a regular end if data has arrived with it.
   */
  readonly closed: Effect.Effect<void, TcpError>

  /** True if the connection is closed or closing now. */
  readonly isClosed: () => boolean

  /**
   * Sends the bytes that are buffered in the system, ends this side, and waits until the peer has ended its side, for
   * at most `closeTimeout`; then the connection is destroyed. An interruption does not stop that timeout. Bytes that
   * the peer still sends are delivered, without backpressure. A `send` that still waits fails with `Closing`.
   */
  readonly close: Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long opening may take, including the look-up of the host; `Duration.infinity` for no limit. Default: 10 s. */
  readonly connectTimeout?: Duration.DurationInput | undefined

  /** How long `send` may wait for earlier bytes to drain; `Duration.infinity` for no limit. Default: 30 s. */
  readonly sendTimeout?: Duration.DurationInput | undefined

  /** How long `close`, and leaving the scope, wait for the peer before the connection is destroyed. Default: 2 s. */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /**
   * Backpressure begins when more received bytes than this are unread, and ends at half of it. A chunk counts as its
   * length plus 64. Default: 256 KiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection is lost with `ReceiveOverflow` when bytes arrive and more than this, counted in the same way, are
   * unread. This can happen only during a close, when there is no backpressure. Default: 64 MiB.
   */
  readonly receiveLimit?: number | undefined

  /** True: sends at once, and does not collect small writes (Nagle's algorithm). Default: true. */
  readonly noDelay?: boolean | undefined

  /**
   * After this time without traffic the operating system begins to probe the peer (TCP keep-alive): from 1 to 32767
   * seconds, rounded up to whole seconds; false or infinity for never. Most systems need minutes more until they report
   * the loss: for quicker detection see `Connector.healthCheck`. Default: 1 minute.
   */
  readonly keepAlive?: Duration.DurationInput | false | undefined
}

/**
 * A connector that opens TCP connections and Unix sockets.
 *
 * Opening fails with `InvalidAddress` (at once), `OpenFailed` or `OpenTimeout`. An interruption ends the opening at
 * once. Leaving the scope closes the connection and drops bytes that still arrive; if the peer has ended the
 * connection, it is only released (X6).
 *
 * There are no half-closed connections (`allowHalfOpen` is off): when the peer ends its side, this side sends the bytes
 * that are buffered in the system, and ends too.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * export const program = Effect.gen(function*() {
 *   const scale = yield* PersistentConnection.make({
 *     serverName: "scale",
 *     address: Effect.succeed({ host: "scale.local", port: 4001 }),
 *     connector: TcpConnector.make({ connectTimeout: "3 seconds" }).pipe(
 *       // On every new connection
 *       Connector.setup((connection) => connection.send("START\n"))
 *     )
 *   })
 *   yield* PersistentConnection.stream(scale, (connection) =>
 *     connection.data.pipe(Stream.decodeText(), Stream.splitLines)
 *   ).pipe(Stream.runForEach((line) => Effect.log(line)))
 * }).pipe(Effect.scoped)
 * ```
 */
export const make: (options?: Options) => Connector<TcpAddress, TcpConnection, TcpError> = internal.make
