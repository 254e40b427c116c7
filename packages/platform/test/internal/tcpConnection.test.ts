import { assert, describe, it } from "@effect/vitest"
import type { TcpError } from "@persistent-connection/platform/TcpError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { EventEmitter } from "node:events"
import type * as Net from "node:net"
import { Connection } from "../../src/internal/tcpConnection.js"

/** A scripted socket. */
class FakeSocket extends EventEmitter {
  bytesRead = 0
  writable = true
  writableEnded = false
  writableNeedDrain = false
  destroyed = false
  /** What Node has read and not delivered. */
  rest: Array<Uint8Array> = []
  readonly written: Array<unknown> = []
  readonly calls: Array<string> = []

  write(data: unknown): void {
    if (data === "bad") throw new Error("no")
    this.written.push(data)
  }

  end(): void {
    this.calls.push("end")
    this.writableEnded = true
    this.writable = false
  }

  destroy(): void {
    this.calls.push("destroy")
    this.destroyed = true
    this.writable = false
  }

  readonly remoteAddress = "127.0.0.1"

  resetAndDestroy(): void {
    this.calls.push("reset")
  }

  pause(): void {
    this.calls.push("pause")
  }

  resume(): void {
    this.calls.push("resume")
  }

  read(): Uint8Array | null {
    return this.rest.shift() ?? null
  }

  data(text: string): void {
    this.emit("data", Buffer.from(text))
  }
}

const steps = Effect.repeatN(Effect.yieldNow(), 19)

const make = (options: { readonly receiveHighWaterMark?: number; readonly receiveLimit?: number } = {}) =>
  Effect.map(Effect.clock, (clock) => {
    const socket = new FakeSocket()
    const connection = new Connection(
      socket as unknown as Net.Socket,
      "host:1",
      {
        connectTimeout: Duration.seconds(10),
        sendTimeout: Duration.seconds(30),
        closeTimeout: Duration.seconds(2),
        receiveHighWaterMark: 1000,
        receiveLimit: 1000,
        socket: { allowHalfOpen: false, noDelay: true, keepAlive: false, keepAliveInitialDelay: 0 },
        ...options
      },
      clock
    )
    return { socket, connection }
  })

const open = (options?: { readonly receiveHighWaterMark?: number; readonly receiveLimit?: number }) =>
  Effect.tap(make(options), ({ socket }) => socket.emit("connect"))

/** What an effect has given so far. */
const poll = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.zipLeft(Effect.fork(effect), steps), (fiber) => fiber.unsafePoll())

const reason = <A>(effect: Effect.Effect<A, TcpError>) =>
  Effect.map(
    poll(Effect.flip(effect)),
    (exit): unknown => exit !== null && Exit.isSuccess(exit) ? exit.value.reason : exit
  )

const text = (connection: Connection) => poll(Stream.mkString(Stream.decodeText(connection.data)))

