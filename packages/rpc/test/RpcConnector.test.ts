import type { RequestEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe } from "@effect/vitest"
import * as ConnectionError from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcCallError, RpcProtocolError } from "@persistent-connection/rpc/RpcError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { objectsReachableFrom } from "../../core/test/support/size.js"
import { it, now, pass, settle } from "../../core/test/support/virtualTime.js"
import { Tally } from "./support/counting.js"
import { MemoryServer, WireError } from "./support/memoryServer.js"

const connect = (server: MemoryServer, options?: RpcConnector.Options) =>
  PersistentConnection.make({
    serverName: "counting",
    address: Effect.succeed("here"),
    connector: RpcConnector.make(server.connector, options),
    retry: RetryPolicy.fixed("5 seconds")
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))

let lastId = 0
const request = (tag: string, payload: unknown): RequestEncoded => ({
  _tag: "Request",
  id: String(++lastId),
  tag,
  payload,
  headers: []
})

/** Sends a request, and gives all its answers. */
const ask = (connection: RpcConnector.RpcConnection<unknown>, message: RequestEncoded) =>
  Effect.gen(function*() {
    const answers: Array<RpcConnector.Answer> = []
    yield* connection.request(message, (answer) =>
      Effect.gen(function*() {
        answers.push(answer)
        if (answer._tag === "Chunk") yield* connection.send({ _tag: "Ack", requestId: message.id })
      }))
    return answers
  })

const serving = (server: MemoryServer, options?: RpcConnector.Options) =>
  Effect.gen(function*() {
    const tally = new Tally()
    yield* server.serve(tally)
    const connection = yield* connect(server, options)
    yield* settle
    return { connection, tally, rpc: yield* connection.connected }
  })

/** The cause of the last loss. */
const lastFailure = (connection: PersistentConnection.PersistentConnection<unknown, unknown>) =>
  Effect.map(
    Effect.zipRight(settle, connection.state.get),
    ({ lastCause }) => Option.getOrThrow(Option.flatMap(lastCause, Cause.failureOption))
  )

