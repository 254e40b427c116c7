import { assert, describe, it } from "@effect/vitest"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { inspect } from "node:util"
import { WebSocket } from "ws"
import { Clients, connect, type Platform, reasonOf } from "./support/clients.js"
import { freePort, selfSigned, tcpServer, turn, until, webSocketServer } from "./support/servers.js"

describe.each<Platform>(["ws", "browser"])("opening a WebSocket (%s)", (platform) => {
  it.scopedLive("accepts a string, a URL, and both with subprotocols", () =>
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

  it.scopedLive("fails if no server listens", () =>
    Effect.gen(function*() {
      const clients = new Clients(platform)
      const error = yield* Effect.flip(clients.connect(`ws://127.0.0.1:${yield* freePort}/feed?token=secret`))
      assert.strictEqual(error.reason._tag, "OpenFailed")
      assert.match(error.message, /^WebSocket ws:\/\/127\.0\.0\.1:\d+\/feed: could not be opened/)
      if (platform === "ws") assert.include(error.message, "ECONNREFUSED")
      yield* clients.nothingLeft
    }))

  it.scopedLive("fails with the status of a server that refuses the upgrade, if the platform reports it", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ refuseWith: "401 No\r\nContent-Length: 0\r\n\r\n" })
      const clients = new Clients(platform)
      const error = yield* Effect.flip(clients.connect(server.url))
      assert.strictEqual(error.reason._tag, "OpenFailed")
      assert.strictEqual(error.status, platform === "ws" ? 401 : undefined)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))

  it.scopedLive("fails if the server hangs up before the handshake", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ onSocket: (socket) => socket.destroy() })
      const clients = new Clients(platform)
      const reason = yield* reasonOf(clients.connect(`ws://127.0.0.1:${server.port}`))
      assert.strictEqual(reason._tag, "OpenFailed")
      yield* clients.nothingLeft
    }))

  it.scoped("times out after 10 seconds if the server accepts and is silent", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const clients = new Clients(platform)
      const fiber = yield* Effect.fork(Effect.scoped(Effect.flip(clients.connect(`ws://127.0.0.1:${server.port}`))))
      yield* server.accepted
      yield* TestClock.adjust("9999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.message, `WebSocket ws://127.0.0.1:${server.port}/: did not open within 10s`)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))

  it.scoped("times out in an uninterruptible region too", () =>
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

  it.scopedLive("leaves nothing behind after an interruption, before and after the server has accepted", () =>
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

  it.scopedLive("keeps messages that the server sends together with its response", () =>
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

  it.scopedLive("opens and is lost at once if the server closes at once", () =>
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

describe("a server that refuses the upgrade", () => {
  const refusing = (response: string, options?: WebSocketConnector.Options) =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ refuseWith: response })
      const clients = new Clients()
      const error = yield* Effect.scoped(Effect.flip(clients.connect(server.url, options)))
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
      assert(error.reason._tag === "OpenFailed")
      return { error, reason: error.reason }
    })

  it.scopedLive("may send a body, which is kept but not shown", () =>
    Effect.gen(function*() {
      const { error, reason } = yield* refusing("403 No\r\nContent-Length: 18\r\n\r\ntoken SECRET is ol")
      assert.strictEqual(reason.body && Redacted.value(reason.body), "token SECRET is ol")
      assert.match(error.message, /: could not be opened: the server answered with status 403$/)
      for (const shown of [inspect(error, { depth: 9 }), JSON.stringify(error), String(error), error.stack]) {
        assert.notInclude(shown, "SECRET")
      }
    }))

  it.scopedLive("may send a body without an end, of which 8 KiB are kept", () =>
    Effect.gen(function*() {
      const { reason } = yield* refusing(`500 No\r\n\r\n${"x".repeat(8191)}żyz`, { connectTimeout: Duration.infinity })
      // Cut in the middle of a character.
      assert.strictEqual(reason.body && Redacted.value(reason.body), "x".repeat(8191))
    }))

  it.scopedLive("may not end its body: the part received within connectTimeout is kept", () =>
    Effect.gen(function*() {
      const { error, reason } = yield* refusing(
        "503 No\r\nContent-Length: 100\r\nRetry-After: 5\r\n\r\nbusy",
        { connectTimeout: "100 millis" }
      )
      assert.strictEqual(reason.body && Redacted.value(reason.body), "busy")
      assert.deepStrictEqual([error.status, error.retryAfter], [503, Duration.seconds(5)])
    }))

  it.scopedLive.each<[string, Duration.Duration | undefined]>([
    ["Retry-After: 120", Duration.minutes(2)],
    ["Retry-After:   0  ", Duration.zero],
    // T5: the time until that date is counted from the Date header of the server, not from the local clock.
    [
      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT",
      Duration.seconds(30)
    ],
    ["Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:00:00 GMT", Duration.zero],
    ["Retry-After: soon", undefined],
    ["Retry-After: -5", undefined],
    ["X-Other: 5", undefined]
  ])("may name a retry time: %s", ([header, expected]) =>
    Effect.gen(function*() {
      const { error } = yield* refusing(`503 No\r\nContent-Length: 0\r\n${header}\r\n\r\n`)
      assert.deepStrictEqual(error.retryAfter, expected)
    }))

  it.scoped("may name a date without a Date header: then it is counted from the local clock", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2030, 0, 1))
      const { error } = yield* refusing(
        "503 No\r\nContent-Length: 0\r\nRetry-After: Tue, 01 Jan 2030 00:01:00 GMT\r\n\r\n"
      )
      assert.deepStrictEqual(error.retryAfter, Duration.minutes(1))
    }))

  it.scopedLive("may break the connection: the received part is kept", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        refuseWith: "503 No\r\nContent-Length: 100\r\n\r\nbusy",
        onRefused: (socket) => setTimeout(() => socket.destroy(), 20)
      })
      const error = yield* Effect.flip(new Clients().connect(server.url))
      assert.strictEqual(error.status, 503)
    }))

  it.scopedLive("is disconnected if the attempt is interrupted during its response", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ refuseWith: "503 No\r\nContent-Length: 100\r\n\r\nbusy" })
      const clients = new Clients()
      const fiber = yield* Effect.fork(Effect.scoped(clients.connect(server.url)))
      yield* until(() => server.sockets.size === 1)
      yield* turn
      yield* Fiber.interrupt(fiber)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))
})

