import { describe, expect, it as withTestClock } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import {
  ask,
  askNow,
  describeCause,
  type Fixture,
  makeFixture,
  now,
  on,
  pass,
  refuse,
  Refused,
  settle,
  sleep,
  stateOf
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

/** 1, 2, 4, 8 … seconds. */
const doubling = Schedule.exponential("1 second")

describe("giveUpAfter", () => {
  it.scoped("gives up when every attempt has failed for the given time, counted from the last loss", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.fixed("10 seconds").pipe(RetryPolicy.giveUpAfter("1 minute"))
      const { server, service } = yield* makeFixture({ retry })
      yield* pass(3600)
      server.refuse("no")
      server.line.drop()
      yield* settle
      for (let tenth = 0; tenth < 5; tenth++) yield* pass(10)
      expect(yield* service.isClosed).toBe(false)
      yield* pass(10)
      expect(yield* service.isClosed).toBe(true)
    }))

  it.scoped("a success (D14) restarts the time", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.giveUpAfter(RetryPolicy.fixed("10 seconds"), "1 minute")
      const { server, service } = yield* makeFixture({ retry, minUptime: 0 }, ({ server }) => server.refuse("no"))
      for (let time = 0; time < 5; time++) {
        for (let tenth = 0; tenth < 5; tenth++) yield* pass(10)
        server.accept()
        yield* pass(10)
        server.refuse("no")
        server.line.drop()
        yield* settle
      }
      expect(yield* service.isClosed).toBe(false)
    }))

  it("rejects a negative time", () => {
    expect(() => RetryPolicy.giveUpAfter(RetryPolicy.standard, -1)).toThrow("giveUpAfter")
  })
})

/** A schedule that records each step: its "now" in seconds, its input and the number of the step. */
const recording = (steps: Array<string>, delay = 10_000) =>
  Schedule.makeWithState(0, (now, cause: Cause.Cause<unknown>, count: number) =>
    Effect.sync(() => {
      steps.push(`${count} at ${now / 1_000}: ${describeCause(cause)}`)
      return [count + 1, delay, ScheduleDecision.continueWith(ScheduleInterval.after(now + delay))] as const
    }))

