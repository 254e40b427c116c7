import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CloseEvent, WebSocketConnection } from "../WebSocketConnector.js"
import { WebSocketError, type WebSocketErrorReason } from "../WebSocketError.js"
import * as closeCode from "./closeCode.js"
import { Closing } from "./closing.js"
import { describe } from "./describe.js"
import { type Emitter, isEmitter } from "./emitter.js"
import { Inbox, type Source } from "./inbox.js"
import { Lifeline } from "./lifeline.js"
import { type Destination, Outbox } from "./outbox.js"
import { RefusalReader } from "./refusal.js"
import { harmless } from "./secrets.js"
import { bytesRead, isDestroyed, isPausable, isPingable, isTerminable, onCloseFrame } from "./webSocketPlatform.js"

/** @internal */
export const TypeId = "~persistent-connection/WebSocketConnection" as const

/**
 * Asks the servers of connections whether they are there, with pings.
 *
 * @internal
 */
export interface Pinger {
  readonly monitor: (
    connection: Connection,
    serverName: string
  ) => Effect.Effect<Connector.Monitor<WebSocketError | Cause.TimeoutException>, never, Scope.Scope>
  /** How long a server may owe an answer before it is given up. */
  readonly patience: Duration.Duration
}

/** @internal */
export const makePinger = (options: {
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly missedProbes: number
}): Pinger => ({
  monitor: Connector.monitor({
    ...options,
    probe: (connection: Connection) => connection.ping,
    activity: (connection) => connection.activity,
    onFailure: (connection, cause) => connection.onSilence(cause)
  }),
  patience: Duration.times(options.timeout, options.missedProbes)
})

/** @internal */
export interface Settings {
  readonly connectTimeout: Duration.Duration
  readonly sendTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
  readonly sendHighWaterMark: number
  readonly receiveHighWaterMark: number
  readonly receiveLimit: number
  readonly pinger: Pinger | undefined
}

type Message = string | Uint8Array

// The values of `readyState`; as constants of the platform they are not where every platform has them.
const CONNECTING = 0
const OPEN = 1
const CLOSING = 2

const events = ["open", "message", "error", "close"] as const

/**
 * One socket, from its construction on. Its listeners stay until its `close` event, which every socket ends with: what
 * dies late (an opening that was abandoned, a closing that timed out) still reports errors, and an error that
 * has no listener would end the process.
 *
 * @internal
 */
