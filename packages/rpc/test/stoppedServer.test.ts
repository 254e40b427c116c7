/**
 * A server that stops in the regular way: it interrupts its handlers, answers all open requests with that, and then ends
 * its connections. For the clients that is a loss. A handler that is interrupted alone fails its call.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe } from "@effect/vitest"
import { ConnectionClosed, ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcCallError } from "@persistent-connection/rpc/RpcError"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { it, now, pass, settle } from "../../core/test/support/virtualTime.js"
import { Counting, Tally } from "./support/counting.js"
import { MemoryServer, WireError } from "./support/memoryServer.js"

type Client = RpcClient.FromGroup<typeof Counting, unknown>

const options = { serverName: "counting", address: Effect.succeed("here"), retry: RetryPolicy.fixed("5 seconds") }

const connect = (server: MemoryServer) =>
  PersistentConnection.make({
    ...options,
    connector: RpcConnector.make(server.connector).pipe(RpcConnector.client(Counting))
  })

const clients = {
  RpcProtocol: (server: MemoryServer) =>
    Effect.gen(function*() {
      const connector = RpcConnector.make(server.connector)
      const protocol = yield* RpcProtocol.make(yield* PersistentConnection.make({ ...options, connector }))
      return (yield* Effect.provideService(RpcClient.make(Counting), RpcClient.Protocol, protocol)) as Client
    }),
  PersistentRpcClient: (server: MemoryServer) =>
    Effect.map(connect(server), (connection) => PersistentRpcClient.make(Counting, connection) as Client),
  "RpcConnector.client": (server: MemoryServer) =>
    Effect.flatMap(connect(server), ({ connected }) => connected as Effect.Effect<Client>)
}

/** The typed error of this library. */
const typed = (error: unknown): unknown => error instanceof RpcClientError ? error.cause : error

/** Stops the server, which ends its connections a second later. The clients are connected to the next one. */
const restarted = (server: MemoryServer, tally: Tally) =>
  Effect.gen(function*() {
    yield* server.stop
    yield* server.serve(tally)
    yield* pass(1)
    server.kill(Cause.empty)
    yield* pass(5)
  })

const serving = <A, E, R>(makeClient: (server: MemoryServer) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const server = new MemoryServer()
    const tally = new Tally()
    yield* server.serve(tally)
    const client = yield* makeClient(server)
    yield* settle
    return { client, server, tally }
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.json))

/** A call and a stream that fail. The stream has given 1 and 2 before. */
const failing = (client: Client) =>
  Effect.gen(function*() {
    const elements: Array<number> = []
    const open = yield* Effect.fork(Effect.all([
      Effect.flip(client.Hang({ id: 1 })),
      Effect.flip(
        Stream.runForEach(client.Endless({ from: 1 }), (element) => Effect.sync(() => elements.push(element)))
      )
    ], { concurrency: 2 }))
    yield* settle
    assert.deepStrictEqual(elements, [1, 2])
    return open
  })

for (const [name, makeClient] of Object.entries(clients)) {
  describe(`after a server has interrupted its handlers, ${name}`, () => {
    it.scoped("fails open calls and streams with the loss, at once when the connection ends", () =>
      Effect.gen(function*() {
        const { client, server } = yield* serving(makeClient)
        const open = yield* failing(client)
        yield* server.stop
        yield* pass(2.999)
        assert.isTrue(Option.isNone(yield* Fiber.poll(open)))
        const cause = Cause.fail(new WireError({ reason: "gone" }))
        server.kill(cause)
        yield* settle
        for (const error of (yield* Fiber.join(open)).map(typed)) {
          assert.instanceOf(error, ConnectionLost)
          assert.deepStrictEqual(error.lossCause, cause)
        }
      }))

    it.scoped("fails open calls and streams with a typed error if the connection lives on for 3 s", () =>
      Effect.gen(function*() {
        const { client, server, tally } = yield* serving(makeClient)
        const open = yield* failing(client)
        yield* server.stop
        yield* pass(2.999)
        assert.isTrue(Option.isNone(yield* Fiber.poll(open)))
        yield* pass(0.001)
        for (const error of (yield* Fiber.join(open)).map(typed)) {
          assert.instanceOf(error, RpcCallError)
          assert.strictEqual(error.reason, "Interrupted")
          assert.include(["Hang", "Endless"], error.procedure)
          assert.include(error.message, "the server interrupted it")
        }
        yield* server.serve(tally)
        yield* settle
        assert.strictEqual(yield* client.Add({ id: 1 }), 1)
        assert.strictEqual(server.opened, 1)
      }))

    it.scoped("interrupts a call that the caller interrupts meanwhile, and asks the server for nothing", () =>
      Effect.gen(function*() {
        const { client, server } = yield* serving(makeClient)
        const open = yield* failing(client)
        yield* server.stop
        yield* settle
        const began = yield* now
        const exit = yield* Fiber.interrupt(open)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        assert.strictEqual(yield* now, began)
        yield* settle
        assert.notInclude(server.arrived, "1 Interrupt")
      }))
  })
}

