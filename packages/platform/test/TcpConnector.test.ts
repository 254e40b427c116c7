import { assert, describe, it } from "@effect/vitest"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import type { TcpError } from "@persistent-connection/platform/TcpError"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { randomBytes } from "node:crypto"
import { readFileSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { objectsReachableFrom } from "../../core/test/support/size.js"
import { connect } from "./support/clients.js"
import { netSockets, nothingLeft, silentPort } from "./support/netSockets.js"
import { fill, freePort, tcpServer, until } from "./support/servers.js"
import { settableClock } from "./support/settableClock.js"

const MiB = 1024 * 1024

const open = (port: number, options?: TcpConnector.Options) =>
  connect(TcpConnector.make(options), { host: "127.0.0.1", port })

const text = (connection: TcpConnector.TcpConnection) => Stream.mkString(Stream.decodeText(connection.data))

const failure = <A, R>(effect: Effect.Effect<A, TcpError, R>) =>
  Effect.map(Effect.flip(effect), (error) => [error.reason._tag, error.code] as const)

describe("opening a TCP connection", () => {
  it.scopedLive("sends and receives, and keeps the first data of the server", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({
        onSocket: (socket) => {
          socket.write("welcome\n")
          socket.on("data", (data) => socket.end(data))
        }
      })
      const connection = yield* open(server.port)
      assert.strictEqual(connection.address, `127.0.0.1:${server.port}`)
      assert.isFalse(connection.isClosed())
      yield* connection.send("żółw")
      yield* connection.closed
      assert.strictEqual(connection.received(), 15)
      assert.strictEqual(yield* text(connection), "welcome\nżółw")
      assert.isTrue(connection.isClosed())
    }))

  it.scopedLive("gives a connection with its type id, which prints its address", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const connection = yield* open(server.port)
      assert.strictEqual(connection[TcpConnector.TypeId], TcpConnector.TypeId)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(connection)), {
        _id: "TcpConnection",
        address: `127.0.0.1:${server.port}`,
        isClosed: false
      })
    }))

  it.scopedLive("accepts the path of a Unix socket", () =>
    Effect.gen(function*() {
      const path = join(tmpdir(), `tcp-connector-${process.pid}.sock`)
      rmSync(path, { force: true })
      const server = Net.createServer((socket) => socket.end("from a file"))
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(path, () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const connection = yield* connect(TcpConnector.make(), { path })
      assert.strictEqual(connection.address, path)
      assert.strictEqual(yield* text(connection), "from a file")
      const error = yield* Effect.flip(connect(TcpConnector.make(), { path: `${path}-none` }))
      assert.strictEqual(error.code, "ENOENT")
    }))

  it.scopedLive("accepts an abstract socket of Linux", (context) =>
    Effect.gen(function*() {
      if (process.platform !== "linux") return context.skip("abstract sockets exist on Linux only")
      const path = `\0tcp-connector-${process.pid}`
      const server = Net.createServer((socket) => socket.end("from an abstract socket"))
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(path, () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const connection = yield* connect(TcpConnector.make(), { path })
      assert.strictEqual(connection.address, `@tcp-connector-${process.pid}`)
      assert.strictEqual(yield* text(connection), "from an abstract socket")
      const error = yield* Effect.flip(connect(TcpConnector.make(), { path: `${path}-none` }))
      assert.strictEqual(error.code, "ECONNREFUSED")
      assert.include(error.message, `TCP connection to @tcp-connector-${process.pid}-none: could not be opened`)
    }))

  it.scopedLive("fails if no server listens, at one address or at all addresses of a name", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const port = yield* freePort
      const error = yield* Effect.flip(open(port))
      assert.strictEqual(error.code, "ECONNREFUSED")
      assert.strictEqual(error.reason._tag, "OpenFailed")
      assert.strictEqual(
        error.message,
        `TCP connection to 127.0.0.1:${port}: could not be opened: connect ECONNREFUSED 127.0.0.1:${port}`
      )
      const named = yield* Effect.flip(connect(TcpConnector.make(), { host: "localhost", port }))
      assert.strictEqual(named.code, "ECONNREFUSED")
      assert.include(named.message, "ECONNREFUSED")
      yield* nothingLeft(sockets)
    }))

  it.scoped("times out after 10 seconds if the system does not answer", () =>
    Effect.gen(function*() {
      const port = yield* silentPort
      const sockets = yield* netSockets
      const fiber = yield* Effect.fork(Effect.scoped(Effect.flip(open(port))))
      yield* TestClock.adjust("9999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.message, `TCP connection to 127.0.0.1:${port}: did not open within 10s`)
      yield* nothingLeft(sockets)
    }))

  it.scopedLive("leaves nothing behind after an interruption", () =>
    Effect.gen(function*() {
      const port = yield* silentPort
      const sockets = yield* netSockets
      const fiber = yield* Effect.fork(Effect.scoped(open(port)))
      yield* until(() => sockets.length === 1)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(sockets[0]?.destroyed)
      yield* nothingLeft(sockets)
    }))

  it.scopedLive.each<[TcpConnector.TcpAddress, string]>([
    [{ host: "", port: 80 }, "TCP connection to :80: invalid address: the host is neither a name nor an IP address"],
    [
      { host: "a b", port: 80 },
      "TCP connection to a b:80: invalid address: the host is neither a name nor an IP address"
    ],
    [
      { host: "::1", port: 0 },
      "TCP connection to [::1]:0: invalid address: the port is not a whole number from 1 to 65535"
    ],
    [
      { host: "a", port: 65536 },
      "TCP connection to a:65536: invalid address: the port is not a whole number from 1 to 65535"
    ],
    [
      { host: "a", port: 1.5 },
      "TCP connection to a:1.5: invalid address: the port is not a whole number from 1 to 65535"
    ],
    [
      { host: "a", port: Number.NaN },
      "TCP connection to a:NaN: invalid address: the port is not a whole number from 1 to 65535"
    ],
    [{ path: "" }, "TCP connection to : invalid address: the path is empty"],
    [{ path: "\0" }, "TCP connection to @: invalid address: the path is empty"],
    [{ path: "\0a\0b" }, "TCP connection to @a b: invalid address: the path contains a NUL"],
    [
      { host: "a\nERROR forged", port: 80 },
      "TCP connection to a ERROR forged:80: invalid address: the host is neither a name nor an IP address"
    ]
  ])("fails at once for %o", ([address, message]) =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      assert.strictEqual((yield* Effect.flip(connect(TcpConnector.make(), address))).message, message)
      assert.strictEqual(sockets.length, 0)
    }))

  it.scopedLive.each<[unknown, string]>([
    [null, "it is not an object"],
    [undefined, "it is not an object"],
    ["localhost:80", "it is not an object"],
    [[], "it is not an object"],
    [{}, "the host is neither a name nor an IP address"],
    [{ host: { toString: 5 }, port: 1 }, "the host is neither a name nor an IP address"],
    [{ host: "a\0b", port: 1 }, "the host is neither a name nor an IP address"],
    [{ host: "a", port: "80" }, "the port is not a whole number from 1 to 65535"],
    [{ host: "a", port: Symbol("a") }, "the port is not a whole number from 1 to 65535"],
    [{ path: null }, "the path is not a string"],
    [{ path: "a\0b" }, "the path contains a NUL"]
  ])("fails at once for %o, for instance from a file", ([address, description]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect(TcpConnector.make(), address as TcpConnector.TcpAddress))
      assert.deepStrictEqual(error.reason, { _tag: "InvalidAddress", description })
    }))

  it.scopedLive("accepts an IPv6 address in brackets, and ignores an undefined path", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const error = yield* Effect.flip(connect(TcpConnector.make(), { host: "[::1]", port }))
      assert.strictEqual(error.address, `[::1]:${port}`)
      assert.include(["ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT"], error.code)
      const server = yield* tcpServer()
      const address = { host: "127.0.0.1", port: server.port, path: undefined }
      yield* connect(TcpConnector.make(), address as TcpConnector.TcpAddress)
    }))

  it.each<[TcpConnector.Options, string]>([
    [{ connectTimeout: -1 }, "connectTimeout must be a duration of 0 or more, but is -1"],
    [
      { keepAlive: "-1 seconds" },
      "keepAlive must be a duration from 1 second to 32767 seconds, infinite or false, but is \"-1 seconds\""
    ],
    [{ keepAlive: 0 }, "keepAlive must be a duration from 1 second to 32767 seconds, infinite or false, but is 0"],
    [
      { keepAlive: "999 millis" },
      "keepAlive must be a duration from 1 second to 32767 seconds, infinite or false, but is \"999 millis\""
    ],
    [
      { keepAlive: "10 hours" },
      "keepAlive must be a duration from 1 second to 32767 seconds, infinite or false, but is \"10 hours\""
    ],
    [{ receiveHighWaterMark: 0 }, "receiveHighWaterMark must be a number of bytes above 0, but is 0"],
    [{ noDelay: "yes" as never }, "noDelay must be true or false, but is \"yes\""],
    [
      { keepAlive: true as never },
      "keepAlive must be a duration from 1 second to 32767 seconds, infinite or false, but is true"
    ],
    [5 as never, "options must be an object of options, but is of type number"]
  ])("options %o are invalid", (options, message) => {
    assert.throws(() => TcpConnector.make(options), message)
  })
})

