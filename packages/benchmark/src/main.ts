/**
 * Measures the cost of a persistent connection against baselines in the same run: the heap of an idle connection, and
 * the time of `connected`, `use` and `stream`.
 *
 *     npm run measure
 */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pool from "effect/Pool"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

/** A connector that holds almost no memory, so that the result is the cost of the library. */
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

/** The heap of one value in bytes, measured over `count` values. */
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

/** The nanoseconds per call of an effect, including the cost of the loop, which is the same for the baseline. */
const nanosEach = (count: number, effect: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    let left = count
    const start = process.hrtime.bigint()
    yield* Effect.orDie(Effect.whileLoop({ while: () => left-- > 0, body: () => effect, step: () => {} }))
    return Number(process.hrtime.bigint() - start) / count
  })

/** The cost of an effect relative to a baseline measured in the same round; the median over all rounds. */
const ratio = (count: number, baseline: Effect.Effect<unknown, unknown>, effect: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const ratios: Array<number> = []
    for (let round = 0; round < 9; round++) {
      const before = yield* nanosEach(count, baseline)
      ratios.push((yield* nanosEach(count, effect)) / before)
    }
    return median(ratios).toFixed(2)
  })

const using = Effect.scoped(Effect.gen(function*() {
  const { connection } = yield* connected
  const pool = yield* Pool.make({ acquire: Effect.succeed({}), size: 1 })
  const used = PersistentConnection.use(connection, () => Effect.void)
  const figure = yield* ratio(20_000, Effect.scoped(Pool.get(pool)), used)
  yield* Console.log(`use                                      ${figure} x Effect.scoped(Pool.get) (at most 0.5)`)
}))

/** A queue that receives a fixed number of elements, and an effect to run after each take. */
interface Fed {
  readonly queue: Queue.Queue<number>
  readonly onTaken: Effect.Effect<unknown>
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)

/** The sources of the elements. */
const feeds: ReadonlyArray<readonly [how: string, feed: (count: number) => Effect.Effect<Fed, never, Scope.Scope>]> = [
  ["all available at the start", (count) =>
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<number>()
      yield* Queue.offerAll(queue, numbers(count))
      return { queue, onTaken: Effect.void }
    })],
  ["from a fiber, 16 ahead", (count) =>
    Effect.gen(function*() {
      const queue = yield* Queue.bounded<number>(16)
      yield* Effect.forkScoped(Effect.forEach(numbers(count), (n) => Queue.offer(queue, n), { discard: true }))
      return { queue, onTaken: Effect.void }
    })],
  ["from a fiber, one per turn", (count) =>
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<number>()
      const give = (n: number) => Effect.zipRight(Effect.yieldNow(), Queue.offer(queue, n))
      yield* Effect.forkScoped(Effect.forEach(numbers(count), give, { discard: true }))
      return { queue, onTaken: Effect.void }
    })],
  ["each one after the previous was taken", (count) =>
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<number>()
      yield* Queue.offer(queue, 0)
      let sent = 1
      return { queue, onTaken: Effect.suspend(() => sent < count ? Queue.offer(queue, sent++) : Effect.void) }
    })]
]

const streaming = Effect.scoped(Effect.gen(function*() {
  const { connection } = yield* connected
  const over = (stream: Stream.Stream<number>) => PersistentConnection.stream(connection, () => stream)
  yield* Console.log("stream, relative to Stream.fromQueue, by the source of the elements:")
  for (const [how, feed] of feeds) {
    const count = 20_000
    const drain = (over: (stream: Stream.Stream<number>) => Stream.Stream<number, unknown>) =>
      Effect.scoped(
        Effect.flatMap(feed(count), ({ onTaken, queue }) =>
          over(Stream.fromQueue(queue)).pipe(
            Stream.take(count),
            Stream.runForEach(() => onTaken)
          ))
      )
    const figure = yield* ratio(1, drain((stream) => stream), drain(over))
    yield* Console.log(`  ${how.padEnd(38)} ${figure} x`)
  }
}))

Effect.runFork(heap.pipe(Effect.zipRight(time), Effect.zipRight(using), Effect.zipRight(streaming)))
