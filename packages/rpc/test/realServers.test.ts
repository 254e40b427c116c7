/** The scenarios of the client tests of `@effect/rpc`, written anew, for every transport and serialization. */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import { assert, describe, it } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { until } from "../../platform/test/support/servers.js"
import { Counting, NotFound, Tally } from "./support/counting.js"
import { connector, layer, start, type Wire, wires } from "./support/realServer.js"

const options = (wire: Wire, port: number) => ({
  serverName: "counting",
  address: Effect.succeed(port),
  connector: connector(wire),
  retry: RetryPolicy.fixed("20 millis")
})

type Client = RpcClient.FromGroup<typeof Counting, { readonly _tag: string }>
interface Made {
  readonly client: Client
  readonly connection: PersistentConnection.PersistentConnection<unknown, unknown>
}

/** The two clients over all connections: `RpcClient.make` over the protocol, and `PersistentRpcClient`. */
const clients = {
  RpcProtocol: (wire: Wire, port: number) =>
    Effect.gen(function*() {
      const connection = yield* PersistentConnection.make(options(wire, port))
      const client = yield* RpcClient.make(Counting).pipe(
        Effect.provideServiceEffect(RpcClient.Protocol, RpcProtocol.make(connection))
      )
      return { client, connection } as Made
    }),
  PersistentRpcClient: (wire: Wire, port: number) =>
    Effect.gen(function*() {
      const { connector, ...rest } = options(wire, port)
      const connection = yield* PersistentConnection.make({
        ...rest,
        connector: RpcConnector.client(connector, Counting)
      })
      return { client: PersistentRpcClient.make(Counting, connection), connection } as Made
    })
}

const isLost = (error: unknown): boolean =>
  (error instanceof RpcClientError ? error.cause : error) instanceof ConnectionLost

for (const wire of wires) {
  for (const [name, makeClient] of Object.entries(clients)) {
    describe(`${name} over ${wire.transport} with ${wire.serialization}`, () => {
      const serving = Effect.gen(function*() {
        const tally = new Tally()
        const server = yield* start(wire, tally)
        return { ...(yield* makeClient(wire, server.port)), server, tally }
      })

      it.scopedLive("gives results, errors and defects", () =>
        Effect.gen(function*() {
          const { client } = yield* serving
          assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
          assert.strictEqual(yield* client.nested.Get({ key: "a" }), "nested a")
          assert.deepStrictEqual(yield* Effect.flip(client.Get({ key: "none" })), new NotFound({ key: "none" }))
          const date = new Date(1_000)
          assert.deepStrictEqual(yield* client.When({ date }), date)
          const exit = yield* Effect.exit(client.Die({ id: 1 }))
          assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
          const long = "x".repeat(300_000)
          assert.strictEqual(yield* client.Get({ key: long }), `value of ${long}`)
        }).pipe(Effect.provide(layer(wire))))

      it.scopedLive("gives the elements of a stream in order, its error, and stops it", () =>
        Effect.gen(function*() {
          const { client, tally } = yield* serving
          assert.deepStrictEqual(
            Chunk.toReadonlyArray(yield* Stream.runCollect(client.Numbers({ from: 1, to: 500 }))),
            Array.from({ length: 500 }, (_, index) => index + 1)
          )
          assert.deepStrictEqual(
            yield* Effect.flip(Stream.runDrain(client.Endless({ from: -1 }))),
            new NotFound({ key: "-1" })
          )
          const two = Stream.runDrain(Stream.take(Stream.rechunk(client.Endless({ from: 1 }), 1), 2))
          yield* two
          yield* until(() => tally.interrupted.includes("Endless 1"))
        }).pipe(Effect.provide(layer(wire))))

      it.scopedLive("interrupts the handler of an interrupted call", () =>
        Effect.gen(function*() {
          const { client, tally } = yield* serving
          const hanging = yield* Effect.fork(client.Hang({ id: 1 }))
          yield* until(() => tally.runs.has("Hang 1"))
          yield* Fiber.interrupt(hanging)
          yield* until(() => tally.interrupted.includes("Hang 1"))
          assert.strictEqual(yield* client.Add({ id: 1 }), 1)
        }).pipe(Effect.provide(layer(wire))))

      for (const end of ["kill", "stop"] as const) {
        it.scopedLive(`goes on after the \`${end}\` of the server, which has started again`, () =>
          Effect.gen(function*() {
            const { client, server, tally } = yield* serving
            const open = yield* Effect.fork(Effect.all([
              Effect.flip(client.Hang({ id: 1 })),
              Effect.flip(Stream.runDrain(client.Endless({ from: 1 })))
            ], { concurrency: 2 }))
            const again = yield* Effect.fork(Effect.either(client.HangOnce({ id: 1 })))
            yield* until(() => tally.runs.size === 2)
            yield* server[end]
            for (const error of yield* Fiber.join(open)) assert.isTrue(isLost(error))
            yield* start(wire, tally, server.port)
            const result = yield* Fiber.join(again)
            if (name === "PersistentRpcClient") assert.deepStrictEqual(result, Either.right(2))
            else assert.isTrue(Either.isLeft(result) && isLost(result.left))
            assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
            assert.strictEqual(tally.runs.get("Hang 1"), 1)
          }).pipe(Effect.provide(layer(wire))))
      }
    })
  }
}
