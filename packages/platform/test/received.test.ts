/** What has been received before a connection ended stays readable, in order, whatever ended it. */
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

/** A message of some length, which says its number first. */
const numbered = (index: number): string => `${String(index).padStart(8, "0")}${"x".repeat(2 * KiB)}`

/** Reads slowly, and says which messages there were, and how it ended. */
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

/** The numbers of all whole messages in a stream of bytes. */
const messagesOf = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<string> => {
  const text = Buffer.concat(chunks).toString("latin1")
  const length = numbered(0).length
  return Array.from(
    { length: Math.floor(text.length / length) },
    (_, index) => text.slice(index * length, (index + 1) * length)
  )
}

describe.each<Platform>(["ws", "browser"])("what a WebSocket has received (%s)", (platform) => {
  it.scopedLive("is there, all of it, when the server says 5000 things and closes at once, and nobody has read yet", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 5000; index++) socket.send(numbered(index))
          socket.close(1001, "maintenance")
        }
      })
      const clients = new Clients(platform)
      const connection = yield* clients.connect(server.url, { receiveHighWaterMark: 16 * KiB })
      // Until the inbox is full, and the server is held back, where that can be; elsewhere until all has come.
      if (platform === "ws") yield* until(() => clients.sockets[0]?.isPaused === true)
      else yield* Effect.ignore(connection.closed)
      const { ending, seen } = yield* readSlowly(connection.messages)
      expectNumbers(seen, 5000)
      // A regular end is the end of the messages, not their failure; `closed` tells of it.
      assert.strictEqual(ending._tag, "Right")
      const error = yield* Effect.flip(connection.closed)
      assert.deepStrictEqual(error.reason, { _tag: "Closed", code: 1001, reason: "maintenance", wasClean: true })
      yield* clients.nothingLeft
    }))

  it.scopedLive("is there when the server breaks the connection, and then the stream fails with the loss", () =>
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

  it.scopedLive("is there though the connection is closed by this side meanwhile", () =>
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

describe("what a WebSocket of ws had read when it was held back", () => {
  it.scopedLive("is there when the connection is reset meanwhile", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* webSocketServer({ onSocket: (socket) => socket.send(numbered(0)) })
      const clients = new Clients()
      const connection = yield* clients.connect(server.url, { receiveHighWaterMark: 1 })
      const socket = yield* server.accepted
      yield* until(() => clients.sockets[0]?.isPaused === true)
      const before = sockets[0]!.bytesRead
      // The system goes on reading for a while.
      for (let index = 1; index < 5; index++) socket.send(numbered(index))
      yield* until(() => sockets[0]!.bytesRead - before === 4 * (numbered(0).length + 4))
      // At the very moment of the reset there is room again.
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

describe("what a TCP connection has received", () => {
  const open = (port: number, options?: TcpConnector.Options) =>
    connect(TcpConnector.make(options), { host: "127.0.0.1", port })

  const all = (count: number) => Buffer.from(Array.from({ length: count }, (_, index) => numbered(index)).join(""))

  it.scopedLive("is there, all of it, when the peer says 5000 things and ends at once, and nobody has read yet", () =>
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

  it.scopedLive("is there when the peer, all read, has long ended", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ onSocket: (socket) => socket.end(all(50)) })
      const connection = yield* open(server.port)
      yield* connection.closed
      yield* until(() => server.sockets.size === 0)
      const { seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 50)
    }))

  it.scopedLive("is there when the peer resets the connection, and then the stream fails with the loss", () =>
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

  it.scopedLive("is there when the peer resets it while it is held back, with what Node had read ahead", () =>
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
      // Node goes on reading into a buffer of its own for a while.
      for (let index = 1; index < 5; index++) raw.write(numbered(index))
      yield* until(() => connection.received() === 5 * numbered(0).length)
      raw.resetAndDestroy()
      yield* Effect.flip(connection.closed)
      const { ending, seen } = yield* readSlowly(connection.data)
      expectNumbers(messagesOf(seen), 5)
      assert.strictEqual(ending._tag, "Left")
    }))

  it.scopedLive("can be read after it has been terminated; the peer sees a reset", () =>
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
