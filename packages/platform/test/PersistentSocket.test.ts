/** Sockets over persistent connections, in virtual time. */
import * as Socket from "@effect/platform/Socket"
import { assert, describe, it } from "@effect/vitest"
import { ConnectionClosed, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"

interface Options extends PersistentSocket.Options {
  readonly address?: (attempt: Connector.Attempt<string>) => Effect.Effect<string, WebSocketError>
  readonly connector?: ReturnType<typeof WebSocketConnector.make>
  readonly retry?: Schedule.Schedule<unknown>
}

/** A scripted server, a persistent connection to it with 10 seconds between attempts, and its socket. */
const makeFixture = ({ waitTimeout, whenLost, ...options }: Options = {}) =>
  Effect.gen(function*() {
    const server = yield* TestWebSocket.make()
    const feed = yield* PersistentConnection.make({
      serverName: "feed",
      address: () => Effect.succeed("wss://feed.example.com"),
      connector: WebSocketConnector.make({ ping: false }),
      retry: RetryPolicy.fixed("10 seconds"),
      ...options
    }).pipe(Effect.provide(server.layer))
    return { server, feed, socket: PersistentSocket.make(feed, { waitTimeout, whenLost }) }
  })

/** Runs everything that is due. */
const settle = TestClock.adjust(0)

/** Starts a run that records what happens. */
const record = (
  socket: Socket.Socket,
  handler: (message: string | Uint8Array) => Effect.Effect<unknown, string> | void = () => {}
) =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const run = yield* Effect.fork(socket.runRaw((message) => {
      log.push(String(message))
      return handler(message)
    }, { onOpen: Effect.sync(() => log.push("open")) }))
    yield* settle
    return { log, run }
  })

const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.zipLeft(Effect.fork(effect), settle)

const hasEnded = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

const write = (socket: Socket.Socket, chunk: string | Uint8Array | Socket.CloseEvent) =>
  Effect.scoped(Effect.flatMap(socket.writer, (write) => write(chunk)))

/** The `SocketError` of a failed effect: its reason and its cause. */
const errorOf = (exit: Exit.Exit<unknown, Socket.SocketError>) => {
  assert(Exit.isFailure(exit))
  const error = Option.getOrThrow(Cause.failureOption(exit.cause))
  assert(Socket.isSocketError(error) && error.reason !== "Close")
  return error
}

