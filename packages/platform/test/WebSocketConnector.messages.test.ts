import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import { createHash, randomBytes } from "node:crypto"
import { Clients, type Platform, reasonOf } from "./support/clients.js"
import { connectTo, FakeSocket } from "./support/fakeSocket.js"
import { netSockets } from "./support/netSockets.js"
import { turn, until, webSocketServer } from "./support/servers.js"

const MiB = 1024 * 1024

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

describe.each<Platform>(["ws", "browser"])("messages of a WebSocket (%s)", (platform) => {
  it.scopedLive("keep their order, 10,000 in both directions", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))
      })
      const connection = yield* new Clients(platform).connect(server.url)
      const sent = Array.from({ length: 10_000 }, (_, index) => `message ${index}`)
      const received = yield* Stream.runCollect(Stream.take(connection.messages, sent.length)).pipe(Effect.fork)
      for (const message of sent) yield* connection.send(message)
      assert.deepStrictEqual([...yield* Fiber.join(received)], sent)
    }))

  it.scopedLive("are received unchanged: 32 MB, empty, text, bytes, shared bytes", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))
      })
      const connection = yield* new Clients(platform).connect(server.url)
      const echo = (message: string | Uint8Array) =>
        Effect.zipRight(connection.send(message), Effect.flatMap(Stream.runHead(connection.messages), Effect.orDie))
      const large = randomBytes(32 * MiB)
      const back = yield* echo(large)
      assert(back instanceof Uint8Array)
      assert.isFalse(Buffer.isBuffer(back))
      assert.strictEqual(digest(back), digest(large))
      const text = "ж".repeat(8 * MiB)
      assert.isTrue((yield* echo(text)) === text)
      assert.strictEqual(yield* echo(""), "")
      assert.deepStrictEqual(yield* echo(new Uint8Array()), new Uint8Array())
      assert.deepStrictEqual(yield* echo(new Uint8Array([9, 1, 2, 9]).subarray(1, 3)), new Uint8Array([1, 2]))
      assert.deepStrictEqual(yield* echo(new Uint8Array(new SharedArrayBuffer(2))), new Uint8Array(2))
    }))

  it.scopedLive("that `receive` has not taken are delivered by the stream", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (const message of ["hello", "one", "two", "three"]) socket.send(message)
          socket.close()
        }
      })
      const connection = yield* new Clients(platform).connect(server.url)
      yield* Effect.ignore(connection.closed)
      assert.strictEqual(connection.received(), 4)
      assert.strictEqual(yield* connection.receive, "hello")
      assert.strictEqual(yield* connection.receive, "one")
      assert.deepStrictEqual([...yield* Stream.runCollect(connection.messages)], ["two", "three"])
      assert.deepStrictEqual([...yield* Stream.runCollect(connection.messages)], [])
      assert.strictEqual((yield* reasonOf(connection.receive))._tag, "Closed")
    }))

  it.scopedLive("are all delivered before the failure of the connection", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 1000; index++) socket.send(String(index))
          socket.close(1011, "broken")
        }
      })
      const connection = yield* new Clients(platform).connect(server.url)
      const seen: Array<string | Uint8Array> = []
      const error = yield* Effect.flip(
        Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
      )
      assert.strictEqual(seen.length, 1000)
      assert.strictEqual(error.message, `WebSocket ${server.url}: was closed with 1011 (internal error): broken`)
      assert.deepStrictEqual(yield* reasonOf(Stream.runDrain(connection.messages)), error.reason)
    }))

  it.scopedLive("are received unchanged with compression", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        perMessageDeflate: true,
        onSocket: (socket) => {
          for (let index = 0; index < 100; index++) socket.send(String(index).repeat(10_000))
          socket.close()
        }
      })
      const connection = yield* new Clients(platform).connect(server.url)
      const messages = yield* Stream.runCollect(connection.messages)
      assert.deepStrictEqual([...messages], Array.from({ length: 100 }, (_, index) => String(index).repeat(10_000)))
    }))

  it.scopedLive("that are incomplete are not delivered", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const connection = yield* new Clients(platform).connect(server.url)
      const socket = yield* server.accepted
      socket.send("whole")
      const [raw] = server.sockets
      assert(raw !== undefined)
      // A binary frame of 32 MB begins. After one percent of it, the system of the peer resets the connection.
      const header = Buffer.alloc(10)
      header[0] = 0x82
      header[1] = 127
      header.writeBigUInt64BE(BigInt(32 * MiB), 2)
      raw.write(header)
      raw.write(Buffer.alloc(0.32 * MiB), () => setTimeout(() => raw.resetAndDestroy(), 10))
      const [messages, reason] = yield* Effect.all([
        Stream.runCollect(Stream.catchAll(connection.messages, () => Stream.empty)),
        reasonOf(connection.closed)
      ])
      assert.deepStrictEqual([...messages], ["whole"])
      assert.deepStrictEqual(reason, { _tag: "Closed", code: 1006, reason: "", wasClean: false })
    }))
})

