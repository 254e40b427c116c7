import * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { WebSocket } from "ws"
import { Clients, connect, type Platform, reasonOf } from "./support/clients.js"
import { until, webSocketServer } from "./support/servers.js"

const closeOf = (socket: WebSocket): Effect.Effect<readonly [code: number, reason: string]> =>
  Effect.async((resume) => {
    socket.once("close", (code, reason) => resume(Effect.succeed([code, reason.toString()])))
  })

describe.each<Platform>(["ws", "browser"])("the end of a WebSocket (%s)", (platform) => {
  it.scopedLive.each([1000, 1001, 1005])(
    "D13: with code %d is regular, and is reported with its code and text",
    (code) =>
      Effect.gen(function*() {
        const server = yield* webSocketServer()
        const clients = new Clients(platform)
        const connection = yield* clients.connect(server.url)
        const socket = yield* server.accepted
        if (code === 1005) socket.close()
        else socket.close(code, "bye")
        const closed = { _tag: "Closed", code, reason: code === 1005 ? "" : "bye", wasClean: true } as const
        const error = yield* Effect.flip(connection.closed)
        assert.deepStrictEqual(error.reason, closed)
        assert.isTrue(error.isRegularEnd)
        assert.strictEqual(yield* Effect.flip(connection.closed), error)
        assert.isTrue(connection.isClosed())
        yield* Stream.runDrain(connection.messages)
        yield* clients.nothingLeft
      })
  )

  it.scopedLive.each([1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999])(
    "with code %d is a failure",
    (code) =>
      Effect.gen(function*() {
        const server = yield* webSocketServer()
        const clients = new Clients(platform)
        const connection = yield* clients.connect(server.url)
        ;(yield* server.accepted).close(code, "because")
        const error = yield* Effect.flip(connection.closed)
        assert.deepStrictEqual(error.reason, { _tag: "Closed", code, reason: "because", wasClean: true })
        assert.isFalse(error.isRegularEnd)
        assert.match(error.message, new RegExp(`was closed with ${code} \\(.+\\): because$`))
        yield* clients.nothingLeft
      })
  )

  it.scopedLive("with a multi-line text is reported on one line, without control characters", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const connection = yield* new Clients(platform).connect(server.url)
      const reason = "no\r\nERROR forged\u2028\u001b[2Jred\u0085 \u007fend\n"
      ;(yield* server.accepted).close(4000, reason)
      const error = yield* Effect.flip(connection.closed)
      assert.deepStrictEqual(error.reason, { _tag: "Closed", code: 4000, reason, wasClean: true })
      assert.strictEqual(
        error.message,
        `WebSocket ${server.url}: was closed with 4000 (application code): no ERROR forged [2Jred   end`
      )
    }))

  it.scopedLive("without a close frame is a failure", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const connection = yield* clients.connect(server.url)
      ;(yield* server.accepted).terminate()
      const error = yield* Effect.flip(connection.closed)
      assert.strictEqual(
        error.message,
        `WebSocket ${server.url}: was closed with 1006 (connection lost without a close frame)`
      )
      yield* clients.nothingLeft
    }))

  it.scopedLive("X6: causes no close by this side", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(clients.connect(server.url), scope)
      const socket = yield* server.accepted
      const closed = yield* Effect.fork(closeOf(socket))
      yield* Effect.yieldNow()
      socket.close(4000)
      yield* Effect.ignore(connection.closed)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(closed), [4000, ""])
      assert.deepStrictEqual(clients.closes, [])
    }))

  it.scopedLive("by a protocol error is a failure, with details if the platform reports them", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const connection = yield* clients.connect(server.url)
      yield* server.accepted
      for (const raw of server.sockets) raw.write(Buffer.from([0xff, 0x01, 0x00]))
      const error = yield* Effect.flip(connection.closed)
      if (platform === "ws") {
        assert.strictEqual(
          error.message,
          `WebSocket ${server.url}: failed: Invalid WebSocket frame: RSV2 and RSV3 must be clear`
        )
      } else {
        assert.strictEqual(error.reason._tag, "Closed")
      }
      assert.isTrue(connection.isClosed())
    }))
})

