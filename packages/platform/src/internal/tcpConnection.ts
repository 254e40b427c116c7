import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import type * as Stream from "effect/Stream"
import type * as Net from "node:net"
import type { TcpConnection } from "../TcpConnector.js"
import { TcpError, type TcpErrorReason } from "../TcpError.js"
import { Closing } from "./closing.js"
import { Inbox, type Source } from "./inbox.js"
import { Lifeline } from "./lifeline.js"
import { type Destination, Outbox } from "./outbox.js"

/** @internal */
export const TypeId = "~persistent-connection/TcpConnection" as const

/** @internal */
export interface Settings {
  readonly connectTimeout: Duration.Duration
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
 * One socket. Its listeners stay until its `close` event, the last event of every socket: an error without a listener
 * would end the process.
 *
 * @internal
 */
export class Connection extends Inspectable.Class implements TcpConnection, Source, Destination<Data, TcpError> {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly canPause = true

  private readonly lifeline = new Lifeline<void, TcpError>()
  private readonly inbox: Inbox<Uint8Array, TcpError>
  private readonly outbox: Outbox<Data, TcpError>
  private closing: Closing | undefined
  private hasGone = false

  constructor(
    private readonly socket: Net.Socket,
    readonly address: string,
    readonly settings: Settings,
    private readonly clock: Clock.Clock
  ) {
    super()
    this.inbox = new Inbox(this)
    this.outbox = new Outbox(this)
    socket.on("connect", this.onConnect)
    socket.on("data", this.onData)
    socket.on("drain", this.onDrain)
    socket.on("end", this.onEnd)
    socket.on("error", this.onError)
    socket.on("close", this.onClose)
  }

  get closed(): Effect.Effect<void, TcpError> {
    return this.lifeline.closed
  }

  get data(): Stream.Stream<Uint8Array, TcpError> {
    return this.inbox.stream
  }

  get receive(): Effect.Effect<Uint8Array, TcpError> {
    // The data end after the connection.
    return this.inbox.one(() => Exit.fail(this.lifeline.whyEnded!))
  }

  readonly received = (): number => this.socket.bytesRead

  readonly isClosed = (): boolean => this.obstacle() !== undefined

  readonly send = (data: Data): Effect.Effect<void, TcpError> => this.outbox.send(data)

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.socket.writableEnded) {
        this.socket.end()
        this.outbox.fail(this.error({ _tag: "Closing" }))
      }
      this.inbox.letIn()
      if (this.hasGone) return Effect.void
      this.closing ??= new Closing(this.settings.closeTimeout, this.clock, () => this.giveUp())
      return this.closing.ended
    })
  }

  toJSON(): unknown {
    return { _id: "TcpConnection", address: this.address, isClosed: this.isClosed() }
  }

  /** Waits until the socket is connected. */
  opened(): Effect.Effect<void, TcpError> {
    const { connectTimeout: timeout } = this.settings
    return this.lifeline.opened(timeout, () => this.error({ _tag: "OpenTimeout", timeout }))
  }

  /** Runs when the scope closes. If the peer has ended the connection, Node ends the socket by itself (X6). */
  release(): Effect.Effect<void> {
    this.inbox.close()
    if (this.lifeline.wasOpen) return this.close
    this.socket.destroy()
    return Effect.void
  }

  /** Ends the connection at once. Received data can still be read. */
  get terminate(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.end(Exit.void, this.error({ _tag: "Closed" }))
      // A Unix socket has no remote address, and cannot be reset.
      if (this.socket.remoteAddress === undefined) this.socket.destroy()
      else this.socket.resetAndDestroy()
    })
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    // A failed socket would drop its unread data.
    if (!this.socket.destroyed) this.socket.resume()
  }

  isFull(): boolean {
    return this.socket.writable && this.socket.writableNeedDrain
  }

  obstacle(): TcpError | undefined {
    return this.lifeline.whyEnded ?? (this.socket.writable ? undefined : this.error({ _tag: "Closing" }))
  }

  write(data: Data): void {
    this.socket.write(data)
  }

  onRefused(cause: unknown): TcpError {
    return this.error({ _tag: "SendFailed", cause })
  }

  onSendTimeout(): TcpError {
    return this.error({ _tag: "SendTimeout", timeout: this.settings.sendTimeout })
  }

  /** Nothing to do: Node emits `drain`. */
  get onWaiting(): Effect.Effect<void> {
    return Effect.void
  }

  private readonly onConnect = (): void => this.lifeline.open()

  // Converts Node's `Buffer` to a plain `Uint8Array`: `Buffer.slice` does not copy.
  private readonly onData = (chunk: Uint8Array): void => {
    if (this.inbox.offer(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength))) return
    this.fail({ _tag: "ReceiveOverflow", limit: this.settings.receiveLimit })
    this.endData()
    this.socket.destroy()
  }

  private readonly onDrain = (): void => {
    this.outbox.flush()
  }

  private readonly onEnd = (): void => {
    this.end(Exit.void, this.error({ _tag: "Closed" }))
    this.endData()
  }

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
    this.takeRest()
    this.endData()
    this.hasGone = true
    this.closing?.end()
  }

  // Takes the data that Node still holds because the socket was paused when the connection broke.
  private takeRest(): void {
    for (let chunk: unknown; (chunk = this.socket.read()) instanceof Uint8Array;) this.onData(chunk)
  }

  private endData(): void {
    this.inbox.end(this.lifeline.ended ?? Exit.void)
  }

  private giveUp(): void {
    this.fail({ _tag: "CloseTimeout", timeout: this.settings.closeTimeout })
    this.socket.destroy()
  }

  private error(reason: TcpErrorReason): TcpError {
    return new TcpError({ address: this.address, reason })
  }

  private fail(reason: TcpErrorReason): void {
    const error = this.error(reason)
    this.end(Exit.fail(error), error)
  }

  private end(exit: Exit.Exit<void, TcpError>, whyEnded: TcpError): void {
    if (this.lifeline.end(exit, whyEnded)) this.outbox.fail(whyEnded)
  }
}
