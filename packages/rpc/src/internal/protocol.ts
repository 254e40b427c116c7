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
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { MaxWait } from "../RpcAnnotation.js"
import type { Answer, RpcConnection } from "../RpcConnector.js"
import type { Options } from "../RpcProtocol.js"
import { call } from "./call.js"
import { Connection } from "./rpcConnection.js"

/** @internal */
export const make = <E0, E>(
  connection: PersistentConnection<RpcConnection<E0>, E>,
  options?: Options
): Effect.Effect<RpcClient.Protocol["Type"]> => {
  const defaultMaxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  return Effect.sync(() => {
    /** The clients of this protocol. Each ignores the answers to the requests of others. */
    const clients = new Set<(answer: FromServerEncoded) => Effect.Effect<void>>()
    const hasClient = Effect.unsafeMakeLatch()
    /** The connections of the streams whose elements are being delivered, for the acknowledgements. */
    const delivering = new Map<string, RpcConnection<E0>>()

    const write = (answer: FromServerEncoded): Effect.Effect<void> => {
      const [client] = clients
      return clients.size === 1
        ? client!(answer)
        : Effect.forEach(clients, (client) => client(answer), { discard: true })
    }

    const request = (message: RequestEncoded): Effect.Effect<void, RpcClientError> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.withFiberRuntime((fiber) => {
          const { id } = message
          const exchange = (rpc: RpcConnection<E0>) => {
            const onAnswer = (answer: Answer) => {
              if (answer._tag !== "Chunk") return write(exitOf(answer, id))
              delivering.set(id, rpc)
              return Effect.ensuring(write(answer), Effect.sync(() => delivering.delete(id)))
            }
            return rpc instanceof Connection
              ? rpc.exchange(message, onAnswer, restore)
              : restore(rpc.request(message, onAnswer))
          }
          const called = () => call(connection, maxWaitOf(fiber.currentContext, defaultMaxWait), restore, exchange)
          return Effect.catchAllCause(
            // A client may send before its fiber has begun to run the protocol, and would miss the answer.
            clients.size === 0 ? Effect.flatMap(restore(hasClient.await), called) : called(),
            (cause) =>
              Effect.zipRight(Effect.forkDaemon(forget(id, fiber)), Effect.failCause(Cause.map(cause, asClientError)))
          )
        })
      )

    /**
     * `RpcClient` keeps the entry of a request that failed, or that was interrupted while its elements waited for the
     * consumer, until an exit comes. The exit must come after the failure: otherwise the call would end with it. A
     * discarded call has no fiber of its own that would end.
     */
    const forget = (id: string, sending: Fiber.RuntimeFiber<unknown, unknown>, turns = 32): Effect.Effect<void> =>
      Effect.suspend(() =>
        turns > 0 && sending.unsafePoll() === null
          ? Effect.zipRight(Effect.yieldNow(), forget(id, sending, turns - 1))
          : write(failed(id, { _tag: "Empty" }))
      )

    return RpcClient.Protocol.of({
      supportsAck: true,
      supportsTransferables: false,
      // `RpcClient.Protocol.make` is not used, because its `run` takes 6 kB, and allows one client.
      run: (client) =>
        Effect.async<never>(() => {
          clients.add(client)
          hasClient.unsafeOpen()
          return Effect.sync(() => {
            clients.delete(client)
            if (clients.size === 0) hasClient.unsafeClose()
          })
        }),
      send: (message) => {
        switch (message._tag) {
          case "Request":
            return request(message)
          case "Ack": {
            const sent = delivering.get(message.requestId)
            return sent === undefined ? Effect.void : Effect.mapError(sent.send(message), asClientError)
          }
          default:
            // `RpcConnection.request` sends the interruption to the server.
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
  answer._tag === "Defect" ? failed(requestId, { _tag: "Die", defect: answer.defect }) : answer

const failed = (
  requestId: string,
  cause: Extract<ResponseExitEncoded["exit"], { readonly _tag: "Failure" }>["cause"]
): ResponseExitEncoded => ({ _tag: "Exit", requestId, exit: { _tag: "Failure", cause } })

const asClientError = (cause: Error): RpcClientError =>
  new RpcClientError({ reason: "Protocol", message: cause.message, cause })
