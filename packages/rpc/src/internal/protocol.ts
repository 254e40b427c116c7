import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type { ResponseDefectEncoded } from "@effect/rpc/RpcMessage"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { MaxWait } from "../RpcAnnotation.js"
import type { Answer, RpcConnection } from "../RpcConnector.js"
import type { Options } from "../RpcProtocol.js"
import * as option from "./options.js"
import { useWithin } from "./useWithin.js"

/** @internal */
export const make = <E0, E>(
  connection: PersistentConnection<RpcConnection<E0>, E>,
  options?: Options
): Effect.Effect<RpcClient.Protocol["Type"]> => {
  const defaultMaxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  return RpcClient.Protocol.make((write) => {
    /** The connections of the requests that have been sent, for the acknowledgements of their streams. */
    const connections = new Map<string, RpcConnection<E0>>()
    /** How many requests wait for a connection or for an answer. */
    let pending = 0
    return Effect.succeed({
      supportsAck: true,
      supportsTransferables: false,
      send: (message) => {
        switch (message._tag) {
          case "Request":
            return Effect.acquireUseRelease(
              Effect.sync(() => pending++),
              () =>
                Effect.flatMap(Effect.serviceOption(MaxWait), (maxWait) =>
                  useWithin(
                    connection,
                    option.duration("MaxWait", Option.getOrElse(maxWait, () => defaultMaxWait)),
                    (connection) => {
                      connections.set(message.id, connection)
                      return connection.request(message, (answer) => write(exitOf(answer, message.id)))
                    }
                  )),
              () =>
                Effect.sync(() => {
                  pending--
                  connections.delete(message.id)
                })
            ).pipe(
              Effect.mapError(asClientError),
              // `RpcClient` keeps the entry of a failed request. This message removes all entries, so write it only if
              // there are no other requests.
              Effect.tapError((error) => pending === 0 ? write({ _tag: "ClientProtocolError", error }) : Effect.void)
            )
          case "Ack": {
            const sent = connections.get(message.requestId)
            return sent === undefined ? Effect.void : Effect.mapError(sent.send(message), asClientError)
          }
          default:
            // `request` sends the interruption to the server.
            return Effect.void
        }
      }
    })
  })
}

/** Otherwise `RpcClient` would treat each copy of a defect as a new one: later calls would die with it. */
const exitOf = (answer: Answer, requestId: string): Exclude<Answer, ResponseDefectEncoded> =>
  answer._tag === "Defect"
    ? { _tag: "Exit", requestId, exit: { _tag: "Failure", cause: { _tag: "Die", defect: answer.defect } } }
    : answer

const asClientError = (cause: Error): RpcClientError =>
  new RpcClientError({ reason: "Protocol", message: cause.message, cause })
