import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import { assert, describe } from "@effect/vitest"
import { ConnectionClosed, ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcCallError } from "@persistent-connection/rpc/RpcError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { it, now, pass, settle } from "../../core/test/support/virtualTime.js"
import { Counting, NotFound, Tally } from "./support/counting.js"
import { MemoryServer, WireError } from "./support/memoryServer.js"

const killed = Cause.fail(new WireError({ reason: "killed" }))

/** A client of a memory server. Reconnects 5 s after the last attempt. */
const serving = (
  options?: PersistentRpcClient.Options,
  server = new MemoryServer(),
  group = Counting,
  clientOptions?: RpcConnector.ClientOptions
) =>
  Effect.gen(function*() {
    const tally = new Tally()
    yield* server.serve(tally)
    const connection = yield* PersistentConnection.make({
      serverName: "counting",
      address: Effect.succeed("here"),
      connector: RpcConnector.make(server.connector).pipe(RpcConnector.client(group, clientOptions)),
      retry: RetryPolicy.fixed("5 seconds")
    })
    yield* settle
    return { client: PersistentRpcClient.make(group, connection, options), connection, server, tally }
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))

const invalid = { key: 1 } as unknown as { readonly key: string }

/** The time of an outage that lasts. */
const outage = (server: MemoryServer) =>
  Effect.gen(function*() {
    server.isDown = true
    server.kill()
    yield* settle
    return yield* now
  })

