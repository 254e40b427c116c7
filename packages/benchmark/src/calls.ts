/** The time of the operations that a program calls often. */
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import * as Pool from "effect/Pool"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { connected, makeBare } from "./connections.js"
import { type Figure, median, nanosEach, ratio } from "./measuring.js"

const asking: Effect.Effect<Figure, never, Scope.Scope> = Effect.gen(function*() {
  const ref = yield* SubscriptionRef.make(0)
  const connection = yield* connected(makeBare)
  return {
    what: "connected",
    value: yield* ratio(
      9,
      nanosEach(500_000, Effect.suspend(() => SubscriptionRef.get(ref))),
      nanosEach(500_000, Effect.suspend(() => connection.connected))
    ),
    unit: "x SubscriptionRef.get",
    floor: { atMost: 1.2 }
  }
})

const using: Effect.Effect<Figure, never, Scope.Scope> = Effect.gen(function*() {
  const connection = yield* connected(makeBare)
  const pool = yield* Pool.make({ acquire: Effect.succeed({}), size: 1 })
  // Not `Effect.void`: a result needs no fiber.
  const used = Effect.orDie(PersistentConnection.use(connection, () => Effect.sync(constVoid)))
  return {
    what: "use",
    value: yield* ratio(9, nanosEach(50_000, Effect.scoped(Pool.get(pool))), nanosEach(50_000, used)),
    unit: "x Effect.scoped(Pool.get)",
    floor: { atMost: 0.25 }
  }
})

const life = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const connection = yield* Scope.extend(connected(makeBare), scope)
  yield* connection.close
  yield* Scope.close(scope, Exit.void)
})

const living: Effect.Effect<Figure> = Effect.gen(function*() {
  const times: Array<number> = []
  for (let round = 0; round < 7; round++) times.push(yield* nanosEach(2_000, life))
  return { what: "make, connect and close", value: median(times) / 1e6, unit: "ms", floor: { atMost: 0.25 } }
})

export const calls: Effect.Effect<ReadonlyArray<Figure>> = Effect.scoped(Effect.all([asking, using, living]))
