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

/** Connects once, as an attempt of a persistent connection would. */
export const connect = <Address, Connection, E, R>(
  connector: Connector<Address, Connection, E, R>,
  address: Address
): Effect.Effect<Connection, E, R | Scope.Scope> => connector.connect(address, attempt)

/** Which kind of platform a WebSocket comes from. */
export type Platform = "ws" | "browser"

/**
 * The client side of `ws`, and the sockets that it made. As "browser" a socket has what the standard gives it, and no
 * more: no `pause`, no `terminate`, and no error that says anything.
 */
export class Clients {
  readonly sockets: Array<WebSocket> = []
  /** The closes that were asked of a "browser". */
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

  /** Waits until all sockets are closed; then nobody may listen to any of them. */
  readonly nothingLeft: Effect.Effect<void> = Effect.suspend(() =>
    until(() => this.sockets.every((socket) => socket.readyState === socket.CLOSED))
  ).pipe(Effect.map(() => {
    assert.deepStrictEqual(this.sockets.flatMap((socket) => socket.eventNames()), [])
  }))
}

type Listener = { readonly handleEvent: (event: object) => void }

const standard = (socket: WebSocket, closes: Array<number | undefined>): object => {
  const hearing = new Map<string, (event: object) => void>()
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
      const heard = heardBy(socket, String(type), listener)
      hearing.set(type, heard)
      socket.addEventListener(type, heard)
    },
    removeEventListener: (type: "message") => socket.removeEventListener(type, hearing.get(type)!)
  }
}

/** By the standard an error says nothing, and a message that comes while closing is dropped. */
const heardBy = (socket: WebSocket, type: string, listener: Listener) => (event: object): void => {
  if (type === "message" && socket.readyState !== socket.OPEN) return
  listener.handleEvent(type === "error" ? { type } : event)
}

/** The reason of a failed WebSocket operation. */
export const reasonOf = <A, R>(effect: Effect.Effect<A, WebSocketError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)