describe("an RPC connection", () => {
  it.scoped("gives the answers of a request in order, up to the last", () =>
    Effect.gen(function*() {
      const { rpc } = yield* serving(new MemoryServer())
      const answers = yield* ask(rpc, request("Numbers", { from: 1, to: 3 }))
      assert.deepStrictEqual(
        answers.map((answer) => answer._tag === "Chunk" ? answer.values : answer._tag),
        [[1, 2], [3], "Exit"]
      )
    }))

  const happenings: ReadonlyArray<[what: string, happen: (server: MemoryServer, id: string) => void]> = [
    [
      "answer",
      (server, requestId) =>
        server.give(JSON.stringify({ _tag: "Exit", requestId, exit: { _tag: "Success", value: null } }))
    ],
    ["loss", (server) => server.kill()]
  ]
  for (const [what, happen] of happenings) {
    it.scoped(`misses no ${what}, at whatever step the fiber of the request has to yield`, () =>
      Effect.gen(function*() {
        const server = new MemoryServer()
        const { connection } = yield* serving(server)
        for (let ops = 10; ops < 40; ops++) {
          for (let turns = 0; turns < 5; turns++) {
            server.onSend = (message) => {
              if (message._tag !== "Request") return undefined
              happen(server, message.id)
              return turns === 0 ? Effect.void : Effect.repeatN(Effect.yieldNow(), turns - 1)
            }
            const rpc = yield* connection.connected
            const asked = Effect.exit(ask(rpc, request("Add", { id: 1 })))
            const exit = yield* Effect.locally(asked, FiberRef.currentMaxOpsBeforeYield, ops)
            assert.strictEqual(Exit.isSuccess(exit), what === "answer")
            yield* pass(5)
            if (what === "answer") assert.strictEqual(server.opened, 1)
          }
        }
      }))
  }

  it.scoped("does not retain the answers that a request has taken", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      const message = request("Endless", { from: 1 })
      yield* Effect.fork(rpc.request(message, () => Effect.void))
      const objectsAfter = (chunks: number) =>
        Effect.gen(function*() {
          for (let chunk = 0; chunk < chunks; chunk++) {
            // The fiber of the request waits for the first one only.
            for (const value of [chunk, -chunk]) {
              server.give(JSON.stringify({ _tag: "Chunk", requestId: message.id, values: [value] }))
            }
            yield* settle
          }
          return objectsReachableFrom(rpc)
        })
      const before = yield* objectsAfter(10)
      assert.isAtMost(yield* objectsAfter(100), before + 10)
    }))

  it.scoped("answers one request while the consumer of another one waits", () =>
    Effect.gen(function*() {
      const { rpc } = yield* serving(new MemoryServer())
      yield* Effect.fork(rpc.request(request("Numbers", { from: 1, to: 3 }), () => Effect.never))
      yield* settle
      assert.strictEqual((yield* ask(rpc, request("Add", { id: 1 })))[0]?._tag, "Exit")
    }))

  it.scoped("fails its open requests with the loss and its cause, and later ones too", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      const message = request("Hang", { id: 1 })
      const hanging = yield* Effect.fork(Effect.flip(ask(rpc, message)))
      yield* settle
      server.kill()
      for (const error of [yield* Fiber.join(hanging), yield* Effect.flip(ask(rpc, message))]) {
        assert.instanceOf(error, ConnectionError.ConnectionLost)
        assert.strictEqual(error.serverName, "counting")
        assert.strictEqual(error.generation, 1)
        assert.deepStrictEqual(error.lossCause, Cause.fail(new WireError({ reason: "killed" })))
      }
    }))

  it.scoped("gives an answer that arrived just before the loss to its request", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection } = yield* serving(server)
      server.isSilent = true
      const message = request("Add", { id: 1 })
      const asking = yield* Effect.fork(PersistentConnection.use(connection, (rpc) => ask(rpc, message)))
      yield* settle
      server.give(JSON.stringify({ _tag: "Exit", requestId: message.id, exit: { _tag: "Success", value: 7 } }))
      server.kill()
      assert.strictEqual((yield* Fiber.join(asking))[0]?._tag, "Exit")
    }))

  it.scoped("tells the server when a request is interrupted, and drops its answer", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc, tally } = yield* serving(server)
      const hanging = yield* Effect.fork(ask(rpc, request("Hang", { id: 1 })))
      yield* settle
      yield* Fiber.interrupt(hanging)
      yield* settle
      assert.deepStrictEqual(tally.interrupted, ["Hang 1"])
      assert.deepStrictEqual(server.arrived, ["1 Hang", "1 Interrupt"])
      assert.strictEqual(yield* connection.connected, rpc)
    }))

  it.scoped("does not wait for the interruption of a request for more than a second", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      const hanging = yield* Effect.fork(ask(rpc, request("Hang", { id: 1 })))
      yield* settle
      server.onSend = () => Effect.never
      const interrupting = yield* Effect.fork(Fiber.interrupt(hanging))
      yield* pass(0.9)
      assert.isTrue(Option.isNone(yield* Fiber.poll(interrupting)))
      yield* pass(0.1)
      assert.isTrue(Option.isSome(yield* Fiber.poll(interrupting)))
    }))

  it.scoped("tells the server to stop when the consumer of the answers fails", () =>
    Effect.gen(function*() {
      const { rpc, tally } = yield* serving(new MemoryServer())
      const error = yield* Effect.flip(rpc.request(request("Endless", { from: 5 }), () => Effect.fail("enough")))
      yield* settle
      assert.strictEqual(error, "enough")
      assert.deepStrictEqual(tally.interrupted, ["Endless 5"])
    }))

  it.scoped("does not tell the server to stop when the consumer of the last answer fails", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      assert.strictEqual(yield* Effect.flip(rpc.request(request("Add", { id: 1 }), () => Effect.fail("bad"))), "bad")
      yield* settle
      assert.deepStrictEqual(server.arrived, ["1 Add"])
    }))

  it.scoped("dies of a request with the id of an open one", () =>
    Effect.gen(function*() {
      const { rpc } = yield* serving(new MemoryServer())
      const message = request("Hang", { id: 1 })
      yield* Effect.fork(ask(rpc, message))
      yield* settle
      const [first, second] = [yield* Effect.exit(ask(rpc, message)), yield* Effect.exit(rpc.send(message))]
      assert.isTrue(Exit.isFailure(first) && Cause.isDie(first.cause))
      assert.isTrue(Exit.isFailure(second) && Cause.isDie(second.cause))
    }))

  it.scoped("gives many answers in order, although their request waits", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      const message = request("Endless", { from: 1 })
      const taken: Array<unknown> = []
      const mayGoOn = yield* Effect.makeLatch()
      yield* Effect.fork(rpc.request(message, (answer) => {
        taken.push(answer._tag === "Chunk" ? answer.values[0] : answer._tag)
        return mayGoOn.await
      }))
      yield* settle
      const chunk = (value: number) => JSON.stringify({ _tag: "Chunk", requestId: message.id, values: [value] })
      server.give(...Array.from({ length: 7 }, (_, index) => chunk(index)))
      yield* settle
      yield* mayGoOn.open
      yield* settle
      yield* mayGoOn.close
      server.give(...Array.from({ length: 5 }, (_, index) => chunk(7 + index)))
      yield* settle
      yield* mayGoOn.open
      server.give(JSON.stringify({ _tag: "Exit", requestId: message.id, exit: { _tag: "Success" } }))
      yield* settle
      assert.deepStrictEqual(taken, [1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "Exit"])
    }))

  it.scoped("fails a request that the transport does not send, and stays", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      server.onSend = ({ _tag }) => _tag === "Request" ? new WireError({ reason: "too busy" }) : undefined
      const error = yield* Effect.flip(ask(rpc, request("Add", { id: 1 })))
      assert.instanceOf(error, RpcCallError)
      assert.deepStrictEqual(
        [error.reason, error.procedure, error.underlying],
        ["SendFailed", "Add", new WireError({ reason: "too busy" })]
      )
      server.onSend = undefined
      assert.strictEqual(yield* connection.connected, rpc)
      assert.strictEqual((yield* ask(rpc, request("Add", { id: 2 })))[0]?._tag, "Exit")
      assert.deepStrictEqual(server.arrived, ["1 Add"])
    }))

  it.scoped("fails a message that the transport does not send, and forgets it", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc, tally } = yield* serving(server)
      const [add, numbers] = [request("Add", { id: 1 }), request("Numbers", { from: 1, to: 3 })]
      yield* Effect.fork(rpc.request(numbers, () => Effect.never))
      yield* settle
      server.onSend = () => new WireError({ reason: "too busy" })
      const errors = yield* Effect.forEach([
        add,
        { _tag: "Ack", requestId: numbers.id } as const,
        { _tag: "Ack", requestId: "999999" } as const
      ], (message) => Effect.flip(rpc.send(message)))
      assert.deepStrictEqual(
        errors.map((error) => error instanceof RpcCallError && [error.reason, error.procedure]),
        [["SendFailed", "Add"], ["SendFailed", "Numbers"], ["SendFailed", "Ack"]]
      )
      server.onSend = undefined
      yield* rpc.send(add)
      assert.strictEqual(tally.total, 1)
    }))

  it.scoped("forgets a message that the transport does not send: an answer to it is a violation", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const add = request("Add", { id: 1 })
      server.onSend = () => new WireError({ reason: "too busy" })
      yield* Effect.flip(rpc.send(add))
      server.give(JSON.stringify({ _tag: "Exit", requestId: add.id, exit: { _tag: "Success", value: 7 } }))
      yield* settle
      assert.strictEqual(
        (yield* lastFailure(connection) as Effect.Effect<RpcProtocolError>).reason._tag,
        "UnknownRequest"
      )
    }))

  it.scoped("fails a request that the transport does not send, also if the transport cannot say that it is closing", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { closed, connect } = server.connector
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(Connector.make({ connect, closed }))
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      const rpc = yield* connection.connected
      server.onSend = () => new WireError({ reason: "too busy" })
      assert.instanceOf(yield* Effect.flip(ask(rpc, request("Add", { id: 1 }))), RpcCallError)
    }))

  it.scoped("fails a request with the loss if it is lost while the transport sends the request", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      server.onSend = () => {
        server.give("}{")
        return Effect.delay(new WireError({ reason: "not sent" }), "1 second")
      }
      const asking = yield* Effect.fork(Effect.flip(ask(rpc, request("Add", { id: 1 }))))
      yield* pass(1)
      assert.instanceOf(yield* Fiber.join(asking), ConnectionError.ConnectionLost)
    }))

  it.scoped("sends nothing once it is lost", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector),
        // The connection is not released while its handler runs.
        onEvent: (event) => event._tag === "Connected" ? Effect.never : Effect.void
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      const rpc = yield* connection.connected
      server.give("}{")
      yield* settle
      for (const sent of [ask(rpc, request("Add", { id: 1 })), rpc.send(request("Add", { id: 2 }))]) {
        assert.instanceOf(yield* Effect.flip(sent), ConnectionError.ConnectionLost)
      }
      assert.deepStrictEqual(server.arrived, [])
    }))

  it.scoped("is not given to anybody once it is lost", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const rpcs = RpcConnector.make(server.connector)
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        // The persistent connection learns of the loss a second later.
        connector: Connector.make({
          ...rpcs,
          closed: (rpc) => Effect.onError(rpcs.closed(rpc), () => Effect.sleep("1 second"))
        })
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      yield* connection.connected
      server.give("}{")
      yield* settle
      const waiting = yield* Effect.fork(connection.connected)
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
    }))

  it.scoped("fails a request that is not sent because the connection is about to end, with the loss", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { rpc } = yield* serving(server)
      server.isClosing = true
      server.onSend = () => new WireError({ reason: "closing" })
      const asking = yield* Effect.fork(Effect.flip(ask(rpc, request("Add", { id: 1 }))))
      yield* pass(1)
      server.kill()
      const error = yield* Fiber.join(asking)
      assert.instanceOf(error, ConnectionError.ConnectionLost)
      assert.deepStrictEqual(error.lossCause, Cause.fail(new WireError({ reason: "killed" })))
    }))

  it.scoped("is lost without a cause if the close of the transport interrupts itself", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const hanging = yield* Effect.fork(Effect.flip(ask(rpc, request("Hang", { id: 1 }))))
      yield* settle
      for (const { end } of server.open.values()) end(Exit.interrupt(FiberId.none), Exit.void)
      const error = yield* Fiber.join(hanging)
      assert.instanceOf(error, ConnectionError.ConnectionLost)
      assert.deepStrictEqual(error.lossCause, Cause.empty)
      yield* settle
      assert.strictEqual((yield* connection.state.get)._tag, "Waiting")
    }))

  it.scoped("is lost with its transport, even if the messages of the transport do not end", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const error = new WireError({ reason: "silent" })
      const transport = server.connector.pipe(
        Connector.runInBackground(() => Effect.delay(Effect.fail(error), "1 second"))
      )
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(transport, { ping: false })
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      const rpc = yield* connection.connected
      server.isSilent = true
      const open = yield* Effect.fork(ask(rpc, request("Numbers", { from: 1, to: 3 })))
      yield* pass(1_000)
      assert.strictEqual(yield* lastFailure(connection), error)
      const exit = yield* Fiber.await(open)
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("silent"))
    }))

  it.scoped("is not given to anybody once the transport is closing", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection } = yield* serving(server)
      server.isClosing = true
      const waiting = yield* Effect.fork(connection.connected)
      yield* pass(1)
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
    }))

  it.scoped("has the cause of a regular end, which the transport reports only as its close", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const hanging = yield* Effect.fork(Effect.flip(ask(rpc, request("Hang", { id: 1 }))))
      yield* settle
      const goingAway = new WireError({ reason: "going away" })
      for (const { end } of server.open.values()) end(Exit.fail(goingAway), Exit.void)
      const error = yield* Fiber.join(hanging)
      assert.instanceOf(error, ConnectionError.ConnectionLost)
      assert.deepStrictEqual(error.lossCause, Cause.fail(goingAway))
      yield* settle
      assert.deepStrictEqual(yield* lastFailure(connection), goingAway)
    }))

  const ends: ReadonlyArray<[what: string, end: Exit.Exit<void, WireError>]> = [
    ["without a cause", Exit.void],
    ["with a cause", Exit.fail(Object.assign(new WireError({ reason: "going away" }), { isRegularEnd: true }))]
  ]
  for (const [what, end] of ends) {
    const ending = (slow: "closed" | "messages") =>
      Effect.gen(function*() {
        const server = new MemoryServer()
        const { closed } = server.connector
        const later = Effect.sleep("1 second")
        const transport = slow === "closed"
          ? Connector.make({ ...server.connector, closed: (wire) => Effect.ensuring(closed(wire), later) })
          : Connector.map(server.connector, (wire) => ({ ...wire, messages: Stream.tap(wire.messages, () => later) }))
        yield* server.serve(new Tally())
        const connection = yield* PersistentConnection.make({
          serverName: "counting",
          address: Effect.succeed("here"),
          connector: RpcConnector.make(transport)
        }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
        const rpc = yield* connection.connected
        server.isSilent = true
        const asking = yield* Effect.fork(Effect.either(ask(rpc, { ...request("Add", { id: 1 }), id: "5" })))
        yield* settle
        if (slow === "messages") {
          server.give(JSON.stringify({ _tag: "Exit", requestId: "5", exit: { _tag: "Success", value: 7 } }))
        }
        for (const accepted of server.open.values()) accepted.end(end, Exit.void)
        yield* pass(0.999)
        assert.strictEqual((yield* connection.state.get)._tag, "Connected")
        yield* pass(0.001)
        assert.strictEqual((yield* connection.state.get)._tag, "Waiting")
        return yield* Fiber.join(asking)
      })

    it.scoped(`gives the answers that come after a regular end of its transport to their requests: ${what}`, () =>
      Effect.map(ending("messages"), (answers) => assert.isTrue(Either.isRight(answers))))

    it.scoped(`is lost with the end of its transport, which comes after a regular end of the messages: ${what}`, () =>
      Effect.map(ending("closed"), (answers) => {
        const lost = Either.getLeft(answers).pipe(Option.getOrThrow)
        assert.instanceOf(lost, ConnectionError.ConnectionLost)
        assert.deepStrictEqual(lost.lossCause, Exit.isFailure(end) ? end.cause : Cause.empty)
      }))
  }

  it.scoped("is printed with what it has received, and the number of its open requests", () =>
    Effect.gen(function*() {
      const { rpc } = yield* serving(new MemoryServer())
      yield* ask(rpc, request("Add", { id: 1 }))
      yield* Effect.fork(ask(rpc, request("Hang", { id: 1 })))
      yield* settle
      assert.deepStrictEqual(rpc.toJSON(), { _id: "RpcConnection", received: 1, open: 1 })
    }))

  it.scoped("fails a request that does not encode, and stays", () =>
    Effect.gen(function*() {
      const { rpc } = yield* serving(new MemoryServer())
      const error = yield* Effect.flip(ask(rpc, request("Add", { id: 1n })))
      assert.instanceOf(error, RpcCallError)
      assert.strictEqual(error.reason, "EncodeFailed")
      assert.strictEqual((yield* ask(rpc, request("Add", { id: 2 })))[0]?._tag, "Exit")
    }))

  it.scoped("drops the answer to a request for which nobody waits", () =>
    Effect.gen(function*() {
      const { connection, rpc, tally } = yield* serving(new MemoryServer())
      yield* rpc.send(request("Add", { id: 1 }))
      yield* settle
      assert.strictEqual(tally.total, 1)
      assert.strictEqual(yield* connection.connected, rpc)
    }))

  it.scoped("ends its open requests when the persistent connection is closed", () =>
    Effect.gen(function*() {
      const { connection, rpc } = yield* serving(new MemoryServer())
      const hanging = yield* Effect.fork(Effect.flip(ask(rpc, request("Hang", { id: 1 }))))
      yield* settle
      yield* connection.close
      assert.instanceOf(yield* Fiber.join(hanging), ConnectionError.ConnectionLost)
    }))
})

