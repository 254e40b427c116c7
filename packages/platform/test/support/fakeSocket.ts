import * as Socket from "@effect/platform/Socket"
import type { WebSocketConnection } from "@persistent-connection/platform/WebSocketConnector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connect } from "./clients.js"

/** A scripted socket, for the behaviour of unusual platforms. */
export class FakeSocket extends EventTarget {
  readyState = 0
  binaryType = "blob"
  protocol = ""
  buffered = 0
  bufferedReads = 0
  readonly sent: Array<unknown> = []
  readonly closes: Array<number | undefined> = []
  closeReason: string | undefined

  get bufferedAmount(): number {
    this.bufferedReads++
    return this.buffered
  }

  send(data: unknown): void {
    this.sent.push(data)
  }

  close(code?: number, reason?: string): void {
    this.closes.push(code)
    this.closeReason = reason
    this.readyState = 2
  }

  open(): void {
    this.readyState = 1
    this.dispatchEvent(new Event("open"))
  }

  receive(data: unknown): void {
    this.dispatchEvent(Object.assign(new Event("message"), { data }))
  }

  fail(parts: object = {}): void {
    this.dispatchEvent(Object.assign(new Event("error"), parts))
  }

  end(code: number, readyState = 3): void {
    this.readyState = readyState
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "", wasClean: code !== 1006 }))
  }
}

/** Connects with the socket that the function makes. */
export const connectTo = (
  make: () => FakeSocket,
  options?: WebSocketConnector.Options,
  protocols?: string
): Effect.Effect<WebSocketConnection, WebSocketError, Scope.Scope> =>
  connect(WebSocketConnector.make(options), { url: "wss://user:secret@example.com/feed?token=secret", protocols }).pipe(
    Effect.provideService(Socket.WebSocketConstructor, () => make() as unknown as globalThis.WebSocket)
  )
