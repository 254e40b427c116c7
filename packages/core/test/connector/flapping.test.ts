/** Peers that accept everybody and hang up. */
import { describe, expect } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import {
  askNow,
  begin,
  type Life,
  type Line,
  type Options,
  pass,
  refuse,
  type Refused,
  sleep
} from "../support/Life.js"
import { it } from "../support/virtualTime.js"
import { stay } from "./Ward.js"

const backoff = RetryPolicy.exponential({ base: "1 second", maxDelay: "30 seconds", jitter: "none" })

/** The flapping rule: once at once, and then it backs off. */
const hasty = Schedule.recurs(1).pipe(Schedule.andThen(backoff))

/** A life whose connections end like this, so many seconds after they were established. */
const flapping = (closed: (line: Line) => Effect.Effect<unknown, Refused>, options: Options = {}) =>
  begin({ retry: hasty, minUptime: "10 seconds", ...options }, ({ server }) => {
    server.closed = closed
  })

const attemptsAfter = (life: Life, seconds: number) => Effect.as(pass(seconds), life.server.attempts)

describe("a peer that accepts and hangs up", () => {
  const ends: ReadonlyArray<readonly [string, () => Effect.Effect<unknown, Refused>]> = [
    ["cleanly", () => Effect.void],
    ["with an error", () => refuse("reset")],
    ["with a defect", () => Effect.die("bug")],
    ["by an interruption", () => Effect.interrupt]
  ]

  for (const [how, closed] of ends) {
    it.scoped(`${how}: the first drop is retried at once, and then it backs off`, () =>
      Effect.gen(function*() {
        const life = yield* flapping(closed)
        expect(yield* attemptsAfter(life, 30)).toEqual([0, 0, 1, 3, 7, 15])
        expect(life.server.opened).toBe(6)
        expect(yield* attemptsAfter(life, 90)).toEqual([0, 0, 1, 3, 7, 15, 31, 61, 91])
      }))
  }

  it.scoped("T2: the delay runs from the beginning of the attempt, also if the connection lives for a while", () =>
    Effect.gen(function*() {
      const life = yield* flapping(() => sleep(3))
      // Delays of 0, 1, 2, 4, 8 seconds, but at least the 3 that it lives.
      expect(yield* attemptsAfter(life, 20)).toEqual([0, 3, 6, 9, 13])
    }))

  it.scoped("D14: with a minUptime of 0 every connection is a success, and there is no backing off", () =>
    Effect.gen(function*() {
      const each = yield* flapping(() => sleep(0.01), { retry: backoff, minUptime: 0 })
      expect(yield* attemptsAfter(each, 29.999)).toHaveLength(30)
      // And this is why a policy that begins with no delay needs it.
      const hot = yield* flapping(() => sleep(0.05), { minUptime: 0 })
      expect((yield* attemptsAfter(hot, 2)).length).toBe(41)
    }))

  it.scoped("D11: a connection that lives long enough restarts the policy, and its loss takes no delay away", () =>
    Effect.gen(function*() {
      const life = yield* flapping(({ number }) => number === 4 ? sleep(10) : Effect.void)
      expect(yield* attemptsAfter(life, 40)).toEqual([0, 0, 1, 3, 13, 13, 14, 16, 20, 28])
    }))

  it.scoped("one that lives a little shorter does not", () =>
    Effect.gen(function*() {
      const life = yield* flapping(({ number }) => number === 4 ? sleep(9.999) : Effect.void)
      expect(yield* attemptsAfter(life, 40)).toEqual([0, 0, 1, 3, 12.999, 20.999, 36.999])
    }))

  it.scoped("failures and short-lived connections are one row", () =>
    Effect.gen(function*() {
      const life = yield* flapping(() => Effect.void)
      life.server.connect = () => life.server.attempts.length % 2 === 0 ? refuse("no") : Effect.void
      expect(yield* attemptsAfter(life, 30)).toEqual([0, 0, 1, 3, 7, 15])
    }))

  it.scoped("D11: the retry at once after a long life is not the first delay: if it fails, that comes next", () =>
    Effect.gen(function*() {
      const life = yield* flapping(() => sleep(20))
      life.server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      expect(yield* attemptsAfter(life, 50)).toEqual([0, 0, 20, 20, 40, 40])
    }))

  it.scoped("D11: gives up after so many in a row, and tells everyone", () =>
    Effect.gen(function*() {
      const life = yield* flapping(() => refuse("reset"), { retry: hasty.pipe(Schedule.intersect(Schedule.recurs(4))) })
      const use = yield* askNow(PersistentConnection.use(life.service, () => Effect.never))
      yield* pass(100)
      expect(life.server.attempts).toEqual([0, 0, 1, 3, 7])
      expect((yield* life.service.state.get)._tag).toBe("Closed")
      expect(use.isWaiting).toBe(false)
    }))

  it.scoped("the health check of a connection that never lives long does not matter", () =>
    Effect.gen(function*() {
      const { diary, ward } = yield* stay({
        check: { interval: "4 seconds", timeout: "1 second" },
        retry: hasty,
        minUptime: "10 seconds",
        prepare: (ward) => {
          ward.ping = () => Effect.never
        }
      })
      yield* pass(40)
      // Found dead after 5 seconds each: delays of 0, 1, 2, 4, 8, 16 seconds from the beginning of the attempt.
      expect(ward.server.attempts).toEqual([0, 5, 10, 15, 20, 28])
      expect(diary.filter((line) => line.includes("timeout"))).toHaveLength(6)
    }))
})