describe.each<Platform>(["ws", "browser"])("closing a WebSocket (%s)", (platform) => {
  it.scopedLive.each([[undefined, undefined], [1000, "done"], [3000, ""], [4999, "ж"]] as const)(
    "sends code %s and text %s to the server",
    ([code, reason]) =>
      Effect.gen(function*() {
        const server = yield* webSocketServer()
        const clients = new Clients(platform)
        const connection = yield* clients.connect(server.url)
        const closed = yield* Effect.fork(closeOf(yield* server.accepted))
        yield* Effect.yieldNow()
        yield* connection.close(code, reason)
        assert.isTrue(connection.isClosed())
        assert.deepStrictEqual(yield* Fiber.join(closed), [code ?? 1000, reason ?? ""])
        const event = { code: code ?? 1000, reason: reason ?? "", wasClean: true }
        assert.deepStrictEqual(yield* connection.closed, event)
        yield* connection.close(4000)
        yield* clients.nothingLeft
      })
  )

  it.scopedLive.each([[999, ""], [1005, ""], [1006, ""], [5000, ""], [1000, "ж".repeat(62)]] as const)(
    "with code %d and text %s is rejected, and the connection stays open",
    ([code, reason]) =>
      Effect.gen(function*() {
        const server = yield* webSocketServer({ onSocket: (socket) => socket.on("message", () => socket.send("echo")) })
        const connection = yield* new Clients(platform).connect(server.url)
        assert.strictEqual((yield* reasonOf(connection.close(code, reason)))._tag, "InvalidClose")
        assert.isFalse(connection.isClosed())
        yield* connection.send("another message")
        yield* Stream.runHead(connection.messages)
      })
  )

  it.scopedLive("still delivers messages that the server sends before its close, if the platform does", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const connection = yield* new Clients(platform).connect(server.url)
      const socket = yield* server.accepted
      for (const raw of server.sockets) raw.pause()
      const close = yield* Effect.fork(connection.close())
      yield* until(() => connection.isClosed())
      socket.send("last words")
      for (const raw of server.sockets) raw.resume()
      yield* Fiber.join(close)
      const messages = yield* Stream.runCollect(connection.messages)
      assert.deepStrictEqual([...messages], platform === "ws" ? ["last words"] : [])
    }))

  it.scoped("waits for a silent server at most 2 seconds", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const connection = yield* clients.connect(server.url)
      const socket = yield* server.accepted
      for (const raw of server.sockets) raw.pause()
      const close = yield* Effect.fork(connection.close())
      yield* TestClock.adjust("1999 millis")
      assert.isNull(close.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(close)
      const error = yield* Effect.flip(connection.closed)
      assert.strictEqual(error.message, `WebSocket ${server.url}: the server did not finish the close within 2s`)
      // Only `ws` can destroy the socket. A browser waits for the server, but no listener is left.
      if (platform === "browser") socket.terminate()
      yield* clients.nothingLeft
      for (const raw of server.sockets) raw.resume()
      yield* until(() => server.sockets.size === 0)
    }))
})

describe.each<Platform>(["ws", "browser"])("a closing WebSocket (%s)", (platform) => {
  /** A server that neither reads nor ends the connection, and a connection to it. */
  const silent = Effect.gen(function*() {
    const server = yield* webSocketServer()
    const clients = new Clients(platform)
    const scope = yield* Scope.make()
    const connection = yield* Scope.extend(clients.connect(server.url), scope)
    const socket = yield* server.accepted
    for (const raw of server.sockets) raw.pause()
    const nothingLeft = Effect.suspend(() => {
      if (platform === "browser") socket.terminate()
      return clients.nothingLeft
    })
    return { clients, connection, nothingLeft, scope, server }
  })

  it.scoped("ends in time even if the caller of close is interrupted", () =>
    Effect.gen(function*() {
      const { connection, nothingLeft } = yield* silent
      const close = yield* Effect.fork(connection.close())
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(close)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* reasonOf(connection.closed))._tag, "CloseTimeout")
      yield* nothingLeft
    }))

  it.scoped("has one deadline, for several callers and for leaving the scope", () =>
    Effect.gen(function*() {
      const { clients, connection, nothingLeft, scope } = yield* silent
      const listeners = clients.sockets[0]?.listenerCount("close")
      const closes = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(connection.close()))
      yield* TestClock.adjust("1500 millis")
      const leave = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(clients.sockets[0]?.listenerCount("close"), listeners)
      assert.isNull(leave.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.joinAll([...closes, leave])
      yield* nothingLeft
    }))

  it.scoped("that the server began to close, and that is only read, fails in time too", () =>
    Effect.gen(function*() {
      const { clients, connection, nothingLeft, server } = yield* silent
      for (const raw of server.sockets) {
        raw.write(Buffer.concat([Buffer.from([0x81, 5]), Buffer.from("hello")]))
        raw.write(Buffer.from([0x88, 2, 4401 >> 8, 4401 & 255]))
      }
      const seen: Array<unknown> = []
      const read = yield* Effect.fork(Effect.flip(
        Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
      ))
      yield* until(() => clients.sockets[0]?.readyState === 2)
      // Other platforms do not report the close frame, so a call of `isClosed` must detect it.
      if (platform === "browser") assert.isTrue(connection.isClosed())
      yield* TestClock.adjust("1999 millis")
      assert.isNull(read.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const { reason } = yield* Fiber.join(read)
      assert.deepStrictEqual(seen, ["hello"])
      if (platform === "ws") assert.deepStrictEqual(reason, { _tag: "Closed", code: 4401, reason: "", wasClean: true })
      else assert.strictEqual(reason._tag, "CloseTimeout")
      assert.deepStrictEqual(yield* reasonOf(connection.closed), reason)
      yield* nothingLeft
    }))

  it.scoped("that the server began to close fails in time too, from the next call of `isClosed`", () =>
    Effect.gen(function*() {
      const { clients, connection, nothingLeft, server } = yield* silent
      for (const raw of server.sockets) raw.write(Buffer.from([0x88, 2, 4401 >> 8, 4401 & 255]))
      yield* until(() => clients.sockets[0]?.readyState === 2)
      assert.isTrue(connection.isClosed())
      const closed = yield* Effect.fork(reasonOf(connection.closed))
      yield* TestClock.adjust("1999 millis")
      assert.isNull(closed.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const reason = yield* Fiber.join(closed)
      if (platform === "ws") assert.deepStrictEqual(reason, { _tag: "Closed", code: 4401, reason: "", wasClean: true })
      else assert.strictEqual(reason._tag, "CloseTimeout")
      yield* nothingLeft
    }))
})

