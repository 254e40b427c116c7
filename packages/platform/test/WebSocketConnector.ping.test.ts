import { assert, describe, it } from "@effect/vitest"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { Clients, connect, reasonOf } from "./support/clients.js"
import { netSockets } from "./support/netSockets.js"
import { until, webSocketServer } from "./support/servers.js"
import { settableClock } from "./support/settableClock.js"

const MiB = 1024 * 1024

/** A real connection whose server counts the pings, under a test clock. */
const begin = (options?: WebSocketConnector.Options) =>
  Effect.gen(function*() {
    const sockets = yield* netSockets
    let asked = 0
    let answered = 0
    const server = yield* webSocketServer()
    const clients = new Clients()
    const connection = yield* clients.connect(server.url, options)
    const socket = yield* server.accepted
    const [raw] = server.sockets
    const [client] = clients.sockets
    assert(raw !== undefined && client !== undefined)
    const ping = client.ping.bind(client)
    client.ping = (data) => {
      asked++
      ping(data)
    }
    client.prependListener("pong", () => answered++)
    /** Advances the virtual time, and waits in real time for the network. */
    const pass = (seconds: number) =>
      Effect.replicateEffect(
        Effect.zipRight(TestClock.adjust("500 millis"), until(() => raw.isPaused() || asked === answered)),
        seconds * 2
      )
    const send = (message: string) =>
      Effect.suspend(() => {
        const before = connection.received()
        socket.send(message)
        return until(() => connection.received() > before)
      })
    const read = () => sockets[0]?.bytesRead ?? 0
    return { clients, connection, socket, raw, client, pass, send, read, pings: () => asked }
  })

