import type * as Clock from "effect/Clock"
import type * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import type * as Stream from "effect/Stream"
import type * as Net from "node:net"
import type { TcpConnection } from "../TcpConnector.js"
import { TcpError, type TcpErrorReason } from "../TcpError.js"
import { Closing } from "./closing.js"
import { Inbox } from "./inbox.js"
import { Lifeline } from "./lifeline.js"
import { Outbox } from "./outbox.js"

/** @internal */
export const TypeId = "~persistent-connection/TcpConnection" as const

/** @internal */
export interface Settings {
  readonly sendTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
  readonly receiveHighWaterMark: number
  readonly receiveLimit: number
  readonly socket: {
    readonly allowHalfOpen: boolean
    readonly noDelay: boolean
    readonly keepAlive: boolean
    readonly keepAliveInitialDelay: number
  }
}

type Data = Uint8Array | string

/**
 * One socket, from its construction on. Its listeners stay until its `close` event, which every socket ends with: an
 * error that nobody listens to would end the process.
 *
 * @internal
 */
export class Connection extends Inspectable.Class implements TcpConnection {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly closed: Effect.Effect<void, TcpError>

  private readonly lifeline: Lifeline<void, TcpError>
  private readonly inbox: Inbox<Uint8Array, TcpError>
  private readonly outbox: Outbox<Data, TcpError>
  private readonly closing: Closing

  constructor(
    private readonly socket: Net.Socket,
    readonly address: string,
    private readonly settings: Settings,
    clock: Clock.Clock,
    end: Deferred.Deferred<void, TcpError>
  ) {
    super()
    this.lifeline = new Lifeline(end)
    this.inbox = new Inbox({
      highWaterMark: settings.receiveHighWaterMark,
      limit: settings.receiveLimit,
      pause: () => socket.pause(),
      resume: () => socket.resume()
    })
    this.outbox = new Outbox({
      isFull: () => socket.writable && socket.writableNeedDrain,
      obstacle: () => this.obstacle(),
      write: (data) => socket.write(data),
      onRefused: (cause) => this.error({ _tag: "SendFailed", cause }),
      onWaiting: Effect.void,
      timeout: settings.sendTimeout,
      onTimeout: () => this.error({ _tag: "SendTimeout", timeout: settings.sendTimeout })
    })
    this.closing = new Closing({
      timeout: settings.closeTimeout,
      giveUp: () => {
        this.fail({ _tag: "CloseTimeout", timeout: settings.closeTimeout })
        socket.destroy()
      },
      clock
    })
    this.closed = this.lifeline.closed
    socket.on("connect", this.onConnect)
    socket.on("data", this.onData)
    socket.on("drain", this.onDrain)
    socket.on("end", this.onEnd)
    socket.on("error", this.onError)
    socket.on("close", this.onClose)
  }

  get data(): Stream.Stream<Uint8Array, TcpError> {
    return this.inbox.stream
  }

  readonly received = (): number => this.socket.bytesRead

  readonly isClosed = (): boolean => this.obstacle() !== undefined

  readonly send = (data: Data): Effect.Effect<void, TcpError> => this.outbox.send(data)

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.socket.writableEnded) {
      this.socket.end()
      this.outbox.fail(this.error({ _tag: "Closing" }))
    }
    this.inbox.letIn()
    this.closing.begin()
    return this.closing.ended
  })

  toJSON(): unknown {
    return { _id: "TcpConnection", address: this.address, isClosed: this.isClosed() }
  }

  /** Waits until the socket is connected. */
  opened(timeout: Duration.Duration): Effect.Effect<void, TcpError> {
    return this.lifeline.opened(timeout, () => this.error({ _tag: "OpenTimeout", timeout }))
  }

  /** What leaving the scope does. A socket that the peer has ended is ended by Node, without anything of ours (X6). */
  release(): Effect.Effect<void> {
    this.inbox.close()
    if (this.lifeline.wasOpen) return this.close
    this.socket.destroy()
    return Effect.void
  }

  private readonly onConnect = (): void => this.lifeline.open()

  // Node's own `Buffer` is handed on as what it is said to be: its `slice`, for one, would not copy.
  private readonly onData = (chunk: Uint8Array): void => {
    if (this.inbox.offer(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength))) return
    this.fail({ _tag: "ReceiveOverflow", limit: this.settings.receiveLimit })
    this.socket.destroy()
  }

  private readonly onDrain = (): void => {
    this.outbox.flush()
  }

  private readonly onEnd = (): void => this.end(Exit.void, this.error({ _tag: "Closed" }))

  private readonly onError = (cause: Error): void =>
    this.fail({ _tag: this.lifeline.wasOpen ? "Failed" : "OpenFailed", cause })

  private readonly onClose = (): void => {
    this.socket.off("connect", this.onConnect)
    this.socket.off("data", this.onData)
    this.socket.off("drain", this.onDrain)
    this.socket.off("end", this.onEnd)
    this.socket.off("error", this.onError)
    this.socket.off("close", this.onClose)
    this.fail({ _tag: this.lifeline.wasOpen ? "Failed" : "OpenFailed", cause: "the socket was destroyed" })
    this.closing.end()
  }

  private error(reason: TcpErrorReason): TcpError {
    return new TcpError({ address: this.address, reason })
  }

  private fail(reason: TcpErrorReason): void {
    const error = this.error(reason)
    this.end(Exit.fail(error), error)
  }

  private end(exit: Exit.Exit<void, TcpError>, whyEnded: TcpError): void {
    if (!this.lifeline.end(exit, whyEnded)) return
    this.inbox.end(exit)
    this.outbox.fail(whyEnded)
  }

  private obstacle(): TcpError | undefined {
    return this.lifeline.whyEnded ?? (this.socket.writable ? undefined : this.error({ _tag: "Closing" }))
  }
}
