/**
 * Framing: complete, decoded messages over a connection that gives bytes in pieces of any size, or raw messages. The
 * functions are combinators from connector to connector. Apply `lines`, `ndjson` and `lengthPrefixed` to a transport of
 * bytes (TCP), `messages` to a transport of messages (WebSocket), and `text`, `json` and `schema` to the result of any
 * of these. A frame is one message as bytes or text, before it is decoded.
 *
 * A frame is delivered when it is complete. The connection is lost with a `FramingError` (S4) if it ends in the middle
 * of a frame, or if a frame is too long or does not decode. The events, the state and the retry policy get this error;
 * `messages` and `receive` fail with it after the earlier frames.
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
   * The messages, in order, from the first one on, also those that arrived before the stream runs. After the last
   * complete message it ends as the connection did, with the `FramingError` if that was the reason.
   *
   * Each message goes to only one run of the stream. A run gets all waiting messages as one chunk. When a run is
   * interrupted, the next run goes on after the last delivered chunk. So a run that takes only some elements
   * (`Stream.take`, `Stream.runHead`) drops the rest of their chunk: use `receive` to take single messages.
   *
   * At most 64 KiB are read ahead. Beyond that the transport's backpressure applies.
   */
  readonly messages: Stream.Stream<In, E>

  /**
   * Takes only the next message, and waits for it without a limit, for instance for a handshake in `Connector.setup`.
   * Fails as `messages` does. If `messages` would end without an error, it fails as the `receive` of the transport
   * does: for a WebSocket and TCP with `Closed`; and with `Ended` if the transport has no `receive`.
   */
  readonly receive: Effect.Effect<In, E | FramingError>

  /**
   * Encodes the message and sends it with the `send` of the transport. Fails at once with `EncodeFailed` if the message
   * cannot be encoded: then nothing has been sent, and the connection stays open.
   */
  readonly send: (message: Out) => Effect.Effect<void, E | FramingError>

  /** The `received` of the transport: how much has arrived. Use it as the `activity` of a health check. */
  readonly received: () => number

  /**
   * Closes the connection as the `close` of the transport does. A WebSocket sends the code and the text; TCP has
   * neither. Does nothing if the transport has no `close`.
   */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void, E>
}

/**
 * A transport of bytes, such as `TcpConnection`. `data` must end when the connection does.
 *
 * @since 0.1.0
 * @category models
 */
export interface ByteConnection<out E> {
  readonly data: Stream.Stream<Uint8Array, E>
  readonly send: (data: Uint8Array | string) => Effect.Effect<void, E>
  readonly received: () => number
  /** Must fail once the connection has ended. Only used then: its error is the reason for the end. */
  readonly receive?: Effect.Effect<unknown, E> | undefined
  readonly close?: Effect.Effect<void, E> | undefined
}

/**
 * A transport of messages, such as `WebSocketConnection`. `messages` must end when the connection does.
 *
 * @since 0.1.0
 * @category models
 */
export interface MessageConnection<out E> {
  readonly messages: Stream.Stream<string | Uint8Array, E>
  readonly send: (message: string | Uint8Array) => Effect.Effect<void, E>
  readonly received: () => number
  /** Must fail once the connection has ended. Only used then: its error is the reason for the end. */
  readonly receive?: Effect.Effect<unknown, E> | undefined
  readonly close?: ((code?: number, reason?: string) => Effect.Effect<void, E>) | undefined
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
 * A connector whose connections receive `In` and send `Out`, over the connections of another connector. It adds
 * `FramingError` to the errors of that connector.
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
   * The maximum size of a received frame; more than 0, in bytes, or in UTF-16 code units for a text message of a
   * WebSocket. A longer frame ends the connection with `FrameTooLong`. Frames that are sent have no limit. Default:
   * 1 MiB.
   */
  readonly maxFrameSize?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LinesOptions extends MessagesOptions {
  /** The line break of sent lines. Received lines may end with either one. Default: `"\n"`. */
  readonly newline?: "\n" | "\r\n" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LengthPrefixedOptions extends MessagesOptions {
  /** The size of the length prefix, in bytes. The length does not include the prefix. */
  readonly lengthBytes: 1 | 2 | 4
  /** The byte order of the prefix. Default: `"big"`, the network order. */
  readonly endianness?: "big" | "little" | undefined
}

/**
 * Frames are lines of UTF-8 text. A message is a line without its line break (LF or CRLF). A sent message must be
 * well-formed text without a line break; otherwise `send` fails with `EncodeFailed`.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
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
 * Frames are lines of JSON, one value on each (NDJSON, JSON Lines), decoded and encoded with a schema; `Schema.Unknown`
 * accepts any value. Empty lines, which some servers send to keep the connection alive, are skipped.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
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
 * Frames are bytes with a length prefix. `send` also takes text, and sends it as UTF-8; to receive text, apply `text`.
 * If a message is too long for the prefix, `send` fails with `EncodeFailed`.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
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
 * Turns the messages of a WebSocket, or of any other transport of messages, into frames for `text`, `json` and
 * `schema`.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
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
 * Decodes frames to text: bytes as UTF-8. Invalid UTF-8 ends the connection with `InvalidText`. Messages are sent as
 * text.
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
 * Decodes and encodes frames as JSON with a schema; `Schema.Unknown` accepts any value. A frame that does not decode
 * ends the connection with `DecodeFailed`, or with `InvalidText` if it is not valid UTF-8.
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
 * Decodes and encodes frames with any schema. For a codec of your own, such as Protocol Buffers, use
 * `Schema.transformOrFail` from `Schema.Uint8ArrayFromSelf`. A frame that does not decode ends the connection with
 * `DecodeFailed`, which says where and what was expected, but contains no part of the frame. A schema that dies ends
 * the connection with that defect, unless a frame that is nested too deeply has overflowed the stack.
 *
 * Frames are decoded when `messages` or `receive` takes them. If decoding is asynchronous, the interruption of a run of
 * `messages` drops the frames that are being decoded.
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
