/** The feed over WebSockets: see `live/webSocketFeed.ts` for its protocol. */
import type { AddressInfo } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { firstNumber, timeOf } from "../live/feed.js"
import { announcementTime } from "../live/scenario.js"

export class FeedServer {
  private readonly server = new WebSocketServer({ host: "127.0.0.1", port: 0 })
  private readonly timers = new Map<WebSocket, NodeJS.Timeout>()
  /** In ms since the world was made, as all times here. */
  private upSince = 0

  constructor(private readonly now: () => number) {
    this.server.on("connection", (socket) => {
      socket.on("message", (data) => this.receive(socket, String(data)))
      socket.on("close", () => this.unsubscribe(socket))
      socket.on("error", () => socket.terminate())
    })
  }

  /** Waits until it listens, and gives its port. */
  async listening(): Promise<number> {
    if (this.server.address() === null) await new Promise((resolve) => this.server.once("listening", resolve))
    return (this.server.address() as AddressInfo).port
  }

  /** Forgets the messages, as a restart does. */
  restart(): void {
    this.upSince = this.now()
  }

  /** Announces a restart to the clients one after the other, so that they do not all reconnect at once. */
  announce(): void {
    const sockets = [...this.server.clients]
    sockets.forEach((socket, index) =>
      setTimeout(() => socket.send("goingAway"), (index * announcementTime) / sockets.length)
    )
  }

  close(): void {
    for (const socket of this.server.clients) socket.terminate()
    this.server.close()
  }

  private receive(socket: WebSocket, text: string): void {
    if (text === "ping") return socket.send("pong")
    const request: unknown = parse(text)
    if (typeof request !== "object" || request === null || !("after" in request)) return socket.close(1003)
    const after = typeof request.after === "number" ? request.after : undefined
    this.unsubscribe(socket)
    this.publish(socket, firstNumber(after, this.now(), this.upSince))
  }

  /** Sends everything that is due from this number on, and the rest when it is due. */
  private publish(socket: WebSocket, number: number): void {
    let next = number
    while (timeOf(next) <= this.now()) socket.send(JSON.stringify({ number: next++ }))
    this.timers.set(socket, setTimeout(() => this.publish(socket, next), timeOf(next) - this.now()))
  }

  private unsubscribe(socket: WebSocket): void {
    clearTimeout(this.timers.get(socket))
    this.timers.delete(socket)
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
