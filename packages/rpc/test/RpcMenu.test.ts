import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import type { FromClientEncoded } from "@effect/rpc/RpcMessage"
import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import { assert, describe } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import { RpcCallError, RpcMenuError, RpcProtocolError } from "@persistent-connection/rpc/RpcError"
import * as RpcMenu from "@persistent-connection/rpc/RpcMenu"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { it, pass, settle } from "../../core/test/support/virtualTime.js"
import { Counting, Tally } from "./support/counting.js"
import { MemoryServer } from "./support/memoryServer.js"

const price1 = Rpc.make("Price@1", { payload: { symbol: Schema.String }, success: Schema.Number })
const price2 = Rpc.make("Price@2", { payload: { symbol: Schema.String }, success: Schema.String })
const stop = Rpc.make("Stop")

const Old = RpcGroup.make(price1, stop)
const New = RpcGroup.make(price1, price2, stop)

const handlers = New.toLayer({
  "Price@1": () => Effect.succeed(1),
  "Price@2": () => Effect.succeed("two"),
  Stop: () => Effect.void
})

/** Serves this group with its menu, or with that of another group. */
const serve = (server: MemoryServer, group: RpcGroup.RpcGroup<any>, menu = group) =>
  Layer.launch(RpcServer.layer(RpcMenu.addTo(group)).pipe(Layer.provide([handlers, RpcMenu.layer(menu)]))).pipe(
    Effect.provideServiceEffect(RpcServer.Protocol, server.protocol),
    Effect.forkScoped
  ) as Effect.Effect<unknown>

const connect = <Rpcs extends Rpc.Any>(
  server: MemoryServer,
  group: RpcGroup.RpcGroup<Rpcs>,
  options?: RpcMenu.CheckOptions
) =>
  Effect.gen(function*() {
    const connection = yield* PersistentConnection.make({
      serverName: "prices",
      address: Effect.succeed("here"),
      connector: RpcConnector.make(server.connector).pipe(RpcMenu.check(group, options), RpcConnector.client(group)),
      retry: RetryPolicy.fixed("5 seconds")
    })
    yield* settle
    return connection
  }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))

/** The id of the last request that a client has sent. */
const menuIdOf = (server: MemoryServer) => {
  let id = ""
  server.onSend = (message) => void (message._tag === "Request" && (id = message.id))
  return () => id
}

const failureOf = (connection: PersistentConnection.PersistentConnection<unknown, unknown>) =>
  Effect.map(connection.state.get, (state) => {
    assert.strictEqual(state._tag, "Waiting")
    const failure = Option.getOrThrow(Option.flatMap(state.lastCause, Cause.failureOption))
    assert.instanceOf(failure, RpcMenuError)
    return failure
  })

