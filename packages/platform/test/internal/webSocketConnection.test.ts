import { assert, describe, it } from "@effect/vitest"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { EventEmitter } from "node:events"
import type { Connection } from "../../src/internal/webSocketConnection.js"
import { reasonOf } from "../support/clients.js"
import { connectTo, FakeSocket } from "../support/fakeSocket.js"

/** A scripted socket with the features of `ws`. */
class FakeWs extends FakeSocket {
  readonly emitter = new EventEmitter()
  readonly calls: Array<string> = []
  readonly pings: Array<string> = []
  pingFails = false
  _socket = { destroyed: false, bytesRead: 0 }
  _receiver = new EventEmitter()

  on(event: string, listener: (...args: Array<unknown>) => void): void {
    this.emitter.on(event, listener)
  }

  off(event: string, listener: (...args: Array<unknown>) => void): void {
    this.emitter.off(event, listener)
  }

  pause(): void {
    this.calls.push("pause")
  }

  resume(): void {
    this.calls.push("resume")
  }

  terminate(): void {
    this.calls.push("terminate")
    this.readyState = 2
  }

  ping(data: string): void {
    if (this.pingFails) throw new Error("cannot ping")
    this.pings.push(data)
  }
}

const steps = Effect.repeatN(Effect.yieldNow(), 29)

/** What an effect has given so far. */
const poll = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.zipLeft(Effect.fork(effect), steps), (fiber) => fiber.unsafePoll())

const reason = <A, R>(effect: Effect.Effect<A, WebSocketError, R>) =>
  Effect.map(
    poll(Effect.flip(effect)),
    (exit): unknown => exit !== null && Exit.isSuccess(exit) ? exit.value.reason : exit
  )

const connected = <Socket extends FakeSocket>(socket: Socket, options?: WebSocketConnector.Options) => {
  socket.readyState = 1
  return connectTo(() => socket, options).pipe(
    // Leaving the scope would wait for the end of the socket.
    Effect.zipLeft(Effect.addFinalizer(() => Effect.sync(() => socket.end(1006)))),
    Effect.map((connection) => ({ socket, connection: connection as Connection }))
  )
}

const open = (options?: WebSocketConnector.Options) => connected(new FakeSocket(), options)

const openWs = (options?: WebSocketConnector.Options) => connected(new FakeWs(), options)

const abnormal = { _tag: "Closed", code: 1006, reason: "", wasClean: false } as const

const closedWith = (code: number) => ({ _tag: "Closed", code, reason: "", wasClean: true }) as const

/** The messages so far, and how they end. */
const messages = (connection: Connection) =>
  Effect.gen(function*() {
    const seen: Array<unknown> = []
    const end = yield* reason(
      Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
    )
    return [seen, end]
  })

