import * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { inspect } from "node:util"
import { WebSocket } from "ws"
import { Clients, connect, type Platform, reasonOf } from "./support/clients.js"
import { freePort, tcpServer, until, webSocketServer } from "./support/servers.js"

describe.each<Platform>(["ws", "browser"])("opening a WebSocket (%s)", (platform) => {
  it.scopedLive("takes a string, a URL, and both with subprotocols", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ handleProtocols: (offered) => [...offered].at(-1) ?? false })
      const clients = new Clients(platform)
      const text = yield* clients.connect(server.url, { connectTimeout: Duration.infinity })
      assert.strictEqual(text.protocol, "")
      yield* clients.connect(new URL(server.url))
      const one = yield* clients.connect({ url: server.url, protocols: "graphql-ws" })
      assert.strictEqual(one.protocol, "graphql-ws")
      const two = yield* clients.connect({ url: new URL(server.url), protocols: ["a", "b"] })
      assert.strictEqual(two.protocol, "b")
      assert.isFalse(two.isClosed())
      assert.strictEqual(server.sockets.size, 4)
    }))

  it.scopedLive("fails when nobody listens", () =>
    Effect.gen(function*() {
      const clients = new Clients(platform)
      const error = yield* Effect.flip(clients.connect(`ws://127.0.0.1:${yield* freePort}/feed?token=secret`))
      assert.strictEqual(error.reason._tag, "OpenFailed")
      assert.match(error.message, /^WebSocket ws:\/\/127\.0\.0\.1:\d+\/feed: could not be opened/)
      if (platform === "ws") assert.include(error.message, "ECONNREFUSED")
      yield* clients.nothingLeft
    }))

  it.scopedLive("tells the status of a server that refuses the upgrade, where the platform does", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ refuseWith: 401 })
      const reason = yield* reasonOf(new Clients(platform).connect(server.url))
      assert(reason._tag === "OpenFailed")
      assert.strictEqual(reason.status, platform === "ws" ? 401 : undefined)
    }))

  it.scopedLive("fails when the server hangs up before the handshake", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ onSocket: (socket) => socket.destroy() })
      const clients = new Clients(platform)
      const reason = yield* reasonOf(clients.connect(`ws://127.0.0.1:${server.port}`))
      assert.strictEqual(reason._tag, "OpenFailed")
      yield* clients.nothingLeft
    }))

  it.scoped("gives up after 10 seconds on a server that accepts and is silent", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const clients = new Clients(platform)
      const fiber = yield* Effect.fork(Effect.scoped(Effect.flip(clients.connect(`ws://127.0.0.1:${server.port}`))))
      yield* server.accepted
      yield* TestClock.adjust("9999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.message, `WebSocket ws://127.0.0.1:${server.port}/: was not open after 10s`)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))

  it.scoped("gives up in time in an uninterruptible region too", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const clients = new Clients(platform)
      const fiber = yield* clients.connect(`ws://127.0.0.1:${server.port}`, { connectTimeout: "1 seconds" }).pipe(
        Effect.flip,
        Effect.scoped,
        Effect.uninterruptible,
        Effect.fork
      )
      yield* server.accepted
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "OpenTimeout")
    }))

  it.scopedLive("leaves nothing when it is interrupted, before and after the server has accepted", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const clients = new Clients(platform)
      const connect = Effect.scoped(clients.connect(`ws://127.0.0.1:${server.port}`))
      const early = yield* Effect.fork(connect)
      yield* until(() => clients.sockets.length === 1)
      yield* Fiber.interrupt(early)
      yield* clients.nothingLeft
      const late = yield* Effect.fork(connect)
      yield* until(() => clients.sockets.length === 2)
      yield* until(() => server.sockets.size > 0)
      yield* Fiber.interrupt(late)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))

  it.scopedLive("keeps what the server sends together with its answer", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          socket.send("one")
          socket.send(new Uint8Array([2]))
          socket.close(1000)
        }
      })
      const connection = yield* new Clients(platform).connect(server.url)
      yield* Effect.ignore(connection.closed)
      const messages = yield* Stream.runCollect(connection.messages)
      assert.deepStrictEqual([...messages], ["one", new Uint8Array([2])])
    }))

  it.scopedLive("opens, and is lost at once, with a server that closes at once", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ onSocket: (socket) => socket.close(4000, "not now") })
      const connection = yield* new Clients(platform).connect(server.url)
      assert.deepStrictEqual(yield* reasonOf(connection.closed), {
        _tag: "Closed",
        code: 4000,
        reason: "not now",
        wasClean: true
      })
      assert.isTrue(connection.isClosed())
    }))
})