describe("the deadline", () => {
  it.scoped("D9: look-up and connect together time out after 30 s by default", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.lookUp = () => Effect.as(sleep(20), "a")
      server.connect = () => sleep(11)
      yield* pass(29.999)
      expect(eventLog.at(-1)).toBe("20 ObtainedAddress a")
      yield* pass(0.001)
      expect(eventLog.at(-1)).toBe("30 FailedToConnect timeout")
    }))

  it.scoped("D9: an attempt that ends in time is not affected", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.lookUp = () => Effect.as(sleep(20), "a")
      server.connect = () => sleep(9.999)
      yield* pass(1_000)
      expect(eventLog.slice(2)).toEqual(["29.999 Connected 1"])
    }))

  it.scoped("D9: it is a typed failure like any other, and names the server and the timeout", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({ serverName: "silent", attemptTimeout: "5 seconds" })
      server.connect = () => Effect.never
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      yield* pass(5)
      expect(waiter.error).toBeInstanceOf(Cause.TimeoutException)
      expect(waiter.error).toMatchObject({ message: expect.stringMatching(/"silent".*5s/) })
      expect(yield* server.attempt!.failedAttempts).toBe(1)
      yield* pass(5)
      expect(server.attempts).toEqual([0, 10])
    }))

  it.scoped("D9: `Duration.infinity` is the original's behaviour", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture({ attemptTimeout: Duration.infinity })
      server.connect = () => sleep(100_000)
      yield* pass(99_999)
      expect(eventLog.at(-1)).toBe("0 ObtainedAddress a")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("100000 Connected 1")
    }))

  it.scoped("D9: a look-up that hangs is interrupted, and the next attempt makes a new one", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const { server } = yield* makeFixture()
      server.lookUp = ({ number }) =>
        number === 1 ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)) : Effect.succeed("a")
      yield* pass(30)
      expect(interrupted).toBe(1)
      expect(server.lines).toHaveLength(1)
    }))

  it.scoped("D9: time spent in the ObtainedAddress handler does not count", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture({ onEvent: on("ObtainedAddress", () => sleep(100)) })
      server.lookUp = () => Effect.as(sleep(10), "a")
      server.connect = () => Effect.never
      yield* pass(129)
      expect(eventLog.at(-1)).toBe("10 ObtainedAddress a")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("130 FailedToConnect timeout")
    }))

  it.scoped("D9: time spent in `attempt.untimed` does not count, in the look-up or in connect, nested or not", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.lookUp = ({ untimed }) => Effect.as(Effect.zipRight(sleep(10), untimed(sleep(100))), "a")
      server.connect = ({ untimed }) =>
        sleep(10).pipe(
          Effect.andThen(untimed(Effect.zipRight(sleep(50), untimed(sleep(50))))),
          Effect.andThen(untimed(sleep(100))),
          Effect.andThen(Effect.never)
        )
      yield* pass(329)
      expect(eventLog.at(-1)).toBe("110 ObtainedAddress a")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("330 FailedToConnect timeout")
    }))

  it.scoped("D9: the time of concurrent `untimed` effects does not count until all have ended", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.connect = ({ untimed }) =>
        Effect.all([untimed(sleep(50)), untimed(sleep(80)), Effect.never], { concurrency: "unbounded" })
      yield* pass(109)
      expect(eventLog.at(-1)).toBe("0 ObtainedAddress a")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("110 FailedToConnect timeout")
    }))

  it.scoped("D9: `untimed` also works if its effect fails or is interrupted", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.connect = ({ untimed }) =>
        Effect.ignore(untimed(Effect.zipRight(sleep(40), refuse("no")))).pipe(
          Effect.andThen(Effect.timeoutOption(untimed(Effect.never), "60 seconds")),
          Effect.andThen(Effect.never)
        )
      yield* pass(129)
      expect(eventLog.at(-1)).toBe("0 ObtainedAddress a")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("130 FailedToConnect timeout")
    }))

  it.scoped("D9: an uninterruptible attempt does not delay the next one", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture()
      server.isUninterruptible = true
      server.connect = ({ number }) => number === 1 ? sleep(100) : Effect.void
      yield* pass(30)
      expect(server.attempts).toEqual([0, 30])
      expect(server.lines).toHaveLength(1)
      yield* pass(70)
      expect([server.opened, server.released]).toEqual([2, 1])
    }))

  withTestClock.scoped("D9: it also works if the clock does not count in whole ms", () =>
    Effect.gen(function*() {
      // When these deadlines have passed, a floating-point rest remains that is too small for a `Duration`.
      for (const [begun, lookUp] of [[275.592597, 119.6], [551.185194, 239.2], [1062.9999999, 175.6]] as const) {
        yield* TestClock.setTime(begun)
        const fixture = yield* makeFixture({ attemptTimeout: "1 second" })
        fixture.server.lookUp = () => Effect.as(Effect.sleep(Duration.millis(lookUp)), "a")
        fixture.server.connect = () => Effect.never
        yield* pass(2)
        expect(fixture.eventLog.filter((entry) => entry.includes("FailedToConnect timeout"))).toHaveLength(1)
        expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
        yield* TestClock.setTime(0)
      }
    }))

  it.scoped("D9: the deadline of an ended attempt is not shown, even if its connect continues", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture({}, ({ server }) => {
        server.connect = ({ untimed }) => Effect.uninterruptible(untimed(sleep(5)))
      })
      yield* pass(1)
      const states: Array<string> = []
      yield* askNow(Stream.runForEach(service.state.changes, ({ _tag }) => Effect.sync(() => states.push(_tag))))
      yield* askNow(service.close)
      yield* pass(10)
      expect(states).toEqual(["Connecting", "Closing", "Closed"])
    }))

  it.scoped("D9: the deadline of an ended attempt does not affect a later attempt", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.connect = ({ number }) => number === 1 ? Effect.zipRight(sleep(5), refuse("no")) : sleep(29)
      yield* pass(38)
      expect(eventLog.at(-1)).toBe("5 FailedToConnect no")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("39 Connected 1")
    }))
})

