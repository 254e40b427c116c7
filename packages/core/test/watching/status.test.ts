/** The status for user interfaces: each rule in virtual time. */
import { loopOf } from "#internal/loop/service.js"
import { describe, expect } from "@effect/vitest"
import * as ConnectionStatus from "@persistent-connection/core/ConnectionStatus"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import {
  ask,
  askNow,
  describeCause,
  type Fixture,
  makeFixture,
  now,
  on,
  pass,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { settableClock } from "../support/settableClock.js"
import { it } from "../support/virtualTime.js"

type Status = ConnectionStatus.ConnectionStatus<Refused>

/** A short text for a status. Times are in seconds. */
const textOf = (status: Status): string => {
  if (status._tag === "Connected") return "Connected"
  if (status._tag === "Closed") return `Closed: ${status.reason._tag}`
  const next = Option.match(status.nextAttemptAt, { onNone: () => "now", onSome: (at) => `at ${at / 1_000}` })
  const cause = Option.match(status.lastCause, { onNone: () => "no failure", onSome: describeCause })
  return `${status._tag} since ${status.since / 1_000}, attempt ${status.attempt}, next ${next}, ${cause}`
}

/** A fixture that is connected, unless the server is prepared otherwise. */
const start = (...args: Parameters<typeof makeFixture>) => Effect.zipLeft(makeFixture(...args), settle)

/** Records the changes from now on, each with its time in seconds. */
const watch = ({ service }: Fixture, options?: PersistentConnection.StatusOptions) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const status = PersistentConnection.status(service, options)
    const { fiber } = yield* askNow(
      Stream.runForEach(status.changes, (status) => Effect.map(now, (at) => seen.push(`${at}: ${textOf(status)}`)))
    )
    return { seen, fiber, get: Effect.map(status.get, textOf) }
  })

/** A connection that is lost at 20 s. From then on the server refuses, until the test changes that. */
const loseAt20 = (fixture: Fixture) =>
  Effect.zipRight(
    pass(20),
    Effect.zipRight(
      Effect.sync(() => {
        fixture.server.refuse("no")
        fixture.server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      }),
      settle
    )
  )

const threeSeconds = { ignoreLossesShorterThan: "3 seconds" } as const

describe("the first connection", () => {
  it.scoped("shows Connecting at once, with every attempt, and then Connected at once", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.connect = () => Effect.zipRight(sleep(1), Effect.fail(new Refused({ text: "no" })))
      })
      // Before the loop has begun.
      const first = yield* PersistentConnection.status(fixture.service).get
      expect(textOf(first)).toBe("Connecting since 0, attempt 1, next now, no failure")
      const { seen } = yield* watch(fixture, threeSeconds)
      yield* pass(15)
      fixture.server.accept()
      yield* pass(10)
      expect(seen).toEqual([
        "0: Connecting since 0, attempt 1, next now, no failure",
        "1: Connecting since 0, attempt 1, next at 10, no",
        "10: Connecting since 0, attempt 2, next now, no",
        "11: Connecting since 0, attempt 2, next at 20, no",
        "20: Connected"
      ])
    }))
})

