/**
 * Frames: whole messages over a connection that gives bytes in pieces of any size, or messages that are still to be
 * decoded. Combinators from connector to connector: `lines`, `ndjson` and `lengthPrefixed` are put on a transport of
 * bytes (TCP), `messages` on one of messages (WebSocket); `text`, `json` and `schema` on any of these.
 *
 * A frame is handed on when all of it has come. One that is torn by the end of the connection, too long, or does not
 * decode ends the connection: it is lost with a `FramingError` (S4), which the events, the state and the retry policy
 * see, and so do `messages` and `receive` after the frames before it.
 *
 * @since 0.1.0
 */
import type { Connector } from "@persistent-connection/core/Connector"
import type * as Effect from "effect/Effect"
import type { Inspectable } from "effect/Inspectable"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { FramingError } from "./FramingError.js"
import * as internal from "./internal/framing/framing.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/FramedConnection" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * A connection that receives and sends whole messages.
 *
 * @since 0.1.0
 * @category models
 */
export interface FramedConnection<out In, in Out, out E> extends Inspectable {
  readonly [TypeId]: TypeId

  /**
   * The messages, in order, from the first one: what arrives before anyone listens is kept. After those that had come
   * as a whole it ends as the connection does, with the `FramingError` if that was the reason.
   *
   * Each message goes to one run of the stream only, and a run is given all that wait, as one chunk. When a run is
   * interrupted the next one goes on after the last chunk that was handed on. So a run that takes the first few
   * elements (`Stream.take`, `Stream.runHead`) drops the rest of their chunk: use `receive` to take single messages.
   *
   * No more than 64 KiB are read ahead. Beyond that the peer is held back, as by the transport itself.
   */
  readonly messages: Stream.Stream<In, E>

  /**
   * Takes the next message and leaves the others, as a handshake in `Connector.setup` needs it. Fails as `messages`
   * does, and with `Ended` when that would end regularly.
   */
  readonly receive: Effect.Effect<In, E | FramingError>

  /**
   * Encodes the message and sends it, as the `send` of the transport does. What does not encode fails at once with
   * `EncodeFailed`: nothing of it has been sent, and the connection goes on.
   */
  readonly send: (message: Out) => Effect.Effect<void, E | FramingError>

  /** As that of the transport: a count that grows with what is received, the `activity` of a health check. */
  readonly received: () => number
}

/**
 * What a transport of bytes must give: `TcpConnection` does. `data` must end when the connection does.
 *
 * @since 0.1.0
 * @category models
 */
export interface ByteConnection<out E> {
  readonly data: Stream.Stream<Uint8Array, E>
  readonly send: (data: Uint8Array | string) => Effect.Effect<void, E>
  readonly received: () => number
}

/**
 * What a transport of messages must give: `WebSocketConnection` does. `messages` must end when the connection does.
 *
 * @since 0.1.0
 * @category models
 */
export interface MessageConnection<out E> {
  readonly messages: Stream.Stream<string | Uint8Array, E>
  readonly send: (message: string | Uint8Array) => Effect.Effect<void, E>
  readonly received: () => number
}

/**
 * The errors of receiving and sending on a connection.
 *
 * @since 0.1.0
 * @category models
 */
export type FailureOf<Connection> =
  | (Connection extends { readonly send: (message: never) => Effect.Effect<unknown, infer E> } ? E : never)
  | (Connection extends { readonly data: Stream.Stream<unknown, infer E> } ? E : never)
  | (Connection extends { readonly messages: Stream.Stream<unknown, infer E> } ? E : never)

/**
 * A connector whose connections receive `In` and send `Out` over those of another one: its errors, and `FramingError`.
 *
 * @since 0.1.0
 * @category models
 */
export type FramedConnector<Address, Connection, In, Out, E, R> = Connector<
  Address,
  FramedConnection<In, Out, FailureOf<Connection> | FramingError>,
  E | FailureOf<Connection> | FramingError,
  R
>

/**
 * @since 0.1.0
 * @category models
 */
