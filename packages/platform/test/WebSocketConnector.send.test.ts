import * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { Clients, connect, type Platform, reasonOf } from "./support/clients.js"
import { fill, turn, until, webSocketServer } from "./support/servers.js"

const block = (index: number) => Buffer.alloc(64 * 1024, index)

/** A connection to a server that does not read, with a waiting `send`. */
const blocked = (platform: Platform, options?: WebSocketConnector.Options) =>
  Effect.gen(function*() {
    const received: Array<number> = []
    const server = yield* webSocketServer({
      onSocket: (socket) => {
        socket.pause()
        socket.on("message", (data: Buffer) => received.push(data[0] ?? -1))
      }
    })
    const clients = new Clients(platform)
    const connection = yield* clients.connect(server.url, options)
    const socket = yield* server.accepted
    const [client] = clients.sockets
    assert(client !== undefined)
    let sent = 0
    yield* fill(() => client.bufferedAmount > 1024 * 1024, Effect.suspend(() => connection.send(block(sent++ % 251))))
    return { clients, client, connection, received, sent, server, socket }
  })

describe.each<Platform>(["ws", "browser"])("sending to a server that does not read (%s)", (platform) => {
  it.scoped("waits at most for sendTimeout, and then fails without sending", () =>
    Effect.gen(function*() {
      const { connection, received, sent, socket } = yield* blocked(platform, { sendTimeout: "3 seconds" })
      const fiber = yield* Effect.fork(Effect.flip(connection.send(block(252))))
      yield* TestClock.adjust("2999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(
        error.message,
        `WebSocket ${connection.url}: not sent, because earlier messages did not drain within 3s`
      )
      assert.isFalse(connection.isClosed())
      socket.resume()
      yield* until(() => received.length === sent)
      yield* connection.send(block(253))
      yield* until(() => received.length > sent)
      assert.strictEqual(received.at(-1), 253)
    }))

  it.scopedLive("continues in the order of the calls when the server reads", () =>
    Effect.gen(function*() {
      const { connection, received, sent, socket } = yield* blocked(platform)
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], (index) => Effect.fork(connection.send(block(index))))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fibers[2]!)
      const late = yield* Effect.fork(connection.send(block(6)))
      socket.resume()
      yield* Fiber.joinAll([fibers[0]!, fibers[1]!, fibers[3]!, fibers[4]!, late])
      yield* until(() => received.length === sent + 5)
      assert.deepStrictEqual(received.slice(sent), [1, 2, 4, 5, 6])
    }))

  it.scoped("fails at once when the connection is lost", () =>
    Effect.gen(function*() {
      const { connection, socket } = yield* blocked(platform)
      const fiber = yield* Effect.fork(reasonOf(connection.send("more")))
      yield* Effect.yieldNow()
      socket.terminate()
      const closed = { _tag: "Closed", code: 1006, reason: "", wasClean: false } as const
      assert.deepStrictEqual(yield* Fiber.join(fiber), closed)
      assert.deepStrictEqual(yield* reasonOf(connection.send("more")), closed)
    }))

  it.scopedLive("fails with the close code of the server, as the connection does (D13)", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer({ onSocket: (socket) => socket.close(4401, "bad token") })
      const connection = yield* new Clients(platform).connect(server.url)
      const sending = Effect.forever(Effect.zipRight(connection.send("hello?"), turn))
      const closed = { _tag: "Closed", code: 4401, reason: "bad token", wasClean: true } as const
      assert.deepStrictEqual(yield* reasonOf(sending), closed)
      assert.deepStrictEqual(yield* reasonOf(connection.closed), closed)
    }))

  it.scoped("fails at once when this side closes", () =>
    Effect.gen(function*() {
      const { connection, server } = yield* blocked(platform)
      const fiber = yield* Effect.fork(reasonOf(connection.send("more")))
      yield* Effect.yieldNow()
      const close = yield* Effect.fork(connection.close())
      assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "Closing" })
      assert.deepStrictEqual(yield* reasonOf(connection.send("more")), { _tag: "Closing" })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(close)
      assert.strictEqual((yield* reasonOf(connection.send("more")))._tag, "CloseTimeout")
      yield* server.kill
    }))

  it.scoped("times out in an uninterruptible region too", () =>
    Effect.gen(function*() {
      const { connection, server } = yield* blocked(platform, { sendTimeout: "3 seconds" })
      const fiber = yield* Effect.fork(Effect.uninterruptible(reasonOf(connection.send("goodbye"))))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "SendTimeout")
      yield* server.kill
    }))
})

describe("sending on a WebSocket", () => {
  it.scopedLive("after a regular close fails with that close", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const connection = yield* new Clients().connect(server.url)
      ;(yield* server.accepted).close(1001, "maintenance")
      yield* Effect.ignore(connection.closed)
      const error = yield* Effect.flip(connection.send("hello?"))
      assert.strictEqual(error.message, `WebSocket ${server.url}: was closed with 1001 (going away): maintenance`)
    }))

  it.scopedLive("fails after the scope was left", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(new Clients().connect(server.url), scope)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* reasonOf(connection.send("hello?")))._tag, "Closed")
    }))

  it.scopedLive("fails, but does not die, if the platform refuses the message", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const clients = new Clients()
      const construct = (url: string) => {
        const socket = clients.construct(url)
        socket.send = () => {
          throw new DOMException("no", "InvalidStateError")
        }
        return socket
      }
      const connection = yield* connect(WebSocketConnector.make(), server.url).pipe(
        Effect.provideService(Socket.WebSocketConstructor, construct)
      )
      const error = yield* Effect.flip(connection.send("hello?"))
      assert.strictEqual(error.message, `WebSocket ${server.url}: not sent: no`)
    }))
})