describe("a persistent client", () => {
  it.scoped("calls procedures on the current connection", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
      assert.strictEqual(yield* client.nested.Get({ key: "a" }), "nested a")
      assert.strictEqual(yield* client.nested["deeper.Get"]({ key: "a" }), "deeper a")
      assert.deepStrictEqual(yield* Effect.flip(client.Get({ key: "none" })), new NotFound({ key: "none" }))
      server.kill()
      yield* pass(5)
      assert.strictEqual(yield* client.Get({ key: "b" }), "value of b")
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(yield* Stream.runCollect(client.Numbers({ from: 1, to: 3 }))),
        [1, 2, 3]
      )
    }))

  it.scoped("gives a stream as a mailbox", () =>
    Effect.gen(function*() {
      const { client } = yield* serving()
      const mailbox = yield* client.Numbers({ from: 1, to: 30 }, { asMailbox: true, streamBufferSize: 4 })
      const taken: Array<number> = []
      for (let done = false; !done;) {
        const [elements, isDone] = yield* mailbox.takeAll
        taken.push(...elements)
        done = isDone
      }
      assert.deepStrictEqual(taken, Array.from({ length: 30 }, (_, index) => index + 1))
    }))

  it.scoped("takes no more elements than a mailbox holds: 16, or as many as it is told", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const taken: Array<number> = []
      for (const streamBufferSize of [undefined, 16, 4]) {
        server.arrived.length = 0
        yield* client.Numbers({ from: 1, to: 200 }, { asMailbox: true, streamBufferSize })
        yield* settle
        taken.push(server.arrived.filter((message) => message === "1 Ack").length * 2)
      }
      const [byDefault, sixteen, four] = taken as [number, number, number]
      assert.strictEqual(byDefault, sixteen)
      assert.isBelow(sixteen, 100)
      assert.isBelow(four, sixteen)
    }))

  it.scoped("fails exactly the open calls with the loss and its cause, and runs none of them again", () =>
    Effect.gen(function*() {
      const { client, server, tally } = yield* serving()
      assert.strictEqual(yield* client.Add({ id: 1 }), 1)
      const open = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      yield* settle
      server.kill()
      yield* settle
      const later = yield* Effect.fork(client.Add({ id: 2 }))
      const error = yield* Fiber.join(open)
      assert.instanceOf(error, ConnectionLost)
      assert.deepStrictEqual([error.serverName, error.generation, error.lossCause], ["counting", 1, killed])
      yield* pass(10)
      assert.strictEqual(yield* Fiber.join(later), 2)
      assert.strictEqual(tally.runs.get("Hang 1"), 1)
    }))

  for (const disableTracing of [false, true]) {
    it.scoped(`dies with an invalid payload, and uses the connection no longer: disableTracing ${disableTracing}`, () =>
      Effect.gen(function*() {
        const { client, connection } = yield* serving(undefined, undefined, undefined, { disableTracing })
        const exit = yield* Effect.exit(client.Get(invalid))
        assert.include(Exit.isFailure(exit) && Cause.pretty(exit.cause), "Expected string, actual 1")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Stream.runDrain(client.Numbers(invalid as never)))))
        yield* PersistentConnection.closeGracefully(connection, "1 hour")
      }))
  }

  it.scoped("sends an idempotent call again on the next connection, as often as necessary", () =>
    Effect.gen(function*() {
      const { client, server, tally } = yield* serving()
      const call = yield* Effect.fork(client.HangOnce({ id: 1 }))
      yield* settle
      server.onSend = () => Effect.void
      server.kill()
      yield* pass(5)
      assert.strictEqual(server.opened, 2)
      server.onSend = undefined
      server.kill()
      yield* pass(5)
      assert.strictEqual(yield* Fiber.join(call), 2)
      assert.strictEqual(tally.runs.get("HangOnce 1"), 2)
    }))

  it.scoped("takes the service of a single call before the annotation", () =>
    Effect.gen(function*() {
      const { client, server, tally } = yield* serving()
      const once = yield* Effect.fork(
        Effect.flip(client.HangOnce({ id: 1 }).pipe(Effect.provideService(RpcAnnotation.Idempotent, false)))
      )
      const again = yield* Effect.fork(
        client.Hang({ id: 1 }).pipe(Effect.provideService(RpcAnnotation.Idempotent, true))
      )
      yield* settle
      server.kill()
      yield* pass(5)
      assert.instanceOf(yield* Fiber.join(once), ConnectionLost)
      assert.isTrue(Option.isNone(yield* Fiber.poll(again)))
      assert.deepStrictEqual([tally.runs.get("HangOnce 1"), tally.runs.get("Hang 1")], [1, 2])
    }))

  it.scoped("fails an idempotent call with its last loss if there is no next connection in time", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const call = yield* Effect.fork(Effect.flip(client.HangOnce({ id: 1 })))
      yield* settle
      server.onSend = () => Effect.void
      server.kill()
      yield* pass(5)
      yield* outage(server)
      yield* pass(9.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
      yield* pass(0.001)
      // Not `NotConnected`, which says that nothing was sent.
      const error = yield* Fiber.join(call)
      assert.instanceOf(error, ConnectionLost)
      assert.deepStrictEqual([error.generation, error.lossCause], [2, killed])
    }))

  it.scoped("fails an idempotent call that was never sent with `NotConnected`", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      yield* outage(server)
      const call = yield* Effect.fork(Effect.flip(client.HangOnce({ id: 1 })))
      yield* pass(10)
      assert.instanceOf(yield* Fiber.join(call), NotConnected)
    }))

  it.scoped("fails an idempotent call with its last loss if the next connection does not send it", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const call = yield* Effect.fork(Effect.flip(client.HangOnce({ id: 1 })))
      yield* settle
      server.onSend = () => new WireError({ reason: "too busy" })
      server.kill()
      yield* pass(5)
      // Not `SendFailed`, which says that nothing was sent.
      assert.instanceOf(yield* Fiber.join(call), ConnectionLost)
    }))

  it.scoped("fails an idempotent call with the error of its last answer, also after a loss", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const call = yield* Effect.fork(Effect.flip(client.HangOnce({ id: 1 })))
      yield* settle
      server.onSend = (message) => {
        if (message._tag !== "Request") return undefined
        const exit = { _tag: "Success", value: "not a number" }
        return Effect.sync(() => server.give(JSON.stringify({ _tag: "Exit", requestId: message.id, exit })))
      }
      server.kill()
      yield* pass(5)
      const error = yield* Fiber.join(call)
      assert.strictEqual(error instanceof RpcCallError && error.reason, "DecodeFailed")
    }))

  it.scoped("fails an idempotent call with the close after a loss", () =>
    Effect.gen(function*() {
      const { client, connection, server } = yield* serving()
      const call = yield* Effect.fork(Effect.flip(client.HangOnce({ id: 1 })))
      yield* settle
      yield* outage(server)
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(call), ConnectionClosed)
    }))

  it.scoped("fails a stream with the loss, after the elements that had arrived", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const elements: Array<number> = []
      const streaming = yield* Effect.fork(Effect.flip(
        Stream.runForEach(client.Endless({ from: 1 }), (element) => Effect.sync(() => elements.push(element)))
      ))
      yield* settle
      server.kill()
      const error = yield* Fiber.join(streaming)
      assert.instanceOf(error, ConnectionLost)
      assert.deepStrictEqual(error.lossCause, killed)
      assert.deepStrictEqual(elements, [1, 2])
    }))

  it.scoped("interrupts the handlers of calls and streams that are interrupted", () =>
    Effect.gen(function*() {
      const { client, tally } = yield* serving()
      const running = yield* Effect.fork(
        Effect.all([client.Hang({ id: 1 }), Stream.runDrain(client.Endless({ from: 2 }))], { concurrency: 2 })
      )
      yield* settle
      yield* Fiber.interrupt(running)
      yield* settle
      assert.deepStrictEqual(tally.interrupted.sort(), ["Endless 2", "Hang 1"])
    }))

  it.scoped("ends the use of a call or a stream with it", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      yield* client.Add({ id: 1 })
      yield* Effect.flip(client.Get({ key: "none" }))
      yield* Stream.runHead(client.Endless({ from: 1 }))
      yield* Stream.runDrain(client.Numbers({ from: 1, to: 3 }))
      const before = yield* now
      yield* PersistentConnection.closeGracefully(connection, "1 minute")
      assert.strictEqual(yield* now, before)
    }))

  it.scoped("gives the error of a call that the transport does not send", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      server.onSend = () => new WireError({ reason: "too busy" })
      assert.instanceOf(yield* Effect.flip(client.Add({ id: 1 })), RpcCallError)
    }))
})

