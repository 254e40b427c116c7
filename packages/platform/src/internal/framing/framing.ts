import * as Connector from "@persistent-connection/core/Connector"
import * as option from "@persistent-connection/core/Options"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type {
  ByteConnection,
  FailureOf,
  FramedConnection,
  FramedConnector,
  LengthPrefixedOptions,
  LinesOptions,
  MessageConnection,
  MessagesOptions
} from "../../Framing.js"
import * as codec from "./codec.js"
import { framed } from "./framed.js"
import * as framer from "./framer.js"

/** @internal */
export { TypeId } from "./framed.js"

const isDataFirst = (args: IArguments): boolean => Predicate.hasProperty(args[0], Connector.TypeId)

const messagesReaders = { maxFrameSize: option.optional(option.bytes) }

const linesReaders = { ...messagesReaders, newline: option.optional(option.oneOf("\n", "\r\n")) }

const prefixReaders = {
  ...messagesReaders,
  lengthBytes: option.oneOf(1, 2, 4),
  endianness: option.optional(option.oneOf("big", "little"))
}

const defaultMaxFrameSize = 1024 * 1024

const asSchema = option.kind("a Schema", Schema.isSchema)

// The interface has `unknown` as its error; the type of the connection knows the exact one.
const bytesOf = <Connection extends ByteConnection<unknown>>(connection: Connection) =>
  connection.data as Stream.Stream<Uint8Array, FailureOf<Connection>>

const receive = <Connection extends ByteConnection<unknown> | MessageConnection<unknown>>(connection: Connection) =>
  connection.receive as Effect.Effect<unknown, FailureOf<Connection>> | undefined

const closeBytes = <Connection extends ByteConnection<unknown>>(connection: Connection) =>
  connection.close as Effect.Effect<void, FailureOf<Connection>> | undefined

const sendBytes = <Connection extends ByteConnection<unknown>>(connection: Connection, data: Uint8Array | string) =>
  connection.send(data) as Effect.Effect<void, FailureOf<Connection>>

const framedLines = <Address, Connection extends ByteConnection<unknown>, E, R>(
  self: Connector.Connector<Address, Connection, E, R>,
  options: LinesOptions | undefined,
  makeFramer: (maxFrameSize: number) => framer.Framer<Uint8Array, string>
): FramedConnector<Address, Connection, string, string, E, R> => {
  const { maxFrameSize = defaultMaxFrameSize, newline = "\n" } = option.read(options, linesReaders)
  return framed(self, {
    pieces: bytesOf,
    receive,
    close: closeBytes,
    framer: () => makeFramer(maxFrameSize),
    send: (connection, line: string) => {
      if (!framer.isWellFormed(line)) return framer.notWellFormed
      if (line.includes("\n") || line.endsWith("\r")) return "a line must not contain a line break"
      return sendBytes(connection, line + newline)
    }
  })
}

/** @internal */
export const lines = dual<
  (options?: LinesOptions) => <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, string, string, E, R>,
  <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>,
    options?: LinesOptions
  ) => FramedConnector<Address, Connection, string, string, E, R>
>(isDataFirst, (self, options) => framedLines(self, options, framer.lines))

/** @internal */
export const ndjson = dual<
  <A, I>(schema: Schema.Schema<A, I>, options?: LinesOptions) => <
    Address,
    Connection extends ByteConnection<unknown>,
    E,
    R
  >(
    self: Connector.Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, A, A, E, R>,
  <Address, Connection extends ByteConnection<unknown>, E, R, A, I>(
    self: Connector.Connector<Address, Connection, E, R>,
    schema: Schema.Schema<A, I>,
    options?: LinesOptions
  ) => FramedConnector<Address, Connection, A, A, E, R>
>(isDataFirst, (self, schema, options) =>
  codec.withCodec(
    framedLines(self, options, (maxFrameSize) => framer.withoutEmpty(framer.lines(maxFrameSize))),
    codec.ofSchema(Schema.parseJson(asSchema("schema", schema)))
  ))

/** @internal */
export const lengthPrefixed = dual<
  (options: LengthPrefixedOptions) => <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, Uint8Array, Uint8Array | string, E, R>,
  <Address, Connection extends ByteConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>,
    options: LengthPrefixedOptions
  ) => FramedConnector<Address, Connection, Uint8Array, Uint8Array | string, E, R>