describe("a WebSocket of ws whose server goes silent", () => {
  it.scoped("is lost within 13 seconds by default", () =>
    Effect.gen(function*() {
      const { clients, connection, pass, pings, raw } = yield* begin()
      yield* pass(30)
      assert.isFalse(connection.isClosed())
      assert.isAtLeast(pings(), 4)
      raw.pause()
      const closed = yield* Effect.fork(Effect.flip(connection.closed))
      yield* pass(13)
      const error = yield* Fiber.join(closed)
      assert.strictEqual(error.message, `WebSocket ${connection.url}: the server answered no ping for 6s`)
      assert.strictEqual(yield* Effect.flip(connection.send("?")), error)
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(connection.messages)), error)
      // The socket is destroyed without a closing handshake.
      yield* until(() => clients.sockets.every(({ readyState }) => readyState === 3))
    }))

  it.scoped("is also lost directly after it has sent a message", () =>
    Effect.gen(function*() {
      const { connection, pass, raw, send } = yield* begin()
      for (let seconds = 0; seconds < 20; seconds++) {
        yield* send("price")
        yield* pass(1)
      }
      raw.pause()
      const closed = yield* Effect.fork(reasonOf(connection.closed))
      yield* pass(13)
      assert.strictEqual((yield* Fiber.join(closed))._tag, "PingTimeout")
    }))

  it.scoped("is not pinged while it sends", () =>
    Effect.gen(function*() {
      const { connection, pass, pings, send } = yield* begin()
      for (let seconds = 0; seconds < 40; seconds++) {
        yield* send("price")
        yield* pass(1)
      }
      assert.deepStrictEqual([connection.isClosed(), pings()], [false, 0])
    }))

  it.scoped("counts as sending during one long message", () =>
    Effect.gen(function*() {
      const { connection, pass, pings, raw, read } = yield* begin()
      const header = Buffer.alloc(10)
      header[0] = 0x82
      header[1] = 127
      header.writeBigUInt64BE(BigInt(MiB), 2)
      raw.write(header)
      for (let seconds = 0; seconds < 32; seconds++) {
        const before = read()
        raw.write(Buffer.alloc(MiB / 32))
        yield* until(() => read() > before)
        yield* pass(1)
      }
      const message = yield* Stream.runHead(connection.messages)
      assert.isTrue(message._tag === "Some" && message.value.length === MiB)
      assert.strictEqual(pings(), 0)
    }))

  it.scoped("is not pinged during backpressure, and answers again later", () =>
    Effect.gen(function*() {
      const { client, connection, pass, pings, socket } = yield* begin({ receiveHighWaterMark: 64 * 1024 })
      for (let index = 0; index < 64; index++) socket.send(Buffer.alloc(256 * 1024))
      yield* until(() => client.isPaused)
      yield* pass(60)
      assert.deepStrictEqual([connection.isClosed(), pings()], [false, 0])
      yield* Stream.runDrain(Stream.take(connection.messages, 64))
      yield* pass(30)
      assert.isFalse(connection.isClosed())
      assert.isAtLeast(pings(), 2)
    }))

  it.scoped("is not pinged with `ping: false`, and otherwise as often as configured", () =>
    Effect.gen(function*() {
      const off = yield* begin({ ping: false })
      off.raw.pause()
      const slow = yield* begin({ ping: { interval: "20 seconds", timeout: "5 seconds", missedProbes: 4 } })
      slow.raw.pause()
      const closed = yield* Effect.fork(reasonOf(slow.connection.closed))
      yield* slow.pass(34)
      assert.isNull(closed.unsafePoll())
      yield* slow.pass(6)
      assert.strictEqual((yield* Fiber.join(closed))._tag, "PingTimeout")
      assert.isFalse(off.connection.isClosed())
      off.client.terminate()
    }))

  it.scoped("T5: is detected in time if the wall clock is set", () =>
    Effect.gen(function*() {
      const clock = settableClock(yield* Effect.clock)
      const { connection, pass, raw } = yield* Effect.withClock(begin(), clock)
      clock.setWallClock(-3_600_000)
      yield* pass(20)
      assert.isFalse(connection.isClosed())
      raw.pause()
      const closed = yield* Effect.fork(reasonOf(connection.closed))
      yield* pass(3)
      clock.setWallClock(-7_200_000)
      yield* pass(10)
      assert.strictEqual((yield* Fiber.join(closed))._tag, "PingTimeout")
    }))

  it.scoped("leaves no listener behind, with and without answers to pings", () =>
    Effect.gen(function*() {
      const { client, pass, pings, raw } = yield* begin()
      // The listener of the test.
      assert.strictEqual(client.listenerCount("pong"), 1)
      yield* pass(15)
      assert.deepStrictEqual([pings(), client.listenerCount("pong")], [2, 1])
      raw.pause()
      yield* pass(13)
      yield* until(() => client.readyState === client.CLOSED)
      assert.strictEqual(client.listenerCount("pong"), 1)
      assert.deepStrictEqual(client.eventNames(), ["pong"])
    }))

  it.scoped("is replaced, and the round-trip time of each answer is measured", () =>
    Effect.gen(function*() {
      const measured = Metric.value(Metric.tagged(ConnectionMetrics.roundTripTime, "server_name", "silent feed"))
      const before = (yield* measured).count
      const server = yield* TestWebSocket.make()
      const feed = yield* PersistentConnection.make({
        serverName: "silent feed",
        address: Effect.succeed("wss://feed.example.com"),
        connector: WebSocketConnector.make(),
        retry: RetryPolicy.fixed("1 second")
      }).pipe(Effect.provide(server.layer))
      const first = yield* feed.connected
      yield* TestClock.adjust("30 seconds")
      assert.isAtLeast((yield* measured).count - before, 4)
      yield* (yield* server.accepted).fallSilent
      yield* TestClock.adjust("13 seconds")
      assert.notStrictEqual(yield* feed.connected, first)
    }))

  it.scoped("is pinged on demand by a reconnectNow that probes", () =>
    Effect.gen(function*() {
      const connector = WebSocketConnector.make({ ping: { interval: "1 hour" } })
      const server = yield* TestWebSocket.make()
      const connection = yield* Effect.provide(connect(connector, "wss://feed.example.com"), server.layer)
      yield* connector.probe!(connection)
      yield* (yield* server.accepted).fallSilent
      const probe = yield* Effect.fork(reasonOf(connector.probe!(connection)))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* Fiber.join(probe))._tag, "PingTimeout")
      assert.isTrue(connection.isClosed())
    }))
})

describe("a WebSocket that cannot ping", () => {
  it.scoped("is not pinged, and a probe on demand succeeds", () =>
    Effect.gen(function*() {
      const connector = WebSocketConnector.make()
      const server = yield* TestWebSocket.make({ platform: "browser" })
      const connection = yield* Effect.provide(connect(connector, "wss://feed.example.com"), server.layer)
      const peer = yield* server.accepted
      yield* peer.fallSilent
      yield* TestClock.adjust("1 hour")
      yield* connector.probe!(connection)
      assert.isFalse(connection.isClosed())
      yield* peer.drop
    }))
})