describe("a WebSocket", () => {
  it.scoped("listens to its socket until the close event", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs()
      assert.strictEqual(socket.binaryType, "arraybuffer")
      socket.end(1006)
      assert.deepStrictEqual(socket.emitter.eventNames(), [])
      socket.open()
      socket.receive("late")
      socket.fail({ message: "late" })
      socket.end(4000)
      assert.deepStrictEqual([connection.received(), yield* reason(connection.closed)], [0, abnormal])
    }))

  it.scoped("listens for a refused upgrade until it is open or closed", () =>
    Effect.gen(function*() {
      const [one, two] = [new FakeWs(), new FakeWs()]
      yield* Effect.fork(connectTo(() => one))
      const failed = yield* Effect.fork(reasonOf(connectTo(() => two)))
      yield* steps
      assert.deepStrictEqual(one.emitter.eventNames(), ["unexpected-response"])
      one.open()
      assert.deepStrictEqual(one.emitter.eventNames(), [])
      two.end(1006)
      assert.deepStrictEqual([two.emitter.eventNames(), yield* failed], [[], { _tag: "OpenFailed" }])
      one.end(1000)
    }))

  it.scoped("sends at once if exactly its high-water mark is buffered", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open({ sendHighWaterMark: 100 })
      socket.buffered = 100
      assert.deepStrictEqual(yield* poll(connection.send("a")), Exit.void)
      socket.buffered = 101
      assert.isNull(yield* poll(connection.send("b")))
      socket.buffered = 0
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(socket.sent, ["a", "b"])
    }))

  it.scoped("that this side closes fails to send at once, also if its buffer is full", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.buffered = 2 * 1024 * 1024
      yield* Effect.fork(connection.close())
      yield* steps
      socket.readyState = 2
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "Closing" })
      assert.isTrue(connection.isClosed())
    }))

  it.scoped("that the server closes lets a message wait for the reason, at most for `closeTimeout`", () =>
    Effect.gen(function*() {
      for (const isTold of [true, false]) {
        const { connection, socket } = yield* open()
        socket.readyState = 2
        const send = yield* Effect.fork(reasonOf(connection.send("a")))
        yield* TestClock.adjust("1999 millis")
        assert.isNull(send.unsafePoll())
        if (isTold) socket.end(4401)
        yield* TestClock.adjust("1 millis")
        const why = isTold ? closedWith(4401) : { _tag: "CloseTimeout", timeout: Duration.seconds(2) }
        assert.deepStrictEqual([yield* Fiber.join(send), yield* reason(connection.send("b"))], [why, why])
        assert.deepStrictEqual(socket.sent, [])
      }
    }))

  it.scoped("that is not open waits for its end, even if its buffer is full", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.buffered = 2 * 1024 * 1024
      socket.readyState = 3
      assert.isNull(yield* poll(connection.send("a")))
      assert.isTrue(connection.isClosed())
      // A socket that is only closing has begun to wait for its end.
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(socket.closes, [])
    }))

  it.scoped("is polled again after 1 ms if it has sent something, and later and later if not", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.buffered = 2 * 1024 * 1024
      for (const message of ["a", "b"]) yield* Effect.fork(connection.send(message))
      yield* steps
      const times: Array<number> = []
      const reads = () => socket.bufferedReads
      for (let before = reads(), time = 1; time <= 200; time++, before = reads()) {
        yield* TestClock.adjust("1 millis")
        for (let count = before; count < reads(); count++) times.push(time)
      }
      assert.deepStrictEqual(times, [1, 3, 7, 15, 31, 63, 127, 191])
      let accepted = 0
      socket.send = () => {
        accepted++
        socket.buffered = 2 * 1024 * 1024
      }
      socket.buffered = 0
      yield* TestClock.adjust("55 millis")
      assert.strictEqual(accepted, 1)
      socket.buffered = 0
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(accepted, 2)
    }))

  it.scoped("is polled by nobody once nothing waits, and again when something waits", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      for (const message of ["a", "b"]) {
        socket.buffered = 2 * 1024 * 1024
        const send = yield* Effect.fork(connection.send(message))
        yield* steps
        socket.buffered = 0
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(send)
        yield* TestClock.adjust("1 second")
        // The timeouts of the messages are later.
        const sleeps = Chunk.filter(yield* TestClock.sleeps(), (time) => time < 10_000)
        assert.deepStrictEqual([...sleeps], [])
      }
      assert.deepStrictEqual(socket.sent, ["a", "b"])
    }))

  it.scoped("that begins to close without an event is given up after the next call of `isClosed`", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.readyState = 2
      assert.isTrue(connection.isClosed())
      yield* steps
      yield* TestClock.adjust("2 seconds")
      const timeout = { _tag: "CloseTimeout", timeout: Duration.seconds(2) }
      assert.deepStrictEqual(yield* reason(connection.closed), timeout)
    }))

  it.scoped("copies memory that other threads may change, and nothing else", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const [own, shared] = [new Uint8Array([1]), new Uint8Array(new SharedArrayBuffer(1))]
      for (const message of ["a", own, shared]) yield* connection.send(message)
      assert.deepStrictEqual(socket.sent, ["a", own, new Uint8Array(1)])
      assert.strictEqual(socket.sent[1], own)
      assert.isFalse((socket.sent[2] as Uint8Array).buffer instanceof SharedArrayBuffer)
    }))

  it.scoped("needs neither SharedArrayBuffer nor Blob", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const { Blob, SharedArrayBuffer } = globalThis
      Object.assign(globalThis, { Blob: undefined, SharedArrayBuffer: undefined })
      yield* Effect.addFinalizer(() => Effect.sync(() => Object.assign(globalThis, { Blob, SharedArrayBuffer })))
      const bytes = new Uint8Array([1])
      yield* connection.send(bytes)
      socket.receive(bytes.buffer)
      assert.deepStrictEqual([socket.sent, yield* connection.receive], [[bytes], bytes])
    }))

  it.scoped("fails all waiting messages, and the next ones, when it is closed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.buffered = 2 * 1024 * 1024
      const send = yield* Effect.fork(reasonOf(connection.send("a")))
      yield* steps
      yield* Effect.fork(connection.close())
      assert.deepStrictEqual([yield* send, yield* reason(connection.send("b"))], [{ _tag: "Closing" }, {
        _tag: "Closing"
      }])
    }))

  it.scoped("prints its address, and whether it is closed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.protocol = "chat"
      assert.strictEqual(connection.protocol, "chat")
      const printed = { _id: "WebSocketConnection", url: "wss://example.com/feed", isClosed: false }
      assert.deepStrictEqual(connection.toJSON(), printed)
      socket.end(1000)
      assert.deepStrictEqual(connection.toJSON(), { ...printed, isClosed: true })
    }))

  it.scoped("fails to open at its timeout", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(reasonOf(connectTo(() => new FakeSocket())))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* fiber, { _tag: "OpenTimeout", timeout: Duration.seconds(10) })
    }))

  it.scoped("fails a message that the socket refuses, or that waits too long", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open({ sendTimeout: "50 millis" })
      socket.buffered = 2 * 1024 * 1024
      const send = yield* Effect.fork(reasonOf(connection.send("a")))
      yield* TestClock.adjust("50 millis")
      assert.deepStrictEqual(yield* send, { _tag: "SendTimeout", timeout: Duration.millis(50) })
      socket.buffered = 0
      socket.send = () => {
        throw new Error("no")
      }
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "SendFailed", cause: new Error("no") })
    }))

  it.scoped("has no end before its close event", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      assert.deepStrictEqual([yield* poll(connection.closed), yield* poll(connection.receive)], [null, null])
      socket.end(1001)
      assert.deepStrictEqual(yield* reason(connection.closed), closedWith(1001))
      assert.deepStrictEqual(yield* reason(connection.receive), closedWith(1001))
      // A regular end is no failure of the messages.
      assert.deepStrictEqual(yield* messages(connection), [[], Exit.fail(undefined)])
    }))
})

