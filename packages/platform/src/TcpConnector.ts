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
 * An open TCP connection, or one that was.
 *
 * @since 0.1.0
 * @category models
 */
export interface TcpConnection extends Inspectable {
  readonly [TypeId]: TypeId

  /** `host:port`, or the path of the Unix socket; `@name` if it is an abstract one. */
  readonly address: string

  /**
   * Hands bytes, or text in UTF-8, to the system, in the order of the calls. It waits, at most for `sendTimeout`, while
   * more unsent bytes are buffered than Node's high-water mark. Its success does not mean that the bytes have arrived.
   *
   * Fails if the bytes cannot be sent: with `SendTimeout`; with `Closing`, `Closed` or the reason of the end if the
   * connection is not open; with `SendFailed` if Node refuses. After a failure nothing of the bytes has been sent;
   * after an interruption they may have been. Do not change a `Uint8Array` afterwards.
   */
  readonly send: (data: Uint8Array | string) => Effect.Effect<void, TcpError>

  /**
   * The bytes that the peer sends, in chunks as they arrive, from the first one: what arrives before the stream runs is
   * kept. Ends as `closed` does, but after the last received bytes: nothing received is dropped, even if the connection
   * has ended long ago. After the peer's regular end (FIN) this includes all that it had sent.
   *
   * Each chunk goes to one run of the stream only, and a run takes no more than it delivers. When a run is interrupted,
   * the next run goes on after the last delivered chunk, even if the processing of that chunk was interrupted.
   *
   * Backpressure: while more than `receiveHighWaterMark` bytes wait to be read, nothing is read from the peer. Then the
   * connection notices its end only by sending, and the unread bytes in the system can get lost. So read the data even
   * if you do not need it.
   */
  readonly data: Stream.Stream<Uint8Array, TcpError>

  /** How many bytes have arrived so far, read or not. Use it as the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if the peer ended it in the regular way (FIN), and otherwise fails
   * with what went wrong first, such as a reset.
   */
  readonly closed: Effect.Effect<void, TcpError>

  /** Is the connection closed or closing now? */
  readonly isClosed: () => boolean

  /**
   * Sends what is buffered in the system, ends this side, and waits until the peer has ended its side, at most for
   * `closeTimeout`; then destroys the connection. An interruption does not stop that timeout. What the peer still sends
   * is delivered, without backpressure. A `send` that still waits fails with `Closing`.
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
   * Backpressure begins when more received bytes than this wait to be read, and ends at half of it. A chunk counts as
   * its length plus 64. Default: 256 KiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection fails with `ReceiveOverflow` when bytes arrive and more than this, counted in the same way, already
   * wait. That happens only during a close, when there is no backpressure. Default: 64 MiB.
   */
  readonly receiveLimit?: number | undefined

  /** Sends at once instead of collecting small writes (Nagle). Default: true. */
  readonly noDelay?: boolean | undefined

  /**
   * After this time without traffic the system begins to probe the peer: from 1 to 32767 seconds, rounded up to whole
   * seconds; false or infinity for never. Default: 1 minute. Most systems need minutes more to give up: for quicker
   * detection see `Connector.healthCheck`.
   */
  readonly keepAlive?: Duration.DurationInput | false | undefined
}

/**
 * A connector that opens TCP connections and Unix sockets.
 *
 * Opening fails with `InvalidAddress` (at once), `OpenFailed` or `OpenTimeout`. An interruption abandons the opening at
 * once. Leaving the scope closes the connection and drops what is still received; if the peer has ended the connection,
 * it is only released (X6).
 *
 * There are no half-closed connections (`allowHalfOpen` is off): when the peer ends its side, this side ends too, after
 * what was handed to the system has been sent.
 *
 * Throws an `IllegalArgumentException` if an option makes no sense.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Effect.gen(function*() {
 *   const printer = yield* PersistentConnection.make({
 *     serverName: "printer",
 *     address: Effect.succeed({ host: "printer.local", port: 9100 }),
 *     connector: TcpConnector.make({ connectTimeout: "3 seconds" })
 *   })
 *   const connection = yield* printer.connected
 *   yield* connection.send("hello\n")
 *   yield* connection.data.pipe(Stream.decodeText(), Stream.splitLines, Stream.runForEach(Effect.log))
 * }).pipe(Effect.scoped)
 * ```
 */
export const make: (options?: Options) => Connector<TcpAddress, TcpConnection, TcpError> = internal.make
