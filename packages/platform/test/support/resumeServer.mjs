// A WebSocket server in a process of its own, so that it can be killed. It publishes the numbers 1, 2, 3 … up to the one
// that its parent names, to every client, from the cursor on that the client has sent.
//
//     node resumeServer.mjs PORT PUBLISHED
import { WebSocketServer } from "ws"

const [port, first] = process.argv.slice(2).map(Number)
let published = first
/** The last number that each client has been sent. */
const cursors = new Map()

const sendNext = (socket) => {
  let cursor = cursors.get(socket)
  while (cursor < published) socket.send(String(++cursor))
  cursors.set(socket, cursor)
}

const server = new WebSocketServer({ port, host: "127.0.0.1", backlog: 4096, perMessageDeflate: false })
server.on("connection", (socket) => {
  socket.on("error", () => {})
  socket.on("close", () => cursors.delete(socket))
  socket.on("message", (cursor) => {
    cursors.set(socket, Number(cursor))
    sendNext(socket)
  })
})
server.on("listening", () => process.send(server.address().port))

process.on("message", (number) => {
  published = number
  for (const socket of cursors.keys()) sendNext(socket)
})
process.on("disconnect", () => process.exit())