describe("a call without a connection", () => {
  it.scoped("waits for the next connection", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const lostAt = yield* outage(server)
      const call = yield* Effect.fork(client.Get({ key: "a" }))
      server.isDown = false
      yield* pass(5)
      assert.strictEqual(yield* Fiber.join(call), "value of a")
      assert.isAtMost((yield* now) - lostAt, 5)
    }))

  it.scoped("fails with the cause after 10 s", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      yield* outage(server)
      const call = yield* Effect.fork(Effect.flip(client.Add({ id: 1 })))
      const stream = yield* Effect.fork(Effect.flip(Stream.runDrain(client.Numbers({ from: 1, to: 2 }))))
      yield* pass(9.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
      assert.isTrue(Option.isNone(yield* Fiber.poll(stream)))
      yield* pass(0.001)
      for (const error of [yield* Fiber.join(call), yield* Fiber.join(stream)]) {
        assert.instanceOf(error, NotConnected)
        assert.deepStrictEqual(error.lastCause, Option.some(Cause.fail(new WireError({ reason: "refused" }))))
      }
    }))

  const patient = Counting.annotateRpcs(RpcAnnotation.MaxWait, "3 seconds")
  const cases = [
    ["the option of the client", { maxWait: "1 second" }, Counting, undefined, 1],
    ["the option of the client, at once", { maxWait: 0 }, Counting, undefined, 0],
    ["the annotation before the option", { maxWait: "1 second" }, patient, undefined, 3],
    ["the service before the annotation", { maxWait: "1 second" }, patient, "2 seconds", 2],
    ["the service, at once", undefined, patient, 0, 0],
    ["no limit", { maxWait: Infinity }, Counting, undefined, Infinity]
  ] as const

  for (const [name, options, group, service, seconds] of cases) {
    it.scoped(`waits for as long as it is told: ${name}`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* serving(options, new MemoryServer(), group)
        yield* outage(server)
        const add = Effect.flip(client.Add({ id: 1 }))
        const call = yield* Effect.fork(
          service === undefined ? add : Effect.provideService(add, RpcAnnotation.MaxWait, service)
        )
        if (seconds > 0) {
          yield* pass(Math.min(seconds, 3_600) - 0.001)
          assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
        }
        yield* pass(0.001)
        assert.strictEqual(Option.isSome(yield* Fiber.poll(call)), seconds !== Infinity)
      }))
  }

  it.scoped("waits for no longer in an uninterruptible region, such as a finalizer", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      yield* outage(server)
      const call = yield* Effect.fork(Effect.uninterruptible(Effect.flip(client.Add({ id: 1 }))))
      const stream = yield* Effect.fork(
        Effect.uninterruptible(Effect.flip(Stream.runDrain(client.Numbers({ from: 1, to: 2 }))))
      )
      yield* pass(10)
      for (const error of [yield* Fiber.join(call), yield* Fiber.join(stream)]) assert.instanceOf(error, NotConnected)
    }))

  it.scoped("fails at once when a graceful close has begun", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving({ maxWait: Infinity })
      yield* Effect.forkScoped(client.Hang({ id: 1 }))
      yield* settle
      yield* Effect.forkScoped(PersistentConnection.closeGracefully(connection, "1 hour"))
      yield* settle
      assert.instanceOf(yield* Effect.flip(client.Add({ id: 1 })), ConnectionClosed)
    }))

  it.scoped("fails as soon as a graceful close begins", () =>
    Effect.gen(function*() {
      const { client, connection, server } = yield* serving({ maxWait: Infinity })
      yield* Effect.forkScoped(client.Hang({ id: 1 }))
      yield* settle
      yield* PersistentConnection.refresh(connection)
      server.open.get(2)?.end(Exit.void)
      yield* settle
      const waiting = yield* Effect.fork(Effect.flip(client.Add({ id: 1 })))
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      yield* Effect.forkScoped(PersistentConnection.closeGracefully(connection, "1 hour"))
      assert.instanceOf(yield* Fiber.join(waiting), ConnectionClosed)
    }))

  it.scoped("has one limit, also if connections come and go meanwhile", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving({ maxWait: "12 seconds" })
      yield* outage(server)
      server.isDown = false
      // Each connection is lost before a call can use it.
      server.onConnect = () => server.kill()
      const call = yield* Effect.fork(Effect.flip(client.Add({ id: 1 })))
      yield* pass(11.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
      assert.isAtLeast(server.opened, 3)
      yield* pass(0.001)
      assert.instanceOf(yield* Fiber.join(call), NotConnected)
    }))

  it.scoped("dies of a negative limit", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      assert.throws(() => PersistentRpcClient.make(Counting, connection, { maxWait: -1 }), "maxWait must be")
      const exit = yield* Effect.exit(Effect.provideService(client.Add({ id: 1 }), RpcAnnotation.MaxWait, "-1 seconds"))
      assert.isTrue(Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("MaxWait must be"))
    }))
})

