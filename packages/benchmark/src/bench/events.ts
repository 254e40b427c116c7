/** The events of a connection that is lost again and again, and many subscribers. */
import type * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { never } from "../connections.js"
import { heapUsed } from "../heap.js"
import type { Figure } from "../measuring.js"
import { inTurns, type Samples } from "./harness/samples.js"
import { comparison, ratioFigure, type Section, us } from "./harness/section.js"
import { full } from "./harness/settings.js"

const rounds = full(3, 2)
const counts = [0, 1, 10, 100, 1_000]
/** How often the connection is lost in a run. Each time there are four events. */
const cyclesFor = (subscribers: number) => subscribers > 100 ? 25 : full(200, 40)

type Event = ConnectionEvent.ConnectionEvent<object, unknown, unknown>
type Subscribe = Effect.Effect<Queue.Dequeue<Event>, never, Scope.Scope>

/** A connection that begins when the gate opens, and is lost `cycles` times at once. */
const flapping = (cycles: number, gate: Deferred.Deferred<void>, onEvent?: (event: Event) => Effect.Effect<unknown>) =>
  PersistentConnection.make({
    serverName: "flapping",
    address: Effect.succeed("a:1"),
    connector: Connector.make({
      connect: (_, { generation }) => Effect.as(generation === 1 ? Deferred.await(gate) : Effect.void, { generation }),
      closed: ({ generation }) => generation > cycles ? never : Effect.void
    }),
    retry: Schedule.forever,
    ...(onEvent === undefined ? {} : { onEvent })
  })

const isLast = (event: Event, cycles: number) => event._tag === "Connected" && event.generation > cycles

type Source = (cycles: number, gate: Deferred.Deferred<void>) => Effect.Effect<Subscribe, never, Scope.Scope>

const own: Source = (cycles, gate) => Effect.map(flapping(cycles, gate), ({ subscribe }) => subscribe)

/** The same events, through a `PubSub` that its user fills. */
const pubSub: Source = (cycles, gate) =>
  Effect.gen(function*() {
    const bus = yield* PubSub.sliding<Event>(64)
    yield* flapping(cycles, gate, (event) => PubSub.publish(bus, event))
    return PubSub.subscribe(bus)
  })

/** The time in ms until all subscribers have the last event. */
const run = (source: Source, subscribers: number, stuck: number) =>
  Effect.scoped(Effect.gen(function*() {
    const cycles = cyclesFor(subscribers)
    const gate = yield* Deferred.make<void>()
    const subscribe = yield* source(cycles, gate)
    for (let i = 0; i < stuck; i++) yield* subscribe
    const all = yield* Deferred.make<void>()
    // With 0 subscribers, the one that shows the end.
    let left = Math.max(1, subscribers)
    for (let i = left; i > 0; i--) {
      const queue = yield* subscribe
      let event: Event | undefined
      const taken = Effect.whileLoop({
        while: () => event === undefined || !isLast(event, cycles),
        body: () => Queue.take(queue),
        step: (next) => event = next
      })
      yield* Effect.forkScoped(
        Effect.zipRight(taken, Effect.suspend(() => --left === 0 ? Deferred.succeed(all, undefined) : Effect.void))
      )
    }
    yield* Effect.yieldNow({ priority: 1 })
    const begun = performance.now()
    yield* Deferred.succeed(gate, undefined)
    yield* Deferred.await(all)
    return performance.now() - begun
  }))

/** So many that their heap is more than what the rest of the program gains or loses meanwhile. */
const stuckOnes = 100

/** The kB of heap that these losses leave in each subscription from which nothing is taken. */
const heapOfStuck = (source: Source, cycles: number) =>
  Effect.scoped(Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const subscribe = yield* source(cycles, gate)
    const stuck = yield* Effect.replicateEffect(subscribe, stuckOnes)
    const before = yield* heapUsed
    yield* Deferred.succeed(gate, undefined)
    const last = Effect.scoped(Effect.flatMap(subscribe, Queue.take))
    yield* Effect.repeat(Effect.zipRight(Effect.yieldNow(), last), { until: (event) => isLast(event, cycles) })
    const after = yield* heapUsed
    return { kB: (after - before) / 1_000 / stuckOnes, stuck }
  }))

export const events: Effect.Effect<Section> = Effect.gen(function*() {
  const samples: Array<readonly [subscribers: number, samples: Samples]> = []
  for (const count of counts) {
    samples.push([
      count,
      yield* inTurns(rounds, {
        PubSub: run(pubSub, count, 0),
        [us]: run(own, count, 0),
        [`${us}, and a stuck one`]: run(own, count, 1)
      })
    ])
  }
  const lost = full(5_000, 500)
  const own1 = (yield* heapOfStuck(own, lost)).kB
  const own10 = (yield* heapOfStuck(own, lost * 5)).kB
  return {
    title: "Events and subscribers",
    text: [
      "A connection without a transport is lost again and again; each time there are four events. The subscribers " +
      "take them all, each in a fiber of its own, and the time ends when every subscriber has the last event. The " +
      "baseline is the same connection, whose `onEvent` publishes to a sliding `PubSub` of 64 elements. In the row " +
      "with 0 subscribers, one subscriber waits for the last event. A stuck subscriber never takes anything.",
      "Memory is bounded: a subscriber that falls more than 64 events behind loses the oldest ones."
    ],
    figures: [
      ...samples.map(([count, values]): Figure =>
        ratioFigure(`${count} subscribers`, values, us, "PubSub", { atMost: 1.2 })
      ),
      ...samples.slice(1).map(([count, values]): Figure =>
        ratioFigure(`${count} subscribers, and a stuck one`, values, `${us}, and a stuck one`, "PubSub", {
          atMost: 1.2
        })
      ),
      {
        what: `heap of each of ${stuckOnes} stuck subscribers after ${lost * 4} events`,
        value: own1,
        unit: "kB",
        floor: { atMost: 100 }
      },
      {
        what: `heap of each of ${stuckOnes} stuck subscribers after ${lost * 20} events`,
        value: own10,
        unit: "kB",
        floor: { atMost: 100 }
      }
    ],
    tables: samples.map(([count, values]) =>
      comparison(`${count} subscribers, ${cyclesFor(count) * 4} events`, values, "PubSub", "ms")
    ),
    charts: []
  }
})