>(isDataFirst, (self, options) => {
  const { endianness = "big", lengthBytes, maxFrameSize = defaultMaxFrameSize } = option.read(options, prefixReaders)
  const prefix: framer.Prefix = { lengthBytes, endianness }
  return framed(self, {
    pieces: bytesOf,
    receive,
    close: closeBytes,
    framer: () => framer.lengthPrefixed(prefix, maxFrameSize),
    send: (connection, frame: Uint8Array | string) => {
      if (typeof frame === "string" && !framer.isWellFormed(frame)) return framer.notWellFormed
      const data = framer.withLength(typeof frame === "string" ? encoder.encode(frame) : frame, prefix)
      return data === undefined
        ? `it is too long for a length prefix of ${prefix.lengthBytes} bytes`
        : sendBytes(connection, data)
    }
  })
})

const encoder = new TextEncoder()

/** @internal */
export const messages = dual<
  (options?: MessagesOptions) => <Address, Connection extends MessageConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, string | Uint8Array, string | Uint8Array, E, R>,
  <Address, Connection extends MessageConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>,
    options?: MessagesOptions
  ) => FramedConnector<Address, Connection, string | Uint8Array, string | Uint8Array, E, R>
>(
  isDataFirst,
  <Address, Connection extends MessageConnection<unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>,
    options?: MessagesOptions
  ) => {
    const { maxFrameSize = defaultMaxFrameSize } = option.read(options, messagesReaders)
    return framed(self, {
      pieces: ({ messages }) => messages as Stream.Stream<string | Uint8Array, FailureOf<Connection>>,
      receive,
      close: (connection, code, reason) =>
        connection.close?.(code, reason) as Effect.Effect<void, FailureOf<Connection>> | undefined,
      framer: () => framer.messages(maxFrameSize),
      send: (connection, message: string | Uint8Array) =>
        connection.send(message) as Effect.Effect<void, FailureOf<Connection>>
    })
  }
)

/** @internal */
export const text = <
  Address,
  Connection extends FramedConnection<string | Uint8Array, string, unknown>,
  E,
  R
>(
  self: Connector.Connector<Address, Connection, E, R>
): FramedConnector<Address, Connection, string, string, E, R> => codec.withCodec(self, codec.text)

/** @internal */
export const schema = dual<
  <A, I>(schema: Schema.Schema<A, I>) => <Address, Connection extends FramedConnection<unknown, I, unknown>, E, R>(
    self: Connector.Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, A, A, E, R>,
  <Address, Connection extends FramedConnection<unknown, I, unknown>, E, R, A, I>(
    self: Connector.Connector<Address, Connection, E, R>,
    schema: Schema.Schema<A, I>
  ) => FramedConnector<Address, Connection, A, A, E, R>
>(2, (self, schema) => codec.withCodec(self, codec.ofSchema(asSchema("schema", schema))))

/** @internal */
export const json = dual<
  <A, I>(schema: Schema.Schema<A, I>) => <
    Address,
    Connection extends FramedConnection<string | Uint8Array, string, unknown>,
    E,
    R
  >(
    self: Connector.Connector<Address, Connection, E, R>
  ) => FramedConnector<Address, Connection, A, A, E, R>,
  <Address, Connection extends FramedConnection<string | Uint8Array, string, unknown>, E, R, A, I>(
    self: Connector.Connector<Address, Connection, E, R>,
    schema: Schema.Schema<A, I>
  ) => FramedConnector<Address, Connection, A, A, E, R>
>(
  2,
  (self, schema) =>
    codec.withCodec(self, codec.compose(codec.text, codec.ofSchema(Schema.parseJson(asSchema("schema", schema)))))
)
