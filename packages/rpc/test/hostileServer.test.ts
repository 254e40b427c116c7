/** A server that breaks the protocol while calls are open: each gets a typed error, and the next connection works. */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcProtocolError, type RpcProtocolErrorReason } from "@persistent-connection/rpc/RpcError"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { it, pass, settle } from "../../core/test/support/virtualTime.js"
import { Counting, Tally } from "./support/counting.js"
import { MemoryServer } from "./support/memoryServer.js"

type Client = RpcClient.FromGroup<typeof Counting, unknown>

const settings = { serverName: "counting", address: Effect.succeed("here"), retry: RetryPolicy.fixed("5 seconds") }
const limit = { maxMessageSize: 10_000 }

const clients = {
  RpcProtocol: (server: MemoryServer, options = limit) =>
    Effect.gen(function*() {
      const connector = RpcConnector.make(server.connector, options)
      const protocol = yield* RpcProtocol.make(yield* PersistentConnection.make({ ...settings, connector }))
      return (yield* Effect.provideService(RpcClient.make(Counting), RpcClient.Protocol, protocol)) as Client
    }),
  PersistentRpcClient: (server: MemoryServer, options = limit) =>
    Effect.gen(function*() {
      const connector = RpcConnector.make(server.connector, options).pipe(RpcConnector.client(Counting))
      return PersistentRpcClient.make(Counting, yield* PersistentConnection.make({ ...settings, connector })) as Client
    })
}

/** The ids of the requests that are open. */
interface Open {
  readonly call: string
  readonly stream: string
}

interface Attack {
  readonly messages: (open: Open) => ReadonlyArray<object | string>
  readonly reason: RpcProtocolErrorReason
  /** Is the call or the stream answered before the violation? */
  readonly answered?: "call" | "stream"
}

const success = (requestId: string, value?: unknown) => ({ _tag: "Exit", requestId, exit: { _tag: "Success", value } })

const attacks: Record<string, Attack> = {
  "garbage": { messages: () => ["}{"], reason: { _tag: "DecodeFailed" } },
  "half a message": { messages: () => [`{"_tag":"Exit","requestId":`], reason: { _tag: "DecodeFailed" } },
  "a huge message": {
    messages: () => [" ".repeat(20_000)],
    reason: { _tag: "MessageTooLong", limit: limit.maxMessageSize }
  },
  "an unknown message": { messages: () => [{ _tag: "Launch" }], reason: { _tag: "UnknownMessage" } },
  "an answer to an unknown request": { messages: () => [success("999999")], reason: { _tag: "UnknownRequest" } },
  "a request id of a prototype": { messages: () => [success("__proto__")], reason: { _tag: "UnknownRequest" } },
  "a second exit of a call": {
    messages: ({ call }) => [success(call), success(call)],
    reason: { _tag: "UnknownRequest" },
    answered: "call"
  },
  "a chunk after the exit of a stream": {
    messages: ({ stream }) => [success(stream), { _tag: "Chunk", requestId: stream, values: [3] }],
    reason: { _tag: "UnknownRequest" },
    answered: "stream"
  },
  "an exit without a result": {
    messages: ({ call }) => [{ _tag: "Exit", requestId: call }],
    reason: { _tag: "UnknownMessage" }
  },
  "an exit that is neither a success nor a failure": {
    messages: (
      { stream }
    ) => [{ _tag: "Exit", requestId: stream, exit: { _tag: "Perhaps", cause: { _tag: "Empty" } } }],
    reason: { _tag: "UnknownMessage" }
  },
  "a failure without a cause": {
    messages: ({ call }) => [{ _tag: "Exit", requestId: call, exit: { _tag: "Failure" } }],
    reason: { _tag: "UnknownMessage" }
  },
  "a chunk that is no list": {
    messages: ({ stream }) => [{ _tag: "Chunk", requestId: stream, values: 3 }],
    reason: { _tag: "UnknownMessage" }
  },
  "an empty chunk": {
    messages: ({ stream }) => [{ _tag: "Chunk", requestId: stream, values: [] }],
    reason: { _tag: "UnknownMessage" }
  },
  "a procedure that it does not have": {
    messages: () => [{ _tag: "Defect", defect: "Unknown request tag: Hang" }],
    reason: { _tag: "UnknownProcedure", procedure: "Hang" }
  }
}