describe("replacing and closing", () => {
  it.scoped("`refresh` lets open calls and streams finish on the old connection", () =>
    Effect.gen(function*() {
      const { client, connection, server } = yield* serving()
      const hanging = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      const streaming = yield* Effect.fork(Effect.flip(Stream.runDrain(client.Endless({ from: 1 }))))
      yield* settle
      yield* PersistentConnection.refresh(connection)
      assert.strictEqual(yield* client.Add({ id: 1 }), 1)
      assert.deepStrictEqual(server.arrived.filter((message) => message.startsWith("2 ")), ["2 Add"])
      yield* pass(29.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(hanging)))
      assert.isTrue(Option.isNone(yield* Fiber.poll(streaming)))
      yield* pass(0.001)
      assert.instanceOf(yield* Fiber.join(hanging), ConnectionLost)
      assert.instanceOf(yield* Fiber.join(streaming), ConnectionLost)
    }))

  it.scoped("`refresh` ends calls after the drain time, while the old connection still delivers its streams", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      let stream = ""
      server.onSend = (message) => {
        if (message._tag === "Request" && message.tag === "Endless") stream ||= message.id
        return undefined
      }
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(
          Connector.make({ ...server.connector, close: (wire) => Effect.delay(wire.close, "5 seconds") })
        ).pipe(RpcConnector.client(Counting))
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      yield* settle
      const client = PersistentRpcClient.make(Counting, connection)
      const interrupted = yield* Effect.fork(client.Hang({ id: 1 }))
      const hanging = yield* Effect.fork(Effect.flip(client.Hang({ id: 2 })))
      const elements: Array<number> = []
      yield* Effect.fork(Stream.runForEach(
        PersistentConnection.stream(connection, (client) => client.Endless({ from: 1 }), { drainTimeout: "1 minute" }),
        (element) => Effect.sync(() => elements.push(element))
      ))
      yield* settle
      const old = server.open.get(1)!
      yield* PersistentConnection.refresh(connection)
      server.onSend = ({ _tag }) => _tag === "Interrupt" ? Effect.void : undefined
      yield* Fiber.interrupt(interrupted)
      server.onSend = undefined
      yield* pass(30)
      const error = yield* Fiber.join(hanging)
      assert.instanceOf(error, ConnectionLost)
      assert.deepStrictEqual(error.lossCause, Cause.empty)
      old.give(JSON.stringify({ _tag: "Chunk", requestId: stream, values: [3] }))
      yield* settle
      assert.deepStrictEqual(elements, [1, 2, 3])
      assert.isFalse(server.arrived.includes("1 Interrupt"))
      yield* pass(5)
      assert.isFalse(server.open.has(1))
    }))

  it.scoped("`close` ends open and later calls and streams with `ConnectionClosed`", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      const open = yield* Effect.fork(Effect.all([
        Effect.flip(client.Hang({ id: 1 })),
        Effect.flip(client.HangOnce({ id: 1 })),
        Effect.flip(Stream.runDrain(client.Endless({ from: 1 })))
      ], { concurrency: "unbounded" }))
      yield* settle
      yield* connection.close
      for (const error of yield* Fiber.join(open)) assert.instanceOf(error, ConnectionClosed)
      assert.instanceOf(yield* Effect.flip(client.Get({ key: "a" })), ConnectionClosed)
      assert.instanceOf(yield* Effect.flip(Stream.runDrain(client.Endless({ from: 1 }))), ConnectionClosed)
    }))

  it.scoped("`close` ends calls that wait for a connection", () =>
    Effect.gen(function*() {
      const { client, connection, server } = yield* serving({ maxWait: Infinity })
      yield* outage(server)
      const waiting = yield* Effect.fork(Effect.flip(client.Add({ id: 1 })))
      yield* settle
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(waiting), ConnectionClosed)
    }))

  it.scoped("fails open calls and streams at once if a health check finds the connection dead", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const silent = new WireError({ reason: "silent" })
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector).pipe(
          RpcConnector.client(Counting),
          Connector.healthCheck({ probe: () => Effect.fail(silent), interval: "8 seconds", timeout: "1 second" })
        ),
        // The connection is not released while its handler runs.
        onEvent: (event) => event._tag === "Connected" ? Effect.never : Effect.void
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      yield* settle
      const client = PersistentRpcClient.make(Counting, connection)
      const open = yield* Effect.fork(Effect.all([
        Effect.flip(client.Hang({ id: 1 })),
        Effect.flip(Stream.runDrain(client.Endless({ from: 1 })))
      ], { concurrency: 2 }))
      yield* pass(8)
      for (const error of yield* Fiber.join(open)) {
        assert.instanceOf(error, ConnectionLost)
        assert.deepStrictEqual(error.lossCause, Cause.fail(silent))
      }
    }))

  it.scoped("fails open calls with the loss also if the connector makes other objects of its clients", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector).pipe(
          RpcConnector.client(Counting),
          Connector.map((client) => ({ ...client }))
        )
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      yield* settle
      const open = yield* Effect.fork(Effect.flip(PersistentRpcClient.make(Counting, connection).Hang({ id: 1 })))
      yield* settle
      server.kill()
      const error = yield* Fiber.join(open)
      assert.instanceOf(error, ConnectionLost)
      assert.deepStrictEqual(error.lossCause, killed)
    }))

  it.scoped("fails open calls also if the persistent connection does not learn of the loss", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const clients = RpcConnector.make(server.connector).pipe(RpcConnector.client(Counting))
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: Connector.make({ ...clients, closed: () => Effect.never })
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      yield* settle
      const open = yield* Effect.fork(Effect.flip(PersistentRpcClient.make(Counting, connection).Hang({ id: 1 })))
      yield* settle
      server.kill()
      assert.instanceOf(yield* Fiber.join(open), ConnectionLost)
    }))

  it.scoped("fails with the mapped cause", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector).pipe(
          RpcConnector.client(Counting),
          // Its `closed` is slow: it ends some turns after the calls have failed.
          (connector) =>
            Connector.make({
              ...connector,
              closed: (client) => Effect.onError(connector.closed(client), () => Effect.repeatN(Effect.yieldNow(), 8))
            }),
          Connector.mapError(() => "mapped" as const)
        )
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      yield* settle
      const client = PersistentRpcClient.make(Counting, connection)
      const open = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      yield* settle
      server.kill()
      const error = yield* Fiber.join(open)
      assert.instanceOf(error, ConnectionLost)
      assert.deepStrictEqual(error.lossCause, Cause.fail("mapped"))
    }))
})