/** Sends numbered messages of 64 KiB. */
const flood = (count: number) => ({
  onSocket: (socket: { readonly send: (data: Uint8Array) => void }) => {
    for (let index = 0; index < count; index++) socket.send(Buffer.alloc(64 * 1024, index % 251))
  }
})

describe("messages that are not read", () => {
  it.scopedLive("cause backpressure, if the platform supports it, and are all delivered later", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer(flood(1024))
      const clients = new Clients("ws")
      const connection = yield* clients.connect(server.url)
      const socket = yield* server.accepted
      const [raw] = server.sockets
      yield* until(() => clients.sockets[0]?.isPaused === true)
      // The buffers of the client's system have their own limit of a few MB.
      yield* until(() => raw !== undefined && raw.writableLength > 0)
      assert.isAbove(socket.bufferedAmount, 32 * MiB)
      let count = 0
      yield* connection.messages.pipe(
        Stream.take(1024),
        Stream.runForEach((message) =>
          Effect.sync(() => {
            assert(message instanceof Uint8Array)
            assert.strictEqual(message.length, 64 * 1024)
            assert.strictEqual(message[count % message.length], count % 251)
            count++
          })
        )
      )
      assert.strictEqual(count, 1024)
      assert.strictEqual(socket.bufferedAmount, 0)
    }))

  it.scopedLive("occupy at most the high-water mark plus the data in flight", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer(flood(1024))
      const sockets = yield* netSockets
      const connection = yield* new Clients("ws").connect(server.url, { receiveHighWaterMark: 256 * 1024 })
      let taken = 0
      let most = 0
      yield* connection.messages.pipe(
        Stream.take(1024),
        Stream.runForEach((message) =>
          Effect.zipRight(
            turn,
            Effect.sync(() => {
              taken += message.length
              most = Math.max(most, (sockets[0]?.bytesRead ?? Infinity) - taken)
            })
          )
        )
      )
      assert.strictEqual(taken, 64 * MiB)
      assert.isAbove(most, 128 * 1024)
      // One chunk is being processed, while the next one waits.
      assert.isBelow(most, 768 * 1024)
    }))

  it.scopedLive("that ws had read and decompressed before the pause are kept, even above the limit", () =>
    Effect.gen(function*() {
      const order = (index: number) => JSON.stringify({ index, text: "buy EURUSD at 1.0835 ".repeat(300) })
      let sent = 0
      const server = yield* webSocketServer({
        perMessageDeflate: true,
        onSocket: (socket) => {
          for (let index = 0; index < 2000; index++) socket.send(order(index), () => sent++)
          socket.close(1001)
        }
      })
      const connection = yield* new Clients("ws").connect(server.url, {
        receiveHighWaterMark: 16 * 1024,
        receiveLimit: 64 * 1024
      })
      // Compressed, everything fits into the network buffers, so the next read of the client exceeds the limit.
      yield* until(() => sent === 2000)
      const limit = Math.ceil(64 * 1024 / order(0).length)
      let count = 0
      let most = 0
      yield* Stream.runForEach(connection.messages, (message) =>
        Effect.suspend(() => {
          assert.strictEqual(message, order(count++))
          const waiting = () => connection.received() - count
          most = Math.max(most, waiting())
          // Until now there was backpressure on the server.
          const isResumed = most <= limit && waiting() === 0
          return isResumed ? until(() => waiting() > limit) : Effect.void
        }))
      assert.strictEqual(count, 2000)
      assert.isAbove(most, limit)
    }))

  it.scopedLive("fail the connection at the limit on platforms without backpressure", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer(flood(1024))
      const clients = new Clients("browser")
      const connection = yield* clients.connect(server.url, { receiveLimit: MiB })
      const error = yield* Effect.flip(connection.closed)
      assert.strictEqual(error.message, `WebSocket ${server.url}: more than 1048576 bytes were received and not read`)
      assert.isTrue(connection.isClosed())
      let count = 0
      const last = yield* Effect.flip(Stream.runForEach(connection.messages, () => Effect.sync(() => count++)))
      assert.strictEqual(last, error)
      assert.strictEqual(count, 16)
      yield* clients.nothingLeft
      yield* until(() => server.sockets.size === 0)
    }))

  it.scopedLive("may consist of one message of any length", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ onSocket: (socket) => socket.send(Buffer.alloc(8 * MiB)) })
      const connection = yield* new Clients("browser").connect(server.url, { receiveLimit: MiB })
      const message = yield* Effect.flatMap(Stream.runHead(connection.messages), Effect.orDie)
      assert.strictEqual(message.length, 8 * MiB)
    }))

  it.scopedLive("count even if they are empty", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({
        onSocket: (socket) => {
          for (let index = 0; index < 1000; index++) socket.send("")
        }
      })
      const connection = yield* new Clients("browser").connect(server.url, { receiveLimit: 1024 })
      assert.strictEqual((yield* reasonOf(connection.closed))._tag, "ReceiveOverflow")
    }))
})

