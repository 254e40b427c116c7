/**
 * What a persistent connection costs, against a baseline in the same run: the heap of an idle established connection,
 * and the time of `connected` when connected.
 *
 *     npm run measure
 */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"

/** A connector that holds next to nothing: what is measured is what the library adds. */
const never = Effect.async<never>((_) => {})
const connector = Connector.make({
  connect: () => Effect.succeed({}),
  closed: () => never
})

const make = PersistentConnection.make({ serverName: "idle", address: Effect.succeed("a:1"), connector })

const collectGarbage = Effect.sync(() => {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc")
  for (let i = 0; i < 4; i++) globalThis.gc()
})

const heapUsed = Effect.zipRight(collectGarbage, Effect.sync(() => process.memoryUsage().heapUsed))

/** Bytes of heap each of `count` values keeps. */
const heapPerItem = <A>(count: number, one: Effect.Effect<A>) =>
  Effect.gen(function*() {
    const items: Array<A> = Array.from({ length: count })
    const before = yield* heapUsed
    for (let i = 0; i < count; i++) items[i] = yield* one
    yield* Effect.sleep("100 millis")
    const after = yield* heapUsed
    return { items, bytes: (after - before) / count }
  })

const connected = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const connection = yield* Scope.extend(make, scope)
  yield* connection.connected
  return { scope, connection }
})

const heap = Effect.gen(function*() {
  yield* heapPerItem(1_000, connected)
  const idle = yield* heapPerItem(10_000, connected)
  const fiber = yield* heapPerItem(10_000, Effect.forkDaemon(never))
  yield* Console.log(`heap of an idle established connection   ${(idle.bytes / 1000).toFixed(2)} kB (at most 10)`)
  yield* Console.log(`heap of a suspended fiber, the baseline  ${(fiber.bytes / 1000).toFixed(2)} kB`)
  yield* Effect.forEach(idle.items, (item) => Scope.close(item.scope, Exit.void), { discard: true })
})

const nanosPerCall = (effect: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const calls = 1_000_000
    const start = process.hrtime.bigint()
    for (let i = 0; i < calls; i++) yield* effect
    return Number(process.hrtime.bigint() - start) / calls
  })

const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[values.length >> 1]!

const time = Effect.gen(function*() {
  const ref = yield* SubscriptionRef.make(0)
  const { connection } = yield* connected
  const gets: Array<number> = []
  const ratios: Array<number> = []
  for (let round = 0; round < 7; round++) {
    const get = yield* nanosPerCall(Effect.suspend(() => SubscriptionRef.get(ref)))
    const ask = yield* nanosPerCall(Effect.suspend(() => connection.connected))
    gets.push(get)
    ratios.push(ask / get)
  }
  yield* Console.log(`SubscriptionRef.get, the baseline        ${median(gets).toFixed(0)} ns`)
  yield* Console.log(`connected, when connected                ${median(ratios).toFixed(2)} x that (at most 2)`)
})

Effect.runFork(Effect.zipRight(heap, time))