describe("a received message", () => {
  it.scoped("may be a text, an ArrayBuffer or a view of one, and is given as text or plain bytes", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const bytes = new Uint8Array([9, 1, 2, 9])
      for (const data of ["a", "", bytes.buffer, Buffer.from(bytes.buffer, 1, 2), new DataView(bytes.buffer, 2, 1)]) {
        socket.receive(data)
      }
      socket.end(1000)
      const [seen] = yield* messages(connection)
      assert.deepStrictEqual(seen, ["a", "", bytes, new Uint8Array([1, 2]), new Uint8Array([2])])
    }))

  it.scoped.each([5, null, undefined, {}])("that is %o fails the connection", (data) =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.receive("a")
      socket.receive(data)
      socket.receive("b")
      const failed = { _tag: "Failed", cause: "a message is neither text nor binary" }
      assert.deepStrictEqual(yield* messages(connection), [["a"], failed])
      assert.deepStrictEqual(socket.closes, [undefined])
    }))

  it.scoped("that exceeds the limit, or a Blob that cannot be read, fails the connection", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open({ receiveLimit: 100 })
      for (const message of ["a", "b", "c", "d"]) socket.receive(message)
      const overflow = { _tag: "ReceiveOverflow", limit: 100 }
      assert.deepStrictEqual(yield* messages(connection), [["a", "b"], overflow])
      assert.deepStrictEqual(socket.closes, [undefined])
      const other = yield* open()
      other.socket.receive(Object.assign(new Blob([]), { arrayBuffer: () => Promise.reject(new Error("gone")) }))
      other.socket.receive("late")
      const error = yield* Effect.flip(other.connection.closed)
      assert.deepStrictEqual(error.reason, { _tag: "Failed", cause: new Error("gone") })
      assert.deepStrictEqual(yield* messages(other.connection), [[], error.reason])
    }))

  it.scoped("waits for a Blob before it, and is taken at once otherwise", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const decode: Array<(text: string) => void> = []
      const blob = () =>
        Object.assign(new Blob([]), {
          arrayBuffer: () =>
            new Promise<ArrayBuffer>((resolve) => decode.push((text) => resolve(new TextEncoder().encode(text).buffer)))
        })
      const turns = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
      for (const data of [blob(), blob()]) socket.receive(data)
      decode[0]!("first")
      yield* turns
      assert.strictEqual(connection.received(), 1)
      socket.receive("third")
      assert.strictEqual(connection.received(), 1)
      decode[1]!("second")
      yield* turns
      assert.strictEqual(connection.received(), 3)
      socket.receive("fourth")
      assert.strictEqual(connection.received(), 4)
      socket.receive(blob())
      socket.end(1000)
      yield* turns
      decode[2]!("fifth")
      yield* turns
      const [seen, end] = yield* messages(connection)
      assert.deepStrictEqual(end, Exit.fail(undefined))
      const texts = (seen as Array<string | Uint8Array>).map((message) =>
        typeof message === "string" ? message : new TextDecoder().decode(message)
      )
      assert.deepStrictEqual(texts, ["first", "second", "third", "fourth", "fifth"])
    }))
})