describe("run", () => {
  it.scoped("goes on after every kind of loss, in order, with `onOpen` at every connection", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const { log, run } = yield* record(socket)
      for (const end of ["drop", 1000, 1001, 1011, 4000] as const) {
        const peer = yield* server.accepted
        yield* peer.send(`${end} a`, `${end} b`)
        yield* end === "drop" ? peer.drop : peer.close(end)
        yield* TestClock.adjust("10 seconds")
      }
      yield* (yield* server.accepted).send("last")
      yield* settle
      assert.deepStrictEqual(log, [
        ...["drop", 1000, 1001, 1011, 4000].flatMap((end) => ["open", `${end} a`, `${end} b`]),
        "open",
        "last"
      ])
      assert.isFalse(hasEnded(run))
    }))

  it.scoped("gives text as bytes; `runRaw` gives it as text", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const received: Array<Uint8Array> = []
      yield* start(socket.run((bytes) => {
        received.push(bytes)
      }))
      yield* (yield* server.accepted).send("é", new Uint8Array([1]))
      yield* settle
      assert.deepStrictEqual(received, [new TextEncoder().encode("é"), new Uint8Array([1])])
    }))

  it.scoped("delivers what arrived before it began, and what a run before it left", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      yield* settle
      const peer = yield* server.accepted
      yield* peer.send("a")
      const first = yield* record(socket)
      yield* Fiber.interrupt(first.run)
      yield* peer.send("b")
      yield* settle
      const second = yield* record(socket)
      assert.deepStrictEqual([first.log, second.log], [["open", "a"], ["open", "b"]])
    }))

  it.scoped("succeeds when the owner closes the persistent connection", () =>
    Effect.gen(function*() {
      const { feed, socket } = yield* makeFixture()
      const { run } = yield* record(socket)
      yield* start(feed.close)
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      // And at once if it is closed.
      yield* socket.run(() => {})
    }))

  it.scoped("fails with the reason if the policy gave up or an attempt aborted", () =>
    Effect.gen(function*() {
      const gaveUp = yield* makeFixture({ retry: Schedule.stop })
      const aborted = yield* makeFixture({ address: (attempt) => attempt.abort(lost) })
      const runs = yield* Effect.forEach([gaveUp, aborted], ({ socket }) => record(socket))
      yield* (yield* gaveUp.server.accepted).drop
      yield* settle
      for (const [index, reason] of ["GaveUp", "Aborted"].entries()) {
        const error = errorOf(yield* Fiber.await(runs[index]!.run as Fiber.RuntimeFiber<void, Socket.SocketError>))
        assert.strictEqual(error.reason, "Read")
        assert(error.cause instanceof ConnectionClosed)
        assert.strictEqual(error.cause.reason._tag, reason)
      }
    }))

  it.scoped("runs the effects of handlers concurrently, and starts them in order", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const gate = yield* Deferred.make<void>()
      const done: Array<string> = []
      yield* record(socket, (message) =>
        Effect.zipRight(
          message === "slow" ? Deferred.await(gate) : Effect.void,
          Effect.sync(() => done.push(String(message)))
        ))
      yield* (yield* server.accepted).send("slow", "a", "b")
      yield* settle
      assert.deepStrictEqual(done, ["a", "b"])
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.deepStrictEqual(done, ["a", "b", "slow"])
    }))

  it.scoped("lets the effects of handlers go on after a loss", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const done: Array<number> = []
      yield* record(socket, () =>
        Effect.zipRight(Effect.sleep("1 minute"), Effect.map(Clock.currentTimeMillis, (at) => done.push(at))))
      const peer = yield* server.accepted
      yield* peer.send("a")
      yield* peer.drop
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(done, [60_000])
    }))

  it.scoped("fails with the error of a handler, also of one that began before a loss, and interrupts the others", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      let interrupted = 0
      const { run } = yield* record(socket, (message) =>
        message === "bad"
          ? Effect.zipRight(Effect.sleep("1 minute"), Effect.fail("bad message"))
          : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)))
      const peer = yield* server.accepted
      yield* peer.send("a", "bad", "b")
      yield* peer.drop
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.fail("bad message"))
      assert.strictEqual(interrupted, 2)
    }))

  it.scoped("dies if a handler throws", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const { run } = yield* record(socket, () => {
        throw new Error("a bug")
      })
      yield* (yield* server.accepted).send("a")
      const exit = yield* Fiber.await(run)
      assert.deepStrictEqual(exit, Exit.die(new Error("a bug")))
    }))

  it.scoped("interrupts the effects of handlers and `onOpen` when it is interrupted, even in an uninterruptible region", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      let interrupted = 0
      const hang = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const run = yield* start(Effect.uninterruptible(socket.runRaw(() => hang, { onOpen: hang })))
      yield* (yield* server.accepted).send("a")
      yield* settle
      yield* Fiber.interrupt(run)
      assert.strictEqual(interrupted, 2)
    }))
})

describe("run, with `whenLost: \"end\"`", () => {
  it.scoped("ends as its connection does, after its last message; the next run waits for the next connection", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture({ whenLost: "end" })
      for (const code of [1000, 1006, 4000]) {
        const { log, run } = yield* record(socket)
        yield* TestClock.adjust("10 seconds")
        const peer = yield* server.accepted
        yield* peer.send("a", "b")
        yield* code === 1006 ? peer.drop : peer.close(code, "because")
        const exit = yield* Effect.zipRight(settle, Fiber.await(run))
        assert.deepStrictEqual(log, ["open", "a", "b"])
        if (code === 1000) assert.deepStrictEqual(exit, Exit.void)
        else {
          const closeReason = code === 1006 ? "" : "because"
          assert.deepStrictEqual(exit, Exit.fail(new Socket.SocketCloseError({ reason: "Close", code, closeReason })))
        }
      }
    }))

  it.scoped("ends after a replacement, even if the server does not end the old connection", () =>
    Effect.gen(function*() {
      const { feed, server, socket } = yield* makeFixture({ whenLost: "end" })
      const { log, run } = yield* record(socket)
      yield* (yield* server.accepted).fallSilent
      yield* start(PersistentConnection.refresh(feed))
      const next = yield* server.accepted
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      yield* next.send("for the next run")
      yield* settle
      assert.deepStrictEqual(log, ["open"])
      const second = yield* record(socket)
      yield* settle
      assert.deepStrictEqual(second.log, ["open", "for the next run"])
    }))

  it.scoped("fails with the reason if its connection ends without a close", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture({ whenLost: "end", connector: WebSocketConnector.make() })
      const run = yield* start(socket.run(() => {}))
      yield* (yield* server.accepted).fallSilent
      yield* TestClock.adjust("2 minutes")
      const error = errorOf(yield* Fiber.await(run))
      assert.strictEqual(error.reason, "Read")
      assert(error.cause instanceof WebSocketError)
      assert.strictEqual(error.cause.reason._tag, "PingTimeout")
    }))

  it.scoped("succeeds when the owner closes the persistent connection, and fails if that gave up", () =>
    Effect.gen(function*() {
      for (const isConnected of [true, false]) {
        const { feed, server, socket } = yield* makeFixture({ whenLost: "end" })
        yield* settle
        if (!isConnected) yield* (yield* server.accepted).drop
        yield* settle
        const { run } = yield* record(socket)
        yield* start(feed.close)
        assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
        yield* socket.run(() => {})
      }
      const { server, socket } = yield* makeFixture({ whenLost: "end", retry: Schedule.stop })
      yield* settle
      yield* (yield* server.accepted).drop
      yield* settle
      assert(errorOf(yield* Effect.exit(socket.run(() => {}))).cause instanceof ConnectionClosed)
    }))
})

