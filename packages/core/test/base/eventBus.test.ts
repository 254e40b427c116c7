import { EventBus } from "#internal/base/eventBus.js"
import { describe, expect } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { askNow, inScope, settle } from "../support/Fixture.js"
import { objectsReachableFrom } from "../support/size.js"
import { it } from "../support/virtualTime.js"

const streamOf = <A>(bus: EventBus<A>): Stream.Stream<A> =>
  Stream.unwrapScoped(Effect.map(bus.follow, Stream.fromChannel))

describe("EventBus", () => {
  it.scoped("ends its streams, but not its queues", () =>
    Effect.gen(function*() {
      const bus = new EventBus<number>()
      const queue = yield* bus.subscribe
      const run = yield* askNow(Stream.runCollect(streamOf(bus)))
      bus.publish(1)
      bus.end()
      yield* settle
      expect(run.answer).toEqual(Chunk.of(1))
      expect(yield* Queue.takeAll(queue)).toEqual(Chunk.of(1))
      expect((yield* askNow(Queue.take(queue))).isWaiting).toBe(true)
    }))

  it.scoped("gives the last value to a subscriber that comes after the end", () =>
    Effect.gen(function*() {
      const bus = new EventBus<number>()
      bus.publish(1)
      bus.publish(2)
      bus.end()
      expect(yield* Stream.runCollect(streamOf(bus))).toEqual(Chunk.of(2))
      expect(yield* Queue.takeAll(yield* bus.subscribe)).toEqual(Chunk.of(2))
    }))

  it.scoped("gives every value to every subscriber, and the last 64 to one that falls behind", () =>
    Effect.gen(function*() {
      const bus = new EventBus<number>()
      const queue = yield* bus.subscribe
      const got: Array<number> = []
      yield* askNow(Stream.runForEach(streamOf(bus), (value) => Effect.sync(() => got.push(value))))
      const slow = yield* askNow(Stream.runForEach(streamOf(bus), () => Effect.never))
      for (let value = 1; value <= 70; value++) {
        bus.publish(value)
        yield* settle
      }
      expect(got).toEqual(Array.from({ length: 70 }, (_, index) => index + 1))
      expect(Chunk.toReadonlyArray(yield* Queue.takeAll(queue))).toEqual(got.slice(6))
      expect(slow.isWaiting).toBe(true)
    }))

  it.scoped("forgets the subscribers that have left", () =>
    Effect.gen(function*() {
      const bus = new EventBus<number>()
      // So that the set of the subscribers exists.
      yield* bus.subscribe
      const before = objectsReachableFrom(bus)
      const run = yield* askNow(Stream.runDrain(streamOf(bus)))
      const [, scope] = yield* inScope(bus.subscribe)
      expect(objectsReachableFrom(bus)).toBeGreaterThan(before)
      yield* Fiber.interrupt(run.fiber)
      yield* Scope.close(scope, Exit.void)
      expect(objectsReachableFrom(bus)).toBe(before)
    }))
})