/** The reason of the loss that a call failed with. */
const reasonOf = (error: unknown): RpcProtocolErrorReason => {
  const lost = error instanceof RpcClientError ? error.cause : error
  assert.instanceOf(lost, ConnectionLost)
  const cause = Cause.squash(lost.lossCause)
  assert.instanceOf(cause, RpcProtocolError)
  return cause.reason
}

for (const [name, makeClient] of Object.entries(clients)) {
  it.scoped(`${name} ends only the call whose answer is nested too deeply, and delivers the others`, () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const client = yield* makeClient(server, { maxMessageSize: 1_000_000 })
      const ids: Array<string> = []
      server.onSend = (message) => {
        if (message._tag === "Request") ids.push(message.id)
        return Effect.void
      }
      const calls = yield* Effect.fork(Effect.forEach([1, 2, 3], (id) => Effect.exit(client.Add({ id })), {
        concurrency: 3
      }))
      yield* settle
      const [first, second, third] = ids as [string, string, string]
      const cause = `{"_tag":"Sequential","right":{"_tag":"Empty"},"left":`.repeat(10_000)
      const deep = `{"_tag":"Failure","cause":${cause}{"_tag":"Die","defect":"deep"}${"}".repeat(10_001)}`
      server.give(
        JSON.stringify(success(first, 1)),
        `{"_tag":"Exit","requestId":"${second}","exit":${deep}}`,
        JSON.stringify(success(third, 3))
      )
      const [before, deeper, after] = yield* Fiber.join(calls)
      assert.deepStrictEqual([before, after], [Exit.succeed(1), Exit.succeed(3)])
      const error = Exit.isFailure(deeper!) ? String(Cause.squash(deeper.cause)) : ""
      assert.include(error, name === "RpcProtocol" ? "RangeError" : "RpcCallError")
      assert.strictEqual(server.opened, 1)
    }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.json)))

  describe(`${name} fails open calls with a typed error, and reconnects, after`, () => {
    for (const [attack, { answered, messages, reason }] of Object.entries(attacks)) {
      it.scoped(attack, () =>
        Effect.gen(function*() {
          const server = new MemoryServer()
          const tally = new Tally()
          yield* server.serve(tally)
          const ids = new Map<string, string>()
          server.onSend = (message) => {
            if (message._tag === "Request") ids.set(message.tag, message.id)
            return undefined
          }
          const client = yield* makeClient(server)
          const call = yield* Effect.fork(Effect.either(client.Hang({ id: 1 })))
          const stream = yield* Effect.fork(Effect.either(Stream.runDrain(client.Endless({ from: 1 }))))
          const idempotent = yield* Effect.fork(Effect.either(client.HangOnce({ id: 1 })))
          yield* settle
          const open = { call: ids.get("Hang")!, stream: ids.get("Endless")! }
          for (const message of messages(open)) {
            server.give(typeof message === "string" ? message : JSON.stringify(message))
          }
          yield* settle
          for (const [kind, fiber] of [["call", call], ["stream", stream]] as const) {
            const result = yield* Fiber.join(fiber)
            if (kind === answered) assert.strictEqual(result._tag, "Right")
            else assert.deepStrictEqual(result._tag === "Left" && reasonOf(result.left), reason)
          }
          yield* pass(5)
          const again = yield* Fiber.join(idempotent)
          if (name === "PersistentRpcClient") assert.deepStrictEqual(again, Either.right(2))
          else assert.deepStrictEqual(Either.isLeft(again) && reasonOf(again.left), reason)
          assert.strictEqual(server.opened, 2)
          assert.strictEqual(yield* client.Add({ id: 1 }), 1)
          assert.strictEqual(tally.runs.get("Hang 1"), 1)
        }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.json)))
    }
  })
}
