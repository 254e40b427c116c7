import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { type WebSocket, WebSocketServer } from "ws"

/** Runs everything that is due, in real time. */
export const turn: Effect.Effect<void> = Effect.async<void>((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 1)
  return Effect.sync(() => clearTimeout(timer))
})

/** Sends until all buffers between two sockets stay full. */
export const fill = <E>(isFull: () => boolean, send: Effect.Effect<void, E>): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    while (!isFull()) {
      while (!isFull()) yield* send
      for (let index = 0; index < 20; index++) yield* turn
    }
  })

/** Waits in real time, under any clock, until the condition is true. The timeout of the test is the limit. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.zipRight(turn, until(condition)))

/** A server on a loopback port. */
export interface Server<out Accepted> {
  readonly port: number
  /** The TCP sockets that are open now, on the server side. */
  readonly sockets: ReadonlySet<Net.Socket>
  /** Takes the next accepted connection. */
  readonly accepted: Effect.Effect<Accepted>
  /** Ends the server and destroys all its sockets. */
  readonly kill: Effect.Effect<void>
}

const listen = (server: Net.Server, port: number): Effect.Effect<number> =>
  Effect.async<number>((resume) => {
    server.once("error", (error) => resume(Effect.die(error)))
    server.listen(port, "127.0.0.1", () => {
      const address = server.address()
      resume(address !== null && typeof address === "object" ? Effect.succeed(address.port) : Effect.die("no port"))
    })
  })

const track = (server: Net.Server): Set<Net.Socket> => {
  const sockets = new Set<Net.Socket>()
  server.on("connection", (socket: Net.Socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
  })
  return sockets
}

const kill = (server: Net.Server, sockets: ReadonlySet<Net.Socket>): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of sockets) socket.destroy()
  })

/** A TCP server that only reads, unless `onSocket` pauses the socket. */
export const tcpServer = (
  options: {
    readonly port?: number
    readonly allowHalfOpen?: boolean
    readonly onSocket?: (socket: Net.Socket) => void
  } = {}
): Effect.Effect<Server<Net.Socket>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<Net.Socket>()
    const server = Net.createServer({ allowHalfOpen: options.allowHalfOpen ?? false })
    const sockets = track(server)
    server.on("connection", (socket) => {
      socket.resume()
      options.onSocket?.(socket)
      queue.unsafeOffer(socket)
    })
    const port = yield* Effect.acquireRelease(listen(server, options.port ?? 0), () => kill(server, sockets))
    return { port, sockets, accepted: Queue.take(queue), kill: kill(server, sockets) }
  })

/** A WebSocket server that sends nothing by itself. */
export const webSocketServer = (
  options: {
    readonly port?: number
    readonly onSocket?: (socket: WebSocket) => void
    readonly handleProtocols?: (offered: Set<string>) => string | false
    /** The response that refuses the upgrade: head and body. The server does not end it. */
    readonly refuseWith?: string
    readonly onRefused?: (socket: Duplex) => void
    readonly tls?: { readonly key: string; readonly cert: string }
    readonly onRequest?: (request: Http.IncomingMessage) => void
    readonly perMessageDeflate?: boolean
  } = {}
): Effect.Effect<Server<WebSocket> & { readonly url: string }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<WebSocket>()
    const server = options.tls === undefined ? Http.createServer() : Https.createServer(options.tls)
    const sockets = track(server)
    const webSockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: options.perMessageDeflate ?? false,
      ...(options.handleProtocols && { handleProtocols: options.handleProtocols })
    })
    server.on("upgrade", (request, socket, head) => {
      options.onRequest?.(request)
      if (options.refuseWith !== undefined) {
        socket.on("error", () => {})
        socket.on("end", () => socket.destroy())
        socket.resume().write(`HTTP/1.1 ${options.refuseWith}`)
        options.onRefused?.(socket)
        return
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on("error", () => {})
        options.onSocket?.(webSocket)
        queue.unsafeOffer(webSocket)
      })
    })
    const port = yield* Effect.acquireRelease(listen(server, options.port ?? 0), () => kill(server, sockets))
    return {
      port,
      url: `${options.tls === undefined ? "ws" : "wss"}://127.0.0.1:${port}/`,
      sockets,
      accepted: Queue.take(queue),
      kill: kill(server, sockets)
    }
  })

/** A loopback port without a server. */
export const freePort: Effect.Effect<number> = Effect.scoped(Effect.map(tcpServer(), (server) => server.port))

/** A key with a self-signed certificate. */
export const selfSigned = (): { readonly key: string; readonly cert: string } => {
  const folder = mkdtempSync(join(tmpdir(), "self-signed-"))
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")]
  try {
    const request = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "1"
    ]
    const names = ["-subj", "/CN=self-signed", "-addext", "subjectAltName=IP:127.0.0.1"]
    execFileSync("openssl", [...request, ...names, "-keyout", key, "-out", cert], { stdio: "ignore" })
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