describe("a loss", () => {
  it.scoped("is never shown if it is shorter than the time", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      const { get, seen } = yield* watch(fixture, { ignoreLossesShorterThan: "10 seconds" })
      yield* pass(1)
      fixture.server.line.drop()
      // The next attempt begins at 10 s.
      yield* pass(8.9)
      expect(yield* get).toBe("Connected")
      yield* pass(0.1)
      // The second loss begins at once. Together they are longer than the time.
      fixture.server.line.drop()
      yield* pass(9.9)
      expect(yield* get).toBe("Connected")
      yield* pass(100)
      expect(seen).toEqual(["0: Connected"])
    }))

  it.scoped("is shown when it has lasted for the time, with the moment of the loss", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      const { get, seen } = yield* watch(fixture, threeSeconds)
      yield* loseAt20(fixture)
      yield* pass(2.999)
      expect(yield* get).toBe("Connected")
      expect(seen).toEqual(["0: Connected"])
      yield* pass(0.001)
      const shown = "Reconnecting since 20, attempt 1, next at 30, no"
      expect(yield* get).toBe(shown)
      expect(seen).toEqual(["0: Connected", `23: ${shown}`])
    }))

  it.scoped("is updated with each attempt, each delay and each cause, and ends at once", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      const { seen } = yield* watch(fixture, threeSeconds)
      yield* loseAt20(fixture)
      fixture.server.connect = () => Effect.zipRight(sleep(1), Effect.fail(new Refused({ text: "busy" })))
      yield* pass(25)
      fixture.server.accept()
      yield* pass(5)
      expect(seen).toEqual([
        "0: Connected",
        "23: Reconnecting since 20, attempt 1, next at 30, no",
        "30: Reconnecting since 20, attempt 2, next now, no",
        "31: Reconnecting since 20, attempt 2, next at 40, busy",
        "40: Reconnecting since 20, attempt 3, next now, busy",
        "41: Reconnecting since 20, attempt 3, next at 50, busy",
        "50: Connected"
      ])
    }))

  it.scoped("has no attempt, and the cause of the loss, before the first attempt after it", () =>
    Effect.gen(function*() {
      const fixture = yield* start({}, ({ server }) => server.refuse("no"))
      yield* pass(15)
      fixture.server.accept()
      // The first connection took three attempts.
      yield* pass(6)
      const { seen } = yield* watch(fixture, threeSeconds)
      fixture.server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(9)
      expect(seen).toEqual([
        "21: Connected",
        "24: Reconnecting since 21, attempt 0, next at 30, reset",
        "30: Reconnecting since 21, attempt 1, next now, reset",
        "30: Connected"
      ])
    }))

  it.scoped("is shown at once with 0, after 2 s by default, and never with infinity", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      yield* pass(1)
      const watches = yield* Effect.forEach(
        [{ ignoreLossesShorterThan: 0 }, undefined, { ignoreLossesShorterThan: Infinity }],
        (options) => watch(fixture, options)
      )
      fixture.server.line.drop()
      yield* pass(8)
      const shown = "Reconnecting since 1, attempt 0, next at 10, nothing"
      expect(watches.map(({ seen }) => seen)).toEqual([
        ["1: Connected", `1: ${shown}`],
        ["1: Connected", `3: ${shown}`],
        ["1: Connected"]
      ])
    }))

  it.scoped("is shown at the same moment, with the same `since`, to a watcher that begins during it", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      yield* loseAt20(fixture)
      yield* pass(1)
      const before = yield* watch(fixture, threeSeconds)
      yield* pass(4)
      const after = yield* watch(fixture, threeSeconds)
      const shown = "Reconnecting since 20, attempt 1, next at 30, no"
      expect(before.seen).toEqual(["21: Connected", `23: ${shown}`])
      expect(after.seen).toEqual([`25: ${shown}`])
    }))

  it.scoped("is not shown for a refresh", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      yield* settle
      const { seen } = yield* watch(fixture, { ignoreLossesShorterThan: 0 })
      yield* PersistentConnection.refresh(fixture.service)
      yield* pass(60)
      expect(seen).toEqual(["0: Connected"])
    }))

  it.scoped("T5: lasts by the monotonic clock, and `since` is of the wall clock", () =>
    Effect.gen(function*() {
      const { clock, set } = yield* settableClock
      const fixture = yield* Effect.withClock(makeFixture(), clock)
      yield* settle
      const { seen } = yield* watch(fixture, threeSeconds)
      set(3_600)
      yield* loseAt20(fixture)
      set(-7_200)
      yield* pass(3)
      expect(seen).toEqual(["0: Connected", "23: Reconnecting since 3620, attempt 1, next at 3630, no"])
    }))
})

