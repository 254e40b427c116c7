import type { FromClientEncoded, RequestEncoded, ResponseExitEncoded } from "@effect/rpc/RpcMessage"
import type { Parser } from "@effect/rpc/RpcSerialization"
import { type ConnectionClosed, ConnectionLost, isRegularEnd } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import type { Answer, RpcConnection, Transport } from "../RpcConnector.js"
import { RpcCallError, RpcProtocolError, type RpcProtocolErrorReason } from "../RpcError.js"
import type { Restore } from "./call.js"
import { OpenRequest } from "./openRequest.js"

/** @internal */
export const TypeId = "~persistent-connection/RpcConnection" as const

/**
 * The tag of the procedure that gives the menu. A server without a menu does not know it.
 *
 * @internal
 */
export const menuTag = "@persistent-connection/rpc/Menu" as const

/**
 * The transport of an RPC connection, and its settings.
 *
 * @internal
 */
export interface Parts<E> {
  readonly serverName: string
  readonly generation: number
  readonly parser: Parser
  readonly maxMessageSize: number
  readonly connector: Pick<Connector.Connector<never, Transport<E>, E, unknown>, "isClosed">
  readonly transport: Transport<E>
}

/**
 * Gives each answer to its request. The fiber of the request handles it, so a slow consumer of a stream does not delay
 * other requests.
 *
 * @internal
 */