/** The seconds until Linux sends the next keep-alive probe, rounded up; undefined if keep-alive is off. */
const keepAliveOf = ({ localPort, remotePort }: Net.Socket): number | undefined => {
  const [local, remote] = [localPort, remotePort].map((port = 0) =>
    `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`
  )
  const line = readFileSync("/proc/net/tcp", "latin1").split("\n").find((line) => line.includes(`${local} ${remote}`))
  const [, hundredths] = / 02:([0-9A-F]{8}) /.exec(line ?? "") ?? []
  return hundredths === undefined ? undefined : Math.ceil(parseInt(hundredths, 16) / 100)
}

describe.runIf(process.platform === "linux")("the system", () => {
  it.scopedLive.each<[TcpConnector.Options["keepAlive"], number | undefined]>([
    [undefined, 60],
    ["1 seconds", 1],
    ["1001 millis", 2],
    ["32766001 millis", 32767],
    [Duration.infinity, undefined],
    [false, undefined]
  ])("gets a keepAlive of %o as %o seconds", ([keepAlive, seconds]) =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer()
      yield* open(server.port, { keepAlive })
      assert.strictEqual(keepAliveOf(sockets[0]!), seconds)
    }))
})

describe("the data of a TCP connection", () => {
  it.scopedLive("are received unchanged, 32 MB in both directions", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({ onSocket: (socket) => socket.pipe(socket) })
      const connection = yield* open(server.port)
      const sent = randomBytes(32 * MiB)
      const received = yield* Effect.fork(Stream.runCollect(connection.data))
      for (let index = 0; index < sent.length; index += MiB) yield* connection.send(sent.subarray(index, index + MiB))
      yield* connection.close
      yield* connection.closed
      const chunks = yield* Fiber.join(received)
      assert.isTrue(Chunk.every(chunks, (chunk) => !Buffer.isBuffer(chunk)))
      assert.isTrue(Buffer.concat([...chunks]).equals(sent))
    }))

  it.scopedLive("that `receive` has not taken are delivered by the stream", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const connection = yield* open(server.port)
      const socket = yield* server.accepted
      socket.write("hello")
      assert.strictEqual(new TextDecoder().decode(yield* connection.receive), "hello")
      socket.end("world")
      assert.strictEqual(yield* text(connection), "world")
      assert.strictEqual((yield* Effect.flip(connection.receive)).reason._tag, "Closed")
    }))

  it.scopedLive("cause backpressure if they are not read, and are all delivered later", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const sent = randomBytes(64 * MiB)
      const server = yield* tcpServer({ onSocket: (socket) => socket.end(sent) })
      const connection = yield* open(server.port)
      const socket = yield* server.accepted
      const [client] = sockets
      assert(client !== undefined)
      yield* until(() => client.isPaused())
      assert.isBelow(client.bytesRead, MiB)
      assert.isFalse(socket.writableFinished)
      const chunks = yield* Stream.runCollect(connection.data)
      assert.isTrue(Buffer.concat([...chunks]).equals(sent))
    }))

  it.scopedLive("count as more than their bytes, because each chunk occupies memory", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer()
      const connection = yield* open(server.port, { receiveHighWaterMark: 649 })
      const socket = yield* server.accepted
      for (let count = 1; count <= 10; count++) {
        assert.isFalse(sockets[0]?.isPaused())
        socket.write("x")
        yield* until(() => connection.received() === count)
      }
      assert.isTrue(sockets[0]?.isPaused())
    }))
})

