/**
 * A rolling restart of two servers behind one name, under load. If each server announces its shutdown, nothing fails:
 * all clients move before the cut. If it does not, only calls that must not run twice fail.
 */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcServer from "@effect/rpc/RpcServer"
import { assert, describe, it } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { cases, measured } from "../../platform/test/support/proof.js"
import { until } from "../../platform/test/support/servers.js"
import { Counting, handlers, Tally } from "./support/counting.js"
import { caller, check, follow, followByHand, Results } from "./support/load.js"
import { connector, layer, serve, type Wire } from "./support/realServer.js"

const rounds = cases(1, 2)
const clients = cases(2, 5)
const callersPerClient = cases(5, 20)
const streamsPerClient = cases(2, 5)

/** Longer than any call on a busy machine. Endless streams use all of it. */
const drain = cases(3_000, 10_000)

/** The group `Counting`, and a call that is answered when the server announces its shutdown. */
const Announcing = Counting.add(Rpc.make("GoingAway"))

/** A server that starts again on its port. */
class Node {
  private announcement = Effect.unsafeMakeLatch()
  private server: Effect.Effect.Success<ReturnType<typeof serve>> | undefined

  constructor(readonly wire: Wire, readonly tally: Tally, readonly scope: Scope.Scope) {}

  get port(): number {
    return this.server?.port ?? 0
  }

  get connections(): number {
    return this.server?.connections() ?? 0
  }

  readonly announce = Effect.suspend(() => this.announcement.open)

  readonly start = Effect.suspend(() => {
    const announcement = this.announcement = Effect.unsafeMakeLatch()
    const service = RpcServer.layer(Announcing, { disableTracing: true }).pipe(Layer.provide([
      handlers(this.tally),
      RpcGroup.make(Rpc.make("GoingAway")).toLayer({ GoingAway: () => announcement.await })
    ]))
    return Effect.map(Scope.extend(serve(this.wire, service, this.port), this.scope), (server) => {
      this.server = server
    })
  })

  readonly kill = Effect.suspend(() => this.server?.kill ?? Effect.void)

  readonly stop = Effect.suspend(() => this.server?.stop ?? Effect.void)
}

/** What all clients of a run have in common. */
interface Fleet {
  readonly wire: Wire
  readonly nodes: readonly [Node, Node]
  readonly tally: Tally
  readonly results: Results
  /** How many losses the clients have seen. */
  losses: number
  /** The hints of the one who deploys. */
  readonly hints: PubSub.PubSub<void>
}

type LookUp = Addresses.LookUp<number>

const optionsOf = (fleet: Fleet, address: LookUp) => ({
  serverName: "counting",
  address,
  retry: RetryPolicy.fixed("10 millis"),
  minUptime: 0,
  onEvent: ({ _tag }: { readonly _tag: string }) =>
    Effect.sync(() => {
      if (_tag === "Disconnected") fleet.losses++
    })
})

const callers = (
  client: RpcClient.FromGroup<typeof Counting, unknown>,
  fleet: Fleet,
  number: number,
  mayFail = false
) =>
  Array.from(
    { length: callersPerClient },
    (_, index) => caller(client, fleet.results, number * callersPerClient + index, mayFail)
  )

const runAll = <R>(load: ReadonlyArray<Effect.Effect<unknown, unknown, R>>) =>
  Effect.all(load, { concurrency: "unbounded" })

const refreshOnHint = (fleet: Fleet, connection: PersistentConnection.PersistentConnection<unknown, unknown>) =>
  Effect.forkScoped(
    PersistentConnection.reconnectOn(connection, Stream.fromPubSub(fleet.hints), { whenConnected: "refresh" })
  )

const connectClient = (fleet: Fleet, address: LookUp) =>
  PersistentConnection.make({
    ...optionsOf(fleet, address),
    connector: RpcConnector.client(connector(fleet.wire), Announcing)
  })

const connectProtocol = (fleet: Fleet, address: LookUp) =>
  Effect.gen(function*() {
    const connection = yield* PersistentConnection.make({
      ...optionsOf(fleet, address),
      connector: connector(fleet.wire)
    })
    yield* refreshOnHint(fleet, connection)
    const protocol = yield* RpcProtocol.make(connection)
    return yield* Effect.provideService(RpcClient.make(Counting), RpcClient.Protocol, protocol)
  })

type Needs = Scope.Scope | Layer.Layer.Success<ReturnType<typeof layer>>

interface Style {
  /** The load of client number `number`. */
  readonly load: (fleet: Fleet, number: number, address: LookUp) => Effect.Effect<unknown, unknown, Needs>
  readonly lookUp: (ports: readonly [number, number]) => LookUp
  readonly round: (fleet: Fleet) => Effect.Effect<void>
  readonly isAnnounced: boolean
}

/** Waits until all callers have got several answers. */
const underLoad = ({ results }: Fleet) =>
  Effect.suspend(() => {
    const enough = results.answers + 3 * clients * callersPerClient
    return until(() => results.answers >= enough)
  })

/** Restarts each server after an announcement, once its last client has left. */
const announced = (announce: (fleet: Fleet, node: Node) => Effect.Effect<unknown>) => (fleet: Fleet) =>
  Effect.gen(function*() {
    const [first, second] = fleet.nodes
    for (const [node, other] of [[first, second], [second, first]] as const) {
      yield* until(() => node.connections === clients)
      yield* announce(fleet, node)
      yield* until(() => node.connections === 0 && other.connections === clients)
      yield* node.kill
      yield* underLoad(fleet)
      yield* node.start
      yield* underLoad(fleet)
    }
  })