describe("onOpen", () => {
  it.scoped("can wait for an answer of the server", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const welcome = yield* Deferred.make<void>()
      let isLoggedIn = false
      yield* start(socket.runRaw(() => Deferred.succeed(welcome, undefined), {
        onOpen: Effect.orDie(write(socket, "login")).pipe(
          Effect.zipRight(Deferred.await(welcome)),
          Effect.map(() => {
            isLoggedIn = true
          })
        )
      }))
      const peer = yield* server.accepted
      assert.strictEqual(yield* peer.take, "login")
      yield* peer.send("welcome")
      yield* settle
      assert.isTrue(isLoggedIn)
    }))

  it.scoped("is interrupted when its connection ends, and starts again at the next one", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const log: Array<string> = []
      yield* start(socket.run(() => {}, {
        onOpen: Effect.onInterrupt(
          Effect.zipRight(Effect.sync(() => log.push("open")), Effect.never),
          () => Effect.map(Clock.currentTimeMillis, (at) => log.push(`interrupted at ${at}`))
        )
      }))
      const peer = yield* server.accepted
      yield* TestClock.adjust("1 second")
      yield* peer.drop
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(log, ["open", "interrupted at 1000", "open"])
    }))

  it.scoped("ends the run with its defect", () =>
    Effect.gen(function*() {
      const { socket } = yield* makeFixture()
      const run = yield* start(socket.run(() => {}, { onOpen: Effect.die("a bug") }))
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.die("a bug"))
    }))
})

const lost = new WebSocketError({
  url: "wss://feed.example.com/",
  reason: { _tag: "Closed", code: 1006, reason: "", wasClean: false }
})