describe("an RPC connection over a transport of bytes", () => {
  /** The attempt of a connection over bytes. */
  const attempting = (server: MemoryServer) =>
    Effect.gen(function*() {
      yield* server.serve(new Tally())
      const bytes = Connector.map(server.connector, ({ messages, received, send }) => ({
        data: messages as Stream.Stream<Uint8Array, WireError>,
        received,
        send
      }))
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(bytes)
      })
      yield* settle
      return connection
    }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))

  it.scoped("speaks NDJSON and MsgPack", () =>
    Effect.gen(function*() {
      for (const serialization of [RpcSerialization.ndjson, RpcSerialization.msgPack]) {
        const connection = yield* attempting(new MemoryServer(serialization))
        assert.strictEqual((yield* ask(yield* connection.connected, request("Add", { id: 1 })))[0]?._tag, "Exit")
      }
    }))

  it.scoped("takes all messages that arrive together", () =>
    Effect.gen(function*() {
      const server = new MemoryServer(RpcSerialization.ndjson)
      const rpc = yield* (yield* attempting(server)).connected
      server.isSilent = true
      const messages = [request("Add", { id: 1 }), request("Add", { id: 2 })]
      const asking = yield* Effect.fork(Effect.forEach(messages, (message) => ask(rpc, message), { concurrency: 2 }))
      yield* settle
      const { encode } = server.serialization.unsafeMake()
      server.give(
        messages.map(({ id }) => encode({ _tag: "Exit", requestId: id, exit: { _tag: "Success", value: 7 } })).join("")
      )
      assert.strictEqual((yield* Fiber.join(asking)).length, 2)
    }))

  it.scoped("takes characters of which two pieces have a part each", () =>
    Effect.gen(function*() {
      const server = new MemoryServer(RpcSerialization.ndjson)
      const rpc = yield* (yield* attempting(server)).connected
      server.isSilent = true
      const message = request("Add", { id: 1 })
      const asking = yield* Effect.fork(ask(rpc, message))
      yield* settle
      const exit = { _tag: "Exit", requestId: message.id, exit: { _tag: "Success", value: "aé€😀" } } as const
      for (const byte of new TextEncoder().encode(`${JSON.stringify(exit)}\n`)) server.give(Uint8Array.of(byte))
      assert.deepStrictEqual(yield* Fiber.join(asking), [exit])
    }))

  it.scoped("does not speak JSON, which has no framing", () =>
    Effect.gen(function*() {
      const connection = yield* attempting(new MemoryServer(RpcSerialization.json))
      const { lastCause } = yield* connection.state.get
      const defect = Option.getOrThrow(Option.flatMap(lastCause, Cause.dieOption))
      assert.isTrue(Cause.isIllegalArgumentException(defect))
    }))
})

