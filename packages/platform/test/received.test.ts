/** Received messages stay readable, in order, after every kind of end. */
import { assert, describe, it } from "@effect/vitest"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import type { TcpError } from "@persistent-connection/platform/TcpError"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Clients, connect, type Platform } from "./support/clients.js"
import { netSockets } from "./support/netSockets.js"
import { tcpServer, turn, until, webSocketServer } from "./support/servers.js"

const KiB = 1024

/** A message of fixed length that starts with its number. */
const numbered = (index: number): string => `${String(index).padStart(8, "0")}${"x".repeat(2 * KiB)}`

/** Reads slowly, and records the messages and the end. */
const readSlowly = <A, E>(messages: Stream.Stream<A, E>) => {
  const seen: Array<A> = []
  return messages.pipe(
    Stream.runForEach((message) => {
      seen.push(message)
      return seen.length % 100 === 0 ? turn : Effect.void
    }),
    Effect.either,
    Effect.map((ending) => ({ seen, ending }))
  )
}

const expectNumbers = (seen: ReadonlyArray<unknown>, count: number) => {
  assert.strictEqual(seen.length, count)
  seen.forEach((message, index) => assert.strictEqual(message, numbered(index)))
}

/** All complete messages in a stream of bytes. */
const messagesOf = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<string> => {
  const text = Buffer.concat(chunks).toString("latin1")
  const length = numbered(0).length
  return Array.from(
    { length: Math.floor(text.length / length) },
    (_, index) => text.slice(index * length, (index + 1) * length)
  )
}

describe.each<Platform>(["ws", "browser"])("the received messages of a WebSocket (%s)", (platform) => {
  it.scopedLive("are all delivered if the server sends 5000 messages and closes at once, before the first read", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 5000; index++) socket.send(numbered(index))
          socket.close(1001, "maintenance")
        }
      })
      const clients = new Clients(platform)
      const connection = yield* clients.connect(server.url, { receiveHighWaterMark: 16 * KiB })
      // Until backpressure begins, or, without backpressure, until everything has arrived.
      if (platform === "ws") yield* until(() => clients.sockets[0]?.isPaused === true)
      else yield* Effect.ignore(connection.closed)
      const { ending, seen } = yield* readSlowly(connection.messages)
      expectNumbers(seen, 5000)
      // After a regular close the messages end without a failure; `closed` reports the close.
      assert.strictEqual(ending._tag, "Right")
      const error = yield* Effect.flip(connection.closed)
      assert.deepStrictEqual(error.reason, { _tag: "Closed", code: 1001, reason: "maintenance", wasClean: true })
      yield* clients.nothingLeft
    }))

  it.scopedLive("are delivered if the server breaks the connection; then the stream fails with the loss", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 1000; index++) socket.send(numbered(index))
        }
      })
      const clients = new Clients(platform)
      const connection = yield* clients.connect(server.url)
      yield* until(() => connection.received() >= (platform === "ws" ? 400 : 1000))
      for (const raw of server.sockets) raw.resetAndDestroy()
      const { ending, seen } = yield* readSlowly(connection.messages)
      expectNumbers(seen, connection.received())
      assert.strictEqual(ending._tag, "Left")
      const error: WebSocketError = yield* Effect.flip(connection.closed)
      assert.deepStrictEqual(error.reason, { _tag: "Closed", code: 1006, reason: "", wasClean: false })
      assert.isTrue(connection.isClosed())
    }))

  it.scopedLive("are delivered even if this side closes the connection", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 1000; index++) socket.send(numbered(index))
        }
      })
      const connection = yield* new Clients(platform).connect(server.url)
      yield* until(() => connection.received() >= 100)
      yield* connection.close()
      const { seen } = yield* readSlowly(connection.messages)
      expectNumbers(seen, platform === "ws" ? 1000 : connection.received())
    }))
})