describe("the menu", () => {
  it.scoped("lets a client use a server that has its procedures", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, New)
      let first: FromClientEncoded | undefined
      server.onSend = (message) => void (first ??= message)
      const client = yield* (yield* connect(server, New)).connected
      assert.strictEqual(yield* client["Price@2"]({ symbol: "a" }), "two")
      assert.ok(first?._tag === "Request")
      const { id } = first
      assert.deepStrictEqual(
        first,
        { _tag: "Request", id, tag: "@persistent-connection/rpc/Menu", headers: [] } as never
      )
      assert.strictEqual(server.arrived[0], "1 @persistent-connection/rpc/Menu")
    }))

  it.scoped("names the procedures that the server does not have, or has with other schemas", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, New)
      const Other = RpcGroup.make(price1, Rpc.make("Start"), stop.setSuccess(Schema.Number))
      const error = yield* failureOf(yield* connect(server, Other))
      assert.deepStrictEqual(error.reason, { _tag: "Incompatible", missing: ["Start"], incompatible: ["Stop"] })
      assert.strictEqual(
        error.message,
        `RPC server "prices": it does not have "Start"; it has other schemas for "Stop"`
      )
      assert.strictEqual(server.open.size, 0)
    }))

  it.scoped("needs one version of a procedure, and chooses the newest that the server of a connection has", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, Old)
      const connection = yield* connect(server, New)
      const newest = PersistentConnection.use(
        connection,
        (client) => Effect.succeed(RpcMenu.newest(client, "Price@2", "Price@1"))
      )
      assert.strictEqual(yield* newest, "Price@1")
      // The server is replaced by a new one.
      yield* serve(server, New)
      server.kill()
      yield* pass(5)
      assert.strictEqual(yield* newest, "Price@2")
    }))

  it.scoped("does not choose a version with other schemas", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, New)
      const connection = yield* connect(server, RpcGroup.make(price1, price2.setSuccess(Schema.Boolean)))
      assert.strictEqual(RpcMenu.newest(yield* connection.connected, "Price@2", "Price@1"), "Price@1")
    }))

  const versions = [
    ["versions of several digits", ["Price@9"], ["Price@9", "Price@10"], []],
    ["a version without a number", ["Price"], ["Price", "Price@2"], []],
    ["no version in the middle of a tag", ["Price@1/Stop"], ["Price@1/Stop", "Price@2/Stop"], ["Price@2/Stop"]]
  ] as const
  for (const [name, served, used, missing] of versions) {
    it.scoped(`knows ${name}`, () =>
      Effect.gen(function*() {
        const server = new MemoryServer()
        const group = (tags: ReadonlyArray<string>) => RpcGroup.make(...tags.map((tag) => Rpc.make(tag)))
        yield* serve(server, group(served))
        const connection = yield* connect(server, group(used))
        if (missing.length === 0) return assert.strictEqual((yield* connection.state.get)._tag, "Connected")
        assert.deepStrictEqual((yield* failureOf(connection)).reason, {
          _tag: "Incompatible",
          missing,
          incompatible: []
        })
      }))
  }

  it.scoped("is checked also if the connector makes other objects of its connections", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, New)
      const connection = yield* PersistentConnection.make({
        serverName: "prices",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector).pipe(
          Connector.map((rpc) => Object.assign({}, rpc)),
          RpcMenu.check(New)
        )
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      assert.strictEqual(RpcMenu.newest(yield* connection.connected, "Price@2", "Price@1"), "Price@1")
    }))

  it.scoped("is required", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      assert.deepStrictEqual((yield* failureOf(yield* connect(server, Counting))).reason, { _tag: "NoMenu" })
    }))

  it.scoped("is not required if the client accepts servers without one", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* server.serve(new Tally())
      const client = yield* (yield* connect(server, Counting, { withoutMenu: "accept" })).connected
      assert.strictEqual(yield* client.Get({ key: "a" }), "value of a")
      assert.strictEqual(RpcMenu.newest(client, "b", "a"), "a")
    }))

  it.scoped("is fetched with an id that no `RpcClient` has, and leaves no request open, even if the server never answers it", () =>
    Effect.gen(function*() {
      for (const serialization of [RpcSerialization.json, RpcSerialization.jsonRpc()]) {
        const server = new MemoryServer(serialization)
        yield* server.serve(new Tally())
        const id = menuIdOf(server)
        const check = RpcMenu.check(Counting, { withoutMenu: "accept" })
        const connection = yield* PersistentConnection.make({
          serverName: "counting",
          address: Effect.succeed("here"),
          connector: RpcConnector.make(server.connector).pipe(check, check)
        }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, serialization))
        const rpc = yield* connection.connected
        assert.isAbove(Number(id()), 1e15)
        assert.deepInclude(rpc.toJSON() as object, { open: 0 })
        // The first request of an `RpcClient` has the id 0.
        yield* rpc.request(
          { _tag: "Request", id: "0", tag: "Add", payload: { id: 1 }, headers: [] },
          (answer) => Effect.sync(() => assert.strictEqual(answer._tag, "Exit"))
        )
      }
    }))

  const answers = [
    ["is not there if the server answers with a failure", { _tag: "Failure", cause: { _tag: "Die" } }, "NoMenu"],
    ["must be a menu", { _tag: "Success", value: { Stop: 1 } }, "InvalidMenu"]
  ] as const
  for (const [name, exit, reason] of answers) {
    it.scoped(name, () =>
      Effect.gen(function*() {
        const server = new MemoryServer()
        const id = menuIdOf(server)
        const connection = yield* connect(server, New)
        server.give(JSON.stringify({ _tag: "Exit", requestId: id(), exit }))
        yield* settle
        assert.strictEqual((yield* failureOf(connection)).reason._tag, reason)
      }))
  }

  it.scoped("fails the attempt if the server interrupts it, also if the client accepts servers without one", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const id = menuIdOf(server)
      const connection = yield* connect(server, New, { withoutMenu: "accept" })
      const cause = { _tag: "Interrupt", fiberId: { _tag: "None" } }
      server.give(JSON.stringify({ _tag: "Exit", requestId: id(), exit: { _tag: "Failure", cause } }))
      yield* pass(3)
      const { lastCause } = yield* connection.state.get
      assert.instanceOf(Option.getOrThrow(Option.flatMap(lastCause, Cause.failureOption)), RpcCallError)
    }))

  it.scoped("fails the attempt if its answer violates the protocol, or does not come in time", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      const id = menuIdOf(server)
      const connection = yield* connect(server, New)
      const cause = Effect.map(connection.state.get, ({ lastCause }) => Cause.squash(Option.getOrThrow(lastCause)))
      server.give(JSON.stringify({ _tag: "Exit", requestId: id() }))
      yield* settle
      const lost = yield* cause
      assert.instanceOf(lost, ConnectionLost)
      const violation = new RpcProtocolError({ serverName: "prices", reason: { _tag: "UnknownMessage" } })
      assert.deepStrictEqual(lost.lossCause, Cause.fail(violation))
      yield* pass(5)
      assert.strictEqual(server.opened, 2)
      // Pongs are no menu.
      for (let second = 0; second < 30; second++) {
        server.give(JSON.stringify({ _tag: "Pong" }))
        yield* pass(1)
      }
      assert.isTrue(Cause.isTimeoutException(yield* cause))
      assert.strictEqual(server.opened, 3)
    }))

  it.scoped("loses the connection if it names a procedure that the server does not have", () =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, Old, New)
      const connection = yield* connect(server, New)
      const client = yield* connection.connected
      assert.strictEqual(RpcMenu.newest(client, "Price@2", "Price@1"), "Price@2")
      const error = yield* Effect.flip(client["Price@2"]({ symbol: "a" }))
      assert.instanceOf(error, ConnectionLost)
      const reason = { _tag: "UnknownProcedure", procedure: "Price@2" } as const
      assert.deepStrictEqual(error.lossCause, Cause.fail(new RpcProtocolError({ serverName: "prices", reason })))
      yield* pass(5)
      assert.strictEqual(yield* (yield* connection.connected)["Price@1"]({ symbol: "a" }), 1)
      assert.strictEqual(server.opened, 2)
    }))
})

