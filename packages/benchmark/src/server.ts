/**
 * The server of the measurements, in a process of its own. The path of the URL selects the behavior of a WebSocket:
 *
 * - `/idle`: nothing.
 * - `/flood/SIZE`: sends messages of this size as fast as the client reads them.
 * - `/kicked/TIMES`: ends the connection, waits for the next one, and repeats this. Then it sends the times between the
 *   end of a connection and the arrival of the next one, in ms, to the parent process.
 *
 * A second port accepts TCP connections, and sends nothing.
 */
import { createServer, type IncomingMessage } from "node:http"
import { type AddressInfo, createServer as createTcpServer } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { frameOf, tcpOf } from "./frames.js"

/** Writes ready-made frames to the TCP socket, so the server is faster than any client. */
const flood = (socket: WebSocket, size: number): void => {
  const frame = frameOf("x".repeat(size))
  const frames = Buffer.concat(Array.from({ length: Math.ceil(256 * 1024 / frame.length) }, () => frame))
  const tcp = tcpOf(socket)
  const write = () => {
    if (tcp.writable) tcp.write(frames, write)
  }
  for (let ahead = 0; ahead < 4; ahead++) write()
}

let kickedAt: number | undefined
let times: Array<number> = []

const kick = (socket: WebSocket, count: number): void => {
  if (kickedAt !== undefined) times.push(performance.now() - kickedAt)
  kickedAt = undefined
  if (times.length === count) {
    process.send?.({ times })
    times = []
    return
  }
  // The client must have seen the connection, and be idle.
  setTimeout(() => {
    kickedAt = performance.now()
    socket.terminate()
  }, 3)
}

const serve = (socket: WebSocket, { url }: IncomingMessage): void => {
  const [, what, argument] = (url ?? "").split("/")
  if (what === "flood") flood(socket, Number(argument))
  else if (what === "kicked") kick(socket, Number(argument))
}

const server = createServer()
new WebSocketServer({ server, perMessageDeflate: false }).on("connection", serve)
const silent = createTcpServer((socket) => {
  socket.on("error", () => {})
  socket.resume()
})

const portOf = (listening: { readonly address: () => unknown }) => (listening.address() as AddressInfo).port
server.listen(
  0,
  "127.0.0.1",
  () => silent.listen(0, "127.0.0.1", () => process.send?.({ port: portOf(server), tcpPort: portOf(silent) }))
)
process.on("disconnect", () => process.exit())