describe("Closed", () => {
  it.scoped("is shown at once, even if the close takes time, and ends the changes", () =>
    Effect.gen(function*() {
      const fixture = yield* start()
      fixture.server.release = () => sleep(10)
      const { fiber, get, seen } = yield* watch(fixture)
      yield* pass(1)
      const close = yield* askNow(fixture.service.close)
      expect(close.isWaiting).toBe(true)
      expect(seen).toEqual(["0: Connected", "1: Closed: ClosedByOwner"])
      expect(yield* get).toBe("Closed: ClosedByOwner")
      expect(fiber.unsafePoll()).toEqual(Exit.void)
      expect(Reflect.get(loopOf(fixture.service).status, "observers")).toEqual(new Set())
    }))

  it.scoped("is shown at once during a loss, whether that is shown or not, and during the first attempt", () =>
    Effect.gen(function*() {
      for (const seconds of [1, 5]) {
        const fixture = yield* start()
        const began = yield* now
        const { seen } = yield* watch(fixture, threeSeconds)
        yield* loseAt20(fixture)
        yield* pass(seconds)
        yield* askNow(fixture.service.close)
        expect(seen.at(-1)).toBe(`${began + 20 + seconds}: Closed: ClosedByOwner`)
        expect(seen.length).toBe(seconds === 1 ? 2 : 3)
      }
      const fixture = yield* start({}, ({ server }) => {
        server.connect = () => Effect.never
      })
      const began = yield* now
      const { seen } = yield* watch(fixture, threeSeconds)
      yield* fixture.service.close
      yield* settle
      expect(seen.at(-1)).toBe(`${began}: Closed: ClosedByOwner`)
    }))

  it.scoped("has the reason if the policy gave up or an attempt aborted", () =>
    Effect.gen(function*() {
      const fixture = yield* start({ retry: Schedule.stop })
      const { seen } = yield* watch(fixture)
      fixture.server.line.drop()
      yield* settle
      expect(seen).toEqual(["0: Connected", "0: Closed: GaveUp"])
      const aborting = yield* start({}, ({ server }) => {
        server.lookUp = (attempt) => attempt.abort(new Refused({ text: "401" }))
      })
      yield* settle
      const late = yield* watch(aborting)
      expect(late.seen).toEqual(["0: Closed: Aborted"])
    }))
})

describe("the changes", () => {
  it.scoped("D7a: the loop does not wait for a handler that follows them", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({
        onEvent: on("Connected", () =>
          PersistentConnection.status(fixture.service, { ignoreLossesShorterThan: 0 }).changes.pipe(
            Stream.filter(ConnectionStatus.$is("Reconnecting")),
            Stream.take(1),
            Stream.runDrain
          ))
      })
      yield* pass(10)
      fixture.server.line.drop()
      yield* settle
      expect(fixture.eventLog.at(-1)).toBe("10 Connected 2")
    }))

  it.scoped("give a slow consumer the latest status next", () =>
    Effect.gen(function*() {
      const fixture = yield* start({ retry: RetryPolicy.fixed("1 second") })
      const seen: Array<string> = []
      yield* ask(Stream.runForEach(
        PersistentConnection.status(fixture.service, { ignoreLossesShorterThan: 0 }).changes,
        (status) => Effect.zipRight(Effect.sync(() => seen.push(textOf(status))), sleep(20.5))
      ))
      yield* settle
      yield* loseAt20(fixture)
      yield* pass(20.5)
      expect(seen.length).toBe(2)
      expect(seen[1]).toBe("Reconnecting since 20, attempt 1, next at 21, no")
      yield* pass(1)
    }))
})

describe("a status", () => {
  const cause = Cause.fail(new Error("GET wss://me:hunter2@example.com/?token=hunter2"))
  const outage = {
    since: 1,
    attempt: 2,
    nextAttemptAt: Option.some(3),
    lastCause: Option.some(cause)
  }

  it("is equal to one with equal parts", () => {
    const { Connected, Reconnecting } = ConnectionStatus
    expect(Equal.equals(Connected(), Connected())).toBe(true)
    expect(Equal.equals(Reconnecting(outage), Reconnecting({ ...outage }))).toBe(true)
    expect(Equal.equals(Reconnecting(outage), Reconnecting({ ...outage, attempt: 3 }))).toBe(false)
  })

  it("shows its cause as text, without secrets, when it is printed", () => {
    for (
      const status of [
        ConnectionStatus.Reconnecting(outage),
        ConnectionStatus.Closed({ reason: { _tag: "GaveUp", cause } })
      ]
    ) {
      const text = JSON.stringify(status)
      expect(text).toContain("wss://example.com/")
      expect(text).not.toContain("hunter2")
    }
  })
})