describe("an end while the policy is still deciding", () => {
  /** A policy that takes 5 seconds to decide, and then waits for 10 more seconds, or gives up. */
  const slow = (givesUp = false) =>
    Schedule.makeWithState(undefined, (now, _: unknown, state: undefined) =>
      Effect.as(
        sleep(5),
        [
          state,
          undefined,
          givesUp ? ScheduleDecision.done : ScheduleDecision.continueWith(ScheduleInterval.after(now + 10_000))
        ] as const
      ))
  const endings: ReadonlyArray<readonly [string, (fixture: Fixture) => Effect.Effect<unknown>, string]> = [
    [
      "X4: closeWhenCurrentConnectionIsClosed",
      ({ service }) => service.closeWhenCurrentConnectionIsClosed,
      "ClosedByOwner"
    ],
    ["X5: an abort", ({ server }) => server.abort(new Refused({ text: "enough" })), "Aborted"]
  ]

  for (const [name, end, reason] of endings) {
    for (const givesUp of [false, true]) {
      it.scoped(`${name} after a loss: no further attempt, also if the policy ${givesUp ? "gives up" : "continues"}`, () =>
        Effect.gen(function*() {
          const fixture = yield* makeFixture({ retry: slow(givesUp) })
          yield* pass(60)
          fixture.server.line.drop()
          yield* pass(2)
          yield* end(fixture)
          yield* pass(3)
          expect(fixture.eventLog.slice(-2)).toEqual(["0 Connected 1", "65 Disconnected 1"])
          expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason: { _tag: reason } })
          yield* pass(100)
          expect(fixture.server.attempts).toEqual([0])
        }))
    }

    it.scoped(`${name} after a failed attempt closes at once`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture({ retry: slow() }, ({ server }) => server.refuse("no"))
        yield* pass(2)
        yield* end(fixture)
        yield* settle
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason: { _tag: reason } })
        yield* pass(100)
        expect([fixture.server.attempts, fixture.eventLog]).toEqual([[0], [
          "0 AttemptingToConnect",
          "0 ObtainedAddress a"
        ]])
      }))
  }
})

