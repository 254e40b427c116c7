/** Many fibers wait for a connection, and then there is one. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pool from "effect/Pool"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { never } from "../connections.js"
import { inTurns } from "./harness/samples.js"
import { barsOf, comparison, ratioFigure, type Section, us } from "./harness/section.js"
import { full } from "./harness/settings.js"

const rounds = full(3, 2)
const many = full(100_000, 10_000)
/** For what takes much longer. */
const fewer = many / 10

/** Something to wait for; `open` makes it available. */
interface Gate {
  readonly wait: Effect.Effect<unknown, unknown>
  readonly open: Effect.Effect<unknown>
}

interface Times {
  readonly all: number
  readonly wake: number
}

/** The times in ns for each fiber: of everything, and from the opening on. */
const timesOf = (count: number, makeGate: Effect.Effect<Gate, never, Scope.Scope>): Effect.Effect<Times> =>
  Effect.scoped(Effect.gen(function*() {
    const { open, wait } = yield* makeGate
    const all = yield* Deferred.make<void>()
    let left = count
    const waiter = Effect.flatMap(wait, () => --left === 0 ? Deferred.succeed(all, undefined) : Effect.void)
    const begun = performance.now()
    for (let i = 0; i < count; i++) yield* Effect.fork(waiter)
    yield* Effect.yieldNow({ priority: 1 })
    const opened = performance.now()
    yield* open
    yield* Deferred.await(all)
    const end = performance.now()
    return { all: (end - begun) * 1e6 / count, wake: (end - opened) * 1e6 / count }
  }))

const persistent = (wait: (connection: PersistentConnection.PersistentConnection<object>) => Gate["wait"]) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const connection = yield* PersistentConnection.make({
      serverName: "gate",
      address: Effect.succeed("a:1"),
      connector: Connector.make({ connect: () => Effect.as(Deferred.await(gate), {}), closed: () => never })
    })
    return { wait: wait(connection), open: Deferred.succeed(gate, undefined) }
  })

const gates: Readonly<Record<string, readonly [count: number, gate: Effect.Effect<Gate, never, Scope.Scope>]>> = {
  Deferred: [
    many,
    Effect.map(
      Deferred.make<void>(),
      (gate) => ({ wait: Deferred.await(gate), open: Deferred.succeed(gate, undefined) })
    )
  ],
  [`${us}: connected`]: [many, persistent((connection) => connection.connected)],
  [`${us}: use`]: [many, persistent((connection) => PersistentConnection.use(connection, () => Effect.void))],
  "RcRef.get": [
    fewer,
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const ref = yield* RcRef.make({ acquire: Deferred.await(gate) })
      return { wait: Effect.scoped(RcRef.get(ref)), open: Deferred.succeed(gate, undefined) }
    })
  ],
  "Pool.get": [
    fewer,
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const pool = yield* Pool.make({ acquire: Deferred.await(gate), size: 1, concurrency: fewer })
      return { wait: Effect.scoped(Pool.get(pool)), open: Deferred.succeed(gate, undefined) }
    })
  ],
  "by hand: SubscriptionRef.changes": [
    fewer,
    Effect.gen(function*() {
      const ref = yield* SubscriptionRef.make(Option.none<object>())
      return {
        wait: Stream.runHead(Stream.filterMap(ref.changes, (current) => current)),
        open: SubscriptionRef.set(ref, Option.some({}))
      }
    })
  ]
}

export const waiters: Effect.Effect<Section> = Effect.gen(function*() {
  const wakes: Record<string, Array<number>> = {}
  const samples = yield* inTurns(
    rounds,
    Object.fromEntries(
      Object.entries(gates).map(([name, [count, gate]]) => [
        name,
        Effect.map(timesOf(count, gate), ({ all, wake }) => {
          ;(wakes[name] ??= []).push(wake)
          return all
        })
      ])
    )
  )
  // The first one warms up.
  const woken = Object.fromEntries(Object.entries(wakes).map(([name, times]) => [name, times.slice(1)]))
  const said = many.toLocaleString("en-US")
  return {
    title: "Many waiters",
    text: [
      `${said} fibers wait for a connection; then there is one, and all go on. The time for one fiber, from its ` +
      `start to its end, and the part of it after the connection was made. A \`Deferred\` does nothing but wait. ` +
      `\`use\` also does a piece of work, and would end it if the connection were lost. \`RcRef\`, \`Pool\` and ` +
      `\`SubscriptionRef\` take much longer, so only ${fewer.toLocaleString("en-US")} fibers wait for them.`
    ],
    figures: [
      ratioFigure("connected, from start to end", samples, `${us}: connected`, "Deferred", { atMost: 1.2 }),
      ratioFigure("connected, after the connection was made", woken, `${us}: connected`, "Deferred", { atMost: 1.2 })
    ],
    tables: [
      comparison("From start to end", samples, "Deferred", "ns a fiber"),
      comparison("After the connection was made", woken, "Deferred", "ns a fiber")
    ],
    charts: [barsOf("bench-waiters", "Waiting for one connection", "ns a fiber", samples)]
  }
})
