import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type { ResponseDefectEncoded } from "@effect/rpc/RpcMessage"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
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
    /**
     * `RpcClient` keeps the entry of a request that failed, or whose chunk was interrupted, until it gets an exit. The
     * failure must come first, so the fiber of the request gets some turns to end; a discarded request has the fiber of
     * its caller.
     */
    const forget = (fiber: Fiber.RuntimeFiber<unknown, unknown>, requestId: string, turns = 32): Effect.Effect<void> =>
      fiber.unsafePoll() === null && turns > 0
        ? Effect.flatMap(Effect.yieldNow(), () => forget(fiber, requestId, turns - 1))
        : write({ _tag: "Exit", requestId, exit: { _tag: "Failure", cause: { _tag: "Empty" } } })
    return Effect.succeed({
      supportsAck: true,
      supportsTransferables: false,
      send: (message) => {
        switch (message._tag) {
          case "Request":
            return Effect.suspend(() => {
              /** Writes the last chunk. A slow consumer delays it, and the loss of the connection does not interrupt it. */
              let writing: Fiber.RuntimeFiber<void> | undefined
              const written = Effect.suspend(() => writing === undefined ? Effect.void : Fiber.join(writing))
              const begin = (chunk: Answer) =>
                Effect.uninterruptible(Effect.map(Effect.forkDaemon(Effect.interruptible(write(chunk))), (fiber) => {
                  writing = fiber
                }))
              const take = (answer: Answer) =>
                Effect.zipRight(written, answer._tag === "Chunk" ? begin(answer) : write(exitOf(answer, message.id)))
              return Effect.flatMap(Effect.serviceOption(MaxWait), (maxWait) =>
                useWithin(
                  connection,
                  option.duration("MaxWait", Option.getOrElse(maxWait, () => defaultMaxWait)),
                  (connection) => {
                    connections.set(message.id, connection)
                    return connection.request(message, take)
                  }
                )).pipe(
                  Effect.ensuring(Effect.sync(() => connections.delete(message.id))),
                  Effect.tapError(() => written),
                  Effect.mapError(asClientError),
                  Effect.onError(() =>
                    Effect.withFiberRuntime((fiber) =>
                      Effect.zipRight(
                        writing === undefined ? Effect.void : Fiber.interrupt(writing),
                        Effect.forkDaemon(forget(fiber, message.id))
                      )
                    )
                  )
                )
            })
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