describe("a persistent client of a server that stops", () => {
  const serveBoth = serving((server) =>
    Effect.map(connect(server), (connection) => ({
      client: PersistentRpcClient.make(Counting, connection),
      connection
    }))
  )

  it.scoped("sends idempotent calls again, and those in `useRetrying`", () =>
    Effect.gen(function*() {
      const { client: { client, connection }, server, tally } = yield* serveBoth
      const again = yield* Effect.fork(Effect.all([
        client.HangOnce({ id: 1 }),
        PersistentConnection.useRetrying(connection, (client) => client.HangOnce({ id: 2 }))
      ], { concurrency: 2 }))
      yield* settle
      yield* restarted(server, tally)
      assert.deepStrictEqual(yield* Fiber.join(again), [2, 2])
    }))

  it.scoped("goes on with `stream` and `resumableStream` on the next connection", () =>
    Effect.gen(function*() {
      const { client: { connection }, server, tally } = yield* serveBoth
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
      yield* restarted(server, tally)
      assert.deepStrictEqual(resumed, [1, 2, "gap", 3, 4])
      assert.deepStrictEqual(again, [1, 2, 1, 2])
    }))

  it.scoped("fails a stream with the loss also if its consumer is slow, after the elements that had arrived", () =>
    Effect.gen(function*() {
      const { client: { client }, server } = yield* serveBoth
      const latch = yield* Effect.makeLatch()
      const elements: Array<number> = []
      const streaming = yield* Effect.fork(Effect.flip(Stream.runForEach(
        client.Numbers({ from: 1, to: 100 }, { streamBufferSize: 1 }),
        (element) => Effect.zipRight(latch.await, Effect.sync(() => elements.push(element)))
      )))
      yield* settle
      yield* server.stop
      yield* settle
      server.kill()
      yield* pass(10)
      yield* latch.open
      assert.instanceOf(yield* Fiber.join(streaming), ConnectionLost)
      assert.deepStrictEqual(elements, [1, 2, 3, 4])
    }))

  it.scoped("fails a call that drains with the loss when the drain time is over", () =>
    Effect.gen(function*() {
      const { client: { client, connection }, server } = yield* serveBoth
      const open = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      yield* settle
      yield* PersistentConnection.refresh(connection)
      yield* pass(29)
      yield* server.stop
      yield* pass(1)
      assert.instanceOf(yield* Fiber.join(open), ConnectionLost)
    }))

  it.scoped("fails calls with the close if the persistent connection closes meanwhile", () =>
    Effect.gen(function*() {
      const { client: { client, connection }, server } = yield* serveBoth
      const open = yield* Effect.fork(Effect.flip(client.Hang({ id: 1 })))
      yield* settle
      yield* server.stop
      yield* settle
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(open), ConnectionClosed)
    }))
})

describe("a request on the connection of a server that stops", () => {
  const serveConnection = serving((server) =>
    Effect.flatMap(
      PersistentConnection.make({ ...options, connector: RpcConnector.make(server.connector) }),
      ({ connected }) => connected
    )
  )
  const request = { _tag: "Request", id: "1", tag: "Endless", payload: { from: 1 }, headers: [] } as const

  it.scoped("takes the answers that had arrived, but not the interruption", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serveConnection
      const latch = yield* Effect.makeLatch()
      const answers: Array<string> = []
      const asking = yield* Effect.fork(Effect.flip(
        client.request(request, ({ _tag }) => Effect.zipRight(latch.await, Effect.sync(() => answers.push(_tag))))
      ))
      yield* settle
      yield* server.stop
      yield* pass(10)
      server.kill()
      yield* latch.open
      assert.instanceOf(yield* Fiber.join(asking), ConnectionLost)
      assert.deepStrictEqual(answers, ["Chunk"])
    }))

  it.scoped("waits for no longer in an uninterruptible region", () =>
    Effect.gen(function*() {
      const { client, server } = yield* serveConnection
      const asking = yield* Effect.fork(Effect.uninterruptible(Effect.flip(client.request(request, () => Effect.void))))
      yield* settle
      yield* server.stop
      yield* pass(3)
      assert.instanceOf(yield* Fiber.join(asking), RpcCallError)
    }))
})

const empty = `{"_tag":"Empty"}`
const interrupt = `{"_tag":"Interrupt","fiberId":{"_tag":"None"}}`
const failure = `{"_tag":"Fail","error":{"_tag":"NotFound","key":"a"}}`
const sequential = (left: string, right: string, times = 1) =>
  `{"_tag":"Sequential","left":`.repeat(times) + left + `,"right":${right}}`.repeat(times)

describe("an exit of the server", () => {
  const causes: ReadonlyArray<[what: string, cause: string, isInterruption: boolean]> = [
    ["an interruption", interrupt, true],
    ["an interruption after nothing", sequential(empty, interrupt), true],
    ["very many interruptions", sequential(interrupt, interrupt, 30_000), true],
    ["a failure, then an interruption", sequential(failure, interrupt), false],
    ["an interruption, then a failure", sequential(interrupt, failure), false],
    ["one half of a cause", `{"_tag":"Sequential","left":${interrupt}}`, false],
    ["a failure", failure, false]
  ]
  for (const [what, cause, isInterruption] of causes) {
    it.scoped(`with ${what} ${isInterruption ? "waits for the end of the connection" : "is given at once"}`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* serving(clients["RpcConnector.client"])
        server.isSilent = true
        let id = ""
        server.onSend = (message) => {
          if (message._tag === "Request") id = message.id
          return undefined
        }
        const calling = yield* Effect.fork(Effect.either(client.Get({ key: "a" })))
        yield* settle
        const answer = `{"_tag":"Exit","requestId":"${id}","exit":{"_tag":"Failure","cause":${cause}}}`
        server.give(answer)
        yield* settle
        const exit = yield* Fiber.poll(calling)
        assert.strictEqual(Option.isNone(exit), isInterruption)
        // It is an answer: a second one would be a violation of the protocol.
        server.give(answer)
        yield* settle
        assert.strictEqual(server.open.size, 0)
        const result = yield* Fiber.join(calling)
        assert.strictEqual(Either.isLeft(result) && result.left instanceof ConnectionLost, isInterruption)
      }))
  }
})