describe("bad input from the server", () => {
  const known = JSON.stringify({ _tag: "Exit", requestId: "1", exit: { _tag: "Success" } })
  const cases: ReadonlyArray<readonly [string, string | Uint8Array, RpcProtocolError["reason"]]> = [
    ["garbage", "}{", { _tag: "DecodeFailed" }],
    ["bytes that are not UTF-8", new Uint8Array([0xff, 0xfe]), { _tag: "DecodeFailed" }],
    ["a number", "7", { _tag: "UnknownMessage" }],
    ["null", "null", { _tag: "UnknownMessage" }],
    ["a list", "[]", { _tag: "UnknownMessage" }],
    ["another tag", JSON.stringify({ _tag: "Ping" }), { _tag: "UnknownMessage" }],
    ["an error of the client", JSON.stringify({ _tag: "ClientProtocolError", error: 1 }), { _tag: "UnknownMessage" }],
    ["an answer to no request", known, { _tag: "UnknownRequest" }],
    ["a chunk for no request", JSON.stringify({ _tag: "Chunk", requestId: "1", values: [1] }), {
      _tag: "UnknownRequest"
    }],
    ["an id that is no text", JSON.stringify({ _tag: "Exit", requestId: 1 }), { _tag: "UnknownRequest" }],
    ["an id that is missing", JSON.stringify({ _tag: "Exit" }), { _tag: "UnknownRequest" }],
    ["a message of the greatest length", " ".repeat(1_000), { _tag: "DecodeFailed" }],
    ["a huge message", " ".repeat(1_001), { _tag: "MessageTooLong", limit: 1_000 }]
  ]

  for (const [name, data, reason] of cases) {
    it.scoped(`ends the connection and its requests with a typed error: ${name}`, () =>
      Effect.gen(function*() {
        const server = new MemoryServer()
        const { connection, rpc } = yield* serving(server, { maxMessageSize: 1_000 })
        const hanging = yield* Effect.fork(Effect.flip(ask(rpc, { ...request("Hang", { id: 1 }), id: "5" })))
        yield* settle
        server.give(data)
        const error = yield* Fiber.join(hanging)
        const expected = new RpcProtocolError({ serverName: "counting", reason })
        assert.instanceOf(error, ConnectionError.ConnectionLost)
        assert.deepStrictEqual(error.lossCause, Cause.fail(expected))
        assert.deepStrictEqual(yield* lastFailure(connection), expected)
        yield* pass(5)
        assert.strictEqual(server.opened, 2)
        assert.strictEqual((yield* ask(yield* connection.connected, request("Add", { id: 1 })))[0]?._tag, "Exit")
      }))
  }

  it.scoped("ends the connection: a second answer to a request", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const message = request("Add", { id: 1 })
      yield* ask(rpc, message)
      server.give(JSON.stringify({ _tag: "Exit", requestId: message.id, exit: { _tag: "Success", value: 7 } }))
      yield* settle
      assert.strictEqual(
        (yield* lastFailure(connection) as Effect.Effect<RpcProtocolError>).reason._tag,
        "UnknownRequest"
      )
    }))

  for (const name of ["ndjson", "msgPack"] as const) {
    for (const missing of [1, 100]) {
      it.scoped(`is a torn message if the connection ends in the middle of one: ${name}, without ${missing} bytes`, () =>
        Effect.gen(function*() {
          const server = new MemoryServer(RpcSerialization[name])
          const { connection, rpc } = yield* serving(server)
          const message = request("Hang", { id: 1 })
          yield* Effect.fork(ask(rpc, message))
          yield* settle
          const exit = { _tag: "Success", value: "x".repeat(200) }
          const encoded = server.serialization.unsafeMake().encode({ _tag: "Exit", requestId: message.id, exit })!
          server.give(encoded.slice(0, -missing))
          server.kill(Cause.empty)
          yield* settle
          assert.deepStrictEqual(
            yield* lastFailure(connection),
            new RpcProtocolError({ serverName: "counting", reason: { _tag: "TornMessage" } })
          )
        }))
    }

    it.scoped(`is not the cause if the transport fails in the middle of a message: ${name}`, () =>
      Effect.gen(function*() {
        const server = new MemoryServer(RpcSerialization[name])
        const { connection } = yield* serving(server)
        server.give(server.serialization.unsafeMake().encode({ _tag: "Pong" })!.slice(0, -1))
        server.kill()
        assert.deepStrictEqual(yield* lastFailure(connection), new WireError({ reason: "killed" }))
      }))

    it.scoped(`is no torn message if the connection ends after one: ${name}`, () =>
      Effect.gen(function*() {
        const server = new MemoryServer(RpcSerialization[name])
        const { connection, rpc } = yield* serving(server)
        yield* ask(rpc, request("Add", { id: 1 }))
        server.kill(Cause.empty)
        yield* settle
        assert.deepStrictEqual((yield* connection.state.get).lastCause, Option.some(Cause.empty))
      }))

    it.scoped(`is too long if its serialization says so: ${name}`, () =>
      Effect.gen(function*() {
        const serialization = name === "ndjson"
          ? RpcSerialization.makeNdjson({ maxBufferSize: 100 })
          : RpcSerialization.makeMsgPack({ maxBufferSize: 100 })
        const server = new MemoryServer(serialization)
        const { connection } = yield* serving(server)
        server.give(RpcSerialization[name].unsafeMake().encode({ _tag: "Pong", text: "x".repeat(200) })!.slice(0, -1))
        yield* settle
        assert.deepStrictEqual(
          yield* lastFailure(connection),
          new RpcProtocolError({ serverName: "counting", reason: { _tag: "MessageTooLong", limit: 100 } })
        )
      }))
  }

  it.scoped("does not end the connection: a defect of a handler answers all open requests", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const slow = yield* Effect.fork(ask(rpc, request("Slow", { id: 1 })))
      // Nobody waits for the answer to this one.
      yield* rpc.send(request("Hang", { id: 1 }))
      yield* settle
      yield* ask(rpc, request("Die", { id: 2 }))
      assert.strictEqual((yield* Fiber.join(slow))[0]?._tag, "Defect")
      assert.deepStrictEqual(rpc.toJSON(), { _id: "RpcConnection", received: 1, open: 0 })
      // Now the server answers the slow request too.
      yield* pass(1)
      assert.strictEqual((yield* ask(rpc, request("Add", { id: 3 })))[0]?._tag, "Exit")
      assert.strictEqual(yield* connection.connected, rpc)
    }))

  const unanswered: Record<string, (rpc: RpcConnector.RpcConnection<unknown>, message: RequestEncoded) => unknown> = {
    "that a defect has answered": ask,
    "that is interrupted": (rpc, message) =>
      Effect.flatMap(Effect.zipLeft(Effect.fork(ask(rpc, message)), settle), Fiber.interrupt),
    "for which nobody waits": (rpc, message) => rpc.send(message)
  }
  for (const [which, leave] of Object.entries(unanswered)) {
    it.scoped(`may come late, but not twice: the answer to a request ${which}`, () =>
      Effect.gen(function*() {
        const server = new MemoryServer()
        const { connection, rpc } = yield* serving(server)
        server.onSend = (message) => {
          if (message._tag === "Request" && which === "that a defect has answered") {
            server.give(JSON.stringify({ _tag: "Defect", defect: 1 }))
          }
          return Effect.void
        }
        const messages = [request("Endless", { from: 1 }), request("Endless", { from: 2 })]
        for (const message of messages) yield* leave(rpc, message) as Effect.Effect<unknown>
        const { open } = rpc.toJSON() as { readonly open: number }
        assert.strictEqual(open, 0)
        const give = (...answers: ReadonlyArray<object>) => {
          server.give(...answers.map((answer) => JSON.stringify(answer)))
          return settle
        }
        for (const { id } of messages) {
          const chunk = { _tag: "Chunk", requestId: id, values: [1] }
          yield* give(chunk, chunk, { _tag: "Exit", requestId: id, exit: { _tag: "Success" } })
          assert.strictEqual(yield* connection.connected, rpc)
        }
        yield* give({ _tag: "Chunk", requestId: messages[0]!.id, values: [1] })
        const error = (yield* lastFailure(connection)) as RpcProtocolError
        assert.strictEqual(error.reason._tag, "UnknownRequest")
      }))
  }
})

