/**
 * TCP connections and Unix sockets, in Node and what is compatible with it. This module alone imports `node:net`.
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
 * or the path of a Unix socket; one that begins with a NUL (`"\0name"`) is an abstract socket of Linux.
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
   * Hands bytes, or text in UTF-8, to the system, in the order of the calls. While more is on its way than Node's own
   * high-water mark it waits, at most for `sendTimeout`. It does not mean that the bytes have arrived.
   *
   * Fails if they cannot be sent: with `SendTimeout`; with `Closing`, `Closed` or the reason why the connection ended,
   * when it is not open; with `SendFailed` if Node refuses. Then nothing of them has been sent. Interrupting it leaves
   * that open. A `Uint8Array` must not be changed afterwards.
   */
  readonly send: (data: Uint8Array | string) => Effect.Effect<void, TcpError>

  /**
   * The bytes that the peer sends, in chunks as they arrive, from the first one: what arrives before anyone listens is
   * kept. Ends as `closed` does, after the last bytes that were received, also when the connection has long ended:
   * nothing that was received is dropped. After the peer's regular end (FIN) this includes all that it had sent.
   *
   * Each chunk goes to one run of the stream only, and a run takes no more than it hands on. When a run is interrupted,
   * the next one goes on after the last chunk that was handed on, even if the handling of it was interrupted.
   *
   * When more than `receiveHighWaterMark` bytes wait to be read, the peer is held back. Then the connection does not
   * notice its end, except by sending, which can cost what waits in the system: so read the data even if you do not
   * need it.
   */
  readonly data: Stream.Stream<Uint8Array, TcpError>

  /** How many bytes have come so far, read or not: the `activity` of a health check. */
  readonly received: () => number

  /**
   * Waits until the connection has ended. Succeeds if the peer ended it in the regular way (FIN), and fails with what
   * went wrong first otherwise: a reset, for instance.
   */
  readonly closed: Effect.Effect<void, TcpError>

  /** Is the connection closed, or closing, as of now? */
  readonly isClosed: () => boolean

  /**
   * Sends what waits in the system and ends this side, then waits until the peer has ended its own, at most for
   * `closeTimeout`; then destroys the connection. That time goes on if this is
   * interrupted. What the peer still sends is delivered, and it is not held back any more. Bytes that have been waiting
   * to be handed to the system fail with `Closing`.
   */
  readonly close: Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long opening may take, the look-up of the host included; `Duration.infinity` for no limit. Default: 10 s. */
  readonly connectTimeout?: Duration.DurationInput | undefined

  /** How long `send` may wait for what was sent before, `Duration.infinity` for no limit. Default: 30 s. */
  readonly sendTimeout?: Duration.DurationInput | undefined

  /** How long `close`, and leaving the scope of the connection, wait for the peer. Then it is destroyed. Default: 2 s. */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /**
   * The peer is held back while more received bytes than this wait to be read, until half of them are left. A chunk
   * counts as its length and 64 more. Default: 256 KiB.
   */
  readonly receiveHighWaterMark?: number | undefined

  /**
   * The connection fails with `ReceiveOverflow` when bytes arrive and more than this, counted in the same way, wait
   * already. That happens only while it is being closed, when the peer is not held back any more. Default: 64 MiB.
   */
  readonly receiveLimit?: number | undefined

  /** Send at once instead of collecting small writes (Nagle). Default: true. */
  readonly noDelay?: boolean | undefined

  /**
   * After how long without traffic the system begins to ask whether the peer is still there: from 1 to 32767 seconds,
   * rounded up to whole ones; false, or infinity, for never. Default: 1 minute. Most systems take minutes more to give
   * up: see the health checks of connectors for something quicker.
   */
  readonly keepAlive?: Duration.DurationInput | false | undefined
}

/**
 * A connector that opens TCP connections and Unix sockets.
 *
 * Opening fails at once with `InvalidAddress`, and otherwise with `OpenFailed` or `OpenTimeout`. An interrupted opening
 * is abandoned at once. Leaving the scope of the connection closes it and drops what is still received; a connection
 * that the peer has ended is only released (X6).
 *
 * There are no half-closed connections (`allowHalfOpen` is off): when the peer ends its side, what has been handed to
 * the system is still sent, and this side ends too.
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
