import * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import type { AttemptFailure, Connector } from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import type { TcpError } from "@persistent-connection/platform/TcpError"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { WebSocket } from "ws"
import { Clients } from "./support/clients.js"
import { netSockets, nothingLeft } from "./support/netSockets.js"
import { selfSigned, tcpServer, until, webSocketServer } from "./support/servers.js"

const retry = Schedule.spaced("5 millis")

const tcpHandles = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length

/** Records the tag of each event, with the messages of its errors. */
const recorder = () => {
  const log: Array<string> = []
  const onEvent = (event: ConnectionEvent<unknown, unknown>) =>
    Effect.sync(() => {
      const cause = "cause" in event
        ? Cause.prettyErrors(event.cause).map((error) => `: ${error.message}`).join()
        : ""
      log.push(`${event._tag}${cause}`)
    })
  return { log, onEvent }
}

const persistentWebSocket = (clients: Clients, address: string, onEvent: ReturnType<typeof recorder>["onEvent"]) =>
  PersistentConnection.make({
    serverName: "test",
    address: Effect.succeed(address),
    connector: WebSocketConnector.make(),
    retry,
    onEvent
  }).pipe(Effect.provideService(Socket.WebSocketConstructor, clients.construct))

describe("a persistent WebSocket", () => {
  it.scopedLive("reconnects when its server is restarted on the same port", () =>
    Effect.gen(function*() {
      const clients = new Clients()
      const { log, onEvent } = recorder()
      const first = yield* webSocketServer()
      const persistent = yield* persistentWebSocket(clients, first.url, onEvent)
      const before = yield* persistent.connected
      yield* first.kill
      yield* until(() => log.some((line) => line.startsWith("FailedToConnect")))
      const second = yield* webSocketServer({
        port: first.port,
        onSocket: (socket) => socket.on("message", (data) => socket.send(data))
      })
      const after = yield* persistent.connected
      assert.notStrictEqual(after, before)
      yield* after.send("hello again")
      yield* Stream.runHead(after.messages)
      yield* persistent.close
      assert.strictEqual((yield* after.closed).code, 1000)
      yield* clients.nothingLeft
      yield* until(() => second.sockets.size === 0)
      assert.deepStrictEqual(log, [
        "AttemptingToConnect",
        "ObtainedAddress",
        "Connected",
        `Disconnected: WebSocket ${first.url}: was closed with 1006 (connection lost without a close frame)`,
        "AttemptingToConnect",
        "ObtainedAddress",
        `FailedToConnect: WebSocket ${first.url}: could not be opened: connect ECONNREFUSED 127.0.0.1:${first.port}`,
        "Connected",
        "Disconnected"
      ])
    }))

  it.scopedLive("D13: the loss has the code and the text of the close, for every code", () =>
    Effect.gen(function*() {
      const clients = new Clients()
      const { log, onEvent } = recorder()
      const codes = [1000, 1001, 1011, 4401]
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          const code = codes.shift()
          if (code !== undefined) socket.close(code, "because")
        }
      })
      yield* persistentWebSocket(clients, server.url, onEvent)
      yield* until(() => log.filter((line) => line === "Connected").length === 5)
      assert.deepStrictEqual(log.filter((line) => line.startsWith("Disconnected")), [
        `Disconnected: WebSocket ${server.url}: was closed with 1000 (normal closure): because`,
        `Disconnected: WebSocket ${server.url}: was closed with 1001 (going away): because`,
        `Disconnected: WebSocket ${server.url}: was closed with 1011 (internal error): because`,
        `Disconnected: WebSocket ${server.url}: was closed with 4401 (application code): because`
      ])
    }))

  it.scopedLive("retries if the server accepts and is silent", () =>
    Effect.gen(function*() {
      const clients = new Clients()
      const { log, onEvent } = recorder()
      const server = yield* tcpServer()
      yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed(`ws://127.0.0.1:${server.port}`),
        connector: WebSocketConnector.make({ connectTimeout: "20 millis" }),
        retry,
        onEvent
      }).pipe(
        Effect.zipRight(until(() => clients.sockets.length === 3)),
        Effect.scoped,
        Effect.provideService(Socket.WebSocketConstructor, clients.construct)
      )
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
      assert.deepStrictEqual(log, [
        "AttemptingToConnect",
        "ObtainedAddress",
        `FailedToConnect: WebSocket ws://127.0.0.1:${server.port}/: did not open within 20ms`
      ])
    }))

  it.scopedLive("leaves nothing behind when its layer is released", () =>
    Effect.gen(function*() {
      class Feed extends Context.Tag("Feed")<
        Feed,
        PersistentConnection.PersistentConnection<WebSocketConnector.WebSocketConnection, WebSocketError>
      >() {}
      const clients = new Clients()
      const server = yield* webSocketServer()
      const FeedLive = PersistentConnection.layer(Feed, {
        serverName: "test",
        address: Effect.succeed(server.url),
        connector: WebSocketConnector.make()
      }).pipe(Layer.provide(Layer.succeed(Socket.WebSocketConstructor, clients.construct)))
      const handles = tcpHandles()
      yield* Effect.provide(Effect.flatMap(Feed, (feed) => feed.connected), FeedLive)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0 && tcpHandles() === handles)
    }))
})

