/** The operations that a program calls often. */
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Pool from "effect/Pool"
import * as RcRef from "effect/RcRef"
import * as Ref from "effect/Ref"
import * as Reloadable from "effect/Reloadable"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { connected, makeBare } from "../connections.js"
import { type Figure, nanosEach } from "../measuring.js"
import { count, drain, feeds } from "../streams.js"
import { inTurns, type Samples } from "./harness/samples.js"
import { barsOf, comparison, ratioFigure, type Section, us } from "./harness/section.js"
import { full } from "./harness/settings.js"

const rounds = full(7, 3)

type Bare = Effect.Effect.Success<typeof makeBare>

class Service extends Context.Tag("Service")<Service, object>() {}

const timed = (times: number) => <E, R>(effect: Effect.Effect<unknown, E, R>) => Effect.orDie(nanosEach(times, effect))

/** The contenders that read a connection, without using it. */
export const reads = (connection: Bare, rounds: number, calls: number) =>
  Effect.gen(function*() {
    const ref = yield* SubscriptionRef.make(0)
    const byHand = yield* Ref.make(Option.some({}))
    const reloadable = yield* Layer.build(Reloadable.manual(Service, { layer: Layer.succeed(Service, {}) }))
    const each = timed(calls)
    return yield* inTurns(rounds, {
      "SubscriptionRef.get": each(Effect.suspend(() => SubscriptionRef.get(ref))),
      [`${us}: connected`]: each(Effect.suspend(() => connection.connected)),
      [`${us}: state.get`]: each(Effect.suspend(() => connection.state.get)),
      "by hand: a Ref of an Option": each(Effect.suspend(() => Effect.flatten(Ref.get(byHand)))),
      "Reloadable.get": each(Effect.suspend(() => Reloadable.get(Service))).pipe(Effect.provide(reloadable))
    })
  })

/** Does a piece of work with the connection. */
const uses = Effect.gen(function*() {
  const connection = yield* connected(makeBare)
  const pool = yield* Pool.make({ acquire: Effect.succeed({}), size: 1 })
  const rcRef = yield* RcRef.make({ acquire: Effect.succeed({}) })
  yield* RcRef.get(rcRef)
  const each = timed(full(50_000, 10_000))
  return yield* inTurns(rounds, {
    "Pool.get": each(Effect.scoped(Pool.get(pool))),
    [`${us}: use`]: each(PersistentConnection.use(connection, () => Effect.sync(constVoid))),
    [`${us}: use, of a result`]: each(PersistentConnection.use(connection, () => Effect.void)),
    "RcRef.get": each(Effect.scoped(RcRef.get(rcRef)))
  })
})

const streamed = Effect.gen(function*() {
  const connection = yield* connected(makeBare)
  const all: Array<readonly [how: string, samples: Samples]> = []
  for (const [how, feed] of feeds) {
    const each = (over: Parameters<typeof drain>[1]) => Effect.map(drain(feed, over), (nanos) => nanos / count)
    all.push([
      how,
      yield* inTurns(rounds, {
        "Stream.fromQueue": each((stream) => stream),
        [`${us}: stream`]: each((stream) => PersistentConnection.stream(connection, () => stream)),
        // What `Effect.retry` around a loop does with a stream.
        "by hand: Stream.retry": each((stream) => Stream.retry(stream, Schedule.forever))
      })
    ])
  }
  return all
})

export const connectedFigure = (read: Samples): Figure =>
  ratioFigure("connected", read, `${us}: connected`, "SubscriptionRef.get", { atMost: 1.2 })

export const hot: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const read = yield* reads(yield* connected(makeBare), rounds, full(300_000, 50_000))
  const used = yield* uses
  const elements = yield* streamed
  const stream = `${us}: stream`
  return {
    title: "Operations on a connection",
    text: [
      "What an operation costs while the connection is there: the time of one call, from a loop of many. No " +
      "transport is involved. *Read* asks for the connection or the state. *Use* runs an effect that does nothing, " +
      "and watches the connection meanwhile; if its function returns a result, such as `Effect.void`, nothing is " +
      "run. `Pool` and `RcRef` need a scope. *Stream* is the time of one element; how the elements come decides it, " +
      "because a stream that gets single elements costs more than one that gets chunks.",
      "A reference by hand is as fast to read. It does not wait when there is no connection, and does not end the " +
      "work when the connection is lost."
    ],
    figures: [
      connectedFigure(read),
      ratioFigure("state.get", read, `${us}: state.get`, "SubscriptionRef.get", { atMost: 1.2 }),
      ratioFigure("use", used, `${us}: use`, "Pool.get", { atMost: 0.25 }),
      ratioFigure("use, of a result", used, `${us}: use, of a result`, "Pool.get", { atMost: 0.25 }),
      ...elements.map(([how, samples]) =>
        ratioFigure(`stream, ${how}`, samples, stream, "Stream.fromQueue", { atMost: 1.5 })
      )
    ],
    tables: [
      comparison("Read", read, "SubscriptionRef.get", "ns"),
      comparison("Use", used, "Pool.get", "ns"),
      ...elements.map(([how, samples]) => comparison(`Stream: ${how}`, samples, "Stream.fromQueue", "ns an element"))
    ],
    charts: [barsOf("bench-use", "A piece of work with the connection", "ns a call", used)]
  }
}))