const Numbered = RpcGroup.make(
  RpcAnnotation.resumable(
    Rpc.make("Count", { payload: { name: Schema.String, after: Schema.Number }, success: Schema.Number, stream: true }),
    ({ name }, last) => ({ name, after: last })
  ),
  RpcAnnotation.resumable(
    Rpc.make("Words", { payload: { name: Schema.String }, success: Schema.String, error: NotFound, stream: true }),
    (payload) => payload
  )
)

/** A client of a server that counts, 2 numbers for each connection. */
const counting = Effect.gen(function*() {
  const server = new MemoryServer()
  const payloads: Array<{ readonly name: string; readonly after: number }> = []
  yield* RpcServer.make(Numbered).pipe(
    Effect.provideService(RpcServer.Protocol, yield* server.protocol),
    Effect.provide(Numbered.toLayer({
      Count: (payload) => {
        payloads.push(payload)
        return Stream.concat(Stream.make(payload.after + 1, payload.after + 2), Stream.never)
      },
      Words: ({ name }) => name === "" ? Stream.fail(new NotFound({ key: name })) : Stream.make(name)
    })),
    Effect.forkScoped
  )
  const connection = yield* PersistentConnection.make({
    serverName: "counting",
    address: Effect.succeed("here"),
    connector: RpcConnector.make(server.connector).pipe(RpcConnector.client(Numbered)),
    retry: RetryPolicy.fixed("5 seconds")
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
  yield* settle
  return { client: PersistentRpcClient.make(Numbered, connection), connection, payloads, server }
})

describe("a resumable stream of a persistent client", () => {
  it.scoped("goes on after the last element, after losses and a `refresh`", () =>
    Effect.gen(function*() {
      const { client, connection, payloads, server } = yield* counting
      const numbers: Array<number> = []
      yield* Effect.fork(
        Stream.runForEach(client.Count({ name: "a", after: 5 }), (number) => Effect.sync(() => numbers.push(number)))
      )
      yield* settle
      server.kill()
      yield* pass(5)
      assert.deepStrictEqual(numbers, [6, 7, 8, 9])
      yield* PersistentConnection.refresh(connection)
      yield* settle
      assert.deepStrictEqual(numbers, [6, 7, 8, 9, 10, 11])
      assert.deepStrictEqual(payloads, [5, 7, 9].map((after) => ({ name: "a", after })))
    }))

  it.scoped("ends as the stream of the server ends, and fails as it fails", () =>
    Effect.gen(function*() {
      const { client } = yield* counting
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(client.Words({ name: "a" }))), ["a"])
      const failed = Effect.flip(Stream.runDrain(client.Words({ name: "" })))
      assert.deepStrictEqual(yield* failed, new NotFound({ key: "" }))
    }))

  it.scoped("waits for the first connection for at most `MaxWait`, and for the next ones as long as it takes", () =>
    Effect.gen(function*() {
      const { client, server } = yield* counting
      const stream = Stream.runDrain(client.Count({ name: "a", after: 0 }))
      const running = yield* Effect.fork(stream)
      yield* settle
      server.isDown = true
      server.kill()
      yield* settle
      const late = yield* Effect.fork(Effect.flip(stream))
      yield* pass(10)
      assert.instanceOf(yield* Fiber.join(late), NotConnected)
      yield* pass(600)
      assert.isTrue(Option.isNone(yield* Fiber.poll(running)))
    }))

  it.scoped("fails with `ConnectionClosed` if the owner closes the persistent connection", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* counting
      const running = yield* Effect.fork(Effect.flip(Stream.runDrain(client.Count({ name: "a", after: 0 }))))
      yield* settle
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(running), ConnectionClosed)
    }))
})
