/** Servers that accept every connection and close it soon. */
import { describe, expect } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Number from "effect/Number"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import {
  askNow,
  type Fixture,
  type Line,
  makeFixture,
  type Options,
  pass,
  refuse,
  type Refused,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { makeCheckedFixture } from "./PingServer.js"

const backoff = RetryPolicy.exponential({ base: "1 second", maxDelay: "30 seconds", jitter: "none" })

/** One retry without a delay, then backoff. */
const firstRetryAtOnce = Schedule.recurs(1).pipe(Schedule.andThen(backoff))

/** A fixture whose connections end with `closed`. */
const flapping = (closed: (line: Line) => Effect.Effect<unknown, Refused>, options: Options = {}) =>
  makeFixture({ retry: firstRetryAtOnce, minUptime: "10 seconds", ...options }, ({ server }) => {
    server.closed = closed
  })

const attemptsAfter = (fixture: Fixture, seconds: number) => Effect.as(pass(seconds), fixture.server.attempts)

describe("D14: a server that accepts and closes", () => {
  const ends: ReadonlyArray<readonly [string, () => Effect.Effect<unknown, Refused>]> = [
    ["cleanly", () => Effect.void],
    ["with an error", () => refuse("reset")],
    ["with a defect", () => Effect.die("bug")],
    ["by an interruption", () => Effect.interrupt]
  ]

  for (const [how, closed] of ends) {
    it.scoped(`${how}: the client retries at once after the first loss, and then backs off`, () =>
      Effect.gen(function*() {
        const fixture = yield* flapping(closed)
        expect(yield* attemptsAfter(fixture, 30)).toEqual([0, 0, 1, 3, 7, 15])
        expect(fixture.server.opened).toBe(6)
        expect(yield* attemptsAfter(fixture, 90)).toEqual([0, 0, 1, 3, 7, 15, 31, 61, 91])
      }))
  }

  it.scoped("T2: the delay runs from the beginning of the attempt, not from the loss", () =>
    Effect.gen(function*() {
      const fixture = yield* flapping(() => sleep(3))
      // Delays of 0, 1, 2, 4, 8 seconds, but at least the uptime of 3 seconds.
      expect(yield* attemptsAfter(fixture, 20)).toEqual([0, 3, 6, 9, 13])
    }))

  it.scoped("with a minUptime of 0 every connection is a success, and the client does not back off", () =>
    Effect.gen(function*() {
      const each = yield* flapping(() => sleep(0.01), { retry: backoff, minUptime: 0 })
      expect(yield* attemptsAfter(each, 29.999)).toHaveLength(30)
      // So a policy whose first delay is 0 never waits.
      const hot = yield* flapping(() => sleep(0.05), { minUptime: 0 })
      expect((yield* attemptsAfter(hot, 2)).length).toBe(41)
    }))

  it.scoped("a connection that lived for minUptime restarts the policy, and its loss consumes no delay (D11)", () =>
    Effect.gen(function*() {
      const fixture = yield* flapping(({ number }) => number === 4 ? sleep(10) : Effect.void)
      expect(yield* attemptsAfter(fixture, 40)).toEqual([0, 0, 1, 3, 13, 13, 14, 16, 20, 28])
    }))

  it.scoped("a connection that lived 1 ms less does not restart the policy", () =>
    Effect.gen(function*() {
      const fixture = yield* flapping(({ number }) => number === 4 ? sleep(9.999) : Effect.void)
      expect(yield* attemptsAfter(fixture, 40)).toEqual([0, 0, 1, 3, 12.999, 20.999, 36.999])
    }))

  it.scoped("failures and short-lived connections step the same run of the policy", () =>
    Effect.gen(function*() {
      const fixture = yield* flapping(() => Effect.void)
      fixture.server.connect = () => fixture.server.attempts.length % 2 === 0 ? refuse("no") : Effect.void
      expect(yield* attemptsAfter(fixture, 30)).toEqual([0, 0, 1, 3, 7, 15])
    }))

  it.scoped("after the loss of a long-lived connection, the failures start with the first delay, here 0 (D11)", () =>
    Effect.gen(function*() {
      const fixture = yield* flapping(() => sleep(20))
      fixture.server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      expect(yield* attemptsAfter(fixture, 50)).toEqual([0, 0, 20, 20, 40, 40])
    }))

  it.scoped("D11: when the policy ends, all waiting callers fail", () =>
    Effect.gen(function*() {
      const fixture = yield* flapping(() => refuse("reset"), {
        retry: firstRetryAtOnce.pipe(Schedule.intersect(Schedule.recurs(4)))
      })
      const use = yield* askNow(PersistentConnection.use(fixture.service, () => Effect.never))
      yield* pass(100)
      expect(fixture.server.attempts).toEqual([0, 0, 1, 3, 7])
      expect((yield* fixture.service.state.get)._tag).toBe("Closed")
      expect(use.isWaiting).toBe(false)
    }))

  it.scoped("short-lived connections that a health check finds dead do not restart the policy either", () =>
    Effect.gen(function*() {
      const { eventLog, pingServer } = yield* makeCheckedFixture({
        check: { interval: "4 seconds", timeout: "1 second" },
        retry: firstRetryAtOnce,
        minUptime: "10 seconds",
        prepare: (pingServer) => {
          pingServer.ping = () => Effect.never
        }
      })
      yield* pass(40)
      // The health check finds each one dead after 5 seconds. Delays: 0, 1, 2, 4, 8, 16 seconds from the beginning.
      expect(pingServer.server.attempts).toEqual([0, 5, 10, 15, 20, 28])
      expect(eventLog.filter((line) => line.includes("timeout"))).toHaveLength(6)
    }))

  for (const uptime of [0, 3]) {
    it.scoped(`with the production options a client opens at most 5 connections in 30 s, if each lives for ${uptime} s`, () =>
      Effect.gen(function*() {
        const lives = yield* Effect.forEach(
          Arr.range(1, 40),
          (seed) => flapping(() => sleep(uptime), RetryPolicy.production).pipe(Effect.withRandom(Random.make(seed)))
        )
        yield* pass(29.999)
        const opened = lives.map(({ server }) => server.opened)
        expect(Math.max(...opened)).toBe(5)
        expect(Number.sumAll(opened) / opened.length).toBeLessThan(5)
      }))
  }
})