describe("a TCP connection", () => {
  it.effect("opens when the socket is connected", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* make()
      const opened = yield* Effect.fork(connection.opened())
      yield* steps
      assert.isNull(opened.unsafePoll())
      socket.emit("connect")
      yield* steps
      assert.deepStrictEqual([opened.unsafePoll(), connection.isClosed()], [Exit.void, false])
    }))

  it.effect("that fails or closes before has failed to open", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* make()
      const cause = new Error("no route")
      socket.emit("error", cause)
      socket.emit("close")
      assert.deepStrictEqual(yield* reason(connection.opened()), { _tag: "OpenFailed", cause })
      const other = yield* make()
      other.socket.emit("close")
      assert.deepStrictEqual(yield* reason(other.connection.opened()), {
        _tag: "OpenFailed",
        cause: "the socket was destroyed"
      })
    }))

  it.effect("that fails or closes later has failed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const cause = new Error("reset")
      socket.emit("error", cause)
      socket.emit("close")
      assert.deepStrictEqual(yield* reason(connection.closed), { _tag: "Failed", cause })
      const other = yield* open()
      other.socket.emit("close")
      const destroyed = { _tag: "Failed", cause: "the socket was destroyed" }
      assert.deepStrictEqual(yield* reason(other.connection.closed), destroyed)
      assert.deepStrictEqual(yield* reason(Stream.runDrain(other.connection.data)), destroyed)
    }))

  it.effect("fails to open at its timeout", () =>
    Effect.gen(function*() {
      const { connection } = yield* make()
      const opened = yield* Effect.fork(Effect.flip(connection.opened()))
      yield* TestClock.adjust("10 seconds")
      const { reason } = yield* Fiber.join(opened)
      assert.deepStrictEqual(reason, { _tag: "OpenTimeout", timeout: Duration.seconds(10) })
    }))

  it.effect("prints its address, and whether it is closed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const printed = { _id: "TcpConnection", address: "host:1", isClosed: false }
      assert.deepStrictEqual(connection.toJSON(), printed)
      socket.emit("end")
      assert.deepStrictEqual(connection.toJSON(), { ...printed, isClosed: true })
    }))

  it.effect("fails a message that the socket refuses, or that waits too long", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      assert.deepStrictEqual(yield* reason(connection.send("bad")), { _tag: "SendFailed", cause: new Error("no") })
      socket.writableNeedDrain = true
      const send = yield* Effect.fork(Effect.flip(connection.send("a")))
      yield* TestClock.adjust("30 seconds")
      const error = yield* Fiber.join(send)
      assert.deepStrictEqual(error.reason, { _tag: "SendTimeout", timeout: Duration.seconds(30) })
    }))

  it.effect("listens to the socket until its close event", () =>
    Effect.gen(function*() {
      const { socket } = yield* open()
      assert.sameMembers(socket.eventNames(), ["connect", "data", "drain", "end", "error", "close"])
      socket.emit("error", new Error("reset"))
      assert.lengthOf(socket.eventNames(), 6)
      socket.emit("close")
      assert.deepStrictEqual(socket.eventNames(), [])
    }))

  it.effect("delivers what Node has read and not delivered before the socket closed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.data("a")
      socket.rest = ["b", "c"].map((text) => Buffer.from(text))
      socket.emit("end")
      socket.emit("close")
      // The end of the peer comes after its data.
      assert.deepStrictEqual(yield* text(connection), Exit.succeed("a"))
      const lost = yield* open()
      lost.socket.data("a")
      lost.socket.rest = ["b", "c"].map((text) => Buffer.from(text))
      const cause = new Error("reset")
      lost.socket.emit("error", cause)
      lost.socket.emit("close")
      const seen: Array<number> = []
      const error = yield* reason(
        Stream.runForEach(lost.connection.data, (chunk) => Effect.sync(() => seen.push(...chunk)))
      )
      assert.deepStrictEqual([Buffer.from(seen).toString(), error], ["abc", { _tag: "Failed", cause }])
    }))

  it.effect("ends regularly with the peer, and its data end", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.data("a")
      socket.emit("end")
      assert.deepStrictEqual(yield* poll(connection.closed), Exit.void)
      assert.deepStrictEqual(yield* text(connection), Exit.succeed("a"))
      assert.deepStrictEqual(yield* reason(connection.receive), { _tag: "Closed" })
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "Closed" })
      assert.isTrue(connection.isClosed())
      socket.emit("close")
      assert.deepStrictEqual(yield* poll(connection.close), Exit.void)
    }))

  it.effect("counts the bytes that the socket has read", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.bytesRead = 7
      assert.strictEqual(connection.received(), 7)
    }))

  it.effect("that can no longer be written to fails to send, also if its buffer is full", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.writableNeedDrain = true
      socket.writable = false
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "Closing" })
      assert.isTrue(connection.isClosed())
    }))

  it.effect("sends when the socket has drained", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      yield* connection.send("a")
      socket.writableNeedDrain = true
      const send = yield* Effect.fork(connection.send("b"))
      yield* steps
      assert.deepStrictEqual([send.unsafePoll(), socket.written], [null, ["a"]])
      socket.writableNeedDrain = false
      socket.emit("drain")
      yield* steps
      assert.deepStrictEqual([send.unsafePoll(), socket.written], [Exit.void, ["a", "b"]])
    }))

  it.effect("fails all waiting messages with the reason of the end", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.writableNeedDrain = true
      const send = yield* Effect.fork(Effect.flip(connection.send("b")))
      yield* steps
      socket.emit("end")
      socket.emit("error", new Error("late"))
      assert.deepStrictEqual((yield* send).reason, { _tag: "Closed" })
    }))

  it.effect("pauses the socket, and resumes it unless it has failed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open({ receiveHighWaterMark: 100 })
      socket.data("x".repeat(100))
      assert.deepStrictEqual(socket.calls, ["pause"])
      yield* connection.receive
      assert.deepStrictEqual(socket.calls, ["pause", "resume"])
      socket.data("x".repeat(100))
      socket.destroyed = true
      yield* connection.receive
      assert.deepStrictEqual(socket.calls, ["pause", "resume", "pause"])
    }))
})

