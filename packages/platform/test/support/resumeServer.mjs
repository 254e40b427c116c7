// A WebSocket server in a separate process, so that a test can kill it. It sends the numbers 1, 2, 3 … to every client,
// starting after the cursor of the client, up to the number that its parent process has published.
//
//     node resumeServer.mjs PORT PUBLISHED
import { WebSocketServer } from "ws"

const [port, first] = process.argv.slice(2).map(Number)
let published = first
/** The last number sent to each client. */
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