describe("a socket of ws", () => {
  it.scoped("is paused and resumed, but not resumed after its connection has failed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs({ receiveHighWaterMark: 100 })
      socket.receive("x".repeat(100))
      yield* connection.receive
      socket.receive("x".repeat(100))
      socket._socket.destroyed = true
      yield* connection.receive
      assert.deepStrictEqual(socket.calls, ["pause", "resume", "pause"])
    }))

  it.scoped("that gets a close frame is terminated within closeTimeout, and says why", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs()
      socket._receiver.emit("conclude")
      yield* steps
      yield* TestClock.adjust("1999 millis")
      assert.deepStrictEqual(socket.calls, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([socket.calls, yield* poll(connection.closed)], [["terminate"], null])
      socket.end(4000)
      assert.deepStrictEqual(yield* reason(connection.closed), closedWith(4000))
    }))

  it.scoped("that this side closes is terminated at closeTimeout, and that is its end", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs()
      const close = yield* Effect.fork(connection.close(4000))
      yield* steps
      yield* TestClock.adjust("2 seconds")
      yield* steps
      const timeout = { _tag: "CloseTimeout", timeout: Duration.seconds(2) }
      assert.deepStrictEqual([socket.calls, close.unsafePoll()], [["terminate"], Exit.void])
      assert.deepStrictEqual(yield* reason(connection.closed), timeout)
      socket.end(1006)
      assert.deepStrictEqual(yield* messages(connection), [[], timeout])
    }))

  it.scoped("reports no activity while it is paused or closing, and otherwise what has arrived", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs({ receiveHighWaterMark: 100 })
      socket._socket.bytesRead = 7
      assert.strictEqual(connection.activity, 7)
      socket.receive("x".repeat(100))
      // Each value differs from the one before: that counts as activity.
      assert.notStrictEqual(connection.activity, connection.activity)
      yield* connection.receive
      assert.strictEqual(connection.activity, 7)
      socket.readyState = 2
      assert.notStrictEqual(connection.activity, connection.activity)
      const plain = yield* open()
      plain.socket.receive("a")
      assert.strictEqual(plain.connection.activity, 1)
    }))

  it.scoped("is pinged, and only the answer to that ping counts", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs({ ping: false })
      const pings = [yield* Effect.fork(connection.ping), yield* Effect.fork(connection.ping)]
      yield* steps
      assert.deepStrictEqual(socket.pings, ["0", "1"])
      socket.emitter.emit("pong", Buffer.from("1"))
      socket.emitter.emit("pong", Buffer.from("2"))
      yield* steps
      assert.deepStrictEqual(pings.map((fiber) => fiber.unsafePoll()), [null, Exit.void])
      assert.strictEqual(socket.emitter.listenerCount("pong"), 1)
      yield* Fiber.interrupt(pings[0]!)
      assert.strictEqual(socket.emitter.listenerCount("pong"), 0)
      socket.pingFails = true
      const error = yield* reason(connection.ping)
      assert.deepStrictEqual(error, { _tag: "SendFailed", cause: new Error("cannot ping") })
      assert.strictEqual(socket.emitter.listenerCount("pong"), 0)
      const plain = yield* open()
      assert.deepStrictEqual(yield* poll(plain.connection.ping), Exit.void)
    }))

  it.scoped("that cannot be pinged fails with that error, and a silent one after its patience", () =>
    Effect.gen(function*() {
      const broken = yield* openWs()
      broken.socket.pingFails = true
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* reason(broken.connection.closed), {
        _tag: "SendFailed",
        cause: new Error("cannot ping")
      })
      assert.deepStrictEqual(broken.socket.calls, ["terminate"])
      const silent = yield* openWs({ ping: { interval: "5 seconds", timeout: "2 seconds", missedProbes: 3 } })
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* reason(silent.connection.closed), {
        _tag: "PingTimeout",
        timeout: Duration.seconds(6)
      })
      assert.deepStrictEqual(silent.socket.calls, ["terminate"])
    }))

  it.scoped("that receives is not pinged", () =>
    Effect.gen(function*() {
      const { socket } = yield* openWs()
      for (let seconds = 0; seconds < 20; seconds++) {
        socket._socket.bytesRead++
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(socket.pings, [])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(socket.pings.slice(0, 1), ["0"])
    }))

  it.scoped("whose ping dies or is interrupted is only terminated", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* openWs()
      connection.onSilence(Cause.die("a defect"))
      assert.deepStrictEqual([socket.calls, yield* poll(connection.closed)], [["terminate"], null])
    }))

  it.scoped("fails a probe with the reason of its end", () =>
    Effect.gen(function*() {
      const connector = WebSocketConnector.make()
      const { connection, socket } = yield* openWs()
      socket.pingFails = true
      const probe = yield* Effect.fork(Effect.flip(connector.probe!(connection)))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(probe), yield* Effect.flip(connection.closed))
      const off = yield* openWs({ ping: false })
      assert.deepStrictEqual(yield* poll(connector.probe!(off.connection)), Exit.void)
      off.socket.end(1000)
    }))
})

