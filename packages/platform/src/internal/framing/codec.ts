import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type { FailureOf, FramedConnection, FramedConnector } from "../../Framing.js"
import type { FramingError, FramingErrorReason } from "../../FramingError.js"
import { describeIssue } from "./describeIssue.js"
import { Framed } from "./framed.js"
import { decodeText, isWellFormed, notWellFormed } from "./framer.js"

/** Decodes frames to messages, and encodes messages to frames. A synchronous result is an `Either`. */
interface Codec<in In, out Out, in out A> {
  readonly decode: (frame: In) => Effect.Effect<A, FramingErrorReason>
  readonly encode: (message: A) => Effect.Effect<Out, FramingErrorReason>
}

/** @internal */
export const text: Codec<string | Uint8Array, string, string> = {
  decode: (frame) => {
    const decoded = typeof frame === "string" ? frame : decodeText(frame)
    return decoded === undefined ? Either.left({ _tag: "InvalidText" }) : Either.right(decoded)
  },
  encode: (message) =>
    isWellFormed(message)
      ? Either.right(message)
      : Either.left({ _tag: "EncodeFailed", description: notWellFormed })
}

/** @internal */
export const ofSchema = <A, I>(schema: Schema.Schema<A, I>): Codec<unknown, I, A> => {
  const decode = ParseResult.decodeUnknown(schema)
  const encode = ParseResult.encode(schema)
  return {
    decode: (frame) => ParseResult.mapError(decode(frame), failure("DecodeFailed")),
    encode: (message) => ParseResult.mapError(encode(message), failure("EncodeFailed"))
  }
}

/** @internal */
export const compose = <In, Out, A, B>(outer: Codec<In, Out, A>, inner: Codec<A, A, B>): Codec<In, Out, B> => ({
  decode: (frame) => ParseResult.flatMap(outer.decode(frame), inner.decode),
  encode: (message) => ParseResult.flatMap(inner.encode(message), outer.encode)
})

const failure = (_tag: "DecodeFailed" | "EncodeFailed") => (issue: ParseResult.ParseIssue): FramingErrorReason => ({
  _tag,
  description: describeIssue(issue)
})

const tooDeep: FramingErrorReason = { _tag: "DecodeFailed", description: "it is nested too deeply" }

/**
 * A connector whose framed connections receive and send decoded messages.
 *
 * @internal
 */
export const withCodec = <Address, Connection extends FramedConnection<In, Out, unknown>, E, R, In, Out, A>(
  self: Connector.Connector<Address, Connection, E, R>,
  codec: Codec<In, Out, A>
): FramedConnector<Address, Connection, A, A, E, R> =>
  Connector.map(self, (connection): FramedConnection<A, A, FailureOf<Connection> | FramingError> => {
    if (!(connection instanceof Framed)) {
      throw new Cause.IllegalArgumentException("The connection is not a framed connection")
    }
    return coded<In, Out, A, FailureOf<Connection>>(connection, codec)
  })

const coded = <In, Out, A, E>(
  { parts }: Framed<In, Out, E>,
  { decode, encode }: Codec<In, Out, A>
): Framed<A, A, E | FramingError> => {
  const { close, error, frames, lose, receive, received, send } = parts

  const decoding = (frame: In): Effect.Effect<A, FramingErrorReason> => {
    try {
      return decode(frame)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  /** Decodes a frame. If that fails, the connection ends with the failure. */
  const decoded = (decoding: Effect.Effect<A, FramingErrorReason>): Effect.Effect<A, FramingError> =>
    Effect.catchAllCause(decoding, (cause) => {
      const defect: any = Option.getOrUndefined(Cause.dieOption(cause))
      // The peer chooses how deep a frame is nested, so a stack overflow is no defect. Firefox has its own text for it.
      const isTooDeep = /call stack|too much recursion/.test(defect?.message)
      const exit = Exit.failCause(Cause.map(isTooDeep ? Cause.fail(tooDeep) : cause, error))
      lose(exit)
      return exit
    })

  /** Delivers the decoded messages before a frame that does not decode or decodes asynchronously. */
  const decodeAll = (all: Chunk.Chunk<In>, start: number): Channel.Channel<Chunk.Chunk<A>, unknown, FramingError> =>
    Channel.suspend(() => {
      const messages: Array<A> = []
      for (let index = start; index < all.length; index++) {
        const message = decoding(Chunk.unsafeGet(all, index))
        if (Either.isEither(message) && Either.isRight(message)) messages.push(message.right as A)
        else {
          return write(messages).pipe(
            Channel.zipRight(Channel.fromEffect(decoded(message))),
            Channel.flatMap((message) => write([message])),
            Channel.zipRight(decodeAll(all, index + 1))
          )
        }
      }
      return write(messages)
    })

  const reader: Channel.Channel<Chunk.Chunk<A>, Chunk.Chunk<In>, E | FramingError, E> = Channel.readWithCause({
    onInput: (all: Chunk.Chunk<In>) => Channel.zipRight(decodeAll(all, 0), reader),
    onFailure: Channel.failCause,
    onDone: () => Channel.void
  })

  return new Framed<A, A, E | FramingError>({
    error,
    frames: frames.pipe(Channel.pipeTo(reader)),
    lose,
    receive: Effect.flatMap(receive, (frame) => decoded(decoding(frame))),
    received,
    close,
    send: (message) => Effect.flatMap(Effect.mapError(Effect.suspend(() => encode(message)), error), send)
  })
}

const write = <A>(messages: ReadonlyArray<A>): Channel.Channel<Chunk.Chunk<A>> =>
  messages.length === 0 ? Channel.void : Channel.write(Chunk.unsafeFromArray(messages))
