import * as Socket from "@effect/platform/Socket"
import * as option from "@persistent-connection/core/Options"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Runtime from "effect/Runtime"
import type * as Test from "../../testing/TestWebSocket.js"
import type { Answer, Attempt, Options, Peer, TestWebSocket } from "../../testing/TestWebSocket.js"

const after = { after: option.withDefault(option.duration, 0) }

const text = option.optional(option.value("text", Predicate.isString))

const acceptReaders = { ...after, protocol: text }

const areHeaders = (input: unknown): boolean =>
  Predicate.isRecord(input) && Object.values(input).every(Predicate.isString)

const refuseReaders = { ...after, headers: option.optional(option.kind("an object of texts", areHeaders)), body: text }

/** @internal */
export const accept: typeof Test.accept = (options) => {
  const { after, protocol = "" } = option.read(options, acceptReaders)
  return { _tag: "Accept", protocol, after }
}

/** @internal */
export const refuse: typeof Test.refuse = (status, options) => {
  const { after, body = "", headers = {} } = option.read(options, refuseReaders)
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])
  return { _tag: "Refuse", status: asStatus("status", status), headers: Object.fromEntries(entries), body, after }
}

const asStatus = option.value(
  "an HTTP status from 200 to 599",
  (input) => Number.isInteger(input) && Number(input) >= 200 && Number(input) <= 599
)

/** @internal */
export const fail: typeof Test.fail = (code, options) => ({
  ...option.read(options, after),
  _tag: "Fail",
  code: text("code", code) ?? "ECONNREFUSED"
})

/** @internal */
export const hang: Answer = { _tag: "Hang", after: Duration.zero }

const tags: ReadonlyArray<unknown> = ["Accept", "Refuse", "Fail", "Hang"] satisfies ReadonlyArray<Answer["_tag"]>

const isAnswer = (input: unknown): boolean =>
  Predicate.hasProperty(input, "_tag") && tags.includes(input._tag) &&
  Predicate.hasProperty(input, "after") && Duration.isDuration(input.after)

const asAnswer = option.kind("an answer", isAnswer)

const asAnswers = option.kind("an array of answers", (input) => Array.isArray(input) && input.every(isAnswer))

const readers = { script: option.optional(asAnswers), platform: option.optional(option.oneOf("ws", "browser")) }

/** @internal */
export const make = (options?: Options): Effect.Effect<TestWebSocket> =>
  Effect.gen(function*() {
    const { platform = "ws", script: given = [] } = option.read(options, readers)
    const clock = yield* Effect.clock
    const accepted = yield* Queue.unbounded<Peer>()
    const attempts: Array<Attempt> = []
    let script = given
    let otherwise = accept()
    const Client = platform === "browser" ? BrowserSocket : WsSocket
    const construct = (url: string, protocols?: string | Array<string>): globalThis.WebSocket => {
      const offered = protocols === undefined ? [] : [protocols].flat()
      attempts.push({ url, protocols: offered, begunAt: clock.unsafeCurrentTimeMillis() })
      const [answer = otherwise, ...rest] = script
      script = rest
      return new Client(url, offered, clock, answer, (peer) => accepted.unsafeOffer(peer))
    }
    return {
      layer: Layer.succeed(Socket.WebSocketConstructor, construct),
      onNextAttempt: (...answers) =>
        Effect.sync(() => {
          script = [...asAnswers("answers", answers), ...script]
        }),
      always: (answer) =>
        Effect.sync(() => {
          script = []
          otherwise = asAnswer("answer", answer)
        }),
      attempts: Effect.sync(() => [...attempts]),
      accepted: Queue.take(accepted)
    }
  })

type Message = string | Uint8Array

/** A standard WebSocket, together with its server side. */
class BrowserSocket extends EventTarget implements globalThis.WebSocket {
  readonly CONNECTING = 0
  readonly OPEN = 1
  readonly CLOSING = 2
  readonly CLOSED = 3
  readonly bufferedAmount = 0
  readonly extensions = ""
  binaryType: BinaryType = "blob"
  onopen: globalThis.WebSocket["onopen"] = null
  onmessage: globalThis.WebSocket["onmessage"] = null
  onerror: globalThis.WebSocket["onerror"] = null
  onclose: globalThis.WebSocket["onclose"] = null
  readyState: 0 | 1 | 2 | 3 = 0
  protocol = ""
  protected isSilent = false
  private readonly messages: Array<Message> = []
  private readonly inbox = Effect.runSync(Queue.unbounded<Message>())
  private readonly closedByClient = Effect.runSync(
    Deferred.make<{ readonly code: number; readonly reason: string }>()
  )