describe("an upgrade that is refused", () => {
  const refused = (response: unknown, options?: WebSocketConnector.Options) =>
    Effect.gen(function*() {
      const socket = new FakeWs()
      const fiber = yield* Effect.fork(reasonOf(connectTo(() => socket, options)))
      yield* steps
      socket.emitter.emit("unexpected-response", {}, response)
      return { socket, fiber }
    })
  const response = () => Object.assign(new EventEmitter(), { statusCode: 503, headers: {} })

  it.scoped("is reported at the end of its response, and the socket is destroyed", () =>
    Effect.gen(function*() {
      const emitter = response()
      const { fiber, socket } = yield* refused(emitter)
      emitter.emit("data", Buffer.from("busy"))
      assert.deepStrictEqual(socket.calls, [])
      emitter.emit("end")
      assert.deepStrictEqual(socket.calls, ["terminate"])
      assert.deepStrictEqual(yield* fiber, {
        _tag: "OpenFailed",
        status: 503,
        body: Redacted.make("busy"),
        cause: "the server answered with status 503"
      })
      socket.end(1006)
    }))

  it.scoped("is reported also if the response breaks, its time is up, or the socket reports an error", () =>
    Effect.gen(function*() {
      const expected = { _tag: "OpenFailed", status: 503, cause: "the server answered with status 503" }
      const late = yield* refused(response())
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual<unknown>(yield* late.fiber, expected)
      const broken = yield* refused(response())
      broken.socket.fail({ message: "broken" })
      assert.deepStrictEqual<unknown>(yield* broken.fiber, expected)
      const closed = yield* refused(response())
      closed.socket.end(1006)
      assert.deepStrictEqual<unknown>(yield* closed.fiber, expected)
      late.socket.end(1006)
      broken.socket.end(1006)
    }))

  it.scoped("without a response is not noticed", () =>
    Effect.gen(function*() {
      const { fiber, socket } = yield* refused(undefined)
      socket.end(1006)
      assert.deepStrictEqual(yield* fiber, { _tag: "OpenFailed" })
    }))
})