describe("the fingerprint of a procedure", () => {
  /** Are the fingerprints of these two procedures the same? */
  const same = (one: Rpc.Any, other: Rpc.Any) =>
    Effect.gen(function*() {
      const server = new MemoryServer()
      yield* serve(server, RpcGroup.make(one) as never)
      const connection = yield* connect(server, RpcGroup.make(other))
      return (yield* connection.state.get)._tag === "Connected"
    }).pipe(Effect.scoped)

  interface Tree {
    readonly children: ReadonlyArray<Tree>
  }
  const tree: Schema.Schema<Tree> = Schema.Struct({ children: Schema.Array(Schema.suspend(() => tree)) })
  interface Bush {
    readonly children: ReadonlyArray<Bush>
    readonly name: string
  }
  const bush: Schema.Schema<Bush> = Schema.Struct({
    children: Schema.Array(Schema.suspend(() => bush)),
    name: Schema.String
  })
  class Middleware extends RpcMiddleware.Tag<Middleware>()("Middleware", { failure: Schema.String }) {}
  class Point extends Schema.Class<Point>("Point")({ x: Schema.Number }) {}

  const make = (success: Schema.Schema.Any) => Rpc.make("Call", { success })
  const { Array: ArrayOf, Date: DateFromText, Literal, Number, String: Text, Struct, Union } = Schema
  const byText = Schema.Record({ key: Text, value: Text })
  const bySymbol = Schema.Record({ key: Schema.SymbolFromSelf, value: Number })
  const cases: ReadonlyArray<readonly [string, Rpc.Any, Rpc.Any, boolean]> = [
    ["the order of fields", make(Struct({ a: Text, b: Number })), make(Struct({ b: Number, a: Text })), true],
    ["the order of members of a union", make(Union(Text, Number)), make(Union(Number, Text)), true],
    ["the order of index signatures", make(Struct({}, byText, bySymbol)), make(Struct({}, bySymbol, byText)), true],
    ["the decoded side", make(DateFromText), make(Text), true],
    ["a filter", make(Schema.NonEmptyString), make(Text), true],
    ["a class", make(Point), make(Struct({ x: Number })), true],
    ["the name of a field", make(Struct({ a: Text })), make(Struct({ b: Text })), false],
    [
      "an optional field",
      make(Struct({ a: Text })),
      make(Struct({ a: Schema.optionalWith(Text, { exact: true }) })),
      false
    ],
    ["a literal", make(Literal("a")), make(Literal("b")), false],
    ["elements", make(ArrayOf(Text)), make(ArrayOf(Number)), false],
    ["recursion", make(tree), make(bush), false],
    ["the error of a middleware", make(Text), make(Text).middleware(Middleware), false],
    ["a stream", make(Text), Rpc.make("Call", { success: Text, stream: true }), false],
    ["the payload", make(Text), Rpc.make("Call", { success: Text, payload: { a: Text } }), false],
    ["the error", make(Text), Rpc.make("Call", { success: Text, error: Text }), false],
    [
      "the place of an error",
      Rpc.make("Call", { success: Text, error: Text }),
      make(Text).middleware(Middleware),
      true
    ],
    [
      "the error of a stream",
      Rpc.make("Call", { success: Text, error: Text, stream: true }),
      Rpc.make("Call", {
        success: Text,
        stream: true
      }),
      false
    ]
  ]
  for (const [name, one, other, expected] of cases) {
    it.scoped(`${expected ? "ignores" : "changes with"} ${name}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* same(one, other), expected)
        assert.isTrue(yield* same(one, one))
      }))
  }

  it.scoped("is the same in all versions of this library", () =>
    Effect.gen(function*() {
      const { Boolean, Enums, Null, optionalElement, suspend, TemplateLiteral, Tuple, Unknown } = Schema
      const recursive: Schema.Schema<any> = Struct({
        tree,
        other: suspend(() => Struct({ more: suspend(() => recursive) }))
      })
      const schemas: ReadonlyArray<readonly [tag: string, success: Schema.Schema.Any, fingerprint: string]> = [
        ["Keywords", Tuple(Text, Number, Boolean, Unknown, Schema.Object), "8eb14f9208f8cd36"],
        ["Literals", Literal("a", 1, true, null, 2n), "90ab5828a38a0c52"],
        ["Enums", Enums({ A: 0, B: "b" }), "34b71710585d8468"],
        ["Union", Union(Text, Number, Null), "d9257674875a7d96"],
        ["Optional", Tuple(Text, optionalElement(Number)), "4f4cc099d1f75351"],
        ["Rest", Schema.Tuple([Text], Boolean, Text), "7ca1cacda15221a5"],
        [
          "Struct",
          Struct({ b: Text, a: Schema.optionalWith(Number, { exact: true }), [Symbol.for("c")]: Text }),
          "e82dda8296c4136c"
        ],
        [
          "Records",
          Struct({ a: Text }, byText, bySymbol),
          "09b2c23eeeafc96a"
        ],
        ["Recursive", recursive, "9e6f93e25d6dd2e2"],
        [
          "Declarations",
          Tuple(Schema.ReadonlyMapFromSelf({ key: Text, value: Number }), Schema.Uint8ArrayFromSelf),
          "3273661fc4031ed7"
        ],
        ["Template", TemplateLiteral("a", Text, "b", Number), "4b14b9dfbcf16dc7"],
        ["UniqueSymbol", Schema.UniqueSymbolFromSelf(Symbol.for("a")), "028a581cc5bef264"]
      ]
      const group = RpcGroup.make(
        ...schemas.map(([tag, success]) => Rpc.make(tag, { success })),
        Rpc.make("Errors", { payload: { a: Text }, error: Union(Text, Number) }).middleware(Middleware),
        Rpc.make("Stream", { success: Text, error: Number, stream: true }).middleware(Middleware)
      )
      const server = new MemoryServer()
      yield* serve(server, group)
      const connection = yield* PersistentConnection.make({
        serverName: "prices",
        address: Effect.succeed("here"),
        connector: RpcConnector.make(server.connector)
      }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, server.serialization))
      const answers: Array<RpcConnector.Answer> = []
      yield* (yield* connection.connected).request(
        { _tag: "Request", id: "1", tag: "@persistent-connection/rpc/Menu", payload: null, headers: [] },
        (answer) => Effect.sync(() => answers.push(answer))
      )
      const value = {
        ...Object.fromEntries(schemas.map(([tag, _, fingerprint]) => [tag, fingerprint])),
        Errors: "7a64a24e13278bcc",
        Stream: "614f1287adb25807"
      }
      assert.deepStrictEqual(answers, [{ _tag: "Exit", requestId: "1", exit: { _tag: "Success", value } }])
    }))
})