describe("the schedule", () => {
  it.scoped("D11: is stepped with the moment at which the attempt began, and the cause of the failure or loss", () =>
    Effect.gen(function*() {
      const steps: Array<string> = []
      const { server } = yield* makeFixture({ retry: recording(steps) })
      server.lookUp = ({ number }) => Effect.zipRight(sleep(1), number === 1 ? refuse("who?") : Effect.succeed("a"))
      server.connect = ({ number }) =>
        Effect.zipRight(sleep(2), number === 2 ? Effect.die(new Error("bug")) : Effect.void)
      yield* pass(29)
      server.line.drop()
      yield* settle
      server.connect = () => Effect.void
      server.lookUp = () => Effect.succeed("a")
      yield* pass(7)
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      expect(steps).toEqual(["0 at 0: who?", "1 at 10: bug!", "0 at 20: nothing", "0 at 30: reset"])
    }))

  it.scoped("D11: grows from failure to failure, and a success restarts it", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ retry: doubling })
      server.refuse("no")
      yield* pass(15)
      expect(server.attempts).toEqual([0, 1, 3, 7, 15])
      server.accept()
      yield* pass(16)
      expect(server.lines).toHaveLength(1)
      server.refuse("no")
      yield* pass(69)
      server.line.drop()
      yield* pass(6)
      expect(server.attempts.slice(5)).toEqual([31, 100, 101, 103])
    }))

  it.scoped("D11: the loss of a long-lived connection is a step of the policy only if its delay has not passed yet", () =>
    Effect.gen(function*() {
      const attemptsAfterLossAt = (lostAt: number) =>
        Effect.gen(function*() {
          const { server } = yield* makeFixture({
            retry: RetryPolicy.exponential({ base: "20 seconds", maxDelay: "1 hour", jitter: "none" })
          })
          yield* pass(lostAt)
          server.refuse("no")
          server.line.drop()
          yield* pass(100)
          return server.attempts.map((at) => at - server.attempts[0]!)
        })
      // The delay of 20 s has not passed: the first failed attempt waits for the second delay.
      expect(yield* attemptsAfterLossAt(10)).toEqual([0, 20, 60])
      // It has passed: the next attempt comes at once, and the first failed one waits for the first delay.
      expect(yield* attemptsAfterLossAt(20)).toEqual([0, 20, 40, 80])
      expect(yield* attemptsAfterLossAt(50)).toEqual([0, 50, 70, 110])
    }))

  it.scoped("D11: the loss of a short-lived connection is always a step of the policy, also if its delay has passed", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ retry: doubling, minUptime: "10 seconds" })
      server.closed = () => sleep(4)
      yield* pass(40)
      // Delays of 1, 2, 4, 8 and 16 seconds from the beginning of each attempt, but at least the uptime of 4 seconds.
      expect(server.attempts).toEqual([0, 4, 8, 12, 20, 36])
    }))

  it.scoped("D11: a policy whose first delay is 0 backs off from a peer that accepts and hangs up", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ retry: Schedule.recurs(1).pipe(Schedule.andThen(doubling)) })
      server.closed = () => Effect.void
      yield* pass(16)
      expect(server.attempts).toEqual([0, 0, 1, 3, 7, 15])
    }))

  it.scoped("D11: Effect's own schedules work: recurs, upTo, whileInput, andThen", () =>
    Effect.gen(function*() {
      const attemptsUntilGivenUp = (retry: Schedule.Schedule<unknown, Cause.Cause<unknown>>) =>
        Effect.gen(function*() {
          const from = yield* now
          const fixture = yield* makeFixture({ retry })
          fixture.server.connect = ({ number }) => number === 4 ? refuse("forbidden") : refuse("no")
          yield* pass(100)
          expect((yield* stateOf(fixture))._tag).toBe("Closed")
          return fixture.server.attempts.map((time) => time - from)
        })
      const isAllowed = (cause: Cause.Cause<unknown>) => describeCause(cause) !== "forbidden"
      const every10 = RetryPolicy.fixed("10 seconds")
      expect(yield* attemptsUntilGivenUp(Schedule.intersect(every10, Schedule.recurs(2)))).toEqual([0, 10, 20])
      expect(yield* attemptsUntilGivenUp(Schedule.upTo(every10, "25 seconds"))).toEqual([0, 10, 20, 30])
      expect(yield* attemptsUntilGivenUp(Schedule.whileInput(every10, isAllowed))).toEqual([0, 10, 20, 30])
      expect(
        yield* attemptsUntilGivenUp(Schedule.recurs(1).pipe(Schedule.andThen(doubling), Schedule.upTo("3 seconds")))
      )
        .toEqual([0, 0, 1, 3])
    }))

  for (
    const [name, minUptime, uptime, isSuccess] of [
      ["that lived 5 s", undefined, 5, true],
      ["that lived slightly less than 5 s", undefined, 4.999, false],
      ["that lived 0 s with `minUptime` 0", 0, 0, true],
      ["that lived 5 s with `minUptime` 1 minute", "1 minute", 5, false]
    ] as const
  ) {
    it.scoped(`D14: a connection ${name} ${isSuccess ? "restarts the policy" : "does not restart the policy"}`, () =>
      Effect.gen(function*() {
        const { server } = yield* makeFixture({
          retry: RetryPolicy.exponential({ base: "10 seconds", maxDelay: "1 hour", jitter: "none" }),
          minUptime
        })
        server.connect = ({ generation, number }) => generation === 1 && number < 3 ? refuse("no") : Effect.void
        server.closed = ({ number }) => number === 1 ? sleep(uptime) : Effect.never
        yield* pass(100)
        // The delays of 10 and 20 seconds are followed by 40 seconds, or by 10 seconds after a restart.
        expect(server.attempts).toEqual([0, 10, 30, isSuccess ? 40 : 70])
      }))
  }

  it.scoped("D14: the failure count (C7) does not depend on minUptime: any connection resets it to 0", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ minUptime: "1 hour" })
      const failures: Array<number> = []
      server.closed = () => Effect.void
      server.connect = ({ failedAttempts, generation, number }) =>
        Effect.flatMap(failedAttempts, (failed) => {
          failures.push(failed)
          return generation === 1 && number < 3 ? refuse("no") : Effect.void
        })
      yield* pass(45)
      expect(failures).toEqual([0, 1, 2, 0, 0])
    }))

  it.scoped("D14: a long-lived connection after short-lived ones restarts the policy", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ retry: doubling, minUptime: "5 seconds" })
      server.closed = () => sleep(0.5)
      yield* pass(15)
      expect(server.attempts).toEqual([0, 1, 3, 7, 15])
      server.closed = () => sleep(5)
      yield* pass(16 + 5 + 1)
      // It lived from 31 to 36, so the delay of 1 second passed long ago.
      expect(server.attempts.slice(5)).toEqual([31, 36])
    }))

  it.scoped("D14: `minUptime` refers to the uptime of the connection, not to the duration of its Connected handler", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({
        retry: RetryPolicy.exponential({ base: "20 seconds", maxDelay: "1 hour", jitter: "none" }),
        minUptime: "5 seconds",
        onEvent: on("Connected", () => sleep(10))
      })
      server.closed = () => sleep(1)
      yield* pass(300)
      expect(server.attempts).toEqual([0, 20, 60, 140, 300])
    }))

  it.scoped("D11: `reconnectJitter` delays only the first attempt after a loss", () =>
    Effect.gen(function*() {
      const delays: Array<number> = []
      for (let seed = 0; seed < 10; seed++) {
        const from = yield* now
        const { server } = yield* makeFixture({ reconnectJitter: "40 seconds" }).pipe(
          Effect.withRandom(Random.make(seed))
        )
        server.connect = ({ generation, number }) => generation === 2 && number === 1 ? refuse("no") : Effect.void
        yield* pass(30)
        server.line.drop()
        yield* pass(60)
        const times = server.attempts.map((time) => time - from)
        expect(times).toHaveLength(3)
        expect(times[0]).toBe(0)
        expect(times[2]! - times[1]!).toBeCloseTo(10)
        delays.push(times[1]! - 30)
      }
      expect(Math.min(...delays)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...delays)).toBeLessThanOrEqual(40)
      expect(Math.max(...delays) - Math.min(...delays)).toBeGreaterThan(20)
      expect(new Set(delays).size).toBe(10)
    }))

  it.scoped("T4: without `reconnectJitter` and a policy with jitter, no random number is drawn", () =>
    Effect.gen(function*() {
      let drawn = 0
      const random = Random.make("seed")
      const counting = new Proxy(random, { get: (target, key) => (drawn++, Reflect.get(target, key)) })
      const { server } = yield* Effect.withRandom(makeFixture(), counting)
      yield* settle
      server.line.drop()
      yield* pass(20)
      expect([server.lines.length, drawn]).toEqual([2, 0])
    }))

  it.scoped("D11: `reconnectJitter` is added to the delay after a short-lived connection", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ reconnectJitter: "40 seconds" }).pipe(
        Effect.withRandom(Random.make("spread"))
      )
      yield* pass(1)
      server.line.drop()
      yield* pass(9)
      expect(server.attempts).toHaveLength(1)
      yield* pass(40)
      expect(server.attempts).toHaveLength(2)
      expect(server.attempts[1]).toBeGreaterThan(10)
    }))

  it.scoped("D11: when it ends after a failure, the persistent connection closes, and all waiting callers get the cause", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({
        retry: Schedule.intersect(RetryPolicy.fixed("10 seconds"), Schedule.recurs(1))
      })
      const { eventLog, server, service } = fixture
      server.refuse("no")
      yield* pass(5)
      const connected = yield* ask(service.connected)
      const orClosed = yield* ask(service.connectedOrClosed)
      const orFailed = yield* ask(service.connectedOrFailedToConnect)
      const finished = yield* ask(service.closeFinished)
      server.refuse("never")
      yield* pass(5)
      expect(eventLog.slice(2)).toEqual(["0 FailedToConnect no", "10 FailedToConnect never"])
      const reason = { _tag: "GaveUp", cause: Cause.fail(new Refused({ text: "never" })) }
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason })
      expect(connected.isWaiting).toBe(true)
      expect(orClosed.error).toBeInstanceOf(ConnectionClosed)
      expect(orClosed.error).toMatchObject({ reason })
      expect(orFailed.failure).toBe("never")
      expect(finished.isWaiting).toBe(false)
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toMatchObject({ reason })
      expect(yield* service.isClosed).toBe(true)
      yield* pass(1_000)
      expect(server.attempts).toEqual([0, 10])
    }))

  it.scoped("D11: when it ends after a loss, it closes when the Disconnected handler has ended", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: Schedule.recurs(0), onEvent: on("Disconnected", () => sleep(5)) })
      const { eventLog, server, service } = fixture
      yield* settle
      server.line.isLost = true
      const orClosed = yield* ask(service.connectedOrClosed)
      const orFailed = yield* ask(service.connectedOrFailedToConnect)
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(4)
      expect(eventLog.at(-1)).toBe("0 Disconnected 1 reset")
      expect(yield* service.isClosed).toBe(false)
      yield* pass(1)
      const reason = { _tag: "GaveUp", cause: Cause.fail(new Refused({ text: "reset" })) }
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason })
      expect(orClosed.error).toMatchObject({ _tag: "ConnectionClosed", reason })
      expect(orFailed.error).toMatchObject({ _tag: "ConnectionClosed", reason })
      expect(server.connects).toBe(1)
    }))

  for (const last of ["FailedToConnect", "Disconnected"] as const) {
    const givingUp = Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: Schedule.recurs(0), onEvent: on(last, () => sleep(50)) })
      if (last === "FailedToConnect") fixture.server.refuse("no")
      yield* settle
      if (last === "Disconnected") fixture.server.line.drop()
      yield* settle
      expect(fixture.eventLog.at(-1)).toContain(last)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Waiting", nextAttemptAt: Option.none() })
      return fixture
    })

    it.scoped(`D11, X1: close during the last ${last} handler completes at once`, () =>
      Effect.gen(function*() {
        const fixture = yield* givingUp
        expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
        expect((yield* stateOf(fixture))._tag).toBe("Closed")
      }))

    it.scoped(`D11, X4: closeWhenCurrentConnectionIsClosed during the last ${last} handler closes at once`, () =>
      Effect.gen(function*() {
        const fixture = yield* givingUp
        yield* fixture.service.closeWhenCurrentConnectionIsClosed
        yield* settle
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason: { _tag: "GaveUp" } })
      }))

    it.scoped(`D11, X5: an abort during the last ${last} handler closes at once`, () =>
      Effect.gen(function*() {
        const fixture = yield* givingUp
        yield* fixture.server.abort(new Refused({ text: "enough" }))
        yield* settle
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason: { _tag: "Aborted" } })
      }))

    it.scoped(`D11, X4: closeWhenCurrentConnectionIsClosed after the last ${last} changes nothing`, () =>
      Effect.gen(function*() {
        const fixture = yield* givingUp
        yield* pass(50)
        const closed = yield* stateOf(fixture)
        expect(closed).toMatchObject({ _tag: "Closed", reason: { _tag: "GaveUp" } })
        yield* fixture.service.closeWhenCurrentConnectionIsClosed
        expect(yield* stateOf(fixture)).toBe(closed)
      }))
  }

  const dying: ReadonlyArray<readonly [string, Schedule.Schedule<unknown, Cause.Cause<unknown>>]> = [
    ["dies", Schedule.makeWithState(0, () => Effect.die(new Error("bug")))],
    ["interrupts itself", Schedule.makeWithState(0, () => Effect.interrupt)],
    [
      "throws",
      Schedule.makeWithState(0, () => {
        throw new Error("bug")
      })
    ],
    ["returns an invalid value", Schedule.makeWithState(0, () => Effect.succeed(undefined as never))]
  ]

  for (const [does, retry] of dying) {
    it.scoped(`D11, D10: a schedule that ${does} does not stop the loop, after a failure or a loss`, () =>
      Effect.gen(function*() {
        const { eventLog, server, service } = yield* makeFixture({ retry })
        server.connect = ({ generation, number }) => generation * number === 1 ? refuse("no") : Effect.void
        yield* pass(60)
        expect(server.lines).toHaveLength(1)
        server.line.drop()
        yield* pass(60)
        expect(server.lines).toHaveLength(2)
        expect(eventLog.at(-1)).toContain("Connected 2")
        expect((yield* askNow(service.close)).isWaiting).toBe(false)
      }))
  }

  it.scoped("D11: the loop waits for a slow schedule, but close does not", () =>
    Effect.gen(function*() {
      const slow = Schedule.mapEffect(RetryPolicy.fixed("10 seconds"), () => Effect.never)
      const { server, service } = yield* makeFixture({ retry: slow })
      server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      yield* pass(60)
      expect(server.attempts).toEqual([0])
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
    }))

  it.scoped("D11: two persistent connections that share one schedule do not share its state", () =>
    Effect.gen(function*() {
      const retry = doubling
      const one = yield* makeFixture({ retry })
      const other = yield* makeFixture({ retry })
      one.server.refuse("no")
      other.server.refuse("no")
      yield* pass(7)
      expect([one.server.attempts, other.server.attempts]).toEqual([[0, 1, 3, 7], [0, 1, 3, 7]])
    }))
})

