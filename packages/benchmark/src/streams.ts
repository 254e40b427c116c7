/** The time of an element of `stream`, by how the elements come. */
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { connected, makeBare } from "./connections.js"
import { type Figure, nanosOf, ratio } from "./measuring.js"

/** The number of elements of each feed. */
export const count = 20_000
const numbers = Array.from({ length: count }, (_, index) => index)

/** A queue that gets `count` elements in all, and what to do after each take. */
interface Fed {
  readonly queue: Queue.Queue<number>
  readonly onTaken: Effect.Effect<unknown>
}

const fromFiber = (
  queue: Queue.Queue<number>,
  offer: (element: number) => Effect.Effect<unknown>
): Effect.Effect<Fed, never, Scope.Scope> =>
  Effect.as(Effect.forkScoped(Effect.forEach(numbers, offer, { discard: true })), { queue, onTaken: Effect.void })

export const feeds: ReadonlyArray<readonly [how: string, feed: Effect.Effect<Fed, never, Scope.Scope>]> = [
  [
    "all are there",
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<number>()
      yield* Queue.offerAll(queue, numbers)
      return { queue, onTaken: Effect.void }
    })
  ],
  [
    "from a fiber, 16 ahead",
    Effect.flatMap(Queue.bounded<number>(16), (queue) => fromFiber(queue, (element) => Queue.offer(queue, element)))
  ],
  [
    "from a fiber, one at a time",
    Effect.flatMap(
      Queue.unbounded<number>(),
      (queue) => fromFiber(queue, (element) => Effect.zipRight(Effect.yieldNow(), Queue.offer(queue, element)))
    )
  ],
  [
    "in lock-step, each when the last is taken",
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<number>()
      yield* Queue.offer(queue, 0)
      let sent = 1
      return { queue, onTaken: Effect.suspend(() => sent < count ? Queue.offer(queue, sent++) : Effect.void) }
    })
  ]
]

/** The time of taking all elements. */
export const drain = (
  feed: Effect.Effect<Fed, never, Scope.Scope>,
  over: (stream: Stream.Stream<number>) => Stream.Stream<number, unknown>
) =>
  Effect.orDie(
    Effect.scoped(Effect.flatMap(feed, ({ onTaken, queue }) =>
      nanosOf(
        over(Stream.fromQueue(queue)).pipe(
          Stream.take(count),
          Stream.runForEach(() => onTaken)
        )
      )))
  )

export const streams: Effect.Effect<ReadonlyArray<Figure>> = Effect.scoped(Effect.gen(function*() {
  const connection = yield* connected(makeBare)
  return yield* Effect.forEach(feeds, ([how, feed]) =>
    Effect.map(
      ratio(
        9,
        drain(feed, (stream) => stream),
        drain(feed, (stream) => PersistentConnection.stream(connection, () => stream))
      ),
      (value): Figure => ({ what: `stream, ${how}`, value, unit: "x Stream.fromQueue", floor: { atMost: 1.5 } })
    ))
}))
