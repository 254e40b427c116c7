import * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as option from "@persistent-connection/core/Options"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Options, SocketConnection } from "../PersistentSocket.js"
import type { TcpError } from "../TcpError.js"
import { WebSocketError } from "../WebSocketError.js"
import { TypeId as TcpTypeId } from "./tcpConnection.js"
import { TypeId as WebSocketTypeId } from "./webSocketConnection.js"

type Message = string | Uint8Array
type Service = PersistentConnection.PersistentConnection<SocketConnection, unknown>
type Write = (chunk: Message | Socket.CloseEvent) => Effect.Effect<void, Socket.SocketError>

/** @internal */
export const make = (self: Service, options?: Options): Socket.Socket => withOptions(options)(self)

/** @internal */
export const layer = <Id, Connection extends SocketConnection, E>(
  tag: Context.Tag<Id, PersistentConnection.PersistentConnection<Connection, E>>,
  options?: Options
): Layer.Layer<Socket.Socket, never, Id> =>
  Layer.effect(Socket.Socket, Effect.map(asTag("tag", tag), withOptions(options)))

const asTag = option.kind("a Tag", Context.isTag)

const readers = {
  waitTimeout: option.withDefault(option.duration, "30 seconds"),
  whenLost: option.optional(option.oneOf("continue", "end"))
}

const withOptions = (options: Options | undefined): (self: Service) => Socket.Socket => {
  const { waitTimeout, whenLost } = option.read(options, readers)
  return (self) => {
    asService("self", self)
    return socketOf(
      whenLost === "end" ? onNext(self) : onAll(self),
      Effect.succeed(writeTo(self, Duration.toMillis(waitTimeout)))
    )
  }
}

const asService = option.kind("a PersistentConnection", PersistentConnection.isPersistentConnection)

/** @internal */
export const fromConnection = (connection: SocketConnection): Socket.Socket => {
  asConnection("connection", connection)
  const write: Write = (chunk) =>
    Effect.mapError(
      Socket.isCloseEvent(chunk) ? closeWith(connection, chunk) : connection.send(chunk),
      writeFailed
    )
  const onLeave = isTcp(connection) ? Effect.forkDaemon(connection.close) : Effect.void
  return socketOf((read) => read(connection), Effect.acquireRelease(Effect.succeed(write), () => onLeave))
}

const asConnection = option.kind(
  "a WebSocketConnection or a TcpConnection",
  (input) => Predicate.hasProperty(input, WebSocketTypeId) || Predicate.hasProperty(input, TcpTypeId)
)

const isTcp = Predicate.hasProperty(TcpTypeId) as (
  connection: SocketConnection
) => connection is Extract<SocketConnection, { readonly [TcpTypeId]: unknown }>

const closeWith = (
  connection: SocketConnection,
  { code, reason }: Socket.CloseEvent
): Effect.Effect<void, WebSocketError> => isTcp(connection) ? connection.close : connection.close(code, reason)

// Reading --------------------------------------------------------------------------------------------------------

type SocketFailure = WebSocketError | TcpError

/** Reads a connection up to its end. */
type Read = (connection: SocketConnection) => Effect.Effect<void, SocketFailure>

/** Reads one connection after the other. Ends when the owner closes the persistent connection. */
const onAll = (self: Service) => (read: Read): Effect.Effect<void, unknown> =>
  Stream.runDrain(PersistentConnection.stream(self, (connection) => Stream.execute(read(connection))))

/**
 * Reads the current or the next connection, even if that has ended already: what it has received can still be read.
 * Ends at once if the owner has closed the persistent connection.
 */
const onNext = (self: Service) => (read: Read): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    let hasBegun = false
    const ends = PersistentConnection.stream(self, (connection) => {
      // The first connection was replaced, and its server does not end it.
      if (hasBegun) return Stream.succeed(Exit.void)
      hasBegun = true
      return Stream.fromEffect(Effect.exit(read(connection)))
    })
    return Effect.flatMap(Stream.runHead(ends), Option.getOrElse(() => Exit.void))
  })

/** Calls the function with each message in the turn in which it arrives. */
const readWith = (
  connection: SocketConnection,
  onMessage: (message: Message) => void
): Effect.Effect<void, SocketFailure> =>
  Effect.scopedWith((scope) =>
    Effect.flatMap(Deferred.make<void, SocketFailure>(), (end) => {
      const messages: Stream.Stream<Message, SocketFailure> = isTcp(connection) ? connection.data : connection.messages
      const closed: Effect.Effect<unknown, SocketFailure> = connection.closed
      const reading = Connector.readInBackground(messages, closed, {
        take: (chunk) => {
          // An iterator would make an array of each single message.
          for (let i = 0; i < chunk.length; i++) onMessage(Chunk.unsafeGet(chunk, i))
          return Exit.void
        },
        onRead: (exit: Exit.Exit<void, SocketFailure>) => Deferred.unsafeDone(end, exit),
        onClosed: constVoid
      })
      return Effect.zipRight(Scope.extend(reading, scope), Deferred.await(end))
    })
  )

