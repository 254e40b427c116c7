import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import type { Request } from "@effect/rpc/RpcMessage"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Answer, ClientError, ClientOptions, RpcConnection } from "../RpcConnector.js"
import { RpcCallError, type RpcCallErrorReason } from "../RpcError.js"
import { decoding } from "./call.js"
import { ExitQueue } from "./exitQueue.js"
import { derive } from "./rpcConnection.js"

/** @internal */
export const client = <Address, E0, E, R, Rpcs extends Rpc.Any>(
  self: Connector.Connector<Address, RpcConnection<E0>, E, R>,
  group: RpcGroup.RpcGroup<Rpcs>,
  options?: ClientOptions
): Connector.Connector<
  Address,
  RpcClient.RpcClient<Rpcs, ClientError<E0>>,
  E | ConnectionLost,
  R | Rpc.MiddlewareClient<Rpcs>
> =>
  Connector.setup(
    self,
    (connection: RpcConnection<E0>, _: Address, { serverName }) => makeClient(group, connection, serverName, options)
  ) as never

/** A client on one connection. */
const makeClient = <Rpcs extends Rpc.Any, E>(
  group: RpcGroup.RpcGroup<Rpcs>,
  connection: RpcConnection<E>,
  serverName: string,
  options: ClientOptions | undefined
): Effect.Effect<RpcClient.RpcClient<Rpcs, ClientError<E>>, never, Rpc.MiddlewareClient<Rpcs>> =>
  Effect.gen(function*() {
    const made: Made<Rpcs, E> = yield* RpcClient.makeNoSerialization<Rpcs, ClientError<E>>(group, {
      ...options,
      onFromClient: ({ discard, message }) => {
        switch (message._tag) {
          case "Request":
            return request(message, discard)
          case "Ack":
            return connection.send({ _tag: "Ack", requestId: String(message.requestId) })
          default:
            // `connection.request` sends the interruption to the server.
            return Effect.void
        }
      }
      // The end of this scope would interrupt open calls. Instead, they fail when the connection ends.
    }).pipe(Effect.provideServiceEffect(Scope.Scope, Scope.make()))
    const exits = new ExitQueue(yield* Effect.runtime<never>())

    const request = (message: Request<Rpcs>, discard: boolean): Effect.Effect<void, ClientError<E>> => {
      const { decodeAnswer, encodePayload } = codecOf(group.requests.get(message.tag)!)
      const from = (decoded: Decoded) => ({ ...decoded, clientId: 0, requestId: message.id }) as never
      const end = (exit: Decoded) => Effect.sync(() => exits.offer(Effect.suspend(() => made.write(from(exit)))))
      const error = (reason: RpcCallErrorReason) => (underlying: unknown) =>
        new RpcCallError({ serverName, procedure: message.tag, reason, underlying })
      const sent = Effect.flatMap(
        Effect.mapError(encodePayload(message.payload), error("EncodeFailed")),
        (payload) => {
          const encoded = { ...message, id: String(message.id), payload, headers: Object.entries(message.headers) }
          return discard ? connection.send(encoded) : connection.request(encoded, (answer) =>
            Effect.flatMap(
              decoding(() => decodeAnswer(answer), error("DecodeFailed")),
              (decoded) => decoded._tag === "Chunk" ? made.write(from(decoded)) : end(decoded)
            ))
        }
      )
      return discard ?
        sent :
        Effect.catchAll(sent, (error) => end({ _tag: "Exit", exit: Exit.fail(error) }))
    }
    derive(connection, made.client)
    return made.client
  })

interface Made<Rpcs extends Rpc.Any, E> {
  readonly client: RpcClient.RpcClient<Rpcs, ClientError<E>>
  readonly write: (message: never) => Effect.Effect<void>
}

interface Codec {
  readonly encodePayload: (payload: unknown) => Effect.Effect<unknown, ParseError>
  readonly decodeAnswer: (answer: Answer) => Effect.Effect<Decoded, ParseError>
}

type Decoded =
  | { readonly _tag: "Chunk"; readonly values: unknown }
  | { readonly _tag: "Exit"; readonly exit: unknown }

const codecs = new WeakMap<Rpc.Any, Codec>()

/** Encodes and decodes with the schemas of a procedure, in the context of the caller. */
const codecOf = (procedure: Rpc.Any): Codec => {
  let codec = codecs.get(procedure)
  if (codec === undefined) {
    const rpc = procedure as unknown as Rpc.AnyWithProps
    const decodeExit = Schema.decodeUnknown(Rpc.exitSchema(procedure) as Schema.Schema<unknown>)
    const element = Option.match(RpcSchema.getStreamSchemas(rpc.successSchema.ast), {
      onNone: () => Schema.Never,
      onSome: ({ success }) => success
    })
    const decodeChunk = Schema.decodeUnknown(Schema.NonEmptyArray(element as Schema.Schema<unknown>))
    codec = {
      encodePayload: Schema.encodeUnknown(rpc.payloadSchema as unknown as Schema.Schema<unknown>),
      decodeAnswer: (answer) =>
        answer._tag === "Chunk"
          ? Effect.map(decodeChunk(answer.values), (values) => ({ _tag: "Chunk", values }))
          : Effect.map(
            answer._tag === "Exit" ? decodeExit(answer.exit) : Effect.map(decodeDefect(answer.defect), Exit.die),
            (exit) => ({ _tag: "Exit", exit })
          )
    }
    codecs.set(procedure, codec)
  }
  return codec
}

const decodeDefect = Schema.decodeUnknown(Schema.Defect)
