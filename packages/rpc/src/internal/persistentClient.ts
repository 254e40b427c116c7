import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { CallError, Options } from "../PersistentRpcClient.js"
import { Idempotent, MaxWait } from "../RpcAnnotation.js"
import type { ClientError } from "../RpcConnector.js"
import * as option from "./options.js"
import { useWithin } from "./useWithin.js"

/** @internal */
export const make = <Rpcs extends Rpc.Any, E>(
  group: RpcGroup.RpcGroup<Rpcs>,
  connection: PersistentConnection<RpcClient.RpcClient<Rpcs, ClientError<any>>, E>,
  options?: Options
): RpcClient.RpcClient<Rpcs, CallError<E>> => {
  const maxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  // The shape of the client of a connection: a procedure with a dot in its tag is in an object of that prefix.
  const client: Record<string, unknown> = {}
  for (const procedure of group.requests.values()) {
    const [prefix, ...rest] = procedure._tag.split(".")
    const name = rest.join(".")
    const isNested = rest.length > 0
    const target = isNested ? (client[prefix!] ??= {}) as Record<string, unknown> : client
    target[isNested ? name : procedure._tag] = methodOf(
      procedure as never,
      connection,
      maxWait,
      (client: any) => isNested ? client[prefix!][name] : client[procedure._tag]
    )
  }
  return client as never
}

/** A method of the client of one connection. */
type Method = (input: unknown, options?: MethodOptions) => unknown

interface MethodOptions {
  readonly asMailbox?: boolean | undefined
  readonly streamBufferSize?: number | undefined
}

const methodOf = <Client, E>(
  { annotations, successSchema }: Rpc.AnyWithProps,
  connection: PersistentConnection<Client, E>,
  defaultMaxWait: Duration.Duration,
  select: (client: Client) => Method
): Method => {
  /** The value for this call: from the context, or else from the annotation. */
  const setting = <I, S>(tag: Context.Tag<I, S>): Effect.Effect<S | undefined> =>
    Effect.map(
      Effect.serviceOption(tag),
      (service) => Option.getOrUndefined(Option.orElse(service, () => Context.getOption(annotations, tag)))
    )
  const use = <A, E2>(f: (client: Client) => Effect.Effect<A, E2>): Effect.Effect<A, E2 | CallError<E>> =>
    Effect.flatMap(
      setting(MaxWait),
      (maxWait) =>
        useWithin(connection, maxWait === undefined ? defaultMaxWait : option.duration("MaxWait", maxWait), f)
    )

  if (!RpcSchema.isStreamSchema(successSchema)) {
    return (input, options) => {
      const call: Effect.Effect<unknown, CallError<E>> = use((client) =>
        select(client)(input, options) as Effect.Effect<unknown, CallError<E>>
      )
      const untilDone: typeof call = Effect.catchAll(call, (error) => isLost(error) ? untilDone : Effect.fail(error))
      return Effect.flatMap(setting(Idempotent), (isIdempotent) => isIdempotent === true ? untilDone : call)
    }
  }

  return (input, { asMailbox = false, ...options } = {}) => {
    const stream = Stream.unwrapScoped(Effect.gen(function*() {
      const found = yield* Deferred.make<Client, CallError<E>>()
      // This use lasts until the stream ends.
      const using = yield* use((client) => Effect.zipRight(Deferred.succeed(found, client), Effect.never)).pipe(
        Effect.tapErrorCause((cause) => Deferred.failCause(found, cause)),
        Effect.exit,
        Effect.interruptible,
        Effect.forkScoped
      )
      const client = yield* Deferred.await(found)
      // The use fails after a loss too, and it knows whether the persistent connection is closed.
      return Stream.catchAll(
        select(client)(input, options) as Stream.Stream<unknown, CallError<E>>,
        (error) => isLost(error) ? Stream.fromEffect(Effect.flatten(Fiber.join(using))) : Stream.fail(error)
      )
    }))
    return asMailbox ? Mailbox.fromStream(stream, { capacity: options.streamBufferSize ?? 16 }) : stream
  }
}

/** Tests the class, because an error of a procedure may have the same tag. */
const isLost = (error: unknown): boolean => error instanceof ConnectionLost