describe("a close of a TCP connection", () => {
  it.effect("ends the socket once, and waits until it is closed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.writableNeedDrain = true
      const send = yield* Effect.fork(Effect.flip(connection.send("a")))
      yield* steps
      const closes = [yield* Effect.fork(connection.close), yield* Effect.fork(connection.close)]
      yield* steps
      assert.deepStrictEqual((yield* send).reason, { _tag: "Closing" })
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "Closing" })
      assert.deepStrictEqual([socket.calls, closes.map((fiber) => fiber.unsafePoll())], [["end"], [null, null]])
      socket.emit("end")
      yield* steps
      assert.deepStrictEqual(closes.map((fiber) => fiber.unsafePoll()), [null, null])
      socket.emit("close")
      yield* steps
      assert.deepStrictEqual(closes.map((fiber) => fiber.unsafePoll()), [Exit.void, Exit.void])
      assert.deepStrictEqual(yield* poll(connection.close), Exit.void)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([socket.calls, yield* poll(connection.closed)], [["end"], Exit.void])
    }))

  it.effect("that the peer does not answer is given up, and the socket is destroyed", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      const close = yield* Effect.fork(connection.close)
      yield* steps
      yield* TestClock.adjust("2 seconds")
      yield* steps
      assert.deepStrictEqual([close.unsafePoll(), socket.calls], [Exit.void, ["end", "destroy"]])
      assert.deepStrictEqual(yield* reason(connection.closed), { _tag: "CloseTimeout", timeout: Duration.seconds(2) })
    }))

  it.effect("resumes the socket, and limits what still comes", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open({ receiveHighWaterMark: 100, receiveLimit: 100 })
      socket.data("x".repeat(100))
      yield* Effect.fork(connection.close)
      yield* steps
      assert.deepStrictEqual(socket.calls, ["pause", "end", "resume"])
      socket.data("a")
      socket.data("b")
      socket.data("c")
      assert.deepStrictEqual(socket.calls, ["pause", "end", "resume", "destroy"])
      const overflow = { _tag: "ReceiveOverflow", limit: 100 }
      const seen: Array<number> = []
      const read = Stream.runForEach(connection.data, (chunk) => Effect.sync(() => seen.push(chunk.length)))
      assert.deepStrictEqual([yield* reason(read), yield* reason(connection.closed)], [overflow, overflow])
      assert.deepStrictEqual(seen, [100, 1, 1])
    }))
})

describe("leaving the scope of a TCP connection", () => {
  it.effect("destroys a socket that has not been connected, and waits for nothing", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* make()
      assert.deepStrictEqual(yield* poll(connection.release()), Exit.void)
      assert.deepStrictEqual(socket.calls, ["destroy"])
    }))

  it.effect("closes it, and drops what comes then", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open({ receiveLimit: 100 })
      assert.isNull(yield* poll(connection.release()))
      for (let index = 0; index < 9; index++) socket.data("x".repeat(100))
      assert.deepStrictEqual(socket.calls, ["end"])
      socket.emit("end")
      assert.deepStrictEqual(yield* text(connection), Exit.succeed(""))
    }))
})

describe("terminating a TCP connection", () => {
  it.effect("resets it; it counts as closed at once, and what has been received can be read", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* open()
      socket.data("a")
      yield* connection.terminate
      assert.deepStrictEqual([socket.calls, yield* poll(connection.closed)], [["reset"], Exit.void])
      assert.deepStrictEqual(yield* reason(connection.send("a")), { _tag: "Closed" })
      socket.emit("error", new Error("late"))
      socket.emit("close")
      assert.deepStrictEqual(yield* text(connection), Exit.succeed("a"))
    }))
})
