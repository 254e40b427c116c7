import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { reasonOf } from "./support/clients.js"
import { connectTo, FakeSocket } from "./support/fakeSocket.js"

const opened = () => {
  const socket = new FakeSocket()
  socket.readyState = 1
  return socket
}

/** A Blob that is slower to read than later ones. */
const slow = (blob: Blob): Blob => {
  const read = blob.arrayBuffer.bind(blob)
  blob.arrayBuffer = () => new Promise<void>((resolve) => setTimeout(resolve, 20)).then(read)
  return blob
}

const refusing = (error: Error) =>
  Effect.flip(connectTo(() => {
    throw error
  }))

const failing = (parts: object) =>
  Effect.gen(function*() {
    const socket = opened()
    const connection = yield* connectTo(() => socket)
    socket.fail(parts)
    socket.end(1006)
    return yield* Effect.flip(connection.closed)
  })

describe("a platform", () => {
  it.scoped("may return a socket that is already open", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      assert.strictEqual(socket.binaryType, "arraybuffer")
      yield* connection.send("hello")
      assert.deepStrictEqual(socket.sent, ["hello"])
      socket.end(1000)
    }))

  it.scoped("may open a socket and end it in one turn", () =>
    Effect.gen(function*() {
      const socket = new FakeSocket()
      const fiber = yield* Effect.fork(connectTo(() => socket))
      yield* Effect.yieldNow()
      socket.open()
      socket.receive("hello")
      socket.fail()
      socket.end(1006)
      const connection = yield* Fiber.join(fiber)
      assert.isTrue(connection.isClosed())
      const seen: Array<unknown> = []
      const error = yield* Effect.flip(
        Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
      )
      assert.deepStrictEqual(seen, ["hello"])
      assert.deepStrictEqual(error.reason, { _tag: "Closed", code: 1006, reason: "", wasClean: false })
    }))

  it.scoped("may refuse the address, or have no WebSocket; the error shows no secrets", () =>
    Effect.gen(function*() {
      const quoted = "wss://user:secret@example.com/feed?token=secret"
      const syntax = yield* refusing(new DOMException(`The URL '${quoted}' is invalid.`, "SyntaxError"))
      assert.strictEqual(
        syntax.message,
        "WebSocket wss://example.com/feed: invalid address: The URL 'wss://example.com/feed' is invalid."
      )
      // The message of Chrome.
      const protocol = yield* connectTo(
        () => {
          throw new DOMException("The subprotocol 'bearer secret' is invalid.", "SyntaxError")
        },
        {},
        "bearer secret"
      ).pipe(Effect.flip)
      assert.strictEqual(
        protocol.message,
        "WebSocket wss://example.com/feed: invalid address: the platform refused the subprotocols"
      )
      const missing = yield* refusing(new TypeError("globalThis.WebSocket is not a constructor"))
      assert.strictEqual(
        missing.message,
        "WebSocket wss://example.com/feed: could not be opened: globalThis.WebSocket is not a constructor"
      )
      assert.notInclude(JSON.stringify([syntax, protocol, missing]), "secret")
    }))

  it.scoped("may report an error with a message, with a name only, or without details", () =>
    Effect.gen(function*() {
      const closed = "WebSocket wss://example.com/feed: was closed with 1006 (connection lost without a close frame)"
      assert.strictEqual((yield* failing({})).message, closed)
      assert.strictEqual((yield* failing({ message: "" })).message, closed)
      assert.strictEqual((yield* failing({ error: new TypeError(), message: "" })).message, closed)
      assert.strictEqual((yield* failing({ message: "why" })).message, "WebSocket wss://example.com/feed: failed: why")
      const error = new Error("why")
      assert.deepStrictEqual((yield* failing({ error })).reason, { _tag: "Failed", cause: error })
      const refused = Object.assign(new Error(), { code: "ECONNREFUSED" })
      assert.strictEqual(
        (yield* failing({ error: new AggregateError([refused, new Error("no route")]) })).message,
        "WebSocket wss://example.com/feed: failed: ECONNREFUSED, no route"
      )
    }))

  it.scoped("may deliver binary messages as Blobs, which are decoded in order", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      socket.receive("first")
      socket.receive(slow(new Blob(["second"])))
      socket.receive(new Blob(["third"]))
      socket.receive("fourth")
      socket.end(1000)
      const messages = yield* Stream.runCollect(connection.messages)
      assert.deepStrictEqual(
        [...messages].map((message) => typeof message === "string" ? message : new TextDecoder().decode(message)),
        ["first", "second", "third", "fourth"]
      )
      yield* Effect.flip(connection.closed)
    }))

  it.scoped("whose Blob cannot be read fails the connection after the earlier messages, and nothing follows", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      const blob = new Blob(["gone"])
      blob.arrayBuffer = () => Promise.reject(new Error("the file has been deleted"))
      socket.receive("before")
      socket.receive(blob)
      socket.receive("after")
      const seen: Array<unknown> = []
      const error = yield* Effect.flip(
        Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
      )
      assert.deepStrictEqual(seen, ["before"])
      assert.strictEqual(
        error.message,
        "WebSocket wss://example.com/feed: failed: the file has been deleted"
      )
      assert.strictEqual(yield* Effect.flip(connection.closed), error)
      socket.end(1005)
    }))

  it.scoped("that delivers other types of messages fails the connection, and its socket is closed", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      socket.receive({ a: "message" })
      assert.strictEqual((yield* reasonOf(connection.closed))._tag, "Failed")
      assert.deepStrictEqual(socket.closes, [undefined])
      socket.end(1005)
    }))

  it.scoped("may report an error and still deliver messages: they come before the failure", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      socket.fail({ message: "why" })
      const error = yield* Effect.flip(connection.closed)
      const seen: Array<unknown> = []
      const read = yield* Effect.fork(Effect.flip(
        Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
      ))
      yield* Effect.yieldNow()
      socket.receive("late")
      socket.end(1006)
      assert.strictEqual(yield* Fiber.join(read), error)
      assert.deepStrictEqual([seen, error.reason], [["late"], { _tag: "Failed", cause: "why" }])
    }))

  it.scoped("may report an error and no close event: the messages end within closeTimeout", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      socket.fail({ message: "why" })
      const read = yield* Effect.fork(reasonOf(Stream.runDrain(connection.messages)))
      yield* TestClock.adjust("1999 millis")
      assert.isNull(read.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(read), { _tag: "Failed", cause: "why" })
      socket.end(1006)
    }))

  it.scoped("that delivers messages after a pause has no limit during backpressure, but has one during a close", () =>
    Effect.gen(function*() {
      const socket = Object.assign(opened(), { pause: () => {}, resume: () => {} })
      const connection = yield* connectTo(() => socket, { receiveHighWaterMark: 100, receiveLimit: 1000 })
      for (let index = 0; index < 20; index++) socket.receive("x".repeat(100))
      assert.isFalse(connection.isClosed())
      yield* Effect.fork(connection.close())
      yield* Effect.yieldNow()
      // 164 bytes each. One message may exceed the limit.
      for (let index = 0; index < 7; index++) socket.receive("x".repeat(100))
      socket.receive("too much")
      assert.strictEqual((yield* reasonOf(connection.closed))._tag, "ReceiveOverflow")
      assert.strictEqual(yield* Stream.runCount(Stream.catchAll(connection.messages, () => Stream.empty)), 27)
      socket.end(1000)
    }))

  it.scoped("D13: reports the code of a server that closes while this side closes", () =>
    Effect.gen(function*() {
      const socket = opened()
      const connection = yield* connectTo(() => socket)
      const close = yield* Effect.fork(connection.close())
      yield* Effect.yieldNow()
      socket.end(4401)
      yield* Fiber.join(close)
      assert.deepStrictEqual(yield* reasonOf(connection.closed), {
        _tag: "Closed",
        code: 4401,
        reason: "",
        wasClean: true
      })
    }))

  it.effect("that never sets the state closed after its close event is not awaited", () =>
    Effect.gen(function*() {
      const socket = new FakeSocket()
      const scope = yield* Scope.make()
      const fiber = yield* Effect.fork(Effect.flip(Scope.extend(connectTo(() => socket), scope)))
      yield* Effect.yieldNow()
      socket.end(1006, 2)
      assert.deepStrictEqual((yield* Fiber.join(fiber)).reason, { _tag: "OpenFailed" })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(socket.closes, [])
    }))

  it.effect("is polled only while a send waits, for 30 seconds, at growing intervals", () =>
    Effect.gen(function*() {
      const socket = opened()
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(connectTo(() => socket), scope)
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(socket.bufferedReads, 0)
      socket.buffered = 2 * 1024 * 1024
      const fibers = yield* Effect.forEach(["a", "b", "c"], (message) => Effect.fork(connection.send(message)))
      yield* TestClock.adjust("10 seconds")
      assert.isBelow(socket.bufferedReads, 200)
      const late = yield* Effect.fork(reasonOf(connection.send("late")))
      yield* TestClock.adjust("20 seconds")
      for (const fiber of fibers) assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      assert.isNull(late.unsafePoll())
      const last = yield* Effect.fork(connection.send("last"))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(late))._tag, "SendTimeout")
      socket.buffered = 0
      yield* TestClock.adjust("64 millis")
      yield* Fiber.join(last)
      assert.deepStrictEqual(socket.sent, ["last"])
      const bufferedReads = socket.bufferedReads
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(socket.bufferedReads, bufferedReads)
      socket.end(1000)
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("that drains at the time of the timeout gets the message, and the send succeeds", () =>
    Effect.gen(function*() {
      const socket = opened()
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(connectTo(() => socket, { sendTimeout: "1 millis" }), scope)
      socket.buffered = 2 * 1024 * 1024
      const fiber = yield* Effect.fork(Effect.exit(connection.send("now or never")))
      yield* Effect.yieldNow()
      socket.buffered = 0
      yield* TestClock.adjust("1 millis")
      const exit = yield* Fiber.join(fiber)
      assert.strictEqual(Exit.isSuccess(exit), socket.sent.length === 1)
      socket.end(1000)
      yield* Scope.close(scope, Exit.void)
    }))
})
