import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import type { FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe } from "@effect/vitest"
import { ConnectionClosed, ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcCallError } from "@persistent-connection/rpc/RpcError"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { objectsReachableFrom } from "../../core/test/support/size.js"
import { it, now, pass, settle } from "../../core/test/support/virtualTime.js"
import { Counting, NotFound, Tally } from "./support/counting.js"
import { MemoryServer, WireError } from "./support/memoryServer.js"

const killed = Cause.fail(new WireError({ reason: "killed" }))

const serving = (options?: RpcProtocol.Options, server = new MemoryServer(), transport = server.connector) =>
  Effect.gen(function*() {
    const tally = new Tally()
    yield* server.serve(tally)
    const connection = yield* PersistentConnection.make({
      serverName: "counting",
      address: Effect.succeed("here"),
      connector: RpcConnector.make(transport),
      retry: RetryPolicy.fixed("5 seconds")
    })
    const protocol = yield* RpcProtocol.make(connection, options)
    const client = yield* RpcClient.make(Counting).pipe(Effect.provideService(RpcClient.Protocol, protocol))
    yield* settle
    return { client, connection, protocol, server, tally }
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))

/** The error of a call, which must be an `RpcClientError`, and its cause. */
const causeOf = <A, E>(call: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(call), (error) => {
    assert.instanceOf(error, RpcClientError)
    assert.strictEqual(error.message, (error.cause as Error).message)
    return error.cause
  })