describe("a layer for ws", () => {
  it.scopedLive("makes sockets with its options, such as headers", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const server = yield* webSocketServer({ onRequest: (request) => seen.push(request.headers["x-token"]) })
      const connection = yield* connect(WebSocketConnector.make(), server.url).pipe(
        Effect.provide(WebSocketConnector.layerWs(WebSocket, { headers: { "x-token": "123" } }))
      )
      assert.isFalse(connection.isClosed())
      yield* Effect.provide(connect(WebSocketConnector.make(), server.url), WebSocketConnector.layerWs(WebSocket))
      assert.deepStrictEqual(seen, ["123", undefined])
    }))

  it.each<[() => unknown, string]>([
    [() => WebSocketConnector.layerWs({} as never), "WebSocket must be a function, but is of type object"],
    [() => WebSocketConnector.layerWs(WebSocket, 5 as never), "options must be an object, but is of type number"]
  ])("%s throws at once", (make, message) => {
    assert.throws(make, message)
  })
})

describe("a server with a self-signed certificate", () => {
  it.scopedLive("is refused, with a certificate error", () =>
    Effect.gen(function*() {
      const tls = selfSigned()
      const server = yield* webSocketServer({ tls })
      const layer = WebSocketConnector.layerWs(WebSocket)
      const error = yield* Effect.flip(Effect.provide(connect(WebSocketConnector.make(), server.url), layer))
      assert.deepStrictEqual([error.code, error.isCertificateError], ["DEPTH_ZERO_SELF_SIGNED_CERT", true])
      assert.match(
        error.message,
        /could not be opened: self-signed certificate(; if the root CA is installed locally, .*)?$/
      )
      const trusting = WebSocketConnector.layerWs(WebSocket, { ca: tls.cert })
      const connection = yield* Effect.provide(connect(WebSocketConnector.make(), server.url), trusting)
      assert.isFalse(connection.isClosed())
      // The certificate is valid for 127.0.0.1 only.
      const other = yield* connect(WebSocketConnector.make(), server.url.replace("127.0.0.1", "localhost")).pipe(
        Effect.provide(trusting),
        Effect.flip
      )
      assert.deepStrictEqual([other.code, other.isCertificateError], ["ERR_TLS_CERT_ALTNAME_INVALID", true])
    }))

  it.scopedLive("differs from a server that is down", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(new Clients().connect(`ws://127.0.0.1:${yield* freePort}`))
      assert.deepStrictEqual([error.code, error.isCertificateError], ["ECONNREFUSED", false])
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
  ])("%s is invalid", ([address, message]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(clients.connect(address))
      assert.strictEqual(error.message, message)
      assert.notInclude(JSON.stringify(error), "secret")
      assert.strictEqual(clients.sockets.length, 0)
    }))

  it.scopedLive.each<[unknown, string]>([
    [null, "it is neither a string nor a URL"],
    [undefined, "it is neither a string nor a URL"],
    [5, "it is neither a string nor a URL"],
    [[], "it is neither a string nor a URL"],
    [{}, "it is neither a string nor a URL"],
    [{ url: null }, "it is neither a string nor a URL"],
    [{ url: { toString: 5 } }, "it is neither a string nor a URL"],
    [{ url: "ws://host", protocols: null }, "its protocols are neither a string nor an array of strings"],
    [{ url: "ws://host", protocols: 5 }, "its protocols are neither a string nor an array of strings"],
    [{ url: "ws://host", protocols: ["a", 5] }, "its protocols are neither a string nor an array of strings"]
  ])("%o, for instance from a file, is invalid", ([address, description]) =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(clients.connect(address as WebSocketConnector.WebSocketAddress))
      assert.deepStrictEqual(reason, { _tag: "InvalidAddress", description })
    }))

  it.scopedLive("an address that the platform refuses is invalid, and the message shows no secrets", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        new Clients().connect({ url: "ws://127.0.0.1/?token=secret", protocols: ["a", "a"] })
      )
      assert.strictEqual(error.reason._tag, "InvalidAddress")
      assert.include(error.message, "subprotocol")
    }))

  it.scopedLive("the error of the platform is kept without bytes and without possible secrets", () =>
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
      const redirected = yield* connect(WebSocketConnector.make(), `ws://127.0.0.1:${redirecting.port}/`).pipe(
        Effect.flip,
        Effect.provide(WebSocketConnector.layerWs(WebSocket, { followRedirects: true }))
      )
      assert.match(redirected.message, /could not be opened: Invalid URL: http:\/\/\[x\/$/)
      for (const error of [malformed, redirected]) assert.notInclude(inspect(error, { depth: 9 }), "SECRET")
    }))

  it.scopedLive("neither errors nor the printed connection show secrets", () =>
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
    [{ sendTimeout: "-1 seconds" }, "sendTimeout must be a duration of 0 or more, but is \"-1 seconds\""],
    [{ closeTimeout: -1n }, "closeTimeout must be a duration of 0 or more, but is -1"],
    [{ sendHighWaterMark: 0 }, "sendHighWaterMark must be a number of bytes above 0, but is 0"],
    [{ receiveHighWaterMark: -5 }, "receiveHighWaterMark must be a number of bytes above 0, but is -5"],
    [{ receiveLimit: Number.NaN }, "receiveLimit must be a number of bytes above 0, but is NaN"],
    [{ ping: true as never }, "ping must be an object of options, but is of type boolean"],
    [{ ping: { interval: 0 } }, "ping.interval must be a duration of more than 0, but is 0"],
    [{ ping: { timeout: "-1 seconds" } }, "ping.timeout must be a duration of more than 0, but is \"-1 seconds\""],
    [{ ping: { missedProbes: 1.5 } }, "ping.missedProbes must be a whole number of 1 or more, but is 1.5"],
    ["10 seconds" as never, "options must be an object of options, but is of type string"],
    [null as never, "options must be an object of options, but is of type null"]
  ])("%o are invalid", (options, message) => {
    assert.throws(() => WebSocketConnector.make(options), message)
  })

  it("that are valid are accepted", () => {
    WebSocketConnector.make()
    WebSocketConnector.make({ connectTimeout: Duration.infinity, closeTimeout: 0, receiveLimit: Infinity })
  })
})

describe("a late response", () => {
  it.scopedLive("after the interruption opens no connection", () =>
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
