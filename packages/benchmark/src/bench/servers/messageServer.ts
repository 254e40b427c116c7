/**
 * The servers of all peers that speak over a WebSocket, in a process of its own. They understand four messages:
 *
 * - `E…`: is sent back.
 * - `S…`: is read, and nothing else.
 * - `D`: is sent back; so everything sent before has arrived.
 * - `F COUNT SIZE`: sends COUNT messages of this size, as ready-made frames, so that the server is faster than a client.
 */
import { buildSchema } from "graphql"
import { useServer } from "graphql-ws/use/ws"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Server as SocketIoServer } from "socket.io"
import { type WebSocket, WebSocketServer } from "ws"
import { frameOf, tcpOf, writeMany } from "../../frames.js"

/** Handles a message. `encode` makes the text of a frame for a message. */
const serve = (socket: WebSocket, encode: (message: string) => string) => (message: string): void => {
  if (message.startsWith("E") || message === "D") socket.send(encode(message))
  if (!message.startsWith("F")) return
  const [, count, size] = message.split(" ")
  void writeMany(tcpOf(socket), frameOf(encode("x".repeat(Number(size)))), Number(count))
}

const webSocketServer = () => new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 0 })

const plain = webSocketServer()
plain.on("connection", (socket) => {
  const onMessage = serve(socket, (message) => message)
  socket.on("message", (data) => onMessage((data as Buffer).toString()))
  socket.on("error", () => {})
})

/** The messages of Phoenix channels, version 2: `[joinRef, ref, topic, event, payload]`. */
const phoenix = webSocketServer()
phoenix.on("connection", (socket) => {
  socket.on("error", () => {})
  socket.on("message", (data) => {
    const [joinRef, ref, topic, event, payload] = JSON.parse((data as Buffer).toString()) as [
      string | null,
      string | null,
      string,
      string,
      { readonly text: string }
    ]
    if (event === "message") {
      serve(socket, (text) => JSON.stringify([joinRef, null, topic, "message", { text }]))(payload.text)
    } else {
      // A join, a leave or a heartbeat
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", { status: "ok", response: {} }]))
    }
  })
})

const schema = buildSchema(`
  type Query { echo(text: String!): String! }
  type Mutation { send(text: String!): Boolean! }
  type Subscription { flood(count: Int!, size: Int!): String! }
`)

interface GraphqlContext {
  readonly socket: WebSocket
  readonly id: string
}

const flood = async function*({ count, size }: { count: number; size: number }, { id, socket }: GraphqlContext) {
  const message = JSON.stringify({ id, type: "next", payload: { data: { flood: "x".repeat(size) } } })
  await writeMany(tcpOf(socket), frameOf(message), count)
  // A generator must have a `yield`.
  if (count < 0) yield { flood: "" }
}

const graphql = webSocketServer()
useServer(
  {
    schema,
    context: ({ extra }, id): GraphqlContext => ({ socket: extra.socket as WebSocket, id }),
    roots: {
      query: { echo: ({ text }: { readonly text: string }) => text },
      mutation: { send: () => true },
      subscription: { flood }
    }
  },
  graphql
)

const server = createServer((_, response) => response.end())
const paths: Record<string, WebSocketServer> = { "/ws": plain, "/phoenix/websocket": phoenix, "/graphql": graphql }
server.on("upgrade", (request, tcp, head) => {
  tcp.on("error", () => {})
  const chosen = paths[(request.url ?? "").split("?")[0]!]
  chosen?.handleUpgrade(request, tcp, head, (socket) => chosen.emit("connection", socket, request))
})

const socketIo = new SocketIoServer(server, {
  transports: ["websocket"],
  perMessageDeflate: false,
  destroyUpgrade: false,
  maxHttpBufferSize: 1e8
})
socketIo.on("connection", (socket) => {
  const transport = socket.conn.transport as unknown as { readonly socket: WebSocket }
  const onMessage = serve(transport.socket, (message) => `42${JSON.stringify(["message", message])}`)
  socket.on("message", onMessage)
})

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on("disconnect", () => process.exit())