describe("a write", () => {
  it.scoped("goes to the current connection, without a run", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      yield* settle
      yield* write(socket, "text")
      yield* write(socket, new Uint8Array([1]))
      assert.deepStrictEqual(yield* (yield* server.accepted).received, ["text", new Uint8Array([1])])
    }))

  it.scoped("waits for the next connection during an outage; writes that wait keep their order", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      yield* settle
      yield* (yield* server.accepted).drop
      yield* TestClock.adjust("1 second")
      const writes = yield* Effect.forEach(["a", "b", "c"], (text) => start(write(socket, text)))
      assert.isFalse(writes.some(hasEnded))
      yield* TestClock.adjust("9 seconds")
      yield* Fiber.joinAll(writes)
      assert.deepStrictEqual(yield* (yield* server.accepted).received, ["a", "b", "c"])
    }))

  for (
    const [name, waitTimeout, limit] of [["30 s by default", undefined, 30_000], ["`waitTimeout`", 500, 500]] as const
  ) {
    it.scoped(`fails with the cause of the outage after ${name}, and not before, also in an uninterruptible region`, () =>
      Effect.gen(function*() {
        const { server, socket } = yield* makeFixture({ waitTimeout })
        yield* settle
        yield* server.always(TestWebSocket.refuse(503))
        yield* (yield* server.accepted).drop
        yield* settle
        const writes = [
          yield* start(write(socket, "a")),
          yield* start(Effect.uninterruptible(write(socket, "b")))
        ]
        yield* TestClock.adjust(limit - 1)
        assert.isFalse(writes.some(hasEnded))
        yield* TestClock.adjust(1)
        for (const fiber of writes) {
          const error = errorOf(yield* Fiber.await(fiber))
          assert.strictEqual(error.reason, "Write")
          assert(error.cause instanceof NotConnected)
          assert.strictEqual(error.cause.serverName, "feed")
          assert.strictEqual(error.cause.failedAttempts, limit === 500 ? 0 : 3)
          assert(Cause.failureOption(Option.getOrThrow(error.cause.lastCause))._tag === "Some")
        }
      }))
  }

  it.scoped("fails at once during an outage with a `waitTimeout` of 0", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture({ waitTimeout: 0 })
      yield* settle
      yield* (yield* server.accepted).drop
      yield* settle
      // Without a timer.
      const error = errorOf(Effect.runSyncExit(write(socket, "a")))
      assert(error.cause instanceof NotConnected)
    }))

  it.scoped("waits without a limit with an infinite `waitTimeout`", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture({ waitTimeout: Infinity, retry: RetryPolicy.fixed("2 hours") })
      yield* settle
      yield* (yield* server.accepted).drop
      const fiber = yield* start(write(socket, "a"))
      yield* TestClock.adjust("119 minutes")
      assert.isFalse(hasEnded(fiber))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
    }))

  /** `send` waits for the gate, as during backpressure. */
  const gated = (gate: Deferred.Deferred<void>, log: Array<string>) =>
    Connector.map(
      WebSocketConnector.make({ ping: false }),
      (connection) =>
        Object.assign(Object.create(connection) as WebSocketConnector.WebSocketConnection, {
          send: (message: string) =>
            Effect.zipRight(Deferred.await(gate), connection.send(message)).pipe(
              Effect.tapBoth({
                onFailure: () => Effect.sync(() => log.push("failed")),
                onSuccess: () => Effect.sync(() => log.push("sent"))
              })
            )
        })
    )

  it.scoped("that the lost connection did not send is sent on the next one, once", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const log: Array<string> = []
      const { server, socket } = yield* makeFixture({ connector: gated(gate, log) })
      yield* settle
      const first = yield* server.accepted
      const fiber = yield* start(write(socket, "a"))
      yield* first.drop
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(log, ["failed", "sent"])
      assert.deepStrictEqual(yield* first.received, [])
      assert.deepStrictEqual(yield* (yield* server.accepted).received, ["a"])
    }))

  it.scoped("of each of many fibers is sent once, also if a loss comes in between", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { server, socket } = yield* makeFixture({ connector: gated(gate, []) })
      const write = yield* socket.writer
      yield* settle
      const first = yield* server.accepted
      const before = yield* Effect.forEach(["a", "b", "c"], (text) => start(write(text)))
      yield* first.drop
      yield* settle
      const after = yield* Effect.forEach(["d", "e"], (text) => start(write(text)))
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.joinAll([...before, ...after])
      assert.deepStrictEqual(yield* first.received, [])
      const received = yield* (yield* server.accepted).received
      assert.deepStrictEqual(received.map(String).sort(), ["a", "b", "c", "d", "e"])
    }))

  it.scoped("waits for at most `waitTimeout` over several losses", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { server, socket } = yield* makeFixture({ connector: gated(gate, []), waitTimeout: "15 seconds" })
      yield* settle
      yield* (yield* server.accepted).drop
      yield* settle
      const fiber = yield* start(write(socket, "a"))
      yield* TestClock.adjust("10 seconds")
      yield* (yield* server.accepted).drop
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("4999 millis")
      assert.isFalse(hasEnded(fiber))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(hasEnded(fiber))
    }))

  it.scoped("fails with the error of `send` on a connection that works", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      yield* settle
      yield* server.accepted
      const error = errorOf(yield* Effect.exit(write(socket, Symbol("not a message") as never)))
      assert.strictEqual(error.reason, "Write")
      assert(error.cause instanceof WebSocketError)
      assert.strictEqual(error.cause.reason._tag, "SendFailed")
    }))

  it.scoped("fails at once with the reason if the persistent connection is closed, or closes during the wait", () =>
    Effect.gen(function*() {
      const { feed, server, socket } = yield* makeFixture()
      yield* settle
      yield* (yield* server.accepted).drop
      const waiting = yield* start(write(socket, "a"))
      yield* feed.close
      for (const exit of [yield* Fiber.await(waiting), yield* Effect.exit(write(socket, "b"))]) {
        const error = errorOf(exit)
        assert.strictEqual(error.reason, "Write")
        assert(error.cause instanceof ConnectionClosed)
      }
    }))
})

