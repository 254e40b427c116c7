import { Signal } from "#internal/base/signal.js"
import { describe, expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { askNow, settle } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

describe("Signal", () => {
  it.scoped("resumes all fibers that wait, in their order; an interrupted one does not affect the others", () =>
    Effect.gen(function*() {
      const signal = new Signal<number>()
      const resumed: Array<string> = []
      const wait = (name: string) =>
        askNow(Effect.map(Effect.suspend(() => signal.next), (value) => resumed.push(`${name}${value}`)))
      const [, second] = [yield* wait("a"), yield* wait("b"), yield* wait("c")]
      const interrupted = yield* Fiber.interrupt(second.fiber)
      expect(Exit.isFailure(interrupted) && Cause.isInterruptedOnly(interrupted.cause)).toBe(true)
      signal.notify(Exit.succeed(1))
      yield* settle
      expect(resumed).toEqual(["a1", "c1"])
    }))

  it.scoped("is not missed between the read of `next` and the wait, and resumes each wait once", () =>
    Effect.gen(function*() {
      const signal = new Signal<number>()
      const { next } = signal
      signal.notify(Exit.succeed(1))
      expect(yield* next).toBe(1)
      const later = yield* askNow(signal.next)
      expect(later.isWaiting).toBe(true)
      signal.notify(Exit.succeed(2))
      signal.notify(Exit.succeed(3))
      yield* settle
      expect(later.answer).toBe(2)
    }))

  it.scoped("counts the fibers that wait, until the signal or their interruption", () =>
    Effect.gen(function*() {
      let waiting = 0
      const signal = new Signal<void>((difference) => waiting += difference)
      const first = yield* askNow(signal.next)
      yield* askNow(signal.next)
      expect(waiting).toBe(2)
      yield* Fiber.interrupt(first.fiber)
      expect(waiting).toBe(1)
      const { next } = signal
      signal.notify(Exit.void)
      expect(waiting).toBe(0)
      yield* next
      yield* settle
      expect(waiting).toBe(0)
    }))
})