export interface MessagesOptions {
  /**
   * How long a frame that is received may be, in bytes, more than 0; for a text message of a WebSocket, in UTF-16 code
   * units. A longer one ends the connection with `FrameTooLong`. It holds for frames that are received only. Default:
   * 1 MiB.
   */
  readonly maxFrameSize?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LinesOptions extends MessagesOptions {
  /** What ends a line that is sent. Those that are received may end with either. Default: `"\n"`. */
  readonly newline?: "\n" | "\r\n" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LengthPrefixedOptions extends MessagesOptions {
  /** How many bytes the length takes. It is the length of what follows, without itself. */
  readonly lengthBytes: 1 | 2 | 4
  /** In which order they come. Default: `"big"`, the order of networks. */
  readonly endianness?: "big" | "little" | undefined
}

/**
 * Lines of text in UTF-8. A message is a line without its end. To be sent it must be well-formed text without a line
 * break.
 *
 * Throws an `IllegalArgumentException` if an option makes no sense.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Framing from "@persistent-connection/platform/Framing"
 * import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
 * import * as Effect from "effect/Effect"
 *
 * export const sensor = TcpConnector.make().pipe(
 *   Framing.lines({ maxFrameSize: 1_000 }),
 *   Connector.setup((connection) =>
 *     Effect.gen(function*() {
 *       yield* connection.send("HELLO")
 *       const answer = yield* connection.receive
 *       if (answer !== "WELCOME") return yield* Effect.fail("refused" as const)
 *     })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category framing
 */
export const lines: {
  (options?: LinesOptions): <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, string, string, E, R>
  <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>,
    options?: LinesOptions
  ): FramedConnector<Address, Connection, string, string, E, R>
} = internal.lines

/**
 * JSON, a value on each line (NDJSON, JSON Lines), decoded and encoded with a schema; `Schema.Unknown` takes any value.
 * Empty lines, which some servers send to keep the connection alive, are skipped.
 *
 * Throws an `IllegalArgumentException` if an option makes no sense.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Framing from "@persistent-connection/platform/Framing"
 * import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 *
 * const Price = Schema.Struct({ symbol: Schema.String, price: Schema.Number })
 *
 * export const program = Effect.gen(function*() {
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "prices",
 *     address: Effect.succeed({ host: "prices.local", port: 9000 }),
 *     connector: TcpConnector.make().pipe(Framing.ndjson(Price))
 *   })
 *   yield* PersistentConnection.stream(feed, (connection) => connection.messages).pipe(
 *     Stream.runForEach(({ price, symbol }) => Effect.log(symbol, price))
 *   )
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category framing
 */
export const ndjson: {
  <A, I>(
    schema: Schema.Schema<A, I>,
    options?: LinesOptions
  ): <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, A, A, E, R>
  <Address, Connection extends ByteConnection<unknown>, E, R, A, I>(
    self: Connector<Address, Connection, E, R>,
    schema: Schema.Schema<A, I>,
    options?: LinesOptions
  ): FramedConnector<Address, Connection, A, A, E, R>
} = internal.ndjson

/**
 * Frames of bytes that have their length before them. Text can be sent too, as UTF-8; to receive text put `text` on it.
 * What is longer than the prefix can say does not encode.
 *
 * Throws an `IllegalArgumentException` if an option makes no sense.
 *
 * @example
 * ```ts
 * import * as Framing from "@persistent-connection/platform/Framing"
 * import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
 * import * as Schema from "effect/Schema"
 *
 * const Command = Schema.Struct({ name: Schema.String })
 *
 * export const robot = TcpConnector.make().pipe(
 *   Framing.lengthPrefixed({ lengthBytes: 4, maxFrameSize: 64 * 1024 }),
 *   Framing.json(Command)
 * )
 * ```
 *
 * @since 0.1.0
 * @category framing
 */
export const lengthPrefixed: {
  (options: LengthPrefixedOptions): <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, Uint8Array, Uint8Array | string, E, R>
  <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>,
    options: LengthPrefixedOptions
  ): FramedConnector<Address, Connection, Uint8Array, Uint8Array | string, E, R>
} = internal.lengthPrefixed

/**
 * The messages of a WebSocket, or of any other transport of messages, as frames: what `text`, `json` and `schema` are
 * put on.
 *
 * Throws an `IllegalArgumentException` if an option makes no sense.
 *
 * @example
 * ```ts
 * import * as Framing from "@persistent-connection/platform/Framing"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Schema from "effect/Schema"
 *
 * const Price = Schema.Struct({ symbol: Schema.String, price: Schema.Number })
 *
 * export const prices = WebSocketConnector.make().pipe(Framing.messages(), Framing.json(Price))
 * ```
 *
 * @since 0.1.0
 * @category framing
 */
export const messages: {
  (options?: MessagesOptions): <Address, Connection extends MessageConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, string | Uint8Array, string | Uint8Array, E, R>
  <Address, Connection extends MessageConnection<unknown>, E, R>(
    self: Connector<Address, Connection, E, R>,
    options?: MessagesOptions
  ): FramedConnector<Address, Connection, string | Uint8Array, string | Uint8Array, E, R>
} = internal.messages

/**
 * Frames as text: those of bytes are decoded as UTF-8. Bytes that are not valid UTF-8 end the connection with
 * `InvalidText`. Messages are sent as text.
 *
 * @since 0.1.0
 * @category messages
 */
export const text: <
  Address,
  Connection extends FramedConnection<string | Uint8Array, string, unknown>,
  E,
  R
>(
  self: Connector<Address, Connection, E, R>
) => FramedConnector<Address, Connection, string, string, E, R> = internal.text

/**
 * Frames as JSON, decoded and encoded with a schema; `Schema.Unknown` takes any value. A frame that does not decode
 * ends the connection with `DecodeFailed`, or `InvalidText`.
 *
 * @since 0.1.0
 * @category messages
 */
export const json: {
  <A, I>(schema: Schema.Schema<A, I>): <
    Address,
    Connection extends FramedConnection<string | Uint8Array, string, unknown>,
    E,
    R
  >(
    self: Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, A, A, E, R>
  <Address, Connection extends FramedConnection<string | Uint8Array, string, unknown>, E, R, A, I>(
    self: Connector<Address, Connection, E, R>,
    schema: Schema.Schema<A, I>
  ): FramedConnector<Address, Connection, A, A, E, R>
} = internal.json

/**
 * Frames decoded and encoded with any schema. A frame that does not decode ends the connection with `DecodeFailed`,
 * which says where and what was expected, but nothing of the frame; a schema that dies ends it with that defect. So a
 * protocol of your own, such as Protocol Buffers, is a `Schema.transformOrFail` from `Schema.Uint8ArrayFromSelf`.
 *
 * Frames are decoded when they are taken. If that is asynchronous, interrupting a run of `messages` drops what it was
 * decoding.
 *
 * @since 0.1.0
 * @category messages
 */
export const schema: {
  <A, I>(schema: Schema.Schema<A, I>): <Address, Connection extends FramedConnection<unknown, I, unknown>, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, A, A, E, R>
  <Address, Connection extends FramedConnection<unknown, I, unknown>, E, R, A, I>(
    self: Connector<Address, Connection, E, R>,
    schema: Schema.Schema<A, I>
  ): FramedConnector<Address, Connection, A, A, E, R>
} = internal.schema