/** A connection to a server that does not read, with a waiting `send`. */
const blocked = (options?: TcpConnector.Options) =>
  Effect.gen(function*() {
    const sockets = yield* netSockets
    const server = yield* tcpServer({ onSocket: (socket) => socket.pause() })
    const connection = yield* open(server.port, options)
    const socket = yield* server.accepted
    const [client] = sockets
    assert(client !== undefined)
    let sent = 0
    yield* fill(
      () => client.writableNeedDrain,
      Effect.suspend(() => {
        sent += MiB
        return connection.send(new Uint8Array(MiB))
      })
    )
    return { client, connection, sent, server, socket }
  })

describe("sending on a TCP connection", () => {
  it.scoped("waits for a peer that does not read, at most 30 seconds, and then fails without sending", () =>
    Effect.gen(function*() {
      const { connection, sent, socket } = yield* blocked()
      const fiber = yield* Effect.fork(Effect.flip(connection.send("never")))
      yield* TestClock.adjust("29999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "SendTimeout")
      assert.match(error.message, /: not sent, because earlier data did not drain within 30s$/)
      let received = ""
      let count = 0
      socket.on("data", (data) => {
        count += data.length
        received = data.toString("latin1").slice(-3)
      })
      socket.resume()
      yield* until(() => count === sent)
      yield* connection.send("end")
      yield* until(() => count === sent + 3)
      assert.strictEqual(received, "end")
    }))

  it.scopedLive("continues in the order of the calls when the peer reads", () =>
    Effect.gen(function*() {
      const { connection, sent, socket } = yield* blocked()
      const fibers = yield* Effect.forEach(["a", "b", "c", "d"], (data) => Effect.fork(connection.send(data)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fibers[1]!)
      let received = Buffer.alloc(0)
      let count = 0
      socket.on("data", (data) => {
        count += data.length
        received = Buffer.concat([received, data]).subarray(-3)
      })
      socket.resume()
      yield* Fiber.joinAll([fibers[0]!, fibers[2]!, fibers[3]!])
      yield* until(() => count === sent + 3)
      assert.strictEqual(received.toString(), "acd")
    }))

  it.scopedLive("a refusal by Node fails that call only, at once or in its turn", () =>
    Effect.gen(function*() {
      const detached = new Uint8Array(8)
      structuredClone(detached, { transfer: [detached.buffer] })
      const { connection, sent, socket } = yield* blocked()
      const fibers = yield* Effect.forEach(
        [detached, "good"],
        (data) => Effect.fork(Effect.exit(connection.send(data)))
      )
      yield* Effect.yieldNow()
      let count = 0
      socket.on("data", (data) => {
        count += data.length
      })
      socket.resume()
      const [refused, good] = yield* Fiber.join(Fiber.all(fibers))
      assert.deepStrictEqual(good, Exit.void)
      assert(refused !== undefined && Exit.isFailure(refused) && refused.cause._tag === "Fail")
      assert.match(refused.cause.error.message, /: not sent: .*detached/)
      yield* until(() => count === sent + 4)
      assert.strictEqual((yield* failure(connection.send(detached)))[0], "SendFailed")
      yield* connection.send("another message")
    }))

  it.scopedLive("fails at once when the connection is lost or closed", () =>
    Effect.gen(function*() {
      const lost = yield* blocked()
      const fiber = yield* Effect.fork(failure(lost.connection.send("more")))
      yield* Effect.yieldNow()
      lost.socket.resetAndDestroy()
      const [tag, code] = yield* Fiber.join(fiber)
      assert.strictEqual(tag, "Failed")
      assert.include(["ECONNRESET", "EPIPE"], code)
      assert.deepStrictEqual(yield* failure(lost.connection.send("more")), [tag, code])

      const closed = yield* blocked({ closeTimeout: "10 millis" })
      const waiting = yield* Effect.fork(failure(closed.connection.send("more")))
      yield* Effect.yieldNow()
      yield* closed.connection.close
      assert.deepStrictEqual(yield* Fiber.join(waiting), ["Closing", undefined])
      assert.deepStrictEqual(yield* failure(closed.connection.send("more")), ["CloseTimeout", undefined])
    }))
})

describe("the end of a TCP connection", () => {
  it.scopedLive("by the peer is regular, and this side ends too", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ allowHalfOpen: true })
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(open(server.port), scope)
      const socket = yield* server.accepted
      let received = ""
      socket.on("data", (data) => {
        received += data.toString()
      })
      const ended = yield* Effect.fork(Effect.async<void>((resume) => {
        socket.once("end", () => resume(Effect.void))
      }))
      yield* Effect.yieldNow()
      yield* connection.send("last words")
      socket.end("bye")
      yield* connection.closed
      yield* Fiber.join(ended)
      assert.strictEqual(received, "last words")
      assert.strictEqual(yield* text(connection), "bye")
      const error = yield* Effect.flip(connection.send("?"))
      assert.strictEqual(
        error.message,
        `TCP connection to ${connection.address}: not sent, because the connection is closed`
      )
      yield* Scope.close(scope, Exit.void)
      yield* nothingLeft(sockets)
    }))

  it.scopedLive("keeps nothing of a `closed` that was interrupted", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const connection = yield* open(server.port)
      const watch = Effect.flatMap(Effect.fork(connection.closed), (fiber) =>
        Effect.zipRight(Effect.yieldNow(), Fiber.interrupt(fiber)))
      yield* watch
      const before = objectsReachableFrom(connection)
      yield* Effect.repeatN(watch, 50)
      assert.isBelow(objectsReachableFrom(connection), before + 50)
    }))

  it.scopedLive("by a reset is a failure", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer()
      const connection = yield* open(server.port)
      ;(yield* server.accepted).resetAndDestroy()
      const error = yield* Effect.flip(connection.closed)
      assert.strictEqual(error.code, "ECONNRESET")
      assert.strictEqual(error.message, `TCP connection to ${connection.address}: failed: read ECONNRESET`)
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(connection.data)), error)
      assert.strictEqual(yield* Effect.flip(connection.send("?")), error)
      yield* nothingLeft(sockets)
    }))

  it.scopedLive("by this side waits for the peer", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ onSocket: (socket) => socket.on("end", () => socket.end("last words")) })
      const connection = yield* open(server.port)
      yield* connection.close
      assert.isTrue(connection.isClosed())
      yield* connection.closed
      yield* connection.close
      yield* nothingLeft(sockets)
      yield* until(() => server.sockets.size === 0)
    }))

  it.scopedLive("by this side delivers the data that the peer still sends", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer({
        allowHalfOpen: true,
        onSocket: (socket) => socket.on("end", () => socket.end("last words"))
      })
      const connection = yield* open(server.port)
      yield* connection.close
      assert.strictEqual(yield* text(connection), "last words")
    }))

  it.scoped("by this side waits for the peer at most 2 seconds", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ allowHalfOpen: true })
      const connection = yield* open(server.port)
      yield* server.accepted
      const close = yield* Effect.fork(connection.close)
      yield* TestClock.adjust("1999 millis")
      assert.isNull(close.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(close)
      const error = yield* Effect.flip(connection.closed)
      assert.strictEqual(
        error.message,
        `TCP connection to ${connection.address}: the peer did not close its side within 2s`
      )
      yield* nothingLeft(sockets)
    }))

  it.scoped("T5: by this side waits equally long if the wall clock is set", () =>
    Effect.gen(function*() {
      const clock = settableClock(yield* Effect.clock)
      const server = yield* tcpServer({ allowHalfOpen: true })
      const connection = yield* Effect.withClock(open(server.port), clock)
      yield* server.accepted
      const close = yield* Effect.fork(connection.close)
      yield* TestClock.adjust("1 second")
      clock.setWallClock(-3_600_000)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(close)
      assert.strictEqual((yield* failure(connection.closed))[0], "CloseTimeout")
    }))

  it.scoped("by this side ends in time even if the caller of close is interrupted", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ allowHalfOpen: true })
      const connection = yield* open(server.port)
      const close = yield* Effect.fork(connection.close)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(close)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* failure(connection.closed))[0], "CloseTimeout")
      yield* nothingLeft(sockets)
    }))

  it.scoped("by this side has one deadline, for several callers and for leaving the scope", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ allowHalfOpen: true })
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(open(server.port), scope)
      const listeners = sockets[0]?.listenerCount("close")
      const closes = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(connection.close))
      yield* TestClock.adjust("1500 millis")
      const leave = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(sockets[0]?.listenerCount("close"), listeners)
      assert.isNull(leave.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.joinAll([...closes, leave])
      yield* nothingLeft(sockets)
    }))

  it.scopedLive.each([64 * MiB, Infinity])(
    "by this side during backpressure delivers the waiting data, and ends soon (receiveLimit: %s)",
    (receiveLimit) =>
      Effect.gen(function*() {
        const sockets = yield* netSockets
        const sent = randomBytes(16 * MiB)
        const server = yield* tcpServer({
          allowHalfOpen: true,
          onSocket: (socket) => {
            socket.write(sent)
            socket.on("end", () => socket.end())
          }
        })
        const connection = yield* open(server.port, { closeTimeout: "15 seconds", receiveLimit })
        yield* until(() => sockets[0]?.isPaused() === true)
        yield* connection.close
        yield* connection.closed
        assert.isTrue(Buffer.concat([...yield* Stream.runCollect(connection.data)]).equals(sent))
      })
  )

  it.scopedLive("by this side fails with ReceiveOverflow if the peer sends without end", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({
        allowHalfOpen: true,
        onSocket: (socket) => {
          const flood = () => {
            while (socket.write(Buffer.alloc(64 * 1024)));
          }
          socket.on("drain", flood)
          socket.on("error", () => {})
          flood()
        }
      })
      const connection = yield* open(server.port, { closeTimeout: "15 seconds", receiveLimit: 4 * MiB })
      yield* until(() => sockets[0]?.isPaused() === true)
      yield* connection.close
      assert.deepStrictEqual(yield* failure(connection.closed), ["ReceiveOverflow", undefined])
      assert.isBelow(connection.received(), 5 * MiB)
      yield* nothingLeft(sockets)
    }))

  it.scopedLive("by leaving the scope leaves nothing behind, also during backpressure", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ onSocket: (socket) => socket.write(Buffer.alloc(64 * MiB)) })
      const scope = yield* Scope.make()
      yield* Scope.extend(open(server.port), scope)
      yield* until(() => sockets[0]?.isPaused() === true)
      yield* Scope.close(scope, Exit.void)
      yield* nothingLeft(sockets)
      yield* until(() => server.sockets.size === 0)
    }))

  it.scopedLive("by `terminate` does not wait until a silent peer has taken what was sent", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* tcpServer({ onSocket: (socket) => socket.pause() })
      const connector = TcpConnector.make({ closeTimeout: Infinity })
      const connection = yield* connect(connector, { host: "127.0.0.1", port: server.port })
      const socket = sockets[0]!
      yield* fill(() => socket.writableNeedDrain, connection.send(new Uint8Array(MiB)))
      yield* connector.terminate!(connection)
      yield* until(() => socket.closed)
      yield* nothingLeft(sockets)
    }))

  it.scopedLive("by `terminate` ends a Unix socket", () =>
    Effect.gen(function*() {
      const path = join(tmpdir(), `tcp-connector-terminate-${process.pid}.sock`)
      rmSync(path, { force: true })
      const server = Net.createServer((socket) => socket.pause())
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(path, () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const sockets = yield* netSockets
      const connector = TcpConnector.make()
      const connection = yield* connect(connector, { path })
      yield* connector.terminate!(connection)
      assert.isTrue(connection.isClosed())
      yield* nothingLeft(sockets)
    }))
})
