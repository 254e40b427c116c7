import { Fibers } from "#internal/base/fibers.js"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { turns } from "../support/Life.js"

/** Whoever forks is interrupted in that very moment. */
class Interrupting extends Fibers<never> {
  override fork<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    Option.getOrThrow(Fiber.getCurrentFiber()).unsafeInterruptAsFork(FiberId.none)
    return super.fork(effect)
  }
}

describe("the first of two", () => {
  it.effect("leaves nothing running, even if it is interrupted at the moment at which they begin", () =>
    Effect.gen(function*() {
      const fibers = new Interrupting(yield* Effect.runtime<never>())
      yield* Fiber.await(yield* Effect.fork(fibers.first(Effect.never, Effect.never)))
      const joining = yield* Effect.fork(fibers.join)
      yield* turns(20)
      const isOver = joining.unsafePoll() !== null
      yield* Fiber.interrupt(joining)
      expect(isOver).toBe(true)
    }))

  it.effect("is what it comes to, and the other one is interrupted, but not waited for", () =>
    Effect.gen(function*() {
      const fibers = new Fibers(yield* Effect.runtime<never>())
      const stubborn = Effect.uninterruptible(Effect.as(turns(1_000), "late"))
      expect(yield* fibers.first(stubborn, Effect.as(turns(2), "first"))).toBe("first")
      const joining = yield* Effect.fork(fibers.join)
      yield* turns(10)
      expect(joining.unsafePoll()).toBeNull()
      yield* Fiber.join(joining)
    }))
})
