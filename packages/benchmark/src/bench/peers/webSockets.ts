/** Libraries around a WebSocket. In Node, all of them get the class of `ws`. */
import { WebSocket as PartySocket } from "partysocket"
import ReconnectingWebSocketModule from "reconnecting-websocket"
import { ConstantBackoff, ExponentialBackoff, WebsocketBuilder } from "websocket-ts"
import { WebSocket } from "ws"
import { messagePeer, type OpenSocket, type Pace } from "./peer.js"

// websocket-ts and phoenix take the global class.
Object.assign(globalThis, { WebSocket })

// It is a CommonJS module, whose types say otherwise.
const ReconnectingWebSocket = ReconnectingWebSocketModule as unknown as typeof ReconnectingWebSocketModule.default

const urlOf = (port: number) => `ws://127.0.0.1:${port}/ws`

const bare: OpenSocket = (port, on) => {
  const socket = new WebSocket(urlOf(port))
  socket.on("open", on.up)
  socket.on("close", on.down)
  socket.on("error", () => {})
  socket.on("message", (data) => on.message((data as Buffer).toString()))
  return { send: (text) => socket.send(text), close: () => socket.terminate() }
}

/** Nobody uses it as it is: it begins again at once, without any delay. */
const loop: OpenSocket = (port, on, pace) => {
  let isClosed = false
  let socket = bare(port, { ...on, down }, pace)
  function down() {
    on.down()
    if (!isClosed) socket = bare(port, { ...on, down }, pace)
  }
  return {
    send: (text) => socket.send(text),
    close: () => {
      isClosed = true
      socket.close()
    }
  }
}

/**
 * The options of reconnecting-websocket and of partysocket. Both draw the first delay once for each process; here each
 * client draws its own, like the pages of different users.
 */
const delays = (pace: Pace) =>
  pace === "fast"
    ? { minReconnectionDelay: 0, maxReconnectionDelay: 0 }
    : { minReconnectionDelay: 1_000 + Math.random() * 4_000 }

const reconnecting: OpenSocket = (port, on, pace) => {
  const socket = new ReconnectingWebSocket(urlOf(port), [], { WebSocket, ...delays(pace) })
  socket.addEventListener("open", on.up)
  socket.addEventListener("close", on.down)
  socket.addEventListener("message", ({ data }) => on.message(data as string))
  return { send: (text) => socket.send(text), close: () => socket.close() }
}

const party: OpenSocket = (port, on, pace) => {
  const socket = new PartySocket(urlOf(port), [], { WebSocket, ...delays(pace) })
  socket.addEventListener("open", on.up)
  socket.addEventListener("close", on.down)
  socket.addEventListener("error", () => {})
  socket.addEventListener("message", ({ data }) => on.message(data as string))
  return { send: (text) => socket.send(text), close: () => socket.close() }
}

const websocketTs: OpenSocket = (port, on, pace) => {
  const socket = new WebsocketBuilder(urlOf(port))
    // Without a backoff it does not reconnect. This one is in its README.
    .withBackoff(pace === "fast" ? new ConstantBackoff(0) : new ExponentialBackoff(1_000, 6))
    .onOpen(() => on.up())
    .onClose(() => on.down())
    .onMessage((_, { data }) => on.message(data as string))
    .build()
  return { send: (text) => socket.send(text), close: () => socket.close() }
}

export const ws = messagePeer("ws", bare)
export const wsLoop = messagePeer("ws in a loop", loop)
export const reconnectingWebSocket = messagePeer("reconnecting-websocket", reconnecting)
export const webSocketPeers = [
  reconnectingWebSocket,
  messagePeer("partysocket", party),
  messagePeer("websocket-ts", websocketTs)
]