describe("a retry policy that reads the errors of WebSockets", () => {
  const retry = RetryPolicy.classify(
    RetryPolicy.fixed("1 second"),
    (cause: Cause.Cause<AttemptFailure<WebSocketError>>) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => RetryPolicy.follow,
        onSome: (error) => {
          if (error._tag !== "WebSocketError") return RetryPolicy.follow
          if (error.isCertificateError) return RetryPolicy.giveUp
          return error.retryAfter === undefined ? RetryPolicy.follow : RetryPolicy.retryAfter(error.retryAfter)
        }
      })
  )

  it.scoped("retries after the time that the server named, plus the delay", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({
        script: [TestWebSocket.refuse(503), TestWebSocket.refuse(503, { headers: { "Retry-After": "60" } })]
      })
      const feed = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("wss://feed.example.com"),
        connector: WebSocketConnector.make(),
        retry
      }).pipe(Effect.provide(server.layer))
      yield* TestClock.adjust("5 minutes")
      yield* feed.connected
      assert.deepStrictEqual((yield* server.attempts).map(({ begunAt }) => begunAt), [0, 1_000, 62_000])
    }))

  it.live("gives up at a bad certificate, with that error, and leaves nothing behind", () => {
    const handles = tcpHandles()
    return Effect.gen(function*() {
      const server = yield* webSocketServer({ tls: selfSigned() })
      const feed = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed(server.url),
        connector: WebSocketConnector.make(),
        retry
      }).pipe(Effect.provide(WebSocketConnector.layerWs(WebSocket)))
      yield* feed.closeFinished
      const closed = yield* Effect.flip(feed.connectedOrClosed)
      assert(closed.reason._tag === "GaveUp")
      const error = Option.getOrThrow(Cause.failureOption(closed.reason.cause))
      assert.include(String(error), "self-signed certificate")
    }).pipe(
      Effect.scoped,
      Effect.zipRight(until(() => tcpHandles() === handles)),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  })
})

describe("a persistent TCP connection", () => {
  const connector: Connector<TcpConnector.TcpAddress, TcpConnector.TcpConnection, TcpError> = TcpConnector.make()

  it.scopedLive("reconnects when its server is restarted on the same port, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const handles = tcpHandles()
      const { log, onEvent } = recorder()
      const first = yield* tcpServer()
      const persistent = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed({ host: "127.0.0.1", port: first.port }),
        connector,
        retry,
        onEvent
      })
      const before = yield* persistent.connected
      ;(yield* first.accepted).resetAndDestroy()
      yield* before.closed.pipe(Effect.ignore)
      yield* persistent.connected
      yield* first.kill
      yield* until(() => log.some((line) => line.startsWith("FailedToConnect")))
      const second = yield* tcpServer({ port: first.port, onSocket: (socket) => socket.pipe(socket) })
      const after = yield* persistent.connected
      yield* after.send("hello again")
      yield* Stream.runHead(after.data)
      yield* persistent.close
      yield* nothingLeft(sockets)
      yield* until(() => second.sockets.size === 0 && tcpHandles() === handles)
      const address = `127.0.0.1:${first.port}`
      assert.deepStrictEqual(log, [
        "AttemptingToConnect",
        "ObtainedAddress",
        "Connected",
        `Disconnected: TCP connection to ${address}: failed: read ECONNRESET`,
        "AttemptingToConnect",
        "ObtainedAddress",
        "Connected",
        "Disconnected",
        "AttemptingToConnect",
        "ObtainedAddress",
        `FailedToConnect: TCP connection to ${address}: could not be opened: connect ECONNREFUSED ${address}`,
        "Connected",
        "Disconnected"
      ])
    }))

  it.scopedLive("is replaced if it is closed without waiting for the peer", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ allowHalfOpen: true })
      const persistent = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed({ host: "127.0.0.1", port: server.port }),
        connector: TcpConnector.make({ closeTimeout: "10 millis" }),
        retry
      })
      const before = yield* persistent.connected
      yield* Effect.timeoutOption(before.close, 0)
      assert.notStrictEqual(yield* persistent.connected, before)
    }))
})
