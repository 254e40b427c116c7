/**
 * The scenarios of the client tests of `@effect/rpc`, written anew, for each client, transport and serialization. See
 * also `realServers.test.ts`.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { assert, describe, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { until } from "../../platform/test/support/servers.js"
import { connector, layer, serve, type Wire, wires } from "./support/realServer.js"
import { authentication, custom, Journal, service, Unauthorized, User, Users } from "./support/users.js"

type Client = RpcClient.FromGroup<typeof Users, { readonly _tag: string }>

/** The three clients. All call the server at this port. */
const clients = {
  RpcProtocol: (wire: Wire, port: number) =>
    Effect.gen(function*() {
      const connection = yield* PersistentConnection.make({ ...options(port), connector: connector(wire) })
      const client = yield* RpcClient.make(Users).pipe(
        Effect.provideServiceEffect(RpcClient.Protocol, RpcProtocol.make(connection))
      )
      return client as Client
    }),
  PersistentRpcClient: (wire: Wire, port: number) =>
    Effect.map(connect(wire, port), (connection) => PersistentRpcClient.make(Users, connection) as Client),
  "RpcConnector.client": (wire: Wire, port: number) =>
    Effect.flatMap(connect(wire, port), ({ connected }) => connected as Effect.Effect<Client>)
}

const options = (port: number) => ({ serverName: "users", address: Effect.succeed(port) })

const connect = (wire: Wire, port: number) =>
  PersistentConnection.make({ ...options(port), connector: RpcConnector.client(connector(wire), Users) })

const scenarios: Record<string, (client: Client, journal: Journal) => Effect.Effect<void, unknown>> = {
  "gives an instance of the class of the result": (client) =>
    Effect.gen(function*() {
      const user = yield* client.Me()
      assert.instanceOf(user, User)
      assert.deepStrictEqual(user, new User({ id: "1", name: "from the client" }))
    }),

  "does not flatten an Option": (client) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* client.Find({ id: "5" }), Option.some(new User({ id: "5", name: "found" })))
      assert.deepStrictEqual(yield* client.Find({ id: "none" }), Option.none())
    }),

  "sends the headers of the context and of the call, through the middleware of the client": (client) =>
    Effect.gen(function*() {
      const expected = (id: string) => new User({ id, name: "from the client" })
      assert.deepStrictEqual(yield* RpcClient.withHeaders(client.Me(), { userId: "123" }), expected("123"))
      assert.deepStrictEqual(yield* client.Me(undefined, { headers: { userId: "456" } }), expected("456"))
    }),

  "gives the error of the middleware of the server, for a call and for a stream": (client) =>
    Effect.gen(function*() {
      const calls = [client.Me(), Stream.runDrain(client.Follow({ id: "1" }))]
      for (const call of calls) {
        const error = yield* Effect.flip(RpcClient.withHeaders(call as Effect.Effect<unknown, unknown>, {
          userId: "nobody"
        }))
        assert.deepStrictEqual(error, new Unauthorized({ id: "nobody" }))
      }
    }),

  "gives the error of a stream after its elements": (client) =>
    Effect.gen(function*() {
      const elements: Array<User> = []
      const error = yield* Effect.flip(
        Stream.runForEach(client.Refuse({ id: "7" }), (user) => Effect.sync(() => elements.push(user)))
      )
      assert.deepStrictEqual(error, new Unauthorized({ id: "7" }))
      assert.deepStrictEqual(elements, [new User({ id: "7", name: "one" })])
    }),

  "stops a stream that is no longer read": (client, journal) =>
    Effect.gen(function*() {
      const names: Array<string> = []
      yield* client.Follow({ id: "1" }).pipe(
        Stream.take(5),
        Stream.runForEach((user) => Effect.sync(() => names.push(user.name)))
      )
      assert.deepStrictEqual(names, ["1", "2", "3", "4", "5"])
      yield* until(() => journal.interrupted === 1)
    }),

  "slows a stream down to its consumer": (client, journal) =>
    Effect.gen(function*() {
      let read = 0
      yield* client.Follow({ id: "1" }, { streamBufferSize: 1 }).pipe(
        Stream.runForEach(() => ++read < 5 ? Effect.void : Effect.never),
        Effect.fork
      )
      yield* until(() => read === 5)
      // Without backpressure, the server would send more before each of these answers.
      for (let call = 0; call < 20; call++) yield* client.Me()
      assert.isAtLeast(journal.emitted, 5)
      assert.isAtMost(journal.emitted, 15)
    }).pipe(Effect.scoped),

  "dies with the defect of a handler": (client) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* causeOf(client.DieWithText()), Cause.die("text"))
      const error = Cause.squash(yield* causeOf(client.DieWithError()))
      assert.instanceOf(error, Error)
      assert.strictEqual(error.message, "an error")
    }),

  "runs the middleware of the server around the handler": (client, { timed }) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* client.Timed({ fails: false }), 1)
      assert.deepStrictEqual(yield* causeOf(client.Timed({ fails: true })), Cause.die("failed"))
      assert.deepStrictEqual(timed, { started: 2, succeeded: 1, died: 1 })
    })
}

const causeOf = <A, E>(call: Effect.Effect<A, E>) => Effect.flip(Effect.sandbox(call))

for (const wire of wires) {
  for (const [name, makeClient] of Object.entries(clients)) {
    describe(`${name} over ${wire.transport} with ${wire.serialization}`, () => {
      for (const [scenario, run] of Object.entries(scenarios)) {
        it.scopedLive(scenario, () =>
          Effect.gen(function*() {
            const journal = new Journal()
            const { port } = yield* serve(wire, service(journal))
            yield* run(yield* makeClient(wire, port), journal)
          }).pipe(Effect.provide([layer(wire), authentication])))
      }

      it.scopedLive("gives a defect as its schema says, if the server has no fatal defects", () =>
        Effect.gen(function*() {
          const { port } = yield* serve(wire, service(new Journal(), true))
          const client = yield* makeClient(wire, port)
          assert.deepStrictEqual(yield* causeOf(client.DieCustom()), Cause.die(custom))
        }).pipe(Effect.provide([layer(wire), authentication])))
    })
  }
}
