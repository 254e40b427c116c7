/**
 * A server that is killed and restarted under load: no call hangs, no call that is not idempotent runs twice, every
 * failure has its cause, and no element of a resumed stream is lost or comes twice.
 */
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
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { cases, measured } from "../../platform/test/support/proof.js"
import { until } from "../../platform/test/support/servers.js"
import { Counting, Tally } from "./support/counting.js"
import { connector, layer, start, type Wire, wires } from "./support/realServer.js"

const callers = cases(100, 1_000)
const streams = cases(10, 100)
const kills = cases(3, 6)
/** A kill comes after this many more answers, so that every connection is under load. */
const answersBetweenKills = callers

const options = (wire: Wire, port: number) => ({
  serverName: "counting",
  address: Effect.succeed(port),
  connector: connector(wire),
  retry: RetryPolicy.fixed("10 millis")
})

/** What the callers have got. */
class Results {
  answers = 0
  /** The ids of `Slow` calls that succeeded. */
  readonly succeeded: Array<number> = []
  readonly failures: Array<unknown> = []
  isOver = false
}

/** Calls one after the other, until the results are over. Only `Slow` calls may fail, unless `mayFail` is true. */
const caller = (
  client: RpcClient.FromGroup<typeof Counting, unknown>,
  results: Results,
  number: number,
  mayFail: boolean
) => {
  const step = (round: number): Effect.Effect<void, unknown> => {
    if (results.isOver) return Effect.void
    const id = number * 1_000_000 + round
    const slow = client.Slow({ id }).pipe(
      Effect.map((answer) => {
        assert.strictEqual(answer, id)
        results.succeeded.push(id)
      }),
      Effect.catchAll((error) => Effect.sync(() => results.failures.push(error)))
    )
    const again = Effect.map(client.SlowAgain({ id }), (answer) => assert.strictEqual(answer, id))
    return slow.pipe(
      Effect.zipRight(mayFail ? Effect.ignore(again) : again),
      Effect.zipRight(Effect.sync(() => results.answers++)),
      Effect.zipRight(Effect.suspend(() => step(round + 1)))
    )
  }
  return step(0)
}

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

const check = (tally: Tally, results: Results, lossOf: (error: unknown) => unknown) => {
  for (const [call, runs] of tally.runs) assert.strictEqual(runs, 1, call)
  for (const id of results.succeeded) assert.strictEqual(tally.runs.get(`Slow ${id}`), 1)
  assert.isAbove(results.failures.length, 0)
  for (const error of results.failures) {
    const lost = lossOf(error)
    assert.instanceOf(lost, ConnectionLost)
    assert.isFalse(Cause.isEmpty(lost.lossCause), "the failure has no cause")
    assert.isTrue(Option.isSome(Cause.failureOption(lost.lossCause)))
  }
}

describe("a server that is killed and restarted under load", () => {
  for (const wire of wires.filter(({ transport }) => transport !== "Unix")) {
    it.scopedLive(`PersistentRpcClient over ${wire.transport} with ${wire.serialization}`, () =>
      Effect.gen(function*() {
        const began = performance.now()
        const [tally, results] = [new Tally(), new Results()]
        let elements = 0
        yield* killing(wire, tally, results, (port) =>
          Effect.gen(function*() {
            const { connector, ...rest } = options(wire, port)
            const connection = yield* PersistentConnection.make({
              ...rest,
              connector: RpcConnector.client(connector, Counting)
            })
            const client = PersistentRpcClient.make(Counting, connection)
            const follow = Effect.suspend(() => {
              let last = 0
              return PersistentConnection.resumableStream(connection, {
                subscribe: (client, cursor: Option.Option<number>) =>
                  Effect.succeed(client.Sequence({ from: Option.getOrElse(cursor, () => 0) + 1 })),
                cursor: (number) => number
              }).pipe(
                Stream.rechunk(1),
                Stream.tap((element) =>
                  Effect.suspend(() => {
                    if (element._tag === "Gap") return Effect.void
                    assert.strictEqual(element.value, ++last)
                    elements++
                    // The callers need time too.
                    return last % 10 === 0 ? Effect.sleep(5) : Effect.void
                  })
                ),
                Stream.takeWhile(() => !results.isOver),
                Stream.runDrain
              )
            })
            yield* Effect.all([
              ...Array.from({ length: callers }, (_, number) => caller(client, results, number, false)),
              ...Array.from({ length: streams }, () => follow)
            ], { concurrency: "unbounded" })
          }))
        check(tally, results, (error) => error)
        const { failures, succeeded } = results
        yield* measured(
          `${callers} callers, ${streams} streams, ${kills} kills over ${wire.transport} with ${wire.serialization}: ` +
            `${succeeded.length} calls succeeded, ${failures.length} failed, ${elements} elements`,
          began
        )
      }).pipe(Effect.provide(layer(wire))))

    it.scopedLive(`RpcProtocol over ${wire.transport} with ${wire.serialization}`, () =>
      Effect.gen(function*() {
        const [tally, results] = [new Tally(), new Results()]
        yield* killing(wire, tally, results, (port) =>
          Effect.gen(function*() {
            const connection = yield* PersistentConnection.make(options(wire, port))
            const client = yield* RpcClient.make(Counting).pipe(
              Effect.provideServiceEffect(RpcClient.Protocol, RpcProtocol.make(connection))
            )
            yield* Effect.all(
              Array.from({ length: callers }, (_, number) => caller(client, results, number, true)),
              { concurrency: "unbounded" }
            )
          }))
        check(tally, results, (error) => {
          assert.instanceOf(error, RpcClientError)
          return error.cause
        })
      }).pipe(Effect.provide(layer(wire))))
  }
})