describe("addresses of WebSockets", () => {
  const clients = new Clients()
  it.scopedLive.each<[WebSocketConnector.WebSocketAddress, string]>([
    ["", "WebSocket <not a URL>: invalid address: it is not an absolute URL"],
    ["token=secret", "WebSocket <not a URL>: invalid address: it is not an absolute URL"],
    ["/feed?token=secret", "WebSocket <not a URL>: invalid address: it is not an absolute URL"],
    ["ws://", "WebSocket ws://: invalid address: it is not an absolute URL"],
    ["ws://user:secret@", "WebSocket <not a URL>: invalid address: it is not an absolute URL"],
    ["ws://me:secret?secret@host", "WebSocket <not a URL>: invalid address: it is not an absolute URL"],
    ["ws://host:none/?token=me@secret", "WebSocket <not a URL>: invalid address: it is not an absolute URL"],
    ["ws://host:99999/?secret", "WebSocket ws://host:99999/: invalid address: it is not an absolute URL"],
    ["user:secret@host", "WebSocket <not a URL>: invalid address: its scheme must be ws or wss"],
    ["javascript:secret", "WebSocket <not a URL>: invalid address: its scheme must be ws or wss"],
    ["http://user:secret@host/?secret", "WebSocket http://host/: invalid address: its scheme must be ws or wss"],
    [new URL("https://host"), "WebSocket https://host/: invalid address: its scheme must be ws or wss"],
    ["ws://me:1#secret@host", "WebSocket <not a URL>: invalid address: it must not have a fragment"],
    ["ws://host/a#secret", "WebSocket ws://host/a: invalid address: it must not have a fragment"]
  ])("%s is none", ([address, message]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(clients.connect(address))
      assert.strictEqual(error.message, message)
      assert.notInclude(JSON.stringify(error), "secret")
      assert.strictEqual(clients.sockets.length, 0)
    }))

  it.scopedLive.each<[unknown, string]>([
    [null, "it is neither text nor a URL"],
    [undefined, "it is neither text nor a URL"],
    [5, "it is neither text nor a URL"],
    [[], "it is neither text nor a URL"],
    [{}, "it is neither text nor a URL"],
    [{ url: null }, "it is neither text nor a URL"],
    [{ url: { toString: 5 } }, "it is neither text nor a URL"],
    [{ url: "ws://host", protocols: null }, "its protocols are neither text nor a list of texts"],
    [{ url: "ws://host", protocols: 5 }, "its protocols are neither text nor a list of texts"],
    [{ url: "ws://host", protocols: ["a", 5] }, "its protocols are neither text nor a list of texts"]
  ])("%o, as a file can have it, is none", ([address, description]) =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(clients.connect(address as WebSocketConnector.WebSocketAddress))
      assert.deepStrictEqual(reason, { _tag: "InvalidAddress", description })
    }))

  it.scopedLive("what the platform refuses is none either, and its message does not give secrets away", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        new Clients().connect({ url: "ws://127.0.0.1/?token=secret", protocols: ["a", "a"] })
      )
      assert.strictEqual(error.reason._tag, "InvalidAddress")
      assert.include(error.message, "subprotocol")
    }))

  it.scopedLive("what the platform says of a failure is kept without the bytes, and without what may be secret", () =>
    Effect.gen(function*() {
      const noHttp = yield* tcpServer({ onSocket: (socket) => socket.write("SECRET\r\n\r\n") })
      const malformed = yield* Effect.flip(new Clients().connect(`ws://127.0.0.1:${noHttp.port}/?token=SECRET`))
      assert(malformed.reason._tag === "OpenFailed" && malformed.reason.cause instanceof Error)
      assert.match(malformed.message, /could not be opened: Parse Error/)
      assert.deepStrictEqual(
        Object.getOwnPropertyNames(malformed.reason.cause).sort(),
        ["code", "message", "name", "stack"]
      )
      const redirecting = yield* tcpServer({
        onSocket: (socket) => socket.write("HTTP/1.1 302 Found\r\nLocation: http://me:SECRET@[x/?token=SECRET\r\n\r\n")
      })
      const construct = (url: string) =>
        new WebSocket(url, { followRedirects: true }) as unknown as globalThis.WebSocket
      const redirected = yield* connect(WebSocketConnector.make(), `ws://127.0.0.1:${redirecting.port}/`).pipe(
        Effect.flip,
        Effect.provideService(Socket.WebSocketConstructor, construct)
      )
      assert.match(redirected.message, /could not be opened: Invalid URL: http:\/\/\[x\/$/)
      for (const error of [malformed, redirected]) assert.notInclude(inspect(error, { depth: 9 }), "SECRET")
    }))

  it.scopedLive("secrets are in no error and in no description of the connection", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const connection = yield* new Clients().connect(`ws://user:secret@127.0.0.1:${server.port}/a/b?token=secret`)
      assert.strictEqual(connection.url, `ws://127.0.0.1:${server.port}/a/b`)
      assert.notInclude(JSON.stringify(connection) + String(connection), "secret")
      ;(yield* server.accepted).close(4001)
      const error: WebSocketError = yield* Effect.flip(connection.closed)
      assert.notInclude(JSON.stringify(error) + error.message + String(error), "secret")
    }))
})

describe("options of WebSockets", () => {
  it.each<[WebSocketConnector.Options, string]>([
    [{ connectTimeout: -1 }, "connectTimeout must be a duration of 0 or more, but is -1"],
    [{ connectTimeout: Number.NaN }, "connectTimeout must be a duration of 0 or more, but is NaN"],
    [{ sendTimeout: "-1 seconds" }, "sendTimeout must be a duration of 0 or more, but is -1 seconds"],
    [{ closeTimeout: -1n }, "closeTimeout must be a duration of 0 or more, but is -1"],
    [{ sendHighWaterMark: 0 }, "sendHighWaterMark must be a number of bytes above 0, but is 0"],
    [{ receiveHighWaterMark: -5 }, "receiveHighWaterMark must be a number of bytes above 0, but is -5"],
    [{ receiveLimit: Number.NaN }, "receiveLimit must be a number of bytes above 0, but is NaN"]
  ])("%o make no sense", (options, message) => {
    assert.throws(() => WebSocketConnector.make(options), message)
  })

  it("that make sense are taken", () => {
    WebSocketConnector.make()
    WebSocketConnector.make({ connectTimeout: Duration.infinity, closeTimeout: 0, receiveLimit: Infinity })
  })
})

describe("what comes later than it should", () => {
  it.scopedLive("an answer after the interruption opens nothing", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients()
      const scope = yield* Scope.make()
      const fiber = yield* Effect.fork(Scope.extend(clients.connect(server.url), scope))
      yield* until(() => clients.sockets.length === 1)
      yield* Fiber.interrupt(fiber)
      yield* Scope.close(scope, Exit.void)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))
})
