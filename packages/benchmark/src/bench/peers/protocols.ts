/** Libraries with a protocol of their own over a WebSocket. */
import { createClient } from "graphql-ws"
import { Socket as PhoenixSocket } from "phoenix"
import { io } from "socket.io-client"
import { WebSocket } from "ws"
import { type Client, messagePeer, type OpenSocket, type Pace, type Peer, windowOf } from "./peer.js"

const socketIo: OpenSocket = (port, on, pace) => {
  const socket = io(`http://127.0.0.1:${port}`, {
    transports: ["websocket"],
    forceNew: true,
    ...(pace === "fast" ? { reconnectionDelay: 1, reconnectionDelayMax: 1 } : {})
  })
  socket.on("connect", on.up)
  socket.on("disconnect", on.down)
  socket.on("message", on.message)
  return { send: (text) => socket.emit("message", text), close: () => socket.disconnect() }
}

/** A socket with one channel: its connection can be used when the server has answered the join. */
const phoenix: OpenSocket = (port, on, pace) => {
  const fast = { reconnectAfterMs: () => 0, rejoinAfterMs: () => 0 }
  const socket = new PhoenixSocket(`ws://127.0.0.1:${port}/phoenix`, pace === "fast" ? fast : {})
  socket.onClose(on.down)
  socket.connect()
  const channel = socket.channel("room", {})
  channel.on("message", ({ text }: { readonly text: string }) => on.message(text))
  // It is called at every join, also after a reconnect.
  channel.join().receive("ok", on.up)
  return { send: (text) => channel.push("message", { text }), close: () => socket.disconnect() }
}

const graphqlClient = (port: number, pace: Pace) =>
  createClient({
    url: `ws://127.0.0.1:${port}/graphql`,
    webSocketImpl: WebSocket,
    lazy: false,
    onNonLazyError: () => {},
    ...(pace === "fast" ? { retryWait: () => Promise.resolve(), retryAttempts: Infinity } : {})
  })

const talkGraphql = (port: number): Promise<Client> =>
  new Promise((resolve) => {
    const graphql = graphqlClient(port, "fast")
    const ask = (query: string, variables: Record<string, unknown>, onNext: () => void = () => {}) =>
      new Promise<void>((complete, error) => {
        graphql.subscribe({ query, variables }, { next: onNext, complete, error })
      })
    const client: Client = {
      echo: (text) => ask("query ($text: String!) { echo(text: $text) }", { text }),
      receive: (count, size) =>
        ask("subscription ($count: Int!, $size: Int!) { flood(count: $count, size: $size) }", { count, size }),
      send: async (count, text) => {
        const batch = windowOf(text)
        for (let left = count; left > 0; left -= batch) {
          await Promise.all(
            Array.from(
              { length: Math.min(left, batch) },
              () => ask("mutation ($text: String!) { send(text: $text) }", { text })
            )
          )
        }
      },
      close: () => graphql.dispose()
    }
    const stop = graphql.on("connected", () => {
      stop()
      resolve(client)
    })
  })

const graphql: Peer = {
  name: "graphql-ws",
  server: "messages",
  keep: (port, hooks, pace) => {
    const client = graphqlClient(port, pace)
    client.on("connected", hooks.up)
    client.on("closed", hooks.down)
    return () => client.dispose()
  },
  talk: talkGraphql
}

export const protocolPeers: ReadonlyArray<Peer> = [
  graphql,
  messagePeer("socket.io-client", socketIo),
  messagePeer("phoenix", phoenix)
]
