/**
 * Nothing is retained while one connection after the other is lost: by the clients of this package, and by `use` and
 * `stream` of core. Virtual time makes a loss as fast as its work.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import type { FromClientEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { collectGarbage } from "../../core/test/support/size.js"
import { VirtualClock } from "../../core/test/support/virtualTime.js"
import { cases, isLong, measured } from "../../platform/test/support/proof.js"
import { Counting } from "./support/counting.js"
import { heapOfObjects } from "./support/heapObjects.js"
import { WireError } from "./support/memoryServer.js"

/** Objects that nobody should retain for long. */
class Watched {
  refs: Array<WeakRef<object>> = []

  add<A>(value: A): A {
    if (typeof value === "object" && value !== null) this.refs.push(new WeakRef(value))
    return value
  }

  async alive(): Promise<number> {
    // A WeakRef retains its target until the end of the turn in which it was created.
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
    return this.refs.filter((ref) => ref.deref() !== undefined).length
  }
}

/** A server without a memory. It answers `Get`, sends some elements of `Endless`, and never answers anything else. */
class ForgetfulServer {
  losses = 0
  private lose = () => {}

  constructor(readonly watched: Watched) {}

  readonly connector = Connector.make({
    connect: (_: string) =>
      Effect.gen(this, function*() {
        const inbox = yield* Mailbox.make<string, WireError>()
        const closed = yield* Deferred.make<void, WireError>()
        const give = (message: object) => inbox.unsafeOffer(JSON.stringify(message))
        this.lose = () => {
          const error = this.watched.add(new WireError({ reason: `killed ${++this.losses}` }))
          inbox.unsafeDone(Exit.fail(error))
          Deferred.unsafeDone(closed, Exit.fail(error))
        }
        return this.watched.add({
          messages: Mailbox.toStream(inbox),
          received: () => 0,
          closed: Deferred.await(closed),
          send: (data: string | Uint8Array) =>
            Effect.sync(() => {
              const message = JSON.parse(String(data)) as FromClientEncoded
              if (message._tag !== "Request") return
              const { id: requestId, tag } = message
              if (tag === "Get") give({ _tag: "Exit", requestId, exit: { _tag: "Success", value: "value" } })
              if (tag === "Endless") give({ _tag: "Chunk", requestId, values: [1, 2, 3] })
            })
        })
      }),
    closed: (wire) => wire.closed
  })

  kill(): void {
    this.lose()
  }
}

/** A service of the context of each call. */
class Mark extends Context.Tag("test/Mark")<Mark, object>() {}

interface Setting {
  readonly server: ForgetfulServer
  readonly connect: <C, E>(
    connector: Connector.Connector<string, C, E, RpcSerialization.RpcSerialization>
  ) => Effect.Effect<PersistentConnection.PersistentConnection<C, E>, never, Scope.Scope>
  /** Repeats in the background an effect that ends with every loss. */
  readonly again: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<unknown, never, Scope.Scope>
}

/** Calls and streams of one client, before, at and after each loss. */
const load = (client: RpcClient.FromGroup<typeof Counting, unknown>, { again }: Setting) =>
  Effect.gen(function*() {
    for (let id = 0; id < 3; id++) {
      yield* again(Effect.zipRight(client.Get({ key: "a" }), client.Hang({ id })))
      yield* again(Stream.runDrain(client.Endless({ from: id })))
    }
    // A call that is sent again after every loss, or fails.
    yield* again(client.HangOnce({ id: 1 }))
    yield* again(Effect.zipRight(Effect.sleep("300 millis"), client.Get({ key: "b" })))
    yield* again(Effect.timeout(client.Hang({ id: 9 }), "700 millis"))
    // A stream that is given up while its elements wait for the consumer.
    const slow = Stream.runForEach(client.Endless({ from: 9 }, { streamBufferSize: 1 }), () => Effect.never)
    yield* again(Effect.timeout(slow, "700 millis"))
  })

const users: Record<string, (setting: Setting) => Effect.Effect<void, never, Scope.Scope>> = {
  "`use`, `useRetrying` and `stream` of core": ({ again, connect, server }) =>
    Effect.gen(function*() {
      const connection = yield* connect(server.connector)
      yield* again(PersistentConnection.use(connection, () => Effect.never))
      yield* again(PersistentConnection.useRetrying(connection, () => Effect.never))
      yield* again(Stream.runDrain(PersistentConnection.stream(connection, ({ messages }) => messages)))
    }),
  RpcProtocol: (setting) =>
    Effect.gen(function*() {
      const connection = yield* setting.connect(RpcConnector.make(setting.server.connector))
      const client = yield* RpcClient.make(Counting).pipe(
        Effect.provideServiceEffect(RpcClient.Protocol, RpcProtocol.make(connection))
      )
      yield* load(client, setting)
    }),
  PersistentRpcClient: (setting) =>
    Effect.gen(function*() {
      const connector = RpcConnector.make(setting.server.connector).pipe(RpcConnector.client(Counting))
      const connection = yield* setting.connect(connector)
      yield* load(PersistentRpcClient.make(Counting, connection), setting)
      yield* setting.again(
        Stream.runDrain(PersistentConnection.stream(connection, (client) => client.Endless({ from: 1 })))
      )
    })
}