export class Connection<E> extends Inspectable.Class
  implements RpcConnection<E | RpcProtocolError>, Connector.Receiver<string | Uint8Array, E, E, RpcProtocolError>
{
  readonly [TypeId]: typeof TypeId = TypeId
  readonly received: () => number
  /** Sends a ping now, if the connection has pings. */
  ask: Effect.Effect<unknown, E | RpcProtocolError> | undefined
  /** The open requests by their ids. */
  private readonly open = new Map<string, OpenRequest<E | RpcProtocolError>>()
  /**
   * How many other requests the server may still answer, at most. These answers are dropped. It is a count, and not a
   * set of ids: a server that lets handlers die, or ignores interruptions, leaves any number of requests unanswered.
   */
  private dropped = 0
  private readonly pongs = new Set<() => void>()
  private readonly watches = new Set<(exit: Exit.Exit<void, E | RpcProtocolError>) => void>()
  private hasRead = false
  private transportEnd: Exit.Exit<unknown, E> | undefined
  private end: Exit.Exit<void, E | RpcProtocolError> | undefined
  private lost: Exit.Exit<never, ConnectionLost<E | RpcProtocolError>> | undefined
  private callsHaveEnded = false
  /** The procedures that the server has with the same schemas, if its menu was checked. */
  usable: ReadonlySet<string> | undefined

  constructor(readonly parts: Parts<E>) {
    super()
    this.received = parts.transport.received
  }

  toJSON(): unknown {
    return { _id: "RpcConnection", received: this.received(), open: this.open.size }
  }

  /** Waits until the connection is lost. */
  get closed(): Effect.Effect<void, E | RpcProtocolError> {
    return Connector.callback((resume) => {
      if (this.end !== undefined) {
        resume(this.end)
        return constVoid
      }
      this.watches.add(resume)
      return () => this.watches.delete(resume)
    })
  }

  get isClosed(): boolean {
    const { connector, transport } = this.parts
    return this.lost !== undefined || connector.isClosed?.(transport) === true
  }

  /** Ends the connection and all open requests. Only the first call counts. */
  lose(lossCause: Cause.Cause<E | RpcProtocolError>): void {
    if (this.lost !== undefined) return
    const lost = this.lost = this.lossExit(lossCause)
    for (const request of this.open.values()) request.fail(lost)
    const end = this.end = Cause.isEmpty(lossCause) ? Exit.void : Exit.failCause(lossCause)
    for (const resume of this.watches) resume(end)
  }

  /**
   * Called when the uses of the connection end. Without a cause, its streams deliver what it still receives: it may
   * have been replaced. Only the first call counts.
   */
  endUse(reason: ConnectionLost<unknown> | ConnectionClosed<unknown>): void {
    const lossCause = (reason._tag === "ConnectionLost" ? reason.lossCause : Cause.empty) as Cause.Cause<E>
    if (!Cause.isEmpty(lossCause)) return this.lose(lossCause)
    if (this.callsHaveEnded || this.lost !== undefined) return
    this.callsHaveEnded = true
    const lost = this.lossExit(lossCause)
    for (const request of this.open.values()) {
      if (!request.isStream) request.fail(lost)
    }
  }

  /**
   * How a request fails whose handler the server has interrupted. A server that stops interrupts all its handlers, and
   * then ends its connections: that is a loss as any other.
   */
  private interruption(procedure: string): Effect.Effect<never, ConnectionLost<E | RpcProtocolError> | RpcCallError> {
    return Effect.timeoutFail(Effect.interruptible(this.loss), {
      duration: stopTimeout,
      onTimeout: () => new RpcCallError({ serverName: this.parts.serverName, procedure, reason: "Interrupted" })
    })
  }

  /** Waits until the connection is lost, and fails with that. */
  private get loss(): Effect.Effect<never, ConnectionLost<E | RpcProtocolError>> {
    return Effect.flatMap(Effect.exit(this.closed), () => this.lost!)
  }

  private lossExit(lossCause: Cause.Cause<E | RpcProtocolError>) {
    const { generation, serverName } = this.parts
    return Exit.fail(new ConnectionLost({ serverName, generation, lossCause }))
  }

  get release(): Effect.Effect<void> {
    return Effect.sync(() => this.lose(Cause.empty))
  }

  take(pieces: Chunk.Chunk<string | Uint8Array>): Effect.Effect<void, RpcProtocolError> {
    for (const piece of pieces) {
      const reason = this.takePiece(piece)
      if (reason !== undefined) return this.error(reason)
    }
    return Effect.void
  }

  onRead(read: Exit.Exit<void, E | RpcProtocolError>): void {
    this.hasRead = true
    if (Exit.isFailure(read)) this.lose(read.cause)
    else if (this.transportEnd !== undefined) this.lose(this.lossCause(this.transportEnd))
  }

  /** After a regular end, the connection is lost when all input has been given to its requests. */
  onClosed(exit: Exit.Exit<unknown, E>): void {
    this.transportEnd = exit
    if (this.hasRead || Exit.isFailure(exit) && !isRegularEnd(exit.cause)) this.lose(this.lossCause(exit))
  }

  private lossCause(closed: Exit.Exit<unknown, E>): Cause.Cause<E | RpcProtocolError> {
    const cause = Exit.isFailure(closed) ? closed.cause : Cause.empty
    if (Exit.isFailure(closed) && !isRegularEnd(cause)) return Cause.isInterruptedOnly(cause) ? Cause.empty : cause
    return this.isTorn ? Cause.fail(this.error({ _tag: "TornMessage" })) : cause
  }

  /** Sends a ping, and waits for the pong. */
  get ping(): Effect.Effect<void, E> {
    const pong = Effect.async<void>((resume) => {
      const onPong = () => resume(Effect.void)
      this.pongs.add(onPong)
      return Effect.sync(() => this.pongs.delete(onPong))
    })
    return Effect.catchAll(
      Effect.zipRight(Effect.suspend(() => this.write({ _tag: "Ping" }, "Ping")), pong),
      // After the end, the result of a ping has no effect.
      (error) => error instanceof RpcCallError ? Effect.fail(error.underlying as E) : Effect.never
    )
  }

  readonly request: RpcConnection<E | RpcProtocolError>["request"] = (message, onAnswer) =>
    Effect.uninterruptibleMask((restore) => this.exchange(message, onAnswer, restore))

  /** As `request`. Called in an uninterruptible region. */
  exchange<E2, R>(
    message: RequestEncoded,
    onAnswer: (answer: Answer) => Effect.Effect<void, E2, R>,
    restore: Restore
  ): Effect.Effect<void, E2 | ConnectionLost<E | RpcProtocolError> | RpcCallError, R> {
    const { id, tag } = message
    if (this.open.has(id)) return Effect.dieMessage(`The request id ${id} belongs to an open request`)
    const request = new OpenRequest<E | RpcProtocolError>(tag)
    let isSent = false
    // `write` may throw: then the request is not open.
    const answered = this.write(message, tag, () => {
      isSent = true
      return request.deliver(onAnswer)
    })
    this.open.set(id, request)
    // Not `Effect.onError`, which takes twice as many steps.
    return Effect.catchAllCause(restore(answered), (cause) => {
      if (isSent || !Cause.isFailure(cause)) return Effect.zipRight(this.abandon(id, request), Effect.failCause(cause))
      this.open.delete(id)
      return Effect.failCause(cause)
    })
  }

  /** Tells the server that nobody waits for its answer. */
  private abandon(id: string, request: OpenRequest<E | RpcProtocolError>): Effect.Effect<void> {
    if (this.open.get(id) !== request) return Effect.void
    // The server still answers, with the interruption.
    this.open.delete(id)
    this.dropped++
    if (request.failure !== undefined) return Effect.void
    const interrupt = this.write({ _tag: "Interrupt", requestId: id }, request.procedure)
    // Waits at most 1 s for the transport.
    return Effect.ignore(Effect.timeout(Effect.interruptible(interrupt), "1 second"))
  }

  readonly send: RpcConnection<E | RpcProtocolError>["send"] = (message) =>
    Effect.suspend(() => {
      if (message._tag !== "Request") {
        const procedure = "requestId" in message ? this.open.get(message.requestId)?.procedure : undefined
        return this.write(message, procedure ?? message._tag)
      }
      const { id, tag } = message
      if (this.open.has(id)) return Effect.dieMessage(`The request id ${id} belongs to an open request`)
      this.dropped++
      return Effect.tapError(this.write(message, tag), () => Effect.sync(() => this.dropped--))
    })

  /** Encodes the message at once. The effect sends it, and goes on with `next`. */
  private write<E2 = never, R = never>(
    message: FromClientEncoded | RequestEncoded,
    procedure: string,
    next: () => Effect.Effect<void, E2, R> = () => Effect.void
  ): Effect.Effect<void, E2 | ConnectionLost<E | RpcProtocolError> | RpcCallError, R> {
    if (this.lost !== undefined) return this.lost
    const { parser, serverName, transport } = this.parts
    let data
    try {
      data = parser.encode(message)
    } catch (underlying) {
      return new RpcCallError({ serverName, procedure, reason: "EncodeFailed", underlying })
    }
    if (data === undefined) return next()
    return Effect.matchEffect(transport.send(data), {
      onSuccess: next,
      onFailure: (underlying): Effect.Effect<void, ConnectionLost<E | RpcProtocolError> | RpcCallError> =>
        // A closing transport refuses to send. Then the call fails with the loss.
        this.isClosed ? this.loss : new RpcCallError({ serverName, procedure, reason: "SendFailed", underlying })
    })
  }

  private takePiece(piece: string | Uint8Array): RpcProtocolErrorReason | undefined {
    const { maxMessageSize, parser } = this.parts
    if (piece.length > maxMessageSize) return { _tag: "MessageTooLong", limit: maxMessageSize }
    let messages
    try {
      messages = parser.decode(piece)
    } catch (error) {
      return isTooLong(error) ? { _tag: "MessageTooLong", limit: error.maxBufferSize } : { _tag: "DecodeFailed" }
    }
    for (const message of messages) {
      const wrong = this.takeMessage(message)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }

  /** No part of the message can be trusted: the server chooses it. */
  private takeMessage(message: unknown): RpcProtocolErrorReason | undefined {
    if (!Predicate.isRecord(message)) return { _tag: "UnknownMessage" }
    switch (message["_tag"]) {
      case "Pong":
        for (const onPong of this.pongs) onPong()
        this.pongs.clear()
        return undefined
      case "Defect":
        for (const { procedure } of this.open.values()) {
          // A server without a menu is no violation.
          if (procedure !== menuTag && message["defect"] === `Unknown request tag: ${procedure}`) {
            return { _tag: "UnknownProcedure", procedure }
          }
        }
        for (const request of this.open.values()) request.offer(message as never)
        // The server still answers those requests whose handlers have not died.
        this.dropped += this.open.size
        this.open.clear()
        return undefined
      case "Chunk":
      case "Exit": {
        const id = message["requestId"] as string
        const request = this.open.get(id)
        if (request === undefined && this.dropped === 0) return { _tag: "UnknownRequest" }
        if (!isAnswer(message)) return { _tag: "UnknownMessage" }
        if (message["_tag"] === "Exit" && !this.open.delete(id)) this.dropped--
        if (isInterruption(message as never)) request?.fail(this.interruption(request.procedure))
        else request?.offer(message as never)
        return undefined
      }
      default:
        return { _tag: "UnknownMessage" }
    }
  }

  /**
   * Is the parser in the middle of a message? The parser has no such test. But if it is, it cannot decode a `Pong`.
   */
  private get isTorn(): boolean {
    const { parser } = this.parts
    try {
      const messages = parser.decode(parser.encode({ _tag: "Pong" }) ?? "")
      return !Predicate.isTagged(messages[0], "Pong")
    } catch {
      return true
    }
  }

  private error(reason: RpcProtocolErrorReason): RpcProtocolError {
    return new RpcProtocolError({ serverName: this.parts.serverName, reason })
  }
}

/** The connections behind the clients. */
const behind = new WeakMap<object, Connection<any> | undefined>()

/**
 * Makes `connectionOf` work on a client of a connection.
 *
 * @internal
 */
export const derive = (connection: object, client: object): void => {
  behind.set(client, connectionOf(connection))
}

/**
 * The connection of a client, or the connection itself. None for objects that others have derived from these.
 *
 * @internal
 */
export const connectionOf = (connection: object): Connection<any> | undefined =>
  connection instanceof Connection ? connection : behind.get(connection)

/** Has this chunk or exit the form that clients rely on? The schemas check what it contains. */
const isAnswer = ({ _tag, exit, values }: Record<PropertyKey, unknown>): boolean =>
  _tag === "Chunk"
    ? Array.isArray(values) && values.length > 0
    : Predicate.isRecord(exit) &&
      (exit["_tag"] === "Success" || exit["_tag"] === "Failure" && Predicate.isRecord(exit["cause"]))

/** Has the handler neither failed nor died? A loop, because the server chooses how deep the cause is. */
const isInterruption = ({ exit }: { readonly exit?: ResponseExitEncoded["exit"] }): boolean => {
  if (exit?._tag !== "Failure") return false
  const causes: Array<unknown> = [exit.cause]
  for (const cause of causes) {
    if (!Predicate.isRecord(cause)) return false
    // An interruption comes with empty causes.
    if (cause["_tag"] !== "Interrupt" && cause["_tag"] !== "Empty") causes.push(cause["left"], cause["right"])
  }
  return true
}

/** How long a server that stops may take from the interruption of a handler to the end of the connection. */
const stopTimeout = "3 seconds"

const isTooLong = (error: unknown): error is { readonly maxBufferSize: number } =>
  Predicate.isTagged(error, "RpcSerializationError")
