/** Servers that number their messages, and know for each connection which messages the client must have received. */
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Framing from "@persistent-connection/platform/Framing"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import * as Http from "node:http"
import * as Net from "node:net"
import { WebSocket, WebSocketServer } from "ws"

/** The client side of a connection, for both transports. */
export interface Connected {
  readonly messages: Stream.Stream<string | Uint8Array, unknown>
  readonly send: (text: string) => Effect.Effect<void, unknown>
}

export type Service = PersistentConnection.PersistentConnection<Connected, unknown>

interface ClientOptions {
  readonly retry?: Schedule.Schedule<unknown> | undefined
  /** The client sockets that this process opens. */
  readonly sockets: ReadonlyArray<ClientSocket>
  readonly onConnected: (socket: ClientSocket) => void
}

/** A client socket with its port and its lifetime, in ms. */
interface ClientSocket {
  readonly socket: Net.Socket
  readonly madeAt: number
  port: number | undefined
  closedAt: number
}

/** The server side of a transport. */
interface Peer {
  /** Sends a message. Returns false if that is no longer possible. */
  readonly write: (text: string) => boolean
  readonly end: () => void
}

type OnLine = (raw: Net.Socket, peer: Peer) => Line

/** One connection, as the server sees it. */
export class Line {
  /** The number of bytes that the server had sent after each message. */
  private readonly sentBytes: Array<number> = []
  /** True after a regular end by either side: the client has received everything that was sent. */
  isClosed = false
  isOver = false
  private isBroken = false
  private hasEnded = () => {}
  /** Completes when the server has noticed the end. */
  readonly ended = new Promise<void>((resolve) => {
    this.hasEnded = resolve
  })
  /** Called for each message of the client. */
  onText: (text: string) => void = () => {}
  /** The port of the client. */
  readonly port: number
  readonly acceptedAt = performance.now()

  constructor(
    readonly number: number,
    private readonly raw: Net.Socket,
    private readonly peer: Peer
  ) {
    this.port = raw.remotePort ?? 0
    raw.on("error", () => {})
    raw.on("close", () => {
      this.isOver = true
    })
  }

  get sent(): number {
    return this.sentBytes.length
  }

  send(text: string): void {
    if (this.isOver || !this.peer.write(text)) return
    this.sentBytes.push(this.raw.bytesWritten)
  }

  /** Ends the connection in a regular way: with a close frame or FIN. */
  close(): void {
    if (this.isOver) return
    this.isOver = true
    this.isClosed = true
    this.peer.end()
  }

  /** Called when the client has ended the connection in a regular way. The transport answers by itself. */
  closedByClient(): void {
    this.isOver = true
    this.isClosed = !this.isBroken
    this.hasEnded()
  }

  /**
   * Breaks the connection: "reset" sends RST; "destroy" acts like the death of the process, which loses data that the
   * system does not have yet.
   */
  break(how: "reset" | "destroy"): void {
    if (this.raw.destroyed) return
    this.isOver = true
    this.isClosed = false
    this.isBroken = true
    if (how === "reset") this.raw.resetAndDestroy()
    else this.raw.destroy()
  }

  /** The number of complete messages in that many bytes. */
  wholeIn(bytes: number): number {
    const next = this.sentBytes.findIndex((sent) => sent > bytes)
    return next === -1 ? this.sent : next
  }
}

export interface Transport {
  readonly name: string
  readonly server: (onLine: OnLine) => Net.Server
  readonly client: (port: number, options: ClientOptions) => Effect.Effect<Service, never, Scope.Scope>
}

const receiveHighWaterMark = 8 * 1024

/** Opens connections, and records the socket of each one. */
const watched = <Address, Connection extends Connected, E, R>(
  connector: Connector.Connector<Address, Connection, E, R>,
  { onConnected, retry = RetryPolicy.fixed("5 millis"), sockets }: ClientOptions
) => {
  const socketOf = new WeakMap<object, ClientSocket>()
  return {
    serverName: "numbered",
    retry,
    // After a short-lived connection the client also retries at once.
    minUptime: 0,
    connector: Connector.make({
      ...connector,
      connect: (address: Address, attempt: Connector.Attempt<Address>) =>
        Effect.suspend(() => {
          const index = sockets.length
          return Effect.tap(connector.connect(address, attempt), (connection) =>
            Effect.sync(() => socketOf.set(connection, sockets[index]!)))
        })
    }),
    onEvent: (event: ConnectionEvent<Connection, unknown>) =>
      Effect.sync(() => {
        if (event._tag === "Connected") onConnected(socketOf.get(event.connection)!)
      })
  }
}