describe("the protocol over a persistent connection", () => {
  it.scoped("serves `RpcClient.make`", () =>
    Effect.gen(function*() {
      const { client } = yield* serving()
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
      assert.strictEqual(yield* client.nested.Get({ key: "a" }), "nested a")
      assert.deepStrictEqual(yield* Effect.flip(client.Get({ key: "none" })), new NotFound({ key: "none" }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(yield* Stream.runCollect(client.Numbers({ from: 1, to: 100 }))),
        Array.from({ length: 100 }, (_, index) => index + 1)
      )
      assert.deepStrictEqual(
        yield* Effect.flip(Stream.runDrain(client.Endless({ from: -1 }))),
        new NotFound({ key: "-1" })
      )
      yield* client.Add({ id: 1 }, { discard: true })
    }))

  it.scoped("is a layer over the persistent connection of a tag", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const connector = RpcConnector.make(server.connector)
      class Server extends Context.Tag("test/Server")<Server, PersistentConnection.Of<typeof connector>>() {}
      const ProtocolLive = RpcProtocol.layer(Server).pipe(
        Layer.provide(PersistentConnection.layer(Server, {
          serverName: "counting",
          address: Effect.succeed("here"),
          connector
        })),
        Layer.provide(RpcSerialization.layerJson)
      )
      const value = yield* Effect.scoped(Effect.flatMap(RpcClient.make(Counting), (client) => client.Get({ key: "a" })))
        .pipe(Effect.provide(ProtocolLive))
      assert.strictEqual(value, "value of a")
      assert.strictEqual(server.open.size, 0)
    }))

  it.scoped("fails open calls and streams at once with the loss and its cause, and sends none again", () =>
    Effect.gen(function*() {
      const { client, server, tally } = yield* serving()
      const elements: Array<number> = []
      const open = yield* Effect.fork(Effect.all([
        causeOf(client.Hang({ id: 1 })),
        causeOf(client.HangOnce({ id: 1 })),
        causeOf(Stream.runForEach(client.Endless({ from: 1 }), (element) => Effect.sync(() => elements.push(element))))
      ], { concurrency: "unbounded" }))
      yield* settle
      const lostAt = yield* now
      server.kill()
      for (const cause of yield* Fiber.join(open)) {
        assert.instanceOf(cause, ConnectionLost)
        assert.deepStrictEqual(cause.lossCause, killed)
      }
      assert.strictEqual(yield* now, lostAt)
      assert.deepStrictEqual(elements, [1, 2])
      yield* pass(5)
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
      assert.deepStrictEqual([tally.runs.get("Hang 1"), tally.runs.get("HangOnce 1")], [1, 1])
    }))

  it.scoped("fails a stream with the loss also if its consumer is slow, after the elements that had arrived", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const latch = yield* Effect.makeLatch()
      const elements: Array<number> = []
      const streaming = yield* Effect.fork(causeOf(Stream.runForEach(
        client.Numbers({ from: 1, to: 100 }, { streamBufferSize: 1 }),
        (element) => Effect.zipRight(latch.await, Effect.sync(() => elements.push(element)))
      )))
      yield* settle
      server.kill()
      yield* pass(1)
      yield* latch.open
      const cause = yield* Fiber.join(streaming)
      assert.instanceOf(cause, ConnectionLost)
      assert.deepStrictEqual(cause.lossCause, killed)
      assert.deepStrictEqual(elements, [1, 2, 3, 4])
    }))

  it.scoped("interrupts the handler of a stream whose slow consumer is interrupted", () =>
    Effect.gen(function*() {
      const { client, tally } = yield* serving()
      const streaming = yield* Effect.fork(
        Stream.runForEach(client.Endless({ from: 1 }, { streamBufferSize: 1 }), () => Effect.never)
      )
      yield* settle
      yield* Fiber.interrupt(streaming)
      yield* settle
      assert.deepStrictEqual(tally.interrupted, ["Endless 1"])
    }))

  it.scoped("lets a new call wait for the next connection, for 10 s", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      server.kill()
      yield* settle
      assert.strictEqual(yield* Effect.zipRight(Effect.fork(pass(5)), client.Get({ key: "a" })), "value of a")
      server.isDown = true
      server.kill()
      yield* settle
      const call = yield* Effect.fork(causeOf(client.Get({ key: "a" })))
      yield* pass(9.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
      yield* pass(0.001)
      const cause = yield* Fiber.join(call)
      assert.instanceOf(cause, NotConnected)
    }))

  it.scoped("lets a new call fail at once, if told so for the client or for the call", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving({ maxWait: 0 })
      server.isDown = true
      server.kill()
      yield* settle
      assert.instanceOf(yield* causeOf(client.Get({ key: "a" })), NotConnected)
      const call = yield* Effect.fork(
        causeOf(Effect.provideService(client.Get({ key: "a" }), RpcAnnotation.MaxWait, "2 seconds"))
      )
      yield* pass(1.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
      yield* pass(0.001)
      assert.instanceOf(yield* Fiber.join(call), NotConnected)
    }))

  it.scoped("fails a call that the transport does not send", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      server.onSend = () => new WireError({ reason: "too busy" })
      assert.instanceOf(yield* causeOf(client.Get({ key: "a" })), RpcCallError)
      server.onSend = undefined
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
    }))

  it.scoped("dies of a transport that throws, and leaves nothing open", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      let isBroken = false
      const transport = Connector.map(server.connector, (wire) => ({
        ...wire,
        send: (data: string | Uint8Array) => {
          if (isBroken) throw new Error("broken")
          return wire.send(data)
        }
      }))
      const { client, connection } = yield* serving(undefined, server, transport)
      isBroken = true
      const exit = yield* Effect.exit(client.Get({ key: "a" }))
      assert.include(Exit.isFailure(exit) && Cause.pretty(exit.cause), "broken")
      isBroken = false
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
      assert.include(JSON.stringify(yield* connection.connected), `"open":0`)
      const begun = yield* now
      yield* PersistentConnection.closeGracefully(connection, "1 minute")
      assert.strictEqual(yield* now, begun)
    }))

  it.scoped("does not fail other calls with a call that fails alone", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const hanging = yield* Effect.fork(client.Hang({ id: 1 }))
      yield* settle
      server.onSend = () => new WireError({ reason: "too busy" })
      assert.instanceOf(yield* causeOf(client.Get({ key: "a" })), RpcCallError)
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(hanging)))
    }))

  it.scoped("lets all open calls die with a fatal defect of the server, and no later one", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const latch = yield* Effect.makeLatch()
      // The consumer of this stream is slow, and so are its acknowledgements: the defect reaches it late.
      server.onSend = ({ _tag }) => _tag === "Ack" ? Effect.sleep("1 second") : undefined
      const streaming = yield* Effect.fork(
        Stream.runForEach(client.Numbers({ from: 1, to: 100 }), () => latch.await)
      )
      const open = yield* Effect.fork(client.Hang({ id: 1 }))
      yield* settle
      yield* Effect.exit(client.Die({ id: 2 }))
      const later = yield* Effect.fork(client.Hang({ id: 3 }))
      yield* pass(1)
      yield* latch.open
      for (const died of [open, streaming]) {
        const exit = yield* Fiber.await(died)
        assert.isTrue(Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("died in 2"))
      }
      assert.isTrue(Option.isNone(yield* Fiber.poll(later)))
    }))

  it.scoped("interrupts the handlers of calls and streams that are interrupted", () =>
    Effect.gen(function*() {
      const { client, server, tally } = yield* serving()
      const running = yield* Effect.fork(
        Effect.all([client.Hang({ id: 1 }), Stream.runDrain(client.Endless({ from: 2 }))], { concurrency: 2 })
      )
      yield* settle
      yield* Fiber.interrupt(running)
      yield* settle
      assert.deepStrictEqual(tally.interrupted.sort(), ["Endless 2", "Hang 1"])
      assert.strictEqual(server.arrived.filter((message) => message === "1 Interrupt").length, 2)
    }))

  it.scoped("`refresh` lets open calls finish on the old connection", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      const hanging = yield* Effect.fork(causeOf(client.Hang({ id: 1 })))
      const streaming = yield* Effect.fork(Stream.runDrain(Stream.take(client.Numbers({ from: 1, to: 9 }), 9)))
      yield* PersistentConnection.refresh(connection)
      assert.strictEqual(yield* client.Add({ id: 1 }), 1)
      yield* Fiber.join(streaming)
      yield* pass(29.999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(hanging)))
      yield* pass(0.001)
      assert.instanceOf(yield* Fiber.join(hanging), ConnectionLost)
    }))

  it.scoped("fails calls when the persistent connection is closed", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      const open = yield* Effect.fork(causeOf(client.Hang({ id: 1 })))
      yield* settle
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(open), ConnectionClosed)
      assert.instanceOf(yield* causeOf(client.Get({ key: "a" })), ConnectionClosed)
    }))

  it.scoped("removes what `RpcClient` keeps of a failed call, and of no other call", () =>
    Effect.gen(function*() {
      const { client, protocol, server } = yield* serving()
      const written: Array<FromServerEncoded> = []
      yield* Effect.forkScoped(protocol.run((message) => Effect.sync(() => written.push(message))))
      const open = yield* Effect.fork(client.Hang({ id: 1 }))
      yield* settle
      server.onSend = () => new WireError({ reason: "too busy" })
      const send = (id: string) =>
        Effect.exit(protocol.send({ _tag: "Request", id, tag: "Add", payload: { id: 1 }, headers: [] }))
      // As for a discarded call: the fiber that sends does not end.
      yield* Effect.forkScoped(Effect.zipRight(send("1001"), Effect.never))
      yield* Effect.fork(send("1002"))
      yield* settle
      const exits = written.map((message) => message._tag === "Exit" && [message.requestId, message.exit._tag])
      assert.deepStrictEqual(exits.sort(), [["1001", "Failure"], ["1002", "Failure"]])
      assert.isTrue(Option.isNone(yield* Fiber.poll(open)))
      // The answer that removes the entry must not become the result of the call.
      assert.instanceOf(yield* causeOf(client.Add({ id: 1 })), RpcCallError)
    }))

  it.scoped("removes what `RpcClient` keeps of a call with an invalid `MaxWait`", () =>
    Effect.gen(function*() {
      const { protocol } = yield* serving()
      const written: Array<string> = []
      yield* Effect.forkScoped(protocol.run((message) => Effect.sync(() => written.push(message._tag))))
      const sent = protocol.send({ _tag: "Request", id: "1001", tag: "Add", payload: { id: 1 }, headers: [] })
      yield* Effect.fork(Effect.provideService(sent, RpcAnnotation.MaxWait, "-1 seconds"))
      yield* settle
      assert.deepStrictEqual(written, ["Exit"])
    }))

  it.scoped("does nothing for a failed call whose client has gone", () =>
    Effect.gen(function*() {
      const { connection } = yield* serving()
      const protocol = yield* RpcProtocol.make(connection)
      const send = protocol.send({ _tag: "Request", id: "1001", tag: "Add", payload: { id: 1 }, headers: [] })
      const running = yield* Effect.fork(protocol.run(() => Effect.void))
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(running)))
      yield* connection.close
      const scheduler = new Scheduler.ControlledScheduler()
      const sending = yield* Effect.fork(Effect.withScheduler(Effect.exit(send), scheduler))
      yield* settle
      yield* Fiber.interrupt(running)
      for (let step = 0; step < 100; step++) scheduler.step()
      assert.isTrue(Exit.isFailure(yield* Fiber.join(sending)))
      assert.strictEqual(scheduler.tasks.buckets.length, 0)
    }))

  it.scoped("gives a failure to its call at whatever step the fiber of the call has to yield", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      server.onSend = () => new WireError({ reason: "too busy" })
      for (let ops = 10; ops < 60; ops++) {
        const failed = Effect.locally(causeOf(client.Add({ id: 1 })), FiberRef.currentMaxOpsBeforeYield, ops)
        assert.instanceOf(yield* failed, RpcCallError)
      }
    }))

  it.scoped("sends nothing for a message that belongs to no stream", () =>
    Effect.gen(function*() {
      const { client, protocol, server } = yield* serving()
      for (let streams = 0; streams < 2; streams++) {
        server.arrived.length = 0
        yield* protocol.send({ _tag: "Ack", requestId: "1001" })
        yield* protocol.send({ _tag: "Interrupt", requestId: "1001" })
        assert.deepStrictEqual(server.arrived, [])
        yield* Stream.runDrain(client.Numbers({ from: 1, to: 3 }))
      }
    }))

  it.scoped("does not retain the connections of streams that have ended", () =>
    Effect.gen(function*() {
      const { client, protocol, server } = yield* serving()
      const connections = Effect.gen(function*() {
        for (let kills = 0; kills < 3; kills++) {
          yield* Stream.runDrain(client.Numbers({ from: 1, to: 3 }))
          server.kill()
          yield* pass(5)
        }
        return objectsReachableFrom(protocol)
      })
      const before = yield* connections
      assert.strictEqual(yield* connections, before)
    }))

  it.scoped("dies of a negative limit", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      assert.throws(() => RpcProtocol.make(connection, { maxWait: -1 }), "maxWait must be")
      const exit = yield* Effect.exit(Effect.provideService(client.Add({ id: 1 }), RpcAnnotation.MaxWait, "-1 seconds"))
      assert.isTrue(Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("MaxWait must be"))
    }))

  it.scoped("waits with a call until its client has begun to run the protocol", () =>
    Effect.gen(function*() {
      const { connection } = yield* serving()
      const protocol = yield* RpcProtocol.make(connection)
      const sent = yield* Effect.forEach(["1001", "1002"], (id) =>
        Effect.gen(function*() {
          const written: Array<FromServerEncoded> = []
          const message = { _tag: "Request", id, tag: "Add", payload: { id: 1 }, headers: [] } as const
          const sending = yield* Effect.fork(protocol.send(message))
          yield* settle
          const running = yield* Effect.fork(protocol.run((answer) => Effect.sync(() => written.push(answer))))
          yield* Fiber.join(sending)
          yield* settle
          yield* Fiber.interrupt(running)
          return written.map((answer) => answer._tag === "Exit" && answer.requestId)
        }))
      assert.deepStrictEqual(sent, [["1001"], ["1002"]])
    }))

  it.scoped("gives an exit to the client when the request has ended", () =>
    Effect.gen(function*() {
      const { connection } = yield* serving()
      const protocol = yield* RpcProtocol.make(connection)
      const log: Array<string> = []
      yield* Effect.fork(protocol.run(({ _tag }) => Effect.sync(() => log.push(_tag))))
      yield* protocol.send({ _tag: "Request", id: "1001", tag: "Add", payload: { id: 1 }, headers: [] })
      log.push("sent")
      yield* settle
      assert.deepStrictEqual(log, ["sent", "Exit"])
    }))

  it.scoped("decodes the answers side by side, if a schema waits", () =>
    Effect.gen(function*() {
      const { connection, server } = yield* serving()
      const slow = Schema.transformOrFail(Schema.String, Schema.String, {
        decode: (value) => value === "value of never" ? Effect.never : Effect.as(Effect.sleep("1 second"), value),
        encode: Effect.succeed
      })
      const group = RpcGroup.make(Rpc.make("Get", { payload: { key: Schema.String }, success: slow }))
      const protocol = yield* RpcProtocol.make(connection)
      const client = yield* RpcClient.make(group).pipe(Effect.provideService(RpcClient.Protocol, protocol))
      const begun = yield* now
      const never = yield* Effect.fork(client.Get({ key: "never" }))
      const values = yield* Effect.fork(
        Effect.forEach(["a", "b", "c"], (key) => client.Get({ key }), { concurrency: "unbounded" })
      )
      yield* settle
      yield* pass(1)
      assert.deepStrictEqual(yield* Fiber.join(values), ["value of a", "value of b", "value of c"])
      assert.strictEqual((yield* now) - begun, 1)
      assert.strictEqual(never.unsafePoll(), null)
      assert.strictEqual(server.open.size, 1)
    }))

  it.scoped("lets only the call or stream die whose answer makes its schema throw", () =>
    Effect.gen(function*() {
      const { connection, server } = yield* serving()
      const throwing = Schema.transform(Schema.String, Schema.String, {
        decode: (value) => {
          if (value === "value of bug") throw new Error("bug")
          return value
        },
        encode: (value) => value
      })
      const group = RpcGroup.make(
        Rpc.make("Get", { payload: { key: Schema.String }, success: throwing }),
        Rpc.make("Numbers", {
          payload: { from: Schema.Number, to: Schema.Number },
          success: Schema.Number.pipe(Schema.filter(() => {
            throw new Error("bug")
          })),
          stream: true
        })
      )
      const protocol = yield* RpcProtocol.make(connection)
      const client = yield* RpcClient.make(group).pipe(Effect.provideService(RpcClient.Protocol, protocol))
      const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        ...["a", "bug", "bug", "b"].map((key) => client.Get({ key })),
        Stream.runDrain(client.Numbers({ from: 1, to: 2 }))
      ]
      const ended = yield* Effect.fork(
        Effect.all(calls.map(Effect.sandbox), { concurrency: "unbounded", mode: "either" })
      )
      yield* settle
      assert.deepStrictEqual(
        (yield* Fiber.join(ended)).map(Either.match({
          onLeft: (cause) => String(Option.getOrThrow(Cause.dieOption(cause))),
          onRight: String
        })),
        ["value of a", "Error: bug", "Error: bug", "value of b", "Error: bug"]
      )
      assert.strictEqual(yield* client.Get({ key: "c" }), "value of c")
      assert.strictEqual(server.opened, 1)
    }))

  it.scoped("serves several clients", () =>
    Effect.gen(function*() {
      const { client, protocol, server } = yield* serving()
      const other = yield* RpcClient.make(Counting).pipe(Effect.provideService(RpcClient.Protocol, protocol))
      assert.strictEqual(yield* other.Get({ key: "a" }), "value of a")
      assert.strictEqual(yield* client.Get({ key: "b" }), "value of b")
      const open = yield* Effect.fork(Effect.all([causeOf(client.Hang({ id: 1 })), causeOf(other.Hang({ id: 2 }))], {
        concurrency: 2
      }))
      yield* settle
      server.kill()
      for (const cause of yield* Fiber.join(open)) assert.instanceOf(cause, ConnectionLost)
    }))
})