describe("retries without any delay", () => {
  const hotLoops: ReadonlyArray<readonly [string, (fixture: Fixture) => void]> = [
    ["a failing look-up", ({ server }) => void (server.lookUp = () => refuse("who?"))],
    ["a failing connect", ({ server }) => server.refuse("no")],
    ["a connect that dies", ({ server }) => void (server.connect = () => Effect.die("bug"))],
    ["connections that are lost at once", ({ server }) => void (server.closed = () => Effect.void)]
  ]

  /** More attempts than this without a turn for other fibers: the test then stops the loop, because it would hang. */
  const tooMany = 3_000

  const heat = (fixture: Fixture, prepare: (fixture: Fixture) => void) => {
    prepare(fixture)
    const { lookUp } = fixture.server
    fixture.server.lookUp = (attempt) => fixture.server.attempts.length < tooMany ? lookUp(attempt) : Effect.never
  }

  for (const [name, prepare] of hotLoops) {
    it.scoped(`D11: yield to other fibers: ${name}`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture({ retry: RetryPolicy.fixed(0) })
        heat(fixture, prepare)
        for (let turn = 0; turn < 500; turn++) yield* Effect.yieldNow()
        expect(fixture.server.attempts.length).toBeGreaterThan(2)
        expect(fixture.server.attempts.length).toBeLessThan(tooMany)
        yield* fixture.service.close
        const { length } = fixture.server.attempts
        yield* pass(10)
        expect(fixture.server.attempts).toHaveLength(length)
        expect((yield* stateOf(fixture))._tag).toBe("Closed")
      }))

    withTestClock.scoped(`D11: yield to timers, also to real ones: ${name}`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture({ retry: RetryPolicy.fixed(0) })
        heat(fixture, prepare)
        let ticks = 0
        yield* Effect.fork(Effect.forever(Effect.zipRight(sleep(1), Effect.sync(() => ticks++))))
        yield* TestServices.provideLive(Effect.sleep(1))
        yield* pass(3)
        expect(ticks).toBe(3)
        expect(fixture.server.attempts.length).toBeGreaterThan(2)
        expect(fixture.server.attempts.length, "attempts before a timer could run").toBeLessThan(tooMany)
        expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
      }))
  }
})
