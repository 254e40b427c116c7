import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type {
  FromServerEncoded,
  RequestEncoded,
  ResponseDefectEncoded,
  ResponseExitEncoded
} from "@effect/rpc/RpcMessage"
import * as option from "@persistent-connection/core/Options"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { MaxWait } from "../RpcAnnotation.js"
import type { Answer, RpcConnection } from "../RpcConnector.js"
import type { Options } from "../RpcProtocol.js"
import { call } from "./call.js"

/** @internal */
export const make = <E0, E>(
  connection: PersistentConnection<RpcConnection<E0>, E>,
  options?: Options
): Effect.Effect<RpcClient.Protocol["Type"]> => {
  const defaultMaxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  return Effect.sync(() => {
    /** The clients of this protocol. Each ignores the answers to the requests of others. */
    const clients = new Set<(answer: FromServerEncoded) => Effect.Effect<void>>()
    const hasClient = Deferred.unsafeMake<void>(FiberId.none)
    /** The connections of open streams, for the acknowledgements. */
    const streams = new Map<string, RpcConnection<E0>>()

    const write = (answer: FromServerEncoded): Effect.Effect<void> =>
      clients.size === 0
        // An answer may come before the fiber of the client has begun to run the protocol.
        ? Effect.flatMap(Deferred.await(hasClient), () => write(answer))
        : Effect.forEach(clients, (client) => client(answer), { discard: true })

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

    return RpcClient.Protocol.of({
      supportsAck: true,
      supportsTransferables: false,
      // `RpcClient.Protocol.make` is not used, because its `run` takes 6 kB, and allows one client.
      run: (client) =>
        Effect.async<never>(() => {
          clients.add(client)
          Deferred.unsafeDone(hasClient, Exit.void)
          return Effect.sync(() => clients.delete(client))
        }),
      send: (message) => {
        switch (message._tag) {
          case "Request":
            return request(message)
          case "Ack": {
            const sent = streams.get(message.requestId)
            return sent === undefined ?
              Effect.void :
              Effect.mapError(
                sent.send(message),
                (cause) => new RpcClientError({ reason: "Protocol", message: cause.message, cause })
              )
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