/** Makes a socket from the way in which it reads its connections. */
const socketOf = (
  readOn: (read: Read) => Effect.Effect<void, unknown>,
  writer: Socket.Socket["writer"]
): Socket.Socket => {
  const runRaw: Socket.Socket["runRaw"] = <A, E2, R>(
    handler: (message: Message) => Effect.Effect<A, E2, R> | void,
    { onOpen = Effect.void }: { readonly onOpen?: Effect.Effect<void> | undefined } = {}
  ) =>
    Effect.scopedWith((scope) =>
      Effect.gen(function*() {
        const fibers = yield* Scope.extend(FiberSet.make<unknown, E2>(), scope)
        const run = yield* FiberSet.runtime(fibers)<R>()
        const onMessage = (message: Message): void => {
          const handled = handler(message)
          if (Effect.isEffect(handled)) run(handled)
        }
        const open = (connection: SocketConnection): void => {
          const opening = run(onOpen)
          if (opening.unsafePoll() !== null) return
          const untilEnd = Effect.raceFirst(
            Fiber.await(opening),
            Effect.exit<unknown, unknown, never>(connection.closed)
          )
          run(Effect.zipRight(untilEnd, Fiber.interrupt(opening)))
        }
        const read = readOn((connection) =>
          Effect.suspend(() => {
            open(connection)
            return readWith(connection, onMessage)
          })
        )
        yield* Effect.raceFirst(Effect.mapError(read, ended), FiberSet.join(fibers))
      })
    ).pipe(Effect.interruptible)
  return Socket.Socket.of({
    [Socket.TypeId]: Socket.TypeId,
    run: (handler, options) =>
      runRaw((message) => handler(typeof message === "string" ? encoder.encode(message) : message), options),
    runRaw,
    writer
  })
}

const encoder = new TextEncoder()

const ended = (error: unknown): Socket.SocketError =>
  error instanceof WebSocketError && error.reason._tag === "Closed"
    ? new Socket.SocketCloseError({ reason: "Close", code: error.reason.code, closeReason: error.reason.reason })
    : new Socket.SocketGenericError({ reason: "Read", cause: error })

// Writing --------------------------------------------------------------------------------------------------------

const writeFailed = (cause: unknown) => new Socket.SocketGenericError({ reason: "Write", cause })

/** `waitTimeout` is in ms. */
const writeTo = (self: Service, waitTimeout: number): Write => {
  const connection = PersistentConnection.use(self, Effect.succeed)
  const connectionNow = PersistentConnection.use(self, Effect.succeed, { whenDisconnected: "fail" })

  const connectionWithin = (millis: number) =>
    // Otherwise the timeout would have no effect in an uninterruptible region, such as a finalizer.
    millis <= 0 ? connectionNow : Effect.flatten(Effect.timeoutTo(Effect.interruptible(connection), {
      duration: millis,
      onSuccess: Effect.succeed,
      // Fails with the cause of the outage.
      onTimeout: () => connectionNow
    }))

  /** Sends on the next connection. `deadline` is in ms of the clock's monotonic time. */
  const sendOnNext = (message: Message, deadline?: number): Effect.Effect<void, unknown> =>
    Effect.flatMap(Clock.currentTimeNanos, (nanos) => {
      const now = Number(nanos) / 1_000_000
      const until = deadline ?? now + waitTimeout
      return Effect.flatMap(connectionWithin(until - now), (connection) => sendOn(connection, message, until))
    })

  /** If the connection is lost before the message is sent, sends it on the next one. */
  const sendOn = (connection: SocketConnection, message: Message, deadline?: number): Effect.Effect<void, unknown> =>
    Effect.catchAll<void, unknown, never, void, unknown, never>(
      connection.send(message),
      (error) => connection.isClosed() ? sendOnNext(message, deadline) : Effect.fail(error)
    )

  return (chunk) => {
    if (Socket.isCloseEvent(chunk)) return closeAll(self, chunk)
    const sent = Effect.flatMap(
      self.currentConnection,
      (current) => Option.isSome(current) ? sendOn(current.value, chunk) : sendOnNext(chunk)
    )
    return Effect.mapError(sent, writeFailed)
  }
}

const closeAll = (self: Service, event: Socket.CloseEvent): Effect.Effect<void> =>
  Effect.flatMap(self.currentConnection, (current) =>
    // First, so that the end of the connection causes no other attempt.
    Effect.zipRight(
      self.closeWhenCurrentConnectionIsClosed,
      Option.isSome(current) ? Effect.ignore(closeWith(current.value, event)) : Effect.void
    )).pipe(Effect.zipRight(self.close))
