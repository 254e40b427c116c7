import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import { ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as option from "@persistent-connection/core/Options"
import { type Hold, type PersistentConnection, resumableStream } from "@persistent-connection/core/PersistentConnection"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallError, Options } from "../PersistentRpcClient.js"
import { Idempotent, MaxWait, Resume } from "../RpcAnnotation.js"
import type { ClientError } from "../RpcConnector.js"
import { RpcCallError } from "../RpcError.js"
import { call, failWithEnd, withHold } from "./call.js"

/** @internal */
export const make = <Rpcs extends Rpc.Any, E>(
  group: RpcGroup.RpcGroup<Rpcs>,
  connection: PersistentConnection<RpcClient.RpcClient<Rpcs, ClientError<any>>, E>,
  options?: Options
): RpcClient.RpcClient<Rpcs, CallError<E>> => {
  const maxWait = option.duration("maxWait", options?.maxWait ?? "10 seconds")
  const client = {}
  for (const procedure of group.requests.values()) {
    const tag = procedure._tag
    const dot = tag.indexOf(".")
    const name = tag.slice(dot + 1)
    // The shape of the client of a connection: a procedure with a dot in its tag is in an object of that prefix.
    const owner = (client: any) => dot === -1 ? client : client[tag.slice(0, dot)] ??= {}
    owner(client)[name] = methodOf(procedure as never, connection, maxWait, (client) => owner(client)[name])
  }
  return client as never
}

/** A method of the client of one connection. */
type Method = (input: unknown, options?: MethodOptions) => unknown

interface MethodOptions {
  readonly asMailbox?: boolean | undefined
  readonly streamBufferSize?: number | undefined
}

const methodOf = <Client extends object, E>(
  { annotations, successSchema }: Rpc.AnyWithProps,
  connection: PersistentConnection<Client, E>,
  defaultMaxWait: Duration.Duration,
  select: (client: Client) => Method
): Method => {
  const setting = <I, S>(context: Context.Context<never>, tag: Context.Tag<I, S>): S | undefined =>
    Option.getOrUndefined(
      Option.orElse(Context.getOption(context, tag), () => Context.getOption(annotations, tag))
    )
  const maxWaitOf = (context: Context.Context<never>): Duration.Duration => {
    const maxWait = setting(context, MaxWait)
    return maxWait === undefined ? defaultMaxWait : option.duration("MaxWait", maxWait)
  }

  if (!RpcSchema.isStreamSchema(successSchema)) {
    return (input, options) =>
      Effect.contextWithEffect((context: Context.Context<never>) => {
        const maxWait = maxWaitOf(context)
        const called = Effect.uninterruptibleMask((restore) =>
          call(
            connection,
            maxWait,
            restore,
            (client) => restore(select(client)(input, options) as Effect.Effect<unknown, CallError<E>>)
          )
        )
        // After a loss, the call may have been sent. So its last loss replaces an error that says the opposite.
        const untilDone = (loss?: ConnectionLost<E>): typeof called =>
          Effect.catchAll(called, (error) =>
            error instanceof ConnectionLost
              ? untilDone(error)
              : Effect.fail(loss !== undefined && isUnsent(error) ? loss : error))
        return setting(context, Idempotent) === true ? untilDone() : called
      })
  }

  const resume = Context.getOption(annotations, Resume)
  return (input, { asMailbox = false, ...options } = {}) => {
    const elements = (client: Client, input: unknown) =>
      select(client)(input, options) as Stream.Stream<unknown, CallError<E>>
    const stream = Stream.unwrapScoped(Effect.contextWithEffect((context: Context.Context<never>) => {
      const maxWait = maxWaitOf(context)
      return Option.match(resume, {
        onNone: () => onOneConnection(connection, maxWait, (client) => elements(client, input)),
        onSome: (next) =>
          Effect.as(
            Effect.scoped(held(connection, maxWait)),
            onAllConnections(connection, (client, last) =>
              elements(
                client,
                Option.match(last, { onNone: () => input, onSome: (last) => next(input, last) })
              ))
          )
      })
    }))
    return asMailbox ? Mailbox.fromStream(stream, { capacity: options.streamBufferSize ?? 16 }) : stream
  }
}

/** Holds a connection until the scope is closed. */
const held = <Client extends object, E>(
  connection: PersistentConnection<Client, E>,
  maxWait: Duration.Duration
): Effect.Effect<Hold<Client, E>, CallError<E>, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    withHold(
      connection,
      maxWait,
      restore,
      (hold) => Effect.as(Effect.addFinalizer(() => Effect.sync(() => hold.release())), hold)
    )
  )

/** A stream of the current connection. It ends with the connection. */
const onOneConnection = <Client extends object, E>(
  connection: PersistentConnection<Client, E>,
  maxWait: Duration.Duration,
  f: (client: Client) => Stream.Stream<unknown, CallError<E>>
): Effect.Effect<Stream.Stream<unknown, CallError<E>>, CallError<E>, Scope.Scope> =>
  Effect.map(
    held(connection, maxWait),
    (hold) => Stream.catchAllCause(f(hold.connection), (cause) => Stream.fromEffect(failWithEnd(hold, cause)))
  )

/** A stream that goes on from connection to connection. `last` is its last element. */
const onAllConnections = <Client, E>(
  connection: PersistentConnection<Client, E>,
  f: (client: Client, last: Option.Option<unknown>) => Stream.Stream<unknown, CallError<E>>
): Stream.Stream<unknown, CallError<E>> => {
  const elements = Stream.filterMap(
    resumableStream(connection, {
      subscribe: (client: Client, last: Option.Option<unknown>) => Effect.succeed(f(client, last)),
      cursor: identity<unknown>
    }),
    (resumed) => resumed._tag === "Element" ? Option.some(resumed.value) : Option.none()
  )
  // `resumableStream` ends when the owner closes the persistent connection; calls fail.
  const closed = Effect.flatMap(
    connection.isClosed,
    (isClosed) => isClosed ? connection.connectedOrClosed : Effect.void
  )
  return Stream.concat(elements, Stream.execute(closed))
}

/**
 * Does the error say that nothing was sent? Tests the class, because an error of a procedure may have the same tag. An
 * `EncodeFailed` does not come after a loss: the payload has been encoded before.
 */
const isUnsent = (error: unknown): boolean =>
  error instanceof NotConnected || error instanceof RpcCallError && error.reason === "SendFailed"