export const webSockets: Transport = {
  name: "WebSocket",
  server: (onLine) => {
    const server = Http.createServer()
    const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
    server.on("upgrade", (request, raw, head) => {
      if (!(raw instanceof Net.Socket)) throw new Error("The upgraded stream is not a TCP socket")
      // Messages that are sent at once go out in one segment with the response to the upgrade.
      raw.cork()
      webSockets.handleUpgrade(request, raw, head, (socket) => {
        socket.on("error", () => {})
        const line = onLine(raw, {
          write: (text) => {
            if (socket.readyState !== WebSocket.OPEN) return false
            socket.send(text)
            return true
          },
          end: () => socket.close(4000, "as agreed")
        })
        socket.on("message", (data) => line.onText(String(data)))
        socket.on("close", (code) => {
          if (code === 1000) line.closedByClient()
        })
      })
      raw.uncork()
    })
    return server
  },
  client: (port, options) =>
    PersistentConnection.make({
      ...watched(WebSocketConnector.make({ ping: false, receiveHighWaterMark }), options),
      address: Effect.succeed(`ws://127.0.0.1:${port}`)
    }).pipe(Effect.provide(WebSocketConnector.layerWs(WebSocket)))
}

export const tcpLines: Transport = {
  name: "TCP, lines",
  server: (onLine) =>
    Net.createServer((raw) => {
      raw.cork()
      const line = onLine(raw, {
        write: (text) => {
          if (!raw.writable) return false
          raw.write(`${text}\n`)
          return true
        },
        end: () => raw.end()
      })
      raw.uncork()
      let rest = ""
      raw.on("data", (data) => {
        const lines = `${rest}${String(data)}`.split("\n")
        rest = lines.pop() ?? ""
        lines.forEach((text) => line.onText(text))
      })
      raw.on("end", () => line.closedByClient())
    }),
  client: (port, options) =>
    PersistentConnection.make({
      ...watched(Framing.lines(TcpConnector.make({ receiveHighWaterMark })), options),
      address: Effect.succeed({ host: "127.0.0.1", port })
    })
}

/** A server that can be killed and restarted on the same port. Records its connections. */
export class NumberedServer {
  readonly lines: Array<Line> = []
  port = 0
  private server: Net.Server | undefined

  constructor(readonly transport: Transport, private readonly onLine: (line: Line) => void) {}

  readonly start: Effect.Effect<void> = Effect.async<void>((resume) => {
    const server = this.server = this.transport.server((raw, peer) => {
      const line = new Line(this.lines.length + 1, raw, peer)
      this.lines.push(line)
      this.onLine(line)
      return line
    })
    server.on("error", (error) => resume(Effect.die(error)))
    server.listen(this.port, "127.0.0.1", () => {
      const address = server.address()
      if (address !== null && typeof address === "object") this.port = address.port
      resume(Effect.void)
    })
  })

  /** Ends the server and breaks all its connections. New clients are refused. */
  readonly kill = (how: "reset" | "destroy"): Effect.Effect<void> =>
    Effect.sync(() => {
      this.server?.close()
      for (const line of this.lines) line.break(how)
    })
}

/** Starts a server. The end of the scope kills it. */
export const numberedServer = (
  transport: Transport,
  onLine: (line: Line) => void
): Effect.Effect<NumberedServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const server = new NumberedServer(transport, onLine)
      return Effect.as(server.start, server)
    }),
    (server) => server.kill("destroy")
  )

/**
 * A connection of a client: its server side, if the server has accepted it, and the number of bytes that the client's
 * socket has read.
 */
interface ClientConnection {
  readonly line: Line | undefined
  readonly bytesRead: number
}

export interface NumberedClient {
  readonly service: Service
  /** All connections of the client, in order. */
  readonly connections: () => ReadonlyArray<ClientConnection>
}

/** A persistent connection to the server. */
export const numberedClient = (
  server: NumberedServer,
  options: Pick<ClientOptions, "retry"> = {}
): Effect.Effect<NumberedClient, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sockets: Array<ClientSocket> = []
    const listener = (message: unknown) => {
      const { socket } = message as { readonly socket: Net.Socket }
      const client: ClientSocket = { socket, port: undefined, madeAt: performance.now(), closedAt: Infinity }
      sockets.push(client)
      socket.on("close", () => {
        client.closedAt = performance.now()
      })
      socket.on("connect", () => {
        client.port = socket.localPort
      })
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => DiagnosticsChannel.subscribe("net.client.socket", listener)),
      () => Effect.sync(() => DiagnosticsChannel.unsubscribe("net.client.socket", listener))
    )
    const current: Array<ClientSocket> = []
    const service = yield* server.transport.client(server.port, {
      ...options,
      sockets,
      onConnected: (socket) => current.push(socket)
    })
    const connections = () => {
      // The system may reuse the port of an ended connection, so the time decides too.
      const lineOf = ({ closedAt, madeAt, port }: ClientSocket) =>
        server.lines.find((line) => line.port === port && line.acceptedAt >= madeAt && line.acceptedAt <= closedAt)
      return current.map((client) => ({ line: lineOf(client), bytesRead: client.socket.bytesRead }))
    }
    return { service, connections }
  })
