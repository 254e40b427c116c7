import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe } from "@effect/vitest"
import * as ConnectionError from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcCallError } from "@persistent-connection/rpc/RpcError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { it, pass, settle } from "../../core/test/support/virtualTime.js"
import { Counting, NotFound, Tally } from "./support/counting.js"
import { MemoryServer, WireError } from "./support/memoryServer.js"

const serving = (server = new MemoryServer()) =>
  Effect.gen(function*() {
    const tally = new Tally()
    yield* server.serve(tally)
    const connection = yield* PersistentConnection.make({
      serverName: "counting",
      address: Effect.succeed("here"),
      connector: RpcConnector.make(server.connector).pipe(RpcConnector.client(Counting)),
      retry: RetryPolicy.fixed("5 seconds")
    })
    yield* settle
    return { client: yield* connection.connected, connection, server, tally }
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))

const killed = Cause.fail(new WireError({ reason: "killed" }))

describe("the client of a connection", () => {
  it.scoped("calls procedures, and gives their results and errors", () =>
    Effect.gen(function*() {
      const { client } = yield* serving()
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
      assert.strictEqual(yield* client.nested.Get({ key: "a" }), "nested a")
      assert.deepStrictEqual(yield* Effect.flip(client.Get({ key: "none" })), new NotFound({ key: "none" }))
      const date = new Date(5)
      assert.deepStrictEqual(yield* client.When({ date }), date)
    }))

  it.scoped("gives the elements of a stream, and its error", () =>
    Effect.gen(function*() {
      const { client } = yield* serving()
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(yield* Stream.runCollect(client.Numbers({ from: 1, to: 100 }))),
        Array.from({ length: 100 }, (_, index) => index + 1)
      )
      assert.deepStrictEqual(
        yield* Effect.flip(Stream.runDrain(client.Endless({ from: -1 }))),
        new NotFound({ key: "-1" })
      )
    }))

  it.scoped("answers calls while the consumer of a stream is slow", () =>
    Effect.gen(function*() {
      const { client } = yield* serving()
      yield* Effect.fork(
        Stream.runForEach(client.Numbers({ from: 1, to: 100 }, { streamBufferSize: 1 }), () => Effect.never)
      )
      yield* settle
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
    }))

  it.scoped("does not wait for the answer to a discarded call", () =>
    Effect.gen(function*() {
      const { client, tally } = yield* serving()
      yield* client.Hang({ id: 1 }, { discard: true })
      assert.strictEqual(tally.runs.get("Hang 1"), 1)
    }))

  it.scoped("interrupts the handler of a call or of a stream that is interrupted", () =>
    Effect.gen(function*() {
      const { client, tally } = yield* serving()
      for (const call of [client.Hang({ id: 1 }), Stream.runDrain(client.Endless({ from: 2 }))]) {
        const running = yield* Effect.fork(call as Effect.Effect<unknown, unknown>)
        yield* settle
        const exit = yield* Fiber.interrupt(running)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      }
      yield* settle
      assert.deepStrictEqual(tally.interrupted, ["Hang 1", "Endless 2"])
    }))

  it.scoped("fails open calls with the loss and its cause, and calls on a lost connection at once", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const hanging = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      yield* settle
      server.kill()
      const expected = new ConnectionError.ConnectionLost({ serverName: "counting", generation: 1, lossCause: killed })
      const later = client.Get({ key: "a" })
      for (const error of [yield* Fiber.join(hanging), yield* Effect.flip(later)]) {
        assert.deepStrictEqual(error, expected)
        assert.deepStrictEqual((error as typeof expected).lossCause, killed)
      }
    }))

  it.scoped("gives the elements of a stream that had arrived, and then the loss", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      const elements: Array<number> = []
      const running = yield* Effect.fork(Effect.flip(
        Stream.runForEach(client.Endless({ from: 1 }), (element) => Effect.sync(() => elements.push(element)))
      ))
      yield* settle
      server.kill()
      assert.instanceOf(yield* Fiber.join(running), ConnectionError.ConnectionLost)
      assert.deepStrictEqual(elements, [1, 2])
    }))

  it.scoped("fails with a typed error if the answer does not match the schemas, and the connection stays", () =>
    Effect.gen(function*() {
      const { client, connection, server } = yield* serving()
      server.isSilent = true
      let id = ""
      server.onSend = (message) => {
        if (message._tag === "Request") id = message.id
        return undefined
      }
      for (const exit of [{ _tag: "Success", value: 7 }, { _tag: "Failure", cause: { _tag: "Perhaps" } }]) {
        const calling = yield* Effect.fork(Effect.flip(client.Get({ key: "a" })))
        yield* settle
        server.give(JSON.stringify({ _tag: "Exit", requestId: id, exit }))
        const error = yield* Fiber.join(calling)
        assert.instanceOf(error, RpcCallError)
        assert.deepStrictEqual([error.reason, error.procedure], ["DecodeFailed", "Get"])
      }
      const streaming = yield* Effect.fork(Effect.flip(Stream.runDrain(client.Numbers({ from: 1, to: 2 }))))
      yield* settle
      server.give(JSON.stringify({ _tag: "Chunk", requestId: id, values: ["text"] }))
      assert.instanceOf(yield* Fiber.join(streaming), RpcCallError)
      assert.strictEqual(server.arrived.at(-1), "1 Interrupt")
      assert.strictEqual(yield* connection.connected, client)
    }))

  it.scoped("fails with a typed error if the answer is nested too deeply for the stack", () =>
    Effect.gen(function*() {
      const { client, connection, server } = yield* serving()
      server.isSilent = true
      const inner = `{"_tag":"Die","defect":"deep"}`
      const deep = (open: string, close: string) => `${open.repeat(10_000)}${inner}${close.repeat(10_000)}`
      const cause = deep(`{"_tag":"Sequential","right":{"_tag":"Empty"},"left":`, "}")
      let id = ""
      server.onSend = (message) => void (message._tag === "Request" && (id = message.id))
      const answers = [
        () => `{"_tag":"Exit","requestId":"${id}","exit":{"_tag":"Failure","cause":${cause}}}`,
        () => `{"_tag":"Defect","defect":${deep("[", "]")}}`
      ]
      for (const answer of answers) {
        const calling = yield* Effect.fork(Effect.flip(client.Get({ key: "a" })))
        yield* settle
        server.give(answer())
        const error = yield* Fiber.join(calling)
        assert.instanceOf(error, RpcCallError)
        assert.deepStrictEqual([error.reason, String(error.underlying)], [
          "DecodeFailed",
          "RangeError: Maximum call stack size exceeded"
        ])
      }
      assert.strictEqual(yield* connection.connected, client)
    }))

  it.scoped("dies if a schema throws, and fails if that is a stack overflow", () =>
    Effect.gen(function*() {
      const { server } = yield* serving()
      const errors = [
        [new RangeError("Invalid array length"), "Die"],
        ["Maximum call stack size exceeded", "Die"],
        // Firefox
        [Object.assign(new Error("too much recursion"), { name: "InternalError" }), "Fail"]
      ] as const
      for (const [error, expected] of errors) {
        const success = Schema.transformOrFail(Schema.String, Schema.String, {
          decode: () => Effect.zipRight(Effect.yieldNow(), Effect.die(error)),
          encode: ParseResult.succeed
        })
        const connection = yield* PersistentConnection.make({
          serverName: "counting",
          address: Effect.succeed("here"),
          connector: RpcConnector.make(server.connector).pipe(
            RpcConnector.client(RpcGroup.make(Rpc.make("Get", { payload: { key: Schema.String }, success })))
          )
        }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
        const exit = yield* Effect.exit((yield* connection.connected).Get({ key: "a" }))
        assert.strictEqual(Exit.isFailure(exit) && exit.cause._tag, expected)
      }
    }))

  it.scoped("fails with a typed error if the payload does not encode", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const key = Schema.transformOrFail(Schema.String, Schema.String, {
        decode: ParseResult.succeed,
        encode: (text, _, ast) => ParseResult.fail(new ParseResult.Type(ast, text))
      })
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector).pipe(
          RpcConnector.client(RpcGroup.make(Rpc.make("Get", { payload: { key } })))
        )
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      const error = yield* Effect.flip((yield* connection.connected).Get({ key: "a" }))
      assert.instanceOf(error, RpcCallError)
      assert.deepStrictEqual([error.reason, error.procedure], ["EncodeFailed", "Get"])
    }))

  it.scoped("fails with a typed error if the transport does not send the call", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serving()
      server.onSend = () => new WireError({ reason: "too busy" })
      for (const call of [client.Get({ key: "a" }), client.Get({ key: "a" }, { discard: true })]) {
        const error = yield* Effect.flip(call)
        assert.instanceOf(error, RpcCallError)
        assert.strictEqual(error.reason, "SendFailed")
      }
    }))

  it.scoped("lets only the call die whose handler dies, if the server has no fatal defects", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      server.disableFatalDefects = true
      const { client } = yield* serving(server)
      const hanging = yield* Effect.fork(client.Hang({ id: 1 }))
      yield* settle
      const exit = yield* Effect.exit(client.Die({ id: 2 }))
      assert.isTrue(Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("died in 2"))
      assert.isTrue(Option.isNone(yield* Fiber.poll(hanging)))
    }))

  it.scoped("lets all open calls die with a fatal defect of the server", () =>
    Effect.gen(function*() {
      const { client } = yield* serving()
      const hanging = yield* Effect.fork(client.Hang({ id: 1 }))
      yield* settle
      yield* Effect.exit(client.Die({ id: 2 }))
      const exit = yield* Fiber.await(hanging)
      assert.isTrue(Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("died in 2"))
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
    }))

  it.scoped("fails open calls outside of a use when the connection is closed", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* serving()
      const hanging = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      yield* settle
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(hanging), ConnectionError.ConnectionLost)
    }))

  it.scoped("works with `stream` and `resumableStream` across connections", () =>
    Effect.gen(function*() {
      const { connection, server } = yield* serving()
      const resumed: Array<number | string> = []
      const again: Array<number> = []
      yield* Effect.fork(Stream.runForEach(
        PersistentConnection.resumableStream(connection, {
          subscribe: (client, last: Option.Option<number>) =>
            Effect.succeed(client.Endless({ from: Option.getOrElse(last, () => 0) + 1 })),
          cursor: (element) => element
        }),
        (element) => Effect.sync(() => resumed.push(element._tag === "Gap" ? "gap" : element.value))
      ))
      yield* Effect.fork(Stream.runForEach(
        PersistentConnection.stream(connection, (client) => client.Endless({ from: 1 })),
        (element) => Effect.sync(() => again.push(element))
      ))
      yield* settle
      for (let kills = 0; kills < 2; kills++) {
        server.kill()
        yield* pass(5)
      }
      assert.deepStrictEqual(resumed, [1, 2, "gap", 3, 4, "gap", 5, 6])
      assert.deepStrictEqual(again, [1, 2, 1, 2, 1, 2])
    }))
})