describe("the pings", () => {
  it.scoped("are sent every 10 s of silence, and the connection is lost after 30 s without an answer", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const hanging = yield* Effect.fork(Effect.flip(ask(rpc, request("Hang", { id: 1 }))))
      yield* pass(10)
      const pings = () => server.arrived.filter((message) => message === "1 Ping").length
      assert.strictEqual(pings(), 1)
      server.isSilent = true
      let seconds = 0
      for (; Option.isNone(yield* Fiber.poll(hanging)); seconds++) yield* pass(1)
      const error = yield* Fiber.join(hanging)
      assert.instanceOf(error, ConnectionError.ConnectionLost)
      const cause = Option.getOrThrow(Cause.failureOption(error.lossCause))
      assert.isTrue(Cause.isTimeoutException(cause))
      // The interval is shortened by up to a quarter.
      assert.isAtLeast(seconds, 28 - 2.5)
      assert.isAtMost(seconds, 30)
      assert.isTrue(Cause.isTimeoutException(yield* lastFailure(connection)))
    }))

  it.scoped("are not sent to a server that sends", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serving(server)
      for (let second = 0; second < 60; second++) {
        server.give(JSON.stringify({ _tag: "Pong" }))
        yield* pass(1)
      }
      assert.deepStrictEqual(server.arrived, [])
    }))

  it.scoped("have the given times", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server, {
        ping: { interval: "1 second", timeout: "2 seconds", missedProbes: 1 }
      })
      server.isSilent = true
      yield* pass(2.7)
      assert.strictEqual(yield* connection.connected, rpc)
      yield* pass(0.3)
      assert.strictEqual((yield* connection.state.get)._tag, "Waiting")
    }))

  it.scoped("can be turned off", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server, { ping: false })
      server.isSilent = true
      yield* pass(3_600)
      assert.strictEqual(yield* connection.connected, rpc)
      assert.deepStrictEqual(server.arrived, [])
    }))

  it.scoped("probe the server on demand", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      yield* PersistentConnection.reconnectNow(connection, { whenConnected: "probe" })
      assert.deepStrictEqual(server.arrived, ["1 Ping"])
      assert.strictEqual(yield* now, 0)
      assert.strictEqual(yield* connection.connected, rpc)
    }))

  it.scoped("are not retained once they are answered", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection, rpc } = yield* serving(server)
      const probe = PersistentConnection.reconnectNow(connection, { whenConnected: "probe" })
      yield* Effect.repeatN(probe, 9)
      const before = objectsReachableFrom(rpc)
      yield* Effect.repeatN(probe, 9)
      assert.strictEqual(server.arrived.length, 20)
      assert.strictEqual(objectsReachableFrom(rpc), before)
    }))

  it.scoped("that cannot be sent end the connection", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { connection } = yield* serving(server)
      server.onSend = () => new WireError({ reason: "broken" })
      yield* pass(10)
      assert.deepStrictEqual(yield* lastFailure(connection), new WireError({ reason: "broken" }))
    }))
})