describe("a CloseEvent", () => {
  it.scoped("closes with its code and reason: the run succeeds, and there is no other attempt", () =>
    Effect.gen(function*() {
      const { feed, server, socket } = yield* makeFixture()
      const { run } = yield* record(socket)
      const peer = yield* server.accepted
      yield* write(socket, new Socket.CloseEvent(4000, "bye"))
      assert.deepStrictEqual(yield* peer.closedByClient, { code: 4000, reason: "bye" })
      assert.isTrue(yield* feed.isClosed)
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* server.attempts).length, 1)
    }))

  it.scoped("closes during an outage, and with 1000 if the platform does not accept the code", () =>
    Effect.gen(function*() {
      const { feed, server, socket } = yield* makeFixture()
      yield* settle
      const peer = yield* server.accepted
      yield* write(socket, new Socket.CloseEvent(1002))
      assert.strictEqual((yield* peer.closedByClient).code, 1000)
      assert.isTrue(yield* feed.isClosed)

      const other = yield* makeFixture()
      yield* settle
      yield* (yield* other.server.accepted).drop
      yield* settle
      yield* write(other.socket, new Socket.CloseEvent())
      assert.isTrue(yield* other.feed.isClosed)
    }))

  it.scoped("causes no other attempt, even if the close takes longer than the connection", () =>
    Effect.gen(function*() {
      const connector = Connector.map(
        WebSocketConnector.make({ ping: false }),
        (connection) =>
          Object.assign(Object.create(connection) as WebSocketConnector.WebSocketConnection, {
            close: (code?: number) => Effect.zipRight(connection.close(code), Effect.sleep("1 second"))
          })
      )
      const { feed, server, socket } = yield* makeFixture({ connector })
      // The policy would make the next attempt at once.
      yield* TestClock.adjust("1 minute")
      const fiber = yield* start(write(socket, new Socket.CloseEvent()))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.isTrue(yield* feed.isClosed)
      assert.strictEqual((yield* server.attempts).length, 1)
    }))

  it.scoped("can be written by a handler", () =>
    Effect.gen(function*() {
      const { feed, server, socket } = yield* makeFixture()
      const run = yield* start(socket.run(() => write(socket, new Socket.CloseEvent())))
      yield* (yield* server.accepted).send("stop")
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      yield* feed.closeFinished
    }))
})

describe("the layer", () => {
  it.scoped("provides a Socket over the persistent connection of the tag", () =>
    Effect.gen(function*() {
      class Feed extends Context.Tag("Feed")<
        Feed,
        PersistentConnection.PersistentConnection<WebSocketConnector.WebSocketConnection, WebSocketError>
      >() {}
      const { feed, server } = yield* makeFixture()
      const context = yield* Layer.build(
        PersistentSocket.layer(Feed, { waitTimeout: 0 }).pipe(Layer.provide(Layer.succeed(Feed, feed)))
      )
      const socket = Context.get(context, Socket.Socket)
      yield* settle
      yield* write(socket, "a")
      const peer = yield* server.accepted
      assert.deepStrictEqual(yield* peer.received, ["a"])
      yield* peer.drop
      yield* settle
      assert.strictEqual(errorOf(yield* Effect.exit(write(socket, "b"))).reason, "Write")
    }))
})

describe("a channel over the socket", () => {
  it.scoped("goes on over a loss, in both directions", () =>
    Effect.gen(function*() {
      const { server, socket } = yield* makeFixture()
      const input = yield* Queue.unbounded<string>()
      const output: Array<string> = []
      yield* start(
        Stream.fromQueue(input).pipe(
          Stream.pipeThroughChannel(Socket.toChannelString(socket)),
          Stream.runForEach((text) => Effect.sync(() => output.push(text)))
        )
      )
      for (const text of ["a", "b", "c"]) {
        yield* Queue.offer(input, text)
        // Waits for the connection if there is none.
        yield* TestClock.adjust("10 seconds")
        const peer = yield* server.accepted
        assert.strictEqual(yield* peer.take, text)
        yield* peer.send(`${text}!`)
        yield* peer.drop
        yield* settle
      }
      assert.deepStrictEqual(output, ["a!", "b!", "c!"])
    }))
})