describe("runs of messages", () => {
  it.scoped("that are interrupted lose no undelivered message, and deliver none twice", () =>
    Effect.gen(function*() {
      const socket = new FakeSocket()
      socket.readyState = 1
      const connection = yield* connectTo(() => socket, { receiveLimit: 256 })
      const seen: Array<unknown> = []
      const run = connection.messages.pipe(
        Stream.map((message) => seen.push(message)),
        Stream.runDrain,
        Effect.withMaxOpsBeforeYield(16)
      )
      for (let steps = 0; steps < 100; steps++) {
        const fiber = yield* Effect.fork(run)
        if (steps % 2 === 0) socket.receive(String(steps))
        for (let step = 0; step < steps; step++) yield* Effect.yieldNow()
        if (steps % 2 === 1) socket.receive(String(steps))
        yield* Fiber.interrupt(fiber)
      }
      socket.end(1000)
      yield* run
      assert.deepStrictEqual(seen, Array.from({ length: 100 }, (_, index) => String(index)))
    }))

  it.scoped("share the messages if they run at the same time, and lose none if one is interrupted", () =>
    Effect.gen(function*() {
      const socket = new FakeSocket()
      socket.readyState = 1
      const connection = yield* connectTo(() => socket)
      const seen: Array<unknown> = []
      const run = Stream.runForEach(connection.messages, (message) => Effect.sync(() => seen.push(message)))
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(run))
      yield* Effect.yieldNow()
      socket.receive("first")
      yield* Effect.yieldNow()
      for (const fiber of fibers.slice(1)) {
        // All runs have been woken. This one ends before it takes the message.
        fiber.unsafeInterruptAsFork(FiberId.none)
        socket.receive("next")
        yield* Effect.yieldNow()
      }
      socket.end(1000)
      yield* Fiber.join(fibers[0]!)
      assert.deepStrictEqual(seen, ["first", "next", "next"])
    }))
})

describe("many fibers that receive", () => {
  it.scoped("wait without turns, and each gets one message", () =>
    Effect.gen(function*() {
      const socket = new FakeSocket()
      socket.readyState = 1
      const connection = yield* connectTo(() => socket)
      let turns = 0
      const scheduler = Scheduler.make((task, priority, fiber) => {
        turns++
        Scheduler.defaultScheduler.scheduleTask(task, priority, fiber)
      })
      const fiber = yield* Effect.replicateEffect(connection.receive, 40, { concurrency: "unbounded" }).pipe(
        Effect.withScheduler(scheduler),
        Effect.fork
      )
      for (let step = 0; step < 20; step++) yield* Effect.yieldNow()
      const before = turns
      for (let step = 0; step < 100; step++) yield* Effect.yieldNow()
      assert.strictEqual(turns, before)
      for (let index = 0; index < 40; index++) socket.receive(String(index))
      const received = new Set(yield* Fiber.join(fiber))
      assert.strictEqual(received.size, 40)
      socket.end(1000)
    }))
})

describe("single messages and chunks of messages", () => {
  const step = fc.oneof(
    fc.record({ _tag: fc.constant("Arrive" as const), count: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ _tag: fc.constant("TakeOne" as const) }),
    fc.record({ _tag: fc.constant("TakeChunk" as const) })
  )

  it.effect("give every message once and in order, however they are mixed", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), (steps) =>
          Effect.runPromise(Effect.scoped(Effect.gen(function*() {
            const socket = new FakeSocket()
            socket.readyState = 1
            const connection = yield* connectTo(() => socket)
            const seen: Array<unknown> = []
            let arrived = 0
            for (const step of steps) {
              if (step._tag === "Arrive") {
                for (let index = 0; index < step.count; index++) {
                  socket.receive(String(arrived++))
                }
              } else if (seen.length < arrived) {
                if (step._tag === "TakeOne") {
                  seen.push(yield* connection.receive)
                } else seen.push(...Option.getOrThrow(yield* Stream.runHead(Stream.chunks(connection.messages))))
              }
            }
            socket.end(1000)
            seen.push(...yield* Stream.runCollect(connection.messages))
            assert.deepStrictEqual(
              seen,
              Array.from({ length: arrived }, (_, index) =>
                String(index))
            )
          }))))
      )
    ))
})