describe("an error of a socket", () => {
  const opening = (parts: object) =>
    Effect.gen(function*() {
      const socket = new FakeSocket()
      const fiber = yield* Effect.fork(reasonOf(connectTo(() => socket)))
      yield* steps
      socket.fail(parts)
      socket.end(1006)
      return yield* fiber
    })

  it.scoped("before it opens may contain the status of the server", () =>
    Effect.gen(function*() {
      const error = (message: string) => ({ error: new Error(message) })
      const text = "Unexpected server response: 401"
      assert.deepStrictEqual(yield* opening(error(text)), { _tag: "OpenFailed", status: 401, cause: new Error(text) })
      for (const message of [`${text}0`, `An ${text}`, "Unexpected server response: 40"]) {
        assert.deepStrictEqual(yield* opening(error(message)), { _tag: "OpenFailed", cause: new Error(message) })
      }
      assert.deepStrictEqual(yield* opening({ message: text }), { _tag: "OpenFailed", cause: text })
      for (const parts of [{}, { message: "" }, { error: new TypeError() }, { error: undefined }]) {
        assert.deepStrictEqual(yield* opening(parts), { _tag: "OpenFailed" })
      }
    }))

  it.scoped("may have the members of other events", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.fail({ code: 1000, data: "a", message: "why" })
      const failed = { _tag: "Failed", cause: "why" }
      assert.deepStrictEqual([yield* reason(connection.closed), connection.received()], [failed, 0])
    }))

  it.scoped("is its end, also if a close follows; the socket is given up at closeTimeout", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.fail({ error: "no Error", message: "why" })
      const failed = { _tag: "Failed", cause: "why" }
      assert.deepStrictEqual(yield* reason(connection.closed), failed)
      assert.deepStrictEqual([yield* poll(connection.receive), socket.closes], [null, []])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([yield* messages(connection), socket.closes], [[[], failed], [undefined]])
      socket.end(4000)
      assert.deepStrictEqual(yield* reason(connection.closed), failed)
    }))
})