describe("the messages that ws had read before backpressure", () => {
  it.scopedLive("are delivered even if the connection is reset", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* webSocketServer({ onSocket: (socket) => socket.send(numbered(0)) })
      const clients = new Clients()
      const connection = yield* clients.connect(server.url, { receiveHighWaterMark: 1 })
      const socket = yield* server.accepted
      yield* until(() => clients.sockets[0]?.isPaused === true)
      const before = sockets[0]!.bytesRead
      // The system continues to read for a while.
      for (let index = 1; index < 5; index++) socket.send(numbered(index))
      yield* until(() => sockets[0]!.bytesRead - before === 4 * (numbered(0).length + 4))
      // At the time of the reset the backpressure ends.
      const first: Array<unknown> = []
      sockets[0]!.prependOnceListener("error", () =>
        Effect.runFork(Effect.map(connection.receive, (message) => first.push(message))))
      for (const raw of server.sockets) {
        raw.resetAndDestroy()
      }
      yield* until(() =>
        first.length === 1
      )
      assert.deepStrictEqual(first, [numbered(0)])
      const { ending, seen } = yield* readSlowly(connection.messages)
      assert.deepStrictEqual(seen, [1, 2, 3, 4].map(numbered))
      assert.strictEqual(ending._tag, "Left")
    }))
})

describe("the received data of a TCP connection", () => {
  const open = (port: number, options?: TcpConnector.Options) =>
    connect(TcpConnector.make(options), { host: "127.0.0.1", port })

  const all = (count: number) => Buffer.from(Array.from({ length: count }, (_, index) => numbered(index)).join(""))

  it.scopedLive("are all delivered if the peer sends 5000 messages and ends at once, before the first read", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ onSocket: (socket) => socket.end(all(5000)) })
      const connection = yield* open(server.port, { receiveHighWaterMark: 16 * KiB })
      yield* until(() => sockets[0]?.isPaused() === true)
      const { ending, seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 5000)
      assert.strictEqual(ending._tag, "Right")
      yield* connection.closed
    }))

  it.scopedLive("are delivered long after the end of the peer", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ onSocket: (socket) => socket.end(all(50)) })
      const connection = yield* open(server.port)
      yield* connection.closed
      yield* until(() => server.sockets.size === 0)
      const { seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 50)
    }))

  it.scopedLive("are delivered if the peer resets the connection; then the stream fails with the loss", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ onSocket: (socket) => socket.write(all(50)) })
      const connection = yield* open(server.port)
      yield* until(() => connection.received() === all(50).length)
      for (const raw of server.sockets) raw.resetAndDestroy()
      const error: TcpError = yield* Effect.flip(connection.closed)
      assert.strictEqual(error.code, "ECONNRESET")
      const { ending, seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 50)
      assert.isTrue(ending._tag === "Left" && ending.left === error)
    }))

  it.scopedLive("are delivered, including Node's read-ahead, if the peer resets the connection during backpressure", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({
        onSocket: (socket) => {
          socket.setNoDelay(true)
          socket.write(numbered(0))
        }
      })
      const connection = yield* open(server.port, { receiveHighWaterMark: 1 })
      const raw = yield* server.accepted
      yield* until(() => sockets[0]?.isPaused() === true)
      // Node continues to read into its own buffer for a while.
      for (let index = 1; index < 5; index++) raw.write(numbered(index))
      yield* until(() => connection.received() === 5 * numbered(0).length)
      raw.resetAndDestroy()
      yield* Effect.flip(connection.closed)
      const { ending, seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 5)
      assert.strictEqual(ending._tag, "Left")
    }))

  it.scopedLive("can be read after `terminate`; the peer sees a reset", () =>
    Effect.gen(function*() {
      const connector = TcpConnector.make()
      const server = yield* tcpServer({ onSocket: (socket) => socket.write(numbered(0)) })
      const connection = yield* connect(connector, { host: "127.0.0.1", port: server.port })
      const raw = yield* server.accepted
      let code: string | undefined
      raw.on("error", (error: NodeJS.ErrnoException) => (code = error.code))
      yield* until(() => connection.received() > 0)
      yield* connector.terminate!(connection)
      yield* connection.closed
      assert.isTrue(connection.isClosed())
      const { ending, seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 1)
      assert.strictEqual(ending._tag, "Right")
      yield* until(() => server.sockets.size === 0)
      assert.strictEqual(code, "ECONNRESET")
    }))
})
