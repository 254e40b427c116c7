import type * as Clock from "effect/Clock"
import type * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CloseEvent, WebSocketConnection } from "../WebSocketConnector.js"
import { WebSocketError, type WebSocketErrorReason } from "../WebSocketError.js"
import * as closeCode from "./closeCode.js"
import { Closing } from "./closing.js"
import { describe } from "./describe.js"
import { Inbox } from "./inbox.js"
import { Lifeline } from "./lifeline.js"
import { Outbox } from "./outbox.js"
import { harmless } from "./secrets.js"

/** @internal */
export const TypeId = "~persistent-connection/WebSocketConnection" as const

/** @internal */
export interface Settings {
  readonly sendTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
  readonly sendHighWaterMark: number
  readonly receiveHighWaterMark: number
  readonly receiveLimit: number
}

type Message = string | Uint8Array

// The values of `readyState`; as constants of the platform they are not where every platform has them.
const CONNECTING = 0
const OPEN = 1
const CLOSING = 2

/**
 * One socket, from its construction on. Its listeners stay until its `close` event, which every socket ends with: what
 * dies late (an opening that was abandoned, a closing that timed out) still reports errors, and an error that
 * nobody listens to would end the process.
 *
 * @internal
 */
export class Connection extends Inspectable.Class implements WebSocketConnection {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly closed: Effect.Effect<CloseEvent, WebSocketError>

  private readonly lifeline: Lifeline<CloseEvent, WebSocketError>
  private readonly inbox: Inbox<Message, WebSocketError>
  private readonly outbox: Outbox<Message, WebSocketError>
  private readonly closing: Closing
  private polling = false
  // Did this side begin to close?
  private isCloser = false

  constructor(
    private readonly socket: globalThis.WebSocket,
    readonly url: string,
    private readonly settings: Settings,
    private readonly scope: Scope.Scope,
    clock: Clock.Clock,
    end: Deferred.Deferred<CloseEvent, WebSocketError>
  ) {
    super()
    this.lifeline = new Lifeline(end)
    this.inbox = new Inbox({
      highWaterMark: settings.receiveHighWaterMark,
      limit: settings.receiveLimit,
      pause: () => isPausable(socket) && socket.pause(),
      resume: () => isPausable(socket) && socket.resume()
    })
    this.outbox = new Outbox({
      isFull: () => socket.readyState === OPEN && socket.bufferedAmount > settings.sendHighWaterMark,
      obstacle: () => this.obstacle(),
      write: (message) => socket.send(isSendable(message) ? message : new Uint8Array(message)),
      onRefused: (cause) => this.error({ _tag: "SendFailed", cause }),
      onWaiting: Effect.suspend(() => this.startPolling()),
      timeout: settings.sendTimeout,
      onTimeout: () => this.error({ _tag: "SendTimeout", timeout: settings.sendTimeout })
    })
    this.closing = new Closing({ timeout: settings.closeTimeout, giveUp: () => this.giveUp(), clock })
    this.closed = this.lifeline.closed
    if (socket.readyState === OPEN) this.onOpen()
    socket.binaryType = "arraybuffer"
    socket.addEventListener("open", this.onOpen)
    socket.addEventListener("message", this.onMessage)
    socket.addEventListener("error", this.onError)
    socket.addEventListener("close", this.onClose)
  }

  get protocol(): string {
    return this.socket.protocol
  }

