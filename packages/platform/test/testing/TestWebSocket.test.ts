import { assert, describe, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { connect, reasonOf } from "../support/clients.js"

const url = "wss://feed.example.com/"

const dial = (
  server: TestWebSocket.TestWebSocket,
  options?: WebSocketConnector.Options,
  address: WebSocketConnector.WebSocketAddress = url
) => Effect.provide(connect(WebSocketConnector.make(options), address), server.layer)

describe.each(["ws", "browser"] as const)("a WebSocket of the test kit (%s)", (platform) => {
  it.scoped("is accepted, reports the client, and works in both directions", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({ platform, script: [TestWebSocket.accept({ protocol: "v2" })] })
      const connection = yield* dial(server, {}, { url, protocols: ["v1", "v2"] })
      assert.strictEqual(connection.protocol, "v2")
      assert.deepStrictEqual(yield* server.attempts, [{ url, protocols: ["v1", "v2"], begunAt: 0 }])
      const peer = yield* server.accepted
      yield* connection.send("hello")
      yield* connection.send(new Uint8Array([1, 2]))
      assert.strictEqual(yield* peer.take, "hello")
      assert.deepStrictEqual(yield* peer.take, new Uint8Array([1, 2]))
      assert.deepStrictEqual(yield* peer.received, ["hello", new Uint8Array([1, 2])])
      yield* peer.send("welcome", new Uint8Array([3]))
      yield* peer.close(1001, "maintenance")
      assert.deepStrictEqual([...yield* Stream.runCollect(connection.messages)], ["welcome", new Uint8Array([3])])
      const error = yield* Effect.flip(connection.closed)
      assert.deepStrictEqual(error.reason, { _tag: "Closed", code: 1001, reason: "maintenance", wasClean: true })
    }))

  it.scoped("is refused with a status, after a delay", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({
        platform,
        script: [TestWebSocket.refuse(503, { headers: { "Retry-After": "7" }, body: "busy", after: "2 seconds" })]
      })
      const fiber = yield* Effect.fork(Effect.flip(dial(server)))
      yield* TestClock.adjust("1999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      if (platform === "browser") return assert.deepStrictEqual(error.reason, { _tag: "OpenFailed" })
      assert.strictEqual(error.status, 503)
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(7))
      assert(error.reason._tag === "OpenFailed" && error.reason.body !== undefined)
      assert.strictEqual(Redacted.value(error.reason.body), "busy")
    }))

  it.scoped("cannot be opened, with the code of the system if the platform reports it", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({ platform, script: [TestWebSocket.fail("CERT_HAS_EXPIRED")] })
      const error = yield* Effect.flip(dial(server))
      assert.strictEqual(error.reason._tag, "OpenFailed")
      assert.deepStrictEqual(
        [error.code, error.isCertificateError],
        platform === "ws" ? ["CERT_HAS_EXPIRED", true] : [undefined, false]
      )
    }))

  it.scoped("hangs until connectTimeout", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({ platform })
      yield* server.always(TestWebSocket.hang)
      const fiber = yield* Effect.fork(Effect.scoped(reasonOf(dial(server))))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "OpenTimeout")
    }))

  it.scoped("can be dropped, and reports a close by the client", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({ platform })
      const dropped = yield* dial(server)
      yield* (yield* server.accepted).drop
      assert.strictEqual((yield* reasonOf(dropped.closed))._tag, "Closed")
      const closing = yield* dial(server)
      const peer = yield* server.accepted
      yield* closing.close(4000, "bye")
      assert.deepStrictEqual(yield* peer.closedByClient, { code: 4000, reason: "bye" })
      assert.deepStrictEqual(yield* closing.closed, { code: 4000, reason: "bye", wasClean: true })
    }))

  it.scoped("can fall silent: it looks open, and a close takes closeTimeout", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({ platform })
      const connection = yield* dial(server, { ping: false })
      const peer = yield* server.accepted
      yield* peer.fallSilent
      yield* peer.send("lost")
      yield* peer.close()
      yield* TestClock.adjust("1 hour")
      assert.isFalse(connection.isClosed())
      const close = yield* Effect.fork(connection.close())
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(close)
      assert.strictEqual((yield* reasonOf(connection.closed))._tag, "CloseTimeout")
    }))
})

describe("a script of the test kit", () => {
  it.scoped("is followed attempt by attempt", () =>
    Effect.gen(function*() {
      const server = yield* TestWebSocket.make({ script: [TestWebSocket.refuse(500)] })
      yield* server.onNextAttempt(TestWebSocket.fail(), TestWebSocket.refuse(429))
      const feed = yield* PersistentConnection.make({
        serverName: "feed",
        address: Effect.succeed(url),
        connector: WebSocketConnector.make(),
        retry: RetryPolicy.fixed("10 seconds")
      }).pipe(Effect.provide(server.layer))
      yield* TestClock.adjust("30 seconds")
      const connection = yield* feed.connected
      assert.deepStrictEqual((yield* server.attempts).map(({ begunAt }) => begunAt), [0, 10_000, 20_000, 30_000])
      yield* (yield* server.accepted).send("price")
      assert.deepStrictEqual(yield* Stream.runHead(connection.messages), Option.some("price"))
    }))

  it("rejects an invalid delay", () => {
    assert.throws(() => TestWebSocket.accept({ after: -1 }), "after must be a duration of 0 or more, but is -1")
  })
})