export class Connection extends Inspectable.Class
  implements WebSocketConnection, Source, Destination<Message, WebSocketError>
{
  readonly [TypeId]: typeof TypeId = TypeId

  private monitor: Connector.Monitor<WebSocketError | Cause.TimeoutException> | undefined
  private readonly lifeline = new Lifeline<CloseEvent, WebSocketError>()
  private readonly inbox: Inbox<Message, WebSocketError>
  private readonly outbox: Outbox<Message, WebSocketError>
  private closing: Closing | undefined
  private polling = false
  private pings = 0
  // Is the socket gone, or no longer to be waited for?
  private hasGone = false
  // The code with which this side began to close.
  private closedWith: number | undefined
  private refusal: RefusalReader | undefined
  // Messages are taken in one after the other, also where some have to be decoded first.
  private decoding: Promise<void> | undefined

  constructor(
    private readonly socket: globalThis.WebSocket,
    readonly url: string,
    readonly settings: Settings,
    private readonly scope: Scope.Scope,
    private readonly clock: Clock.Clock
  ) {
    super()
    this.inbox = new Inbox(this)
    this.outbox = new Outbox(this)
    if (socket.readyState === OPEN) this.onOpen()
    socket.binaryType = "arraybuffer"
    for (const event of events) socket.addEventListener(event, this)
    this.emitter?.on("unexpected-response", this.onRefusedUpgrade)
  }

  get protocol(): string {
    return this.socket.protocol
  }

  get closed(): Effect.Effect<CloseEvent, WebSocketError> {
    return this.lifeline.closed
  }

  get messages(): Stream.Stream<Message, WebSocketError> {
    return this.inbox.stream
  }

  get receive(): Effect.Effect<Message, WebSocketError> {
    // The messages end after the connection.
    return this.inbox.one(() => Exit.fail(this.lifeline.whyEnded!))
  }

  readonly received = (): number => this.inbox.received

  readonly isClosed = (): boolean => this.obstacle() !== undefined

  readonly send = (message: Message): Effect.Effect<void, WebSocketError> => this.outbox.send(message)

  readonly close = (code = 1000, reason = ""): Effect.Effect<void, WebSocketError> =>
    Effect.suspend(() => {
      if (this.socket.readyState === OPEN) {
        try {
          this.socket.close(code, reason)
        } catch (cause) {
          return Effect.fail(this.error({ _tag: "InvalidClose", cause }))
        }
        this.closedWith = code
        this.outbox.fail(this.error({ _tag: "Closing" }))
      }
      this.inbox.letIn()
      return this.beginClosing()
    })

  toJSON(): unknown {
    return { _id: "WebSocketConnection", url: this.url, isClosed: this.isClosed() }
  }

  /** Waits until the socket is open. */
  opened(): Effect.Effect<void, WebSocketError> {
    const { connectTimeout: timeout } = this.settings
    return this.lifeline.opened(
      timeout,
      // A server that refuses may take its time to say all about it.
      () => this.error(this.refusal === undefined ? { _tag: "OpenTimeout", timeout } : this.refused(this.refusal))
    )
  }

  /** Asks the server from time to time whether it is there, where the platform can. */
  beginPings(serverName: string): Effect.Effect<void, never, Scope.Scope> {
    const { pinger } = this.settings
    return pinger === undefined || !isPingable(this.socket)
      ? Effect.void
      : Effect.map(pinger.monitor(this, serverName), (monitor) => {
        this.monitor = monitor
      })
  }

  /** Asks the server now, where the platform can. */
  get probe(): Effect.Effect<void, WebSocketError> {
    return this.monitor === undefined
      ? Effect.void
      : Effect.mapError(this.monitor.ask, (error) => this.lifeline.whyEnded ?? this.silence(error))
  }

  /** What leaving the scope does. The server's own close is answered by the platform, never by a close of ours (X6). */
  release(): Effect.Effect<void> {
    this.inbox.close()
    if (this.socket.readyState !== CONNECTING) return Effect.ignore(this.close())
    this.destroy()
    return Effect.void
  }

  /** Ends the connection at once. What has been received can still be read. */
  get terminate(): Effect.Effect<void> {
    return Effect.sync(() => {
      const closed = { code: 1006, reason: "", wasClean: false }
      this.end(Exit.succeed(closed), { _tag: "Closed", ...closed })
      this.destroy()
    })
  }

  /** As a listener of the socket. */
  handleEvent(event: Event | MessageEvent | globalThis.CloseEvent): void {
    if (event.type === "message" && "data" in event) this.onMessage(event.data)
    else if (event.type === "open") this.onOpen()
    else if (event.type === "close" && "code" in event) this.onClose(event)
    else if (event.type === "error") this.onError(event)
  }

  get canPause(): boolean {
    return isPausable(this.socket)
  }

  pause(): void {
    if (isPausable(this.socket)) this.socket.pause()
  }

  resume(): void {
    if (isPausable(this.socket) && !isDestroyed(this.socket)) this.socket.resume()
  }

  isFull(): boolean {
    if (this.socket.readyState === OPEN) return this.socket.bufferedAmount > this.settings.sendHighWaterMark
    // The server closes, and why is known only at the end: what waits then fails with that (D13).
    return this.obstacle()?.reason._tag === "Closing" && this.closedWith === undefined
  }

  obstacle(): WebSocketError | undefined {
    // Where no event says that the server begins to close.
    if (this.socket.readyState === CLOSING) this.beginClosing()
    return this.lifeline.whyEnded ?? (this.socket.readyState === OPEN ? undefined : this.error({ _tag: "Closing" }))
  }

  write(message: Message): void {
    this.socket.send(isSendable(message) ? message : new Uint8Array(message))
  }

  onRefused(cause: unknown): WebSocketError {
    return this.error({ _tag: "SendFailed", cause })
  }

  onSendTimeout(): WebSocketError {
    return this.error({ _tag: "SendTimeout", timeout: this.settings.sendTimeout })
  }

  // No platform has an event for a drained buffer. While a `send` waits for that, and only then, it is polled, by one
  // fiber for all who wait, and the more seldom the longer nothing moves.
  get onWaiting(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.polling) return Effect.void
      this.polling = true
      return Effect.asVoid(Effect.forkIn(Effect.interruptible(this.poll(1)), this.scope))
    })
  }

  private poll(millis: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.outbox.isIdle) {
        this.polling = false
        return Effect.void
      }
      return Effect.flatMap(Effect.sleep(millis), () => this.poll(this.outbox.flush() ? 1 : Math.min(millis * 2, 64)))
    })
  }

  private onOpen(): void {
    this.emitter?.off("unexpected-response", this.onRefusedUpgrade)
    onCloseFrame(this.socket, () => this.beginClosing())
    this.lifeline.open()
  }

  private onMessage(data: unknown): void {
    if (this.decoding === undefined && !isBlob(data)) return this.take(data)
    // What comes after a message that is still being decoded waits for it.
    const decoded = isBlob(data) ? data.arrayBuffer() : data
    const decoding = this.decoding = (this.decoding ?? Promise.resolve())
      .then(() => decoded)
      .then((data) => this.take(data), (cause) => this.failAtOnce({ _tag: "Failed", cause: harmless(cause) }))
      .then(() => {
        if (this.decoding === decoding) this.decoding = undefined
      })
  }

  private take(data: unknown): void {
    const message = toMessage(data)
    if (message === undefined) this.failAtOnce({ _tag: "Failed", cause: "a message is neither text nor binary" })
    else if (!this.inbox.offer(message)) {
      this.failAtOnce({ _tag: "ReceiveOverflow", limit: this.settings.receiveLimit })
    }
  }

  // What says nothing (a browser's error event) is left to the close event that follows it, and says more.
  private onError(event: Event): void {
    const error = errorOf(event)
    if (error === undefined) return
    const cause = harmless(error)
    if (!this.lifeline.wasOpen) return this.failToOpen({ ...statusOf(error), cause })
    this.fail({ _tag: "Failed", cause })
    // Until the socket has gone, messages that had been received may still come.
    this.beginClosing()
  }

  private readonly onRefusedUpgrade = (_request: unknown, response: unknown): void => {
    if (!Predicate.isObject(response)) return
    const reader = this.refusal = new RefusalReader(response, this.clock, () => {
      this.fail(this.refused(reader))
      this.destroy()
    })
  }

  /** What a server said that refused says more than anything that follows. */
  private failToOpen(parts: { readonly status?: number; readonly cause?: unknown }): void {
    this.fail(this.refusal === undefined ? { _tag: "OpenFailed", ...parts } : this.refused(this.refusal))
  }

  private refused(reader: RefusalReader): WebSocketErrorReason {
    const { refusal } = reader
    return { _tag: "OpenFailed", ...refusal, cause: `the server answered with status ${refusal.status}` }
  }

  private onClose({ code, reason, wasClean }: globalThis.CloseEvent): void {
    for (const event of events) this.socket.removeEventListener(event, this)
    this.emitter?.off("unexpected-response", this.onRefusedUpgrade)
    const closed = { code, reason, wasClean }
    if (!this.lifeline.wasOpen) this.failToOpen({})
    else if (this.isOwn(closed)) this.end(Exit.succeed(closed), { _tag: "Closed", ...closed })
    else this.fail({ _tag: "Closed", ...closed })
    this.gone()
  }

  // A server answers a close with the same code, or with one that says nothing; any other is its own.
  private isOwn({ code, wasClean }: CloseEvent): boolean {
    return this.closedWith !== undefined && wasClean && (code === this.closedWith || closeCode.isRegular(code))
  }

  private error(reason: WebSocketErrorReason): WebSocketError {
    return new WebSocketError({ url: this.url, reason })
  }

  private fail(reason: WebSocketErrorReason): void {
    const error = this.error(reason)
    this.end(Exit.fail(error), error)
  }

  private end(exit: Exit.Exit<CloseEvent, WebSocketError>, whyEnded: WebSocketErrorReason | WebSocketError): void {
    const error = whyEnded instanceof WebSocketError ? whyEnded : this.error(whyEnded)
    if (this.lifeline.end(exit, error)) this.outbox.fail(error)
  }

  /** The end for what must not be followed by another message. */
  private failAtOnce(reason: WebSocketErrorReason): void {
    this.fail(reason)
    this.endMessages()
    this.destroy()
  }

  /** The messages end as the connection has: as a failure, unless it was closed in a regular way. */
  private endMessages(): void {
    const { ended } = this.lifeline
    const isFailure = ended !== undefined && Exit.isFailure(ended) && this.lifeline.whyEnded?.isRegularEnd !== true
    this.inbox.end(isFailure ? Exit.asVoid(ended) : Exit.void)
  }

  private beginClosing(): Effect.Effect<void> {
    if (this.hasGone) return Effect.void
    this.closing ??= new Closing(this.settings.closeTimeout, this.clock, () => this.giveUp())
    return this.closing.ended
  }

  // A server that began to close has said why: that comes with the close event, if the socket can be destroyed.
  private giveUp(): void {
    if (this.closedWith !== undefined || !isTerminable(this.socket)) {
      this.fail({ _tag: "CloseTimeout", timeout: this.settings.closeTimeout })
    }
    this.destroy()
  }

  private destroy(): void {
    if (isTerminable(this.socket)) return this.socket.terminate()
    // Its close event may be long in coming, and is not waited for.
    if (this.socket.readyState !== CONNECTING) this.gone()
    this.socket.close()
  }

  private gone(): void {
    this.hasGone = true
    this.closing?.end()
    // What is being decoded comes first.
    if (this.decoding === undefined) this.endMessages()
    else void this.decoding.then(() => this.endMessages())
  }

  private get emitter(): Emitter | undefined {
    return isEmitter(this.socket) ? this.socket : undefined
  }

  /** While the server is held back its answers are too, and a closing has a time of its own. */
  get activity(): unknown {
    if (this.inbox.isPaused || this.socket.readyState !== OPEN) return {}
    return bytesRead(this.socket) ?? this.inbox.received
  }

  get ping(): Effect.Effect<void, WebSocketError> {
    return Effect.async((resume) => {
      const { socket } = this
      if (!isPingable(socket)) return resume(Exit.void)
      const data = String(this.pings++)
      const onPong = (answer: unknown) => {
        if (String(answer) !== data) return
        socket.off("pong", onPong)
        resume(Exit.void)
      }
      socket.on("pong", onPong)
      try {
        socket.ping(data)
      } catch (cause) {
        socket.off("pong", onPong)
        resume(Exit.fail(this.error({ _tag: "SendFailed", cause })))
      }
      return Effect.sync(() => socket.off("pong", onPong))
    })
  }

  onSilence(cause: Cause.Cause<WebSocketError | Cause.TimeoutException>): void {
    const error = Cause.failureOption(cause)
    if (Option.isSome(error)) this.fail(this.silence(error.value).reason)
    this.destroy()
  }

  private silence(error: WebSocketError | Cause.TimeoutException): WebSocketError {
    if (error._tag === "WebSocketError") return error
    return this.error({ _tag: "PingTimeout", timeout: this.settings.pinger?.patience ?? Duration.zero })
  }
}

// No platform sends from memory that other threads may change: that is copied.
const isSendable = (message: Message): message is string | Uint8Array<ArrayBuffer> =>
  typeof message === "string" || typeof SharedArrayBuffer === "undefined" ||
  !(message.buffer instanceof SharedArrayBuffer)

const isBlob = (data: unknown): data is Blob => typeof Blob !== "undefined" && data instanceof Blob

const toMessage = (data: unknown): Message | undefined => {
  if (typeof data === "string") return data
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return Predicate.hasProperty(data, "byteLength") ? new Uint8Array(data as ArrayBuffer) : undefined
}

const errorOf = (event: object): unknown => {
  const error = Predicate.hasProperty(event, "error") ? event.error : undefined
  if (error instanceof Error) return describe(error) === error.name ? undefined : error
  return Predicate.hasProperty(event, "message") && event.message !== "" ? event.message : undefined
}

// Where the response itself is not to be had, the status may be in the text of the error.
const statusOf = (cause: unknown): { readonly status?: number } => {
  const status = cause instanceof Error ? /^Unexpected server response: (\d{3})$/.exec(cause.message)?.[1] : undefined
  return status === undefined ? {} : { status: Number(status) }
}