describe("closing a WebSocket", () => {
  it.scoped.each<[own: number | undefined, answer: number, isOwn: boolean]>([
    [undefined, 1000, true],
    [undefined, 1005, true],
    [4000, 4000, true],
    [4000, 1000, true],
    [4000, 4001, false],
    [undefined, 1006, false],
    [1006, 1006, false]
  ])("with %s is regular if the answer %d is its own: %s", ([own, answer, isOwn]) =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const close = yield* Effect.fork(connection.close(own))
      yield* steps
      assert.deepStrictEqual([socket.closes, close.unsafePoll()], [[own ?? 1000], null])
      assert.strictEqual(socket.closeReason, "")
      socket.end(answer)
      yield* steps
      assert.deepStrictEqual(close.unsafePoll(), Exit.void)
      const event = { code: answer, reason: "", wasClean: answer !== 1006 }
      if (isOwn) assert.deepStrictEqual(yield* poll(connection.closed), Exit.succeed(event))
      else assert.deepStrictEqual(yield* reason(connection.closed), { _tag: "Closed", ...event })
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "Closed", ...event })
      assert.deepStrictEqual(
        (yield* messages(connection))[1],
        isOwn ? Exit.fail(undefined) : { _tag: "Closed", ...event }
      )
      // A second close has nothing to do.
      assert.deepStrictEqual(yield* poll(connection.close(4999)), Exit.void)
      assert.lengthOf(socket.closes, 1)
    }))

  it.scoped("that is closing does not close it again, but waits for its end", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.readyState = 2
      const close = yield* Effect.fork(connection.close())
      yield* steps
      assert.deepStrictEqual([socket.closes, close.unsafePoll()], [[], null])
      socket.end(4000)
      yield* steps
      assert.deepStrictEqual(close.unsafePoll(), Exit.void)
      assert.deepStrictEqual(yield* reason(connection.closed), closedWith(4000))
    }))

  it.scoped("that never ends is given up by a platform that cannot destroy it: its messages end", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.receive("a")
      const close = yield* Effect.fork(connection.close())
      yield* steps
      yield* TestClock.adjust("2 seconds")
      yield* steps
      assert.deepStrictEqual([close.unsafePoll(), socket.closes], [Exit.void, [1000, undefined]])
      assert.deepStrictEqual(yield* messages(connection), [["a"], {
        _tag: "CloseTimeout",
        timeout: Duration.seconds(2)
      }])
    }))

  it.scoped("that cannot be closed with a code stays open", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const close = socket.close.bind(socket)
      socket.close = () => {
        throw new Error("bad code")
      }
      assert.deepStrictEqual(yield* reason(connection.close(5)), { _tag: "InvalidClose", cause: new Error("bad code") })
      socket.close = close
      socket.end(1000)
      // It is not this side that has closed.
      assert.deepStrictEqual(yield* reason(connection.closed), closedWith(1000))
    }))
})

describe("leaving the scope of a WebSocket", () => {
  const inScope = <Socket extends FakeSocket>(socket: Socket, readyState: number) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      socket.readyState = readyState
      const fiber = yield* Effect.fork(Scope.extend(connectTo(() => socket), scope))
      yield* steps
      return { fiber, socket, leave: Effect.fork(Scope.close(scope, Exit.void)) }
    })

  it.effect("destroys a socket that is not open, and waits for nothing", () =>
    Effect.gen(function*() {
      for (const socket of [new FakeSocket(), new FakeWs()]) {
        const { leave } = yield* inScope(socket, 0)
        const left = yield* leave
        yield* steps
        assert.deepStrictEqual(left.unsafePoll(), Exit.void)
        assert.deepStrictEqual<Array<unknown>>(socket instanceof FakeWs ? socket.calls : socket.closes, [
          socket instanceof FakeWs ? "terminate" : undefined
        ])
        socket.end(1006)
      }
    }))

  it.effect("closes an open socket with code 1000, waits for it, and drops its messages", () =>
    Effect.gen(function*() {
      const { fiber, leave, socket } = yield* inScope(new FakeSocket(), 1)
      const connection = yield* fiber
      const left = yield* leave
      yield* steps
      socket.receive("late")
      assert.deepStrictEqual([socket.closes, left.unsafePoll()], [[1000], null])
      socket.end(1000)
      yield* steps
      assert.deepStrictEqual(left.unsafePoll(), Exit.void)
      assert.deepStrictEqual((yield* messages(connection as Connection))[0], [])
    }))
})

describe("terminating a WebSocket", () => {
  it.scoped("ends it regularly with code 1006, and destroys the socket", () =>
    Effect.gen(function*() {
      for (const socket of [new FakeSocket(), new FakeWs()]) {
        const { connection } = yield* connected(socket)
        socket.receive("a")
        yield* connection.terminate
        const { _tag, ...event } = abnormal
        assert.deepStrictEqual(yield* poll(connection.closed), Exit.succeed(event))
        assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag, ...event })
        assert.deepStrictEqual<Array<unknown>>(socket instanceof FakeWs ? socket.calls : socket.closes, [
          socket instanceof FakeWs ? "terminate" : undefined
        ])
        // Only a socket that can be destroyed has its close event soon.
        if (socket instanceof FakeWs) socket.end(1006)
        assert.deepStrictEqual((yield* messages(connection))[0], ["a"])
      }
    }))
})