const warmUp = cases(20, 400)
const losses = cases(80, 1_000)

/** The calls of the last loss, of the present connection, and the last events. */
const mostAlive = 150

/** An entry of a map for each loss would take more. The bound allows for caches that grow once. */
const mostBytesPerLoss = 64

describe("nothing is retained over losses in a row", () => {
  for (const [name, use] of Object.entries(users)) {
    it(name, async () => {
      const began = performance.now()
      const clock = new VirtualClock()
      const watched = new Watched()
      const server = new ForgetfulServer(watched)
      const scope = Effect.runSync(Scope.make())
      const setting: Setting = {
        server,
        connect: (connector) =>
          PersistentConnection.make({
            serverName: "counting",
            address: Effect.succeed("here"),
            connector,
            retry: RetryPolicy.fixed("1 second"),
            minUptime: 0
          }).pipe(Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.json)),
        again: (effect) =>
          Effect.suspend(() => Effect.provideService(effect, Mark, watched.add({}))).pipe(
            Effect.catchAll((error) => Effect.sync(() => void watched.add(error))),
            Effect.forever,
            Effect.forkScoped
          )
      }
      clock.run(Scope.extend(use(setting), scope).pipe(Effect.withRandom(Random.make(1))))
      const lose = async (total: number) => {
        for (let loss = 0; loss < total; loss++) {
          clock.advanceTo(clock.now + 500)
          server.kill()
          clock.advanceTo(clock.now + 500)
          await new Promise((resolve) => setImmediate(resolve))
          // The table of a `WeakMap` grows with the dead keys between two collections, and keeps its size.
          if (isLong && loss % 10 === 0) collectGarbage()
        }
      }
      await lose(warmUp)
      watched.refs = []
      const before = isLong ? await heapOfObjects() : 0
      await lose(losses)
      assert.strictEqual(server.losses, warmUp + losses)
      const total = watched.refs.length
      const alive = await watched.alive()
      // At each loss: the connection, its failure, and at least one call with its failure.
      assert.isAtLeast(total, 4 * losses)
      assert.isBelow(alive, mostAlive)
      watched.refs = []
      const growth = isLong ? (await heapOfObjects() - before) / losses : 0
      await Effect.runPromise(measured(
        `${name}: ${losses} losses, ${alive} of ${total} objects alive, ${growth.toFixed(1)} bytes per loss`,
        began
      ))
      assert.isBelow(growth, mostBytesPerLoss)
      clock.run(Scope.close(scope, Exit.void))
      clock.flush()
    })
  }

  it("calls of RpcProtocol that fail while another one waits", async () => {
    const clock = new VirtualClock()
    const watched = new Watched()
    const scope = Effect.runSync(Scope.make())
    const failing = Effect.gen(function*() {
      const connection = yield* PersistentConnection.make({
        serverName: "counting",
        address: Effect.never,
        connector: RpcConnector.make(new ForgetfulServer(watched).connector)
      })
      const client = yield* RpcClient.make(Counting).pipe(
        Effect.provideServiceEffect(RpcClient.Protocol, RpcProtocol.make(connection))
      )
      yield* Effect.forkScoped(Effect.provideService(client.Hang({ id: 1 }), RpcAnnotation.MaxWait, Infinity))
      const call = Effect.suspend(() => Effect.provideService(client.Get({ key: "a" }), Mark, watched.add({})))
      const stream = Effect.suspend(() =>
        Effect.provideService(Stream.runDrain(client.Endless({ from: 1 })), Mark, watched.add({}))
      )
      const both = Effect.zip(Effect.flip(call), Effect.flip(stream))
      yield* Effect.repeatN(Effect.zipRight(both, Effect.sleep(1)), losses - 1)
    }).pipe(
      Effect.provideService(RpcAnnotation.MaxWait, 0),
      Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.json)
    )
    const done = clock.run(Scope.extend(failing, scope))
    clock.advanceTo(losses)
    assert.deepStrictEqual(done.unsafePoll(), Exit.void)
    assert.strictEqual(watched.refs.length, 2 * losses)
    assert.isBelow(await watched.alive(), 10)
    clock.run(Scope.close(scope, Exit.void))
    clock.flush()
  })
})
