import * as Socket from "@effect/platform/Socket"
import { assert } from "@effect/vitest"
import type { Attempt, Connector } from "@persistent-connection/core/Connector"
import type { WebSocketAddress, WebSocketConnection } from "@persistent-connection/platform/WebSocketConnector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import { until } from "./servers.js"

const attempt: Attempt<never> = {
  serverName: "test",
  owner: {},
  generation: 1,
  number: 1,
  lastCause: Option.none(),
  previousAddress: Option.none(),
  elsewhere: false,
  failedAttempts: Effect.succeed(0),
  abort: Effect.fail,
  untimed: (effect) => effect
}

/** Connects once, like an attempt of a persistent connection. */
export const connect = <Address, Connection, E, R>(
  connector: Connector<Address, Connection, E, R>,
  address: Address
): Effect.Effect<Connection, E, R | Scope.Scope> => connector.connect(address, attempt)

/** The kind of platform of a WebSocket. */
export type Platform = "ws" | "browser"

/**
 * Makes client sockets of `ws`, and records them. As "browser", a socket has only the members of the standard: no
 * `pause`, no `terminate`, and no details of errors.
 */
export class Clients {
  readonly sockets: Array<WebSocket> = []
  /** The codes of all calls of `close` on "browser" sockets. */
  readonly closes: Array<number | undefined> = []

  constructor(readonly platform: Platform = "ws") {}

  readonly construct = (url: string, protocols?: string | Array<string>): globalThis.WebSocket => {
    const socket = new WebSocket(url, protocols)
    this.sockets.push(socket)
    return (this.platform === "ws" ? socket : standard(socket, this.closes)) as unknown as globalThis.WebSocket
  }

  readonly connect = (
    address: WebSocketAddress,
    options?: WebSocketConnector.Options
  ): Effect.Effect<WebSocketConnection, WebSocketError, Scope.Scope> =>
    connect(WebSocketConnector.make(options), address).pipe(
      Effect.provideService(Socket.WebSocketConstructor, this.construct)
    )

  /** Waits until all sockets are closed, and checks that they have no listeners. */
  readonly nothingLeft: Effect.Effect<void> = Effect.suspend(() =>
    until(() => this.sockets.every((socket) => socket.readyState === socket.CLOSED))
  ).pipe(Effect.map(() => {
    assert.deepStrictEqual(this.sockets.flatMap((socket) => socket.eventNames()), [])
  }))
}

type Listener = { readonly handleEvent: (event: object) => void }

const standard = (socket: WebSocket, closes: Array<number | undefined>): object => {
  const listeners = new Map<string, (event: object) => void>()
  return {
    get readyState() {
      return socket.readyState
    },
    get bufferedAmount() {
      return socket.bufferedAmount
    },
    get protocol() {
      return socket.protocol
    },
    get binaryType() {
      return socket.binaryType
    },
    set binaryType(type: WebSocket["binaryType"]) {
      socket.binaryType = type
    },
    send: (data: string | Uint8Array) => socket.send(data),
    close: (code?: number, reason?: string) => {
      closes.push(code)
      if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
        throw new DOMException(`The close code must be 1000 or from 3000 to 4999, not ${code}`, "InvalidAccessError")
      }
      socket.close(code, reason)
    },
    addEventListener: (type: "message", listener: Listener) => {
      const wrapped = wrapListener(socket, String(type), listener)
      listeners.set(type, wrapped)
      socket.addEventListener(type, wrapped)
    },
    removeEventListener: (type: "message") => socket.removeEventListener(type, listeners.get(type)!)
  }
}

/** By the standard, an error event has no details, and messages during a close are dropped. */
const wrapListener = (socket: WebSocket, type: string, listener: Listener) => (event: object): void => {
  if (type === "message" && socket.readyState !== socket.OPEN) return
  listener.handleEvent(type === "error" ? { type } : event)
}

/** The reason of a failed WebSocket operation. */
export const reasonOf = <A, R>(effect: Effect.Effect<A, WebSocketError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)