/** Kills or stops one server after the other. In between, the clients go back to the first one without a loss. */
const ended = (how: "kill" | "stop") => (fleet: Fleet) =>
  Effect.gen(function*() {
    const [first, second] = fleet.nodes
    const { losses } = fleet
    // All callers may be in `SlowAgain`, which does not fail.
    yield* until(() => fleet.tally.slow > 0)
    yield* first[how]
    yield* until(() => second.connections === clients)
    yield* underLoad(fleet)
    yield* first.start
    yield* PubSub.publish(fleet.hints, undefined)
    yield* until(() => first.connections === clients)
    assert.strictEqual(fleet.losses - losses, clients)
    yield* underLoad(fleet)
    yield* second[how]
    yield* second.start
    yield* underLoad(fleet)
    assert.strictEqual(fleet.losses - losses, clients)
  })

const announcing: Record<string, Style> = {
  "PersistentRpcClient, with announcements of the servers and failover": {
    load: (fleet, number, address) =>
      Effect.gen(function*() {
        const connection = yield* connectClient(fleet, address)
        yield* Effect.forkScoped(PersistentConnection.refreshWhen(
          connection,
          (client) => Effect.catchAll(client.GoingAway(), () => Effect.never),
          { elsewhere: true, drain }
        ))
        yield* runAll([
          ...callers(PersistentRpcClient.make(Announcing, connection), fleet, number),
          ...Array.from({ length: streamsPerClient }, () => follow(connection, fleet.results))
        ])
      }),
    lookUp: (ports) => Addresses.failover(ports),
    round: announced((_, node) => node.announce),
    isAnnounced: true
  },
  "PersistentRpcClient, with hints of the one who deploys and turns": {
    load: (fleet, number, address) =>
      Effect.gen(function*() {
        const connection = yield* connectClient(fleet, address)
        yield* refreshOnHint(fleet, connection)
        yield* runAll(callers(PersistentRpcClient.make(Announcing, connection), fleet, number))
      }),
    lookUp: (ports) => Addresses.roundRobin(ports),
    round: announced(({ hints }) => PubSub.publish(hints, undefined)),
    isAnnounced: true
  },
  "RpcProtocol, with hints of the one who deploys and turns": {
    load: (fleet, number, address) =>
      Effect.flatMap(connectProtocol(fleet, address), (client) => runAll(callers(client, fleet, number))),
    lookUp: (ports) => Addresses.roundRobin(ports),
    round: announced(({ hints }) => PubSub.publish(hints, undefined)),
    isAnnounced: true
  }
}

/** The servers end without an announcement. */
const unannounced = (how: "kill" | "stop"): Record<string, Style> => ({
  [`PersistentRpcClient, with ${how}s, failover and failback`]: {
    load: (fleet, number, address) =>
      Effect.gen(function*() {
        const connection = yield* connectClient(fleet, address)
        yield* refreshOnHint(fleet, connection)
        yield* runAll([
          ...callers(PersistentRpcClient.make(Announcing, connection), fleet, number),
          ...Array.from({ length: streamsPerClient }, () => follow(connection, fleet.results))
        ])
      }),
    lookUp: (ports) => Addresses.failover(ports, { failBackAfter: 1 }),
    round: ended(how),
    isAnnounced: false
  },
  [`RpcProtocol, with ${how}s, failover and failback`]: {
    load: (fleet, number, address) =>
      Effect.flatMap(connectProtocol(fleet, address), (client) =>
        runAll([
          ...callers(client, fleet, number, true),
          ...Array.from({ length: streamsPerClient }, () => followByHand(client, fleet.results))
        ])),
    lookUp: (ports) => Addresses.failover(ports, { failBackAfter: 1 }),
    round: ended(how),
    isAnnounced: false
  }
})

const styles = { ...announcing, ...unannounced("kill"), ...unannounced("stop") }

describe("a rolling restart of two servers", () => {
  for (const transport of ["WebSocket", "TCP"] as const) {
    for (const [name, { isAnnounced, load, lookUp, round }] of Object.entries(styles)) {
      const wire: Wire = { transport, serialization: "ndjson" }
      it.scopedLive(`${name}, over ${transport}`, () =>
        Effect.gen(function*() {
          const began = performance.now()
          const [tally, scope] = [new Tally(), yield* Effect.scope]
          const nodes = [new Node(wire, tally, scope), new Node(wire, tally, scope)] as const
          const hints = yield* PubSub.unbounded<void>()
          const fleet: Fleet = { wire, nodes, tally, results: new Results(), losses: 0, hints }
          const { results } = fleet
          for (const node of nodes) yield* node.start
          const address = lookUp([nodes[0].port, nodes[1].port])
          const running = yield* Effect.fork(runAll(
            Array.from({ length: clients }, (_, number) => Effect.scoped(load(fleet, number, address)))
          ))
          const rolling = Effect.gen(function*() {
            yield* underLoad(fleet)
            for (let done = 0; done < rounds; done++) yield* round(fleet)
          })
          yield* Effect.raceFirst(
            rolling,
            Effect.zipRight(Fiber.join(running), Effect.dieMessage("The load ended too early"))
          )
          const { losses } = fleet
          results.isOver = true
          yield* Fiber.join(running)
          check(tally, results, wire)
          if (isAnnounced) {
            assert.deepStrictEqual(results.failures, [])
            assert.strictEqual(losses, 0)
          } else {
            assert.isAbove(results.failures.length, 0)
          }
          const { elements, failures, gaps, longest, succeeded } = results
          yield* measured(
            `${name}, over ${transport}: ${clients} clients, ${rounds} rounds, ${succeeded.length} calls succeeded, ` +
              `${failures.length} failed, the longest took ${Math.round(longest)} ms, ` +
              `${elements} elements, ${gaps} gaps`,
            began
          )
        }).pipe(Effect.provide(layer(wire))))
    }
  }
})
