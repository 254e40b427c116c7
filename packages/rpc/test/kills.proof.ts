/**
 * A server that is killed and restarted under load: no call hangs, no call that is not idempotent runs twice, every
 * failure has its cause, and no element of a resumed stream is lost or comes twice.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import { assert, describe, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { cases, isLong, measured } from "../../platform/test/support/proof.js"
import { until } from "../../platform/test/support/servers.js"
import { Counting, Tally } from "./support/counting.js"
import { caller, check, follow, followByHand, Results } from "./support/load.js"
import { connector, layer, start, type Wire, wires } from "./support/realServer.js"

const callers = cases(100, 1_000)
const streams = cases(10, 100)
const kills = cases(2, 4)
/** A kill comes after this many more answers, so that every connection is under load. */
const answersBetweenKills = callers

/** The short form has one serialization for each transport. A Unix socket cannot be reset. */
const killed = wires.filter(({ serialization, transport }) =>
  transport !== "Unix" && (isLong ? ["json", "ndjson", "msgPack"] : ["ndjson"]).includes(serialization)
)

const options = (wire: Wire, port: number) => ({
  serverName: "counting",
  address: Effect.succeed(port),
  connector: connector(wire),
  retry: RetryPolicy.fixed("10 millis")
})

/** Kills the server and restarts it, as often as told. */
const killing = <R>(
  wire: Wire,
  tally: Tally,
  results: Results,
  run: (port: number) => Effect.Effect<void, unknown, R>
) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    let server = yield* start(wire, tally)
    const running = yield* Effect.fork(run(server.port))
    for (let killed = 0; killed < kills; killed++) {
      const before = results.answers
      yield* Effect.raceFirst(
        until(() => results.answers >= before + answersBetweenKills),
        Effect.zipRight(Fiber.join(running), Effect.dieMessage("The load ended too early"))
      )
      yield* server.kill
      server = yield* Scope.extend(start(wire, tally, server.port), scope)
    }
    results.isOver = true
    yield* Fiber.join(running)
  })

/** The results of the load, after all kills. */
const measure = (what: string, { elements, failures, longest, succeeded }: Results, began: number) =>
  measured(
    `${what}, ${callers} callers, ${streams} streams, ${kills} kills: ${succeeded.length} calls succeeded, ` +
      `${failures.length} failed, the longest took ${Math.round(longest)} ms, ${elements} elements`,
    began
  )

describe("a server that is killed and restarted under load", () => {
  for (const wire of killed) {
    const over = `over ${wire.transport} with ${wire.serialization}`

    it.scopedLive(`PersistentRpcClient ${over}`, () =>
      Effect.gen(function*() {
        const began = performance.now()
        const [tally, results] = [new Tally(), new Results()]
        yield* killing(wire, tally, results, (port) =>
          Effect.gen(function*() {
            const { connector, ...rest } = options(wire, port)
            const connection = yield* PersistentConnection.make({
              ...rest,
              connector: RpcConnector.client(connector, Counting)
            })
            const client = PersistentRpcClient.make(Counting, connection)
            yield* Effect.all([
              ...Array.from({ length: callers }, (_, number) => caller(client, results, number, false)),
              ...Array.from({ length: streams / 2 }, () => follow(connection, results)),
              ...Array.from({ length: streams / 2 }, () => followByHand(client, results))
            ], { concurrency: "unbounded" })
          }))
        check(tally, results, wire)
        assert.isAtLeast(results.failures.length, kills * streams / 2)
        // The results are over before the gap after the last kill.
        assert.isAtLeast(results.gaps, (kills - 1) * streams / 2)
        yield* measure(`PersistentRpcClient ${over}`, results, began)
      }).pipe(Effect.provide(layer(wire))))

    it.scopedLive(`RpcProtocol ${over}`, () =>
      Effect.gen(function*() {
        const began = performance.now()
        const [tally, results] = [new Tally(), new Results()]
        yield* killing(wire, tally, results, (port) =>
          Effect.gen(function*() {
            const connection = yield* PersistentConnection.make(options(wire, port))
            const client = yield* RpcClient.make(Counting).pipe(
              Effect.provideServiceEffect(RpcClient.Protocol, RpcProtocol.make(connection))
            )
            yield* Effect.all([
              ...Array.from({ length: callers }, (_, number) => caller(client, results, number, true)),
              ...Array.from({ length: streams }, () => followByHand(client, results))
            ], { concurrency: "unbounded" })
          }))
        check(tally, results, wire)
        for (const error of results.failures) assert.instanceOf(error, RpcClientError)
        assert.isAtLeast(results.failures.length, kills * streams)
        yield* measure(`RpcProtocol ${over}`, results, began)
      }).pipe(Effect.provide(layer(wire))))
  }
})