  get messages(): Stream.Stream<Message, WebSocketError> {
    return this.inbox.stream
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
        this.isCloser = true
        this.outbox.fail(this.error({ _tag: "Closing" }))
      }
      this.inbox.letIn()
      this.closing.begin()
      return this.closing.ended
    })

  toJSON(): unknown {
    return { _id: "WebSocketConnection", url: this.url, isClosed: this.isClosed() }
  }

  /** Waits until the socket is open. */
  opened(timeout: Duration.Duration): Effect.Effect<void, WebSocketError> {
    return this.lifeline.opened(timeout, () => this.error({ _tag: "OpenTimeout", timeout }))
  }

  /** What leaving the scope does. The server's own close is answered by the platform, never by a close of ours (X6). */
  release(): Effect.Effect<void> {
    this.inbox.close()
    if (this.socket.readyState !== CONNECTING) return Effect.ignore(this.close())
    this.destroy()
    return Effect.void
  }

  private readonly onOpen = (): void => this.lifeline.open()

  private readonly onMessage = (event: MessageEvent): void => {
    const message = toMessage(event.data)
    if (message === undefined) {
      this.fail({ _tag: "Failed", cause: "a message is neither text nor binary" })
      this.destroy()
    } else if (!this.inbox.offer(message)) {
      this.fail({ _tag: "ReceiveOverflow", limit: this.settings.receiveLimit })
      this.destroy()
    }
  }

  // What says nothing (a browser's error event) is left to the close event that follows it, and says more.
  private readonly onError = (event: Event): void => {
    const error = errorOf(event)
    if (error === undefined) return
    const cause = harmless(error)
    this.fail(this.lifeline.wasOpen ? { _tag: "Failed", cause } : { _tag: "OpenFailed", ...statusOf(error), cause })
  }

  private readonly onClose = ({ code, reason, wasClean }: globalThis.CloseEvent): void => {
    this.socket.removeEventListener("open", this.onOpen)
    this.socket.removeEventListener("message", this.onMessage)
    this.socket.removeEventListener("error", this.onError)
    this.socket.removeEventListener("close", this.onClose)
    const closed = { _tag: "Closed", code, reason, wasClean } as const
    if (!this.lifeline.wasOpen) this.fail({ _tag: "OpenFailed" })
    else if (closeCode.isNormal(code)) this.end(Exit.succeed({ code, reason, wasClean }), this.error(closed))
    else this.fail(closed)
    this.closing.end()
  }

  private error(reason: WebSocketErrorReason): WebSocketError {
    return new WebSocketError({ url: this.url, reason })
  }

  private fail(reason: WebSocketErrorReason): void {
    const error = this.error(reason)
    this.end(Exit.fail(error), error)
  }

  private end(exit: Exit.Exit<CloseEvent, WebSocketError>, whyEnded: WebSocketError): void {
    if (!this.lifeline.end(exit, whyEnded)) return
    this.inbox.end(Exit.asVoid(exit))
    this.outbox.fail(whyEnded)
  }

  // A server that began to close has said why: that comes with the close event, if the socket can be destroyed.
  private giveUp(): void {
    if (this.isCloser || !isTerminable(this.socket)) {
      this.fail({ _tag: "CloseTimeout", timeout: this.settings.closeTimeout })
    }
    this.destroy()
  }

  private destroy(): void {
    if (isTerminable(this.socket)) this.socket.terminate()
    else this.socket.close()
  }

  private obstacle(): WebSocketError | undefined {
    // No platform tells when the server begins to close, and `ws` gives it 30 seconds to end.
    if (this.socket.readyState === CLOSING) this.closing.begin()
    return this.lifeline.whyEnded ?? (this.socket.readyState === OPEN ? undefined : this.error({ _tag: "Closing" }))
  }

  // No platform tells when its buffer has drained, so while somebody waits for that (only then) it is looked at, by one
  // fiber for all who wait, and the more seldom the longer nothing moves.
  private startPolling(): Effect.Effect<void> {
    if (this.polling) return Effect.void
    this.polling = true
    return Effect.asVoid(Effect.forkIn(Effect.interruptible(this.poll(1)), this.scope))
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
}

const isPausable = (socket: object): socket is { pause: () => void; resume: () => void } =>
  Predicate.hasProperty(socket, "pause") && typeof socket.pause === "function" &&
  Predicate.hasProperty(socket, "resume") && typeof socket.resume === "function"

const isTerminable = (socket: object): socket is { terminate: () => void } =>
  Predicate.hasProperty(socket, "terminate") && typeof socket.terminate === "function"

// No platform sends from memory that other threads may change: that is copied.
const isSendable = (message: Message): message is string | Uint8Array<ArrayBuffer> =>
  typeof message === "string" || typeof SharedArrayBuffer === "undefined" ||
  !(message.buffer instanceof SharedArrayBuffer)

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

// `ws` tells the status of a refused upgrade in the text of its error, and nowhere else.
const statusOf = (cause: unknown): { readonly status?: number } => {
  const status = cause instanceof Error ? /^Unexpected server response: (\d{3})$/.exec(cause.message)?.[1] : undefined
  return status === undefined ? {} : { status: Number(status) }
}