it.scopedLive.each([64 * 1024 * 1024, Infinity])(
  "closing a WebSocket during backpressure delivers the waiting messages, and ends soon (receiveLimit: %s)",
  (receiveLimit) =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 1024; index++) socket.send(Buffer.alloc(16 * 1024))
        }
      })
      const clients = new Clients()
      const connection = yield* clients.connect(server.url, { closeTimeout: "15 seconds", receiveLimit })
      yield* until(() => clients.sockets[0]?.isPaused === true)
      yield* connection.close()
      assert.strictEqual((yield* connection.closed).code, 1000)
      assert.strictEqual(yield* Stream.runCount(connection.messages), 1024)
    })
)

describe.each<Platform>(["ws", "browser"])("leaving the scope of a WebSocket (%s)", (platform) => {
  it.scopedLive("closes it with code 1000, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(clients.connect(server.url), scope)
      const closed = yield* Effect.fork(closeOf(yield* server.accepted))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(closed), [1000, ""])
      assert.deepStrictEqual(yield* connection.closed, { code: 1000, reason: "", wasClean: true })
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))

  it.scopedLive("closes it also during backpressure", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 1024; index++) socket.send(Buffer.alloc(64 * 1024))
        }
      })
      const clients = new Clients(platform)
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(clients.connect(server.url, { closeTimeout: "15 seconds" }), scope)
      if (platform === "ws") yield* until(() => clients.sockets[0]?.isPaused === true)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* connection.closed).code, 1000)
      yield* clients.nothingLeft
    }))

  it.scoped("waits at most for closeTimeout", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const scope = yield* Scope.make()
      yield* Scope.extend(clients.connect(server.url, { closeTimeout: "5 seconds" }), scope)
      const socket = yield* server.accepted
      for (const raw of server.sockets) raw.pause()
      const close = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("4999 millis")
      assert.isNull(close.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(close)
      if (platform === "browser") socket.terminate()
      yield* clients.nothingLeft
    }))

  it.scopedLive("ends at once if the server is down", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients(platform)
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(clients.connect(server.url), scope)
      yield* server.kill
      yield* Effect.ignore(connection.closed)
      yield* Scope.close(scope, Exit.void)
      yield* clients.nothingLeft
    }))
})

describe.each<Platform>(["ws", "browser"])("terminating a WebSocket (%s)", (platform) => {
  it.scoped("ends it at once, even if the server does not answer; received messages can still be read", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ onSocket: (socket) => socket.send("hello") })
      const clients = new Clients(platform)
      const connector = WebSocketConnector.make()
      const scope = yield* Scope.make()
      const connection = yield* connect(connector, server.url).pipe(
        Scope.extend(scope),
        Effect.provideService(Socket.WebSocketConstructor, clients.construct)
      )
      const socket = yield* server.accepted
      yield* until(() => connection.received() === 1)
      for (const raw of server.sockets) raw.pause()
      yield* connector.terminate!(connection)
      assert.deepStrictEqual(yield* connection.closed, { code: 1006, reason: "", wasClean: false })
      assert.strictEqual((yield* reasonOf(connection.send("?")))._tag, "Closed")
      assert.deepStrictEqual([...yield* Stream.runCollect(connection.messages)], ["hello"])
      // No time passes.
      yield* Scope.close(scope, Exit.void)
      if (platform === "browser") socket.terminate()
      yield* clients.nothingLeft
    }))
})

it.scoped("500 WebSockets of a silent server that are closed together end within closeTimeout", () =>
  Effect.gen(function*() {
    const server = yield* TestWebSocket.make()
    const scopes = yield* Effect.forEach(Array.from({ length: 500 }), () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        yield* Effect.provide(
          Scope.extend(connect(WebSocketConnector.make(), "wss://example.com"), scope),
          server.layer
        )
        yield* (yield* server.accepted).fallSilent
        return scope
      }))
    const close = yield* Effect.fork(
      Effect.forEach(scopes, (scope) => Scope.close(scope, Exit.void), { concurrency: "unbounded" })
    )
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(close)
  }))