describe("a connector", () => {
  it.scoped("probes, terminates and closes with its transport, if the transport can do that", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const { closed, connect } = server.connector
      const log: Array<string> = []
      const logged = (what: string) => () => Effect.sync(() => void log.push(what))
      const connector = RpcConnector.make(
        Connector.make({
          connect,
          closed,
          probe: logged("probe"),
          terminate: logged("terminate"),
          close: logged("close")
        }),
        { ping: false }
      )
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.succeed("here"),
        connector
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      const rpc = yield* connection.connected
      yield* connector.probe!(rpc)
      yield* connector.terminate!(rpc)
      yield* connector.close!(rpc)
      assert.deepStrictEqual(log, ["probe", "terminate", "close"])
      assert.deepStrictEqual(server.arrived, [])
      const without = RpcConnector.make(Connector.make({ connect, closed }), { ping: false })
      assert.deepStrictEqual([without.probe, without.terminate, without.close], [undefined, undefined, undefined])
    }))

  it.scoped("refuses the connections of others", () =>
    Effect.gen(function*() {
      const { rpc } = yield* serving(new MemoryServer())
      const other = RpcConnector.make(new MemoryServer().connector)
      for (const connection of [rpc, { ...rpc }]) {
        assert.throws(() => other.closed(connection as never), "does not belong to this connector")
      }
    }))
})

describe("wrong options", () => {
  const { connector } = new MemoryServer()
  const cases: ReadonlyArray<readonly [string, RpcConnector.Options]> = [
    ["maxMessageSize", { maxMessageSize: 0 }],
    ["maxMessageSize", { maxMessageSize: NaN }],
    ["interval", { ping: { interval: 0 } }],
    ["timeout", { ping: { timeout: 0 } }],
    ["missedProbes", { ping: { missedProbes: 0 } }]
  ]
  for (const [name, options] of cases) {
    it(`are refused, and named: ${name}`, () => {
      assert.throws(() => RpcConnector.make(connector, options), name)
    })
  }
})
