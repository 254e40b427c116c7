import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type { RequestEncoded, ResponseDefectEncoded, ResponseExitEncoded } from "@effect/rpc/RpcMessage"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { MaxWait } from "../RpcAnnotation.js"
import type { Answer, RpcConnection } from "../RpcConnector.js"
import type { Options } from "../RpcProtocol.js"
import { call } from "./call.js"
import * as option from "./options.js"

/** @internal */
export const make = <E0, E>(
  connection: PersistentConnection<RpcConnection<E0>, E>,
  options?: Options
): Effect.Effect<RpcClient.Protocol["Type"]> => {
  const defaultMaxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  return RpcClient.Protocol.make((write) => {
    /** The connections of open streams, for the acknowledgements. */
    const streams = new Map<string, RpcConnection<E0>>()

    const request = (message: RequestEncoded): Effect.Effect<void, RpcClientError> => {
      const { id } = message
      const called = Effect.contextWithEffect((context: Context.Context<never>) =>
        call(connection, maxWaitOf(context, defaultMaxWait), (rpc) =>
          rpc.request(message, (answer) => {
            if (answer._tag === "Chunk") streams.set(id, rpc)
            else streams.delete(id)
            return write(exitOf(answer, id))
          }))
      )
      return Effect.catchAll(called, (cause) => {
        streams.delete(id)
        const error = new RpcClientError({ reason: "Protocol", message: cause.message, cause })
        return Effect.withFiberRuntime<void, RpcClientError>((fiber) =>
          Effect.zipRight(Effect.forkDaemon(forget(id, fiber)), Effect.fail(error))
        )
      })
    }

    /**
     * `RpcClient` keeps the entry of a request that could not be sent until an answer comes. The answer must come after
     * the failure: otherwise the call would end with it. A discarded call has no fiber of its own that would end.
     */
    const forget = (id: string, sending: Fiber.RuntimeFiber<unknown, unknown>, turns = 32): Effect.Effect<void> =>
      Effect.suspend(() =>
        turns > 0 && sending.unsafePoll() === null
          ? Effect.zipRight(Effect.yieldNow(), forget(id, sending, turns - 1))
          : write(died("The request has failed", id))
      )

    return Effect.succeed({
      supportsAck: true,
      supportsTransferables: false,
      send: (message) => {
        switch (message._tag) {
          case "Request":
            return request(message)
          case "Ack": {
            const sent = streams.get(message.requestId)
            return sent === undefined ? Effect.void : Effect.mapError(sent.send(message), (cause) =>
              new RpcClientError({ reason: "Protocol", message: cause.message, cause }))
          }
          case "Interrupt":
            // `RpcConnection.request` has sent it to the server.
            return Effect.sync(() => void streams.delete(message.requestId))
          default:
            return Effect.void
        }
      }
    })
  })
}

const maxWaitOf = (context: Context.Context<never>, otherwise: Duration.Duration): Duration.Duration =>
  Option.match(Context.getOption(context, MaxWait), {
    onNone: () => otherwise,
    onSome: (maxWait) => option.duration("MaxWait", maxWait)
  })

/** Otherwise `RpcClient` would treat each copy of a defect as a new one: later calls would die with it. */
const exitOf = (answer: Answer, requestId: string): Exclude<Answer, ResponseDefectEncoded> =>
  answer._tag === "Defect" ? died(answer.defect, requestId) : answer

const died = (defect: unknown, requestId: string): ResponseExitEncoded => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Failure", cause: { _tag: "Die", defect } }
})
