import { Alarms } from "#internal/base/alarms.js"
import { Verdict } from "#internal/connector/verdict.js"
import { describe, expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { pass } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { SuspendableClock } from "./PingServer.js"

/** A verdict on a connection, its losses, and its clock. */
const makeVerdict = Effect.gen(function*() {
  const clock = new SuspendableClock(yield* Effect.clock)
  const alarms = yield* Effect.withClock(Alarms.current, clock)
  const losses: Array<Cause.Cause<string>> = []
  const verdict = new Verdict<string, never>(alarms, Effect.runFork, (cause) => losses.push(cause))
  return { clock, losses, verdict }
})

const ends: ReadonlyArray<readonly [string, (verdict: Verdict<string, never>) => Effect.Effect<void>]> = [
  ["the release has begun", (verdict) => verdict.end],
  ["a loss has been declared", (verdict) => Effect.sync(() => verdict.declare(Cause.fail("gone")))]
]

describe("Verdict", () => {
  for (const [when, end] of ends) {
    it.scoped(`once ${when}, calls nothing, and has no timer`, () =>
      Effect.gen(function*() {
        const { clock, verdict } = yield* makeVerdict
        let calls = 0
        const call = () => void calls++
        verdict.callAt(1_000, call)
        yield* pass(0.5)
        expect(clock.sleepers).toBe(1)
        yield* end(verdict)
        verdict.callAt(2_000, call)
        verdict.attempt(call)
        yield* pass(0)
        expect(clock.sleepers).toBe(0)
        yield* pass(10)
        expect([calls, verdict.isOver]).toEqual([0, true])
      }))
  }

  it.scoped("calls at the latest moment that was asked for", () =>
    Effect.gen(function*() {
      const { verdict } = yield* makeVerdict
      const calls: Array<string> = []
      verdict.callAt(1_000, () => calls.push("first"))
      verdict.callAt(2_000, () => calls.push("second"))
      yield* pass(1.999)
      expect(calls).toEqual([])
      yield* pass(0.001)
      expect(calls).toEqual(["second"])
    }))

  it.scoped("declares only the first loss, also that of a call that throws", () =>
    Effect.gen(function*() {
      const { losses, verdict } = yield* makeVerdict
      verdict.callAt(1_000, () => {
        throw "bug"
      })
      yield* pass(1)
      verdict.declare(Cause.fail("gone"))
      expect(losses).toEqual([Cause.die("bug")])
    }))
})
