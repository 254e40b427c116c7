import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type {
  FromClientEncoded,
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
import { attempted, call, type Restore } from "./call.js"
import { ExitQueue } from "./exitQueue.js"
import { Connection } from "./rpcConnection.js"

/** @internal */
export const make = <E0, E>(
  connection: PersistentConnection<RpcConnection<E0>, E>,
  options?: Options
): Effect.Effect<RpcClient.Protocol["Type"]> => {
  const maxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  return Effect.sync(() => RpcClient.Protocol.of(new Protocol(connection, maxWait)))
}

// `RpcClient.Protocol.make` is not used, because its `run` takes 6 kB, and allows one client.
class Protocol<E0, E> {
  readonly supportsAck = true
  readonly supportsTransferables = false
  /** The clients of this protocol, by their `write`. Each ignores the answers to the requests of others. */
  private readonly clients = new Map<(answer: FromServerEncoded) => Effect.Effect<void>, ExitQueue>()
  /** Opened when there is a client. */
  private latch: Effect.Latch | undefined
  /** The connections of the streams whose elements are being delivered, for the acknowledgements. */
  private delivering: Map<string, RpcConnection<E0>> | undefined

  constructor(
    private readonly connection: PersistentConnection<RpcConnection<E0>, E>,
    private readonly maxWait: Duration.Duration
  ) {}

  readonly run = (write: (answer: FromServerEncoded) => Effect.Effect<void>): Effect.Effect<never> =>
    Effect.flatMap(Effect.runtime<never>(), (runtime) =>
      Effect.async<never>(() => {
        this.clients.set(write, new ExitQueue(runtime))
        this.latch?.unsafeOpen()
        this.latch = undefined
        return Effect.sync(() => this.clients.delete(write))
      }))

  readonly send = (message: FromClientEncoded): Effect.Effect<void, RpcClientError> => {
    switch (message._tag) {
      case "Request":
        return this.request(message)
      case "Ack": {
        const rpc = this.delivering?.get(message.requestId)
        return rpc === undefined ? Effect.void : Effect.mapError(rpc.send(message), asClientError)
      }
      default:
        // `RpcConnection.request` sends the interruption to the server.
        return Effect.void
    }
  }

  private request(message: RequestEncoded): Effect.Effect<void, RpcClientError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime((fiber) => {
        const called = () =>
          call(
            this.connection,
            maxWaitOf(fiber.currentContext, this.maxWait),
            restore,
            (rpc) => this.exchange(rpc, message, restore)
          )
        return Effect.catchAllCause(
          this.clients.size === 0 ? Effect.flatMap(restore(this.hasClient), called) : attempted(called),
          (cause) =>
            Effect.zipRight(
              Effect.forkDaemon(this.forget(message.id, fiber)),
              Effect.failCause(Cause.map(cause, asClientError))
            )
        )
      })
    )
  }

  /** A client may send before its fiber has begun to run the protocol, and would miss the answer. */
  private get hasClient(): Effect.Effect<void> {
    return Effect.suspend(() => (this.latch ??= Effect.unsafeMakeLatch()).await)
  }

  private exchange(rpc: RpcConnection<E0>, message: RequestEncoded, restore: Restore) {
    const { id } = message
    const onAnswer = (answer: Answer) => {
      if (answer._tag !== "Chunk") return this.end(exitOf(answer, id))
      const delivering = this.delivering ??= new Map()
      delivering.set(id, rpc)
      return Effect.ensuring(this.write(answer), Effect.sync(() => delivering.delete(id)))
    }
    return rpc instanceof Connection
      ? rpc.exchange(message, onAnswer, restore)
      : restore(rpc.request(message, onAnswer))
  }

  private end(exit: ResponseExitEncoded): Effect.Effect<void> {
    // `write` decodes the exit. If that throws, `RpcClient` has already forgotten the request: only its fiber can end
    // the call.
    for (const [write, exits] of this.clients) exits.offer(write(exit))
    return Effect.void
  }

  private write(answer: FromServerEncoded): Effect.Effect<void> {
    return Effect.forEach(this.clients, ([write]) => write(answer), { discard: true })
  }

  /**
   * `RpcClient` keeps the entry of a request that failed, or that was interrupted while its elements waited for the
   * consumer, until an exit comes. The exit must come after the failure: otherwise the call would end with it. A
   * discarded call has no fiber of its own that would end.
   */
  private forget(id: string, sending: Fiber.RuntimeFiber<unknown, unknown>, turns = 32): Effect.Effect<void> {
    return Effect.suspend(() =>
      turns > 0 && sending.unsafePoll() === null
        ? Effect.zipRight(Effect.yieldNow(), this.forget(id, sending, turns - 1))
        : this.end(failed(id, { _tag: "Empty" }))
    )
  }
}

const maxWaitOf = (context: Context.Context<never>, otherwise: Duration.Duration): Duration.Duration =>
  Option.match(Context.getOption(context, MaxWait), {
    onNone: () => otherwise,
    onSome: (maxWait) => option.duration("MaxWait", maxWait)
  })

/** Otherwise `RpcClient` would treat each copy of a defect as a new one: later calls would die with it. */
const exitOf = (answer: ResponseDefectEncoded | ResponseExitEncoded, requestId: string): ResponseExitEncoded =>
  answer._tag === "Defect" ? failed(requestId, { _tag: "Die", defect: answer.defect }) : answer

const failed = (
  requestId: string,
  cause: Extract<ResponseExitEncoded["exit"], { readonly _tag: "Failure" }>["cause"]
): ResponseExitEncoded => ({ _tag: "Exit", requestId, exit: { _tag: "Failure", cause } })

const asClientError = (cause: Error): RpcClientError =>
  new RpcClientError({ reason: "Protocol", message: cause.message, cause })