  constructor(
    readonly url: string,
    protected readonly protocols: ReadonlyArray<string>,
    private readonly clock: Clock.Clock,
    answer: Answer,
    onOpen: (peer: Peer) => void
  ) {
    super()
    this.later(() => this.answer(answer, onOpen), answer.after)
  }

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    if (this.readyState === this.CONNECTING) throw new DOMException("Still in CONNECTING state", "InvalidStateError")
    if (this.readyState !== this.OPEN || data instanceof Blob) return
    const message = typeof data === "string"
      ? data
      : ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
      : new Uint8Array(data).slice()
    this.messages.push(message)
    this.inbox.unsafeOffer(message)
  }

  close(code?: number, reason = ""): void {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException("The code must be either 1000, or between 3000 and 4999", "InvalidAccessError")
    }
    if (new TextEncoder().encode(reason).length > 123) throw new DOMException("The text is too long", "SyntaxError")
    if (this.readyState >= this.CLOSING) return
    const wasOpen = this.readyState === this.OPEN
    this.readyState = this.CLOSING
    if (!wasOpen) return this.later(() => this.broken(new Error("Closed before the connection was established")))
    Deferred.unsafeDone(this.closedByClient, Effect.succeed({ code: code ?? 1005, reason }))
    this.later(() => this.isSilent || this.end(code ?? 1005, reason, true))
  }

  /** The server side of the connection. */
  private get peer(): Peer {
    return {
      url: this.url,
      protocols: this.protocols,
      take: Queue.take(this.inbox),
      received: Effect.sync(() => [...this.messages]),
      send: (...messages) => Effect.sync(() => messages.forEach((message) => this.receive(message))),
      close: (code, reason = "") => Effect.sync(() => this.receiveClose(code ?? 1005, reason)),
      drop: Effect.sync(() => this.arrive(() => this.end(1006, "", false))),
      fallSilent: Effect.sync(() => {
        this.isSilent = true
      }),
      closedByClient: Deferred.await(this.closedByClient)
    }
  }

  protected later(f: () => void, after: Duration.Duration = Duration.zero): void {
    const wait = Duration.toMillis(after) === 0 ? Effect.yieldNow() : Effect.withClock(Effect.sleep(after), this.clock)
    Runtime.runFork(Runtime.defaultRuntime)(Effect.zipRight(wait, Effect.sync(f)))
  }

  /** Delivers an event from the server. A paused `ws` socket delays it. */
  protected arrive(event: () => void): void {
    event()
  }

  protected refused(_answer: Extract<Answer, { readonly _tag: "Refuse" }>): void {
    this.broken(undefined)
  }

  /** Ends a connection that cannot be opened or is abandoned. A browser does not report the reason. */
  protected broken(_error: Error | undefined): void {
    this.dispatch("error", {})
    this.end(1006, "", false)
  }

  protected end(code: number, reason: string, wasClean: boolean): void {
    if (this.readyState === this.CLOSED) return
    this.readyState = this.CLOSED
    Deferred.unsafeDone(this.closedByClient, Effect.succeed({ code: 1006, reason: "" }))
    this.dispatch("close", { code, reason, wasClean })
  }

  protected dispatch(type: "open" | "message" | "error" | "close", parts: object): void {
    const event = Object.assign(new Event(type), parts)
    const listener: unknown = this[`on${type}`]
    if (typeof listener === "function") listener.call(this, event)
    this.dispatchEvent(event)
  }

  private answer(answer: Answer, onOpen: (peer: Peer) => void): void {
    if (this.readyState !== this.CONNECTING) return
    switch (answer._tag) {
      case "Accept":
        this.readyState = this.OPEN
        if (this.protocols.includes(answer.protocol)) this.protocol = answer.protocol
        onOpen(this.peer)
        return this.dispatch("open", {})
      case "Refuse":
        return this.refused(answer)
      case "Fail":
        return this.broken(Object.assign(new Error(answer.code), { code: answer.code }))
      case "Hang":
        return
    }
  }

  private receive(message: Message): void {
    if (this.isSilent || this.readyState >= this.CLOSING) return
    const data = typeof message === "string" ? message : message.slice().buffer
    this.arrive(() => this.dispatch("message", { data: this.binaryType === "blob" ? blobOf(data) : data }))
  }

  private receiveClose(code: number, reason: string): void {
    if (this.isSilent || this.readyState >= this.CLOSING) return
    this.arrive(() => {
      this.readyState = this.CLOSING
      this.later(() => this.isSilent || this.end(code, reason, true))
    })
  }
}

const blobOf = (data: string | ArrayBuffer): string | Blob => typeof data === "string" ? data : new Blob([data])

type Listener = (...args: ReadonlyArray<unknown>) => void

/** A socket of `ws`. */
class WsSocket extends BrowserSocket {
  private readonly emitter = new Emitter()
  private heldBack: Array<() => void> | undefined

  on(event: string, listener: Listener): void {
    this.emitter.on(event, listener)
  }

  off(event: string, listener: Listener): void {
    this.emitter.off(event, listener)
  }

  ping(data: unknown): void {
    if (this.readyState !== this.OPEN) return
    this.later(() => this.isSilent || this.arrive(() => this.emitter.emit("pong", data)))
  }

  pause(): void {
    this.heldBack ??= []
  }

  resume(): void {
    const events = this.heldBack ?? []
    this.heldBack = undefined
    for (const event of events) this.arrive(event)
  }

  terminate(): void {
    if (this.readyState === this.CONNECTING) return this.close()
    this.later(() => this.end(1006, "", false))
  }

  protected override arrive(event: () => void): void {
    if (this.heldBack === undefined) event()
    else this.heldBack.push(event)
  }

  protected override refused({ body, headers, status }: Extract<Answer, { readonly _tag: "Refuse" }>): void {
    const response = Object.assign(new Emitter(), { statusCode: status, headers })
    if (!this.emitter.emit("unexpected-response", {}, response)) {
      return this.broken(new Error(`Unexpected server response: ${status}`))
    }
    this.later(() => {
      if (body !== "") response.emit("data", new TextEncoder().encode(body))
      response.emit("end")
    })
  }

  protected override broken(error: Error): void {
    this.dispatch("error", { error, message: error.message })
    this.end(1006, "", false)
  }
}

/** The used part of Node's event emitter: this module runs in browsers too. */
class Emitter {
  private readonly listeners = new Map<string, Set<Listener>>()

  on(event: string, listener: Listener): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(listener))
  }

  off(event: string, listener: Listener): void {
    this.listeners.get(event)?.delete(listener)
  }

  emit(event: string, ...args: ReadonlyArray<unknown>): boolean {
    const all = [...this.listeners.get(event) ?? []]
    for (const listener of all) listener(...args)
    return all.length > 0
  }
}
