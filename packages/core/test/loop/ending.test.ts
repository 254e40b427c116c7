import { describe, expect } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import {
  ask,
  askNow,
  type Attempt,
  type Fixture,
  inScope,
  makeFixture,
  on,
  pass,
  refuse,
  Refused,
  settle,
  sleep,
  stateTag
} from "../support/Fixture.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"

const abortError = (text = "enough") => new Refused({ text })
const abort = ({ server }: Fixture, text?: string) => server.abort(abortError(text))
/** Every connection has been released once, and there is no current one. */
const expectAllReleased = ({ server, service }: Fixture) =>
  Effect.map(service.currentConnection, (current) => {
    expect(current).toEqual(Option.none())
    expect(server.lines.map(({ released }) => released)).toEqual(server.lines.map(() => 1))
  })

/** No further attempt and no further event follows, even after a long time. */
const expectQuiet = ({ eventLog, server }: Fixture) =>
  Effect.gen(function*() {
    const events = [...eventLog]
    const { attempts: { length }, connects } = server
    yield* pass(1_000)
    expect(eventLog).toEqual(events)
    expect(server.attempts.length).toBe(length)
    expect(server.connects).toBe(connects)
  })

describe("close", () => {
  for (const phase of phases) {
    it.scoped(`X1: close ${phase.name} closes the connection, and stops all further attempts`, () =>
      Effect.gen(function*() {
        const fixture = yield* phase.reach()
        const { server, service } = fixture
        const before = fixture.eventLog.length
        const closing = yield* askNow(service.close)
        expect(closing.isWaiting).toBe(false)
        expect(yield* service.isClosed).toBe(true)
        expect(server.lines.every(({ released }) => released === 1)).toBe(true)
        if (!phase.isConnected || !phase.isInHandler) {
          yield* expectAllReleased(fixture)
          expect(yield* stateTag(fixture)).toBe("Closed")
          expect(fixture.eventLog.length - before).toBe(phase.isConnected ? 1 : 0)
        }
        yield* expectQuiet(fixture)
      }))

    it.scoped(`X1: close ${phase.name} can be called several times and from several fibers`, () =>
      Effect.gen(function*() {
        const { service } = yield* phase.reach()
        const finished = yield* ask(service.closeFinished)
        const many = yield* Effect.all(Array.from({ length: 10 }, () => ask(service.close)))
        yield* settle
        const later = yield* askNow(service.close)
        expect([finished, ...many, later].filter(({ isWaiting }) => isWaiting)).toEqual([])
      }))

    it.scoped(`X4: closeWhenCurrentConnectionIsClosed ${phase.name}`, () =>
      Effect.gen(function*() {
        const fixture = yield* phase.reach()
        const { eventLog, server, service } = fixture
        yield* service.closeWhenCurrentConnectionIsClosed
        yield* settle
        if (phase.isConnected) {
          expect(yield* service.isClosed).toBe(false)
          expect(yield* service.currentConnection).toEqual(Option.some(server.line))
          expect(eventLog.filter((entry) => entry.includes("Disconnected"))).toEqual([])
        } else {
          expect(yield* stateTag(fixture)).toBe("Closed")
          expect((yield* askNow(service.closeFinished)).isWaiting).toBe(false)
          yield* expectAllReleased(fixture)
        }
        yield* expectQuiet(fixture)
      }))

    it.scoped(`X5: an abort ${phase.name} does the same, and all callers get its error`, () =>
      Effect.gen(function*() {
        const fixture = yield* phase.reach()
        const { server, service } = fixture
        yield* abort(fixture)
        yield* settle
        expect(yield* stateTag(fixture)).toBe(phase.isConnected ? "Connected" : "Closed")
        if (phase.isConnected) server.line.isLost = true
        expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("enough")
        yield* expectQuiet(fixture)
      }))

    it.scoped(`D10: close and abort ${phase.name}, in any order, end in Closed with the error of the first abort`, () =>
      Effect.gen(function*() {
        type Step = (fixture: Fixture) => Effect.Effect<unknown>
        const close: Step = ({ service }) => ask(service.close)
        const one: Step = (fixture) => abort(fixture, "one")
        const two: Step = (fixture) => abort(fixture, "two")
        const orders = [[close, one], [one, close], [one, close, two], [close, one, two], [one, two, close]]
        for (const turns of [Effect.void, settle]) {
          for (const order of orders) {
            const fixture = yield* phase.reach()
            for (const step of order) yield* Effect.zipRight(step(fixture), turns)
            yield* settle
            expect((yield* askNow(fixture.service.closeFinished)).isWaiting).toBe(false)
            expect((yield* askNow(fixture.service.connectedOrFailedToConnect)).failure).toBe("one")
            const { reason } = (yield* askNow(fixture.service.connectedOrClosed)).error!
            expect(reason).toEqual({ _tag: "Aborted", cause: Cause.fail(abortError("one")) })
            yield* expectQuiet(fixture)
          }
        }
      }))
  }

  it.scoped("X1: close before the first turn prevents all attempts and events", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* fixture.service.close
      expect(yield* stateTag(fixture)).toBe("Closed")
      yield* expectQuiet(fixture)
      expect(fixture.eventLog).toEqual([])
      expect(fixture.server.attempts).toEqual([])
    }))

  it.scoped("X1: isClosed is true from the moment of the first call", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(5)
      yield* settle
      expect(yield* service.isClosed).toBe(false)
      const closing = yield* Effect.fork(service.close)
      yield* Effect.yieldNow()
      expect(yield* service.isClosed).toBe(true)
      expect(closing.unsafePoll()).toBe(null)
      yield* pass(5)
      expect(closing.unsafePoll()).not.toBe(null)
    }))

  it.scoped("X1: when it completes, the last connection has been closed; later calls wait for the first", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(60)
      yield* settle
      const first = yield* askNow(service.close)
      yield* pass(30)
      const second = yield* askNow(service.close)
      yield* pass(29)
      expect([first.isWaiting, second.isWaiting, server.released]).toEqual([true, true, 0])
      yield* pass(1)
      expect([first.isWaiting, second.isWaiting, server.released]).toEqual([false, false, 1])
    }))

  it.scoped("X1: closeFinished waits without starting a close", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const finished = yield* ask(fixture.service.closeFinished)
      yield* pass(100)
      expect(finished.isWaiting).toBe(true)
      expect(yield* stateTag(fixture)).toBe("Connected")
      yield* fixture.service.close
      yield* settle
      expect(finished.isWaiting).toBe(false)
    }))

  it.scoped("X1: interrupting the caller of close does not cancel the close", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.release = () => sleep(60)
      yield* settle
      const closing = yield* askNow(fixture.service.close)
      yield* pass(30)
      yield* Fiber.interrupt(closing.fiber)
      const other = yield* askNow(fixture.service.closeFinished)
      yield* pass(30)
      expect(other.isWaiting).toBe(false)
      yield* expectAllReleased(fixture)
      expect(yield* stateTag(fixture)).toBe("Closed")
    }))

  it.scoped("X2: close ends a backoff at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({ retry: Schedule.spaced("1 hour") })
      server.refuse("no")
      yield* pass(60)
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
    }))

  it.scoped("X3: close while connected closes the connection, and Disconnected is still reported", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { eventLog, server, service } = fixture
      yield* pass(5)
      yield* service.close
      yield* settle
      expect(server.line.released).toBe(1)
      expect(eventLog.at(-1)).toBe("5 Disconnected 1")
      yield* expectQuiet(fixture)
    }))

  it.scoped("X3: the Disconnected of a close comes after the Connected handler", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture({ onEvent: on("Connected", () => sleep(50)) })
      yield* pass(5)
      yield* service.close
      expect(server.line.released).toBe(1)
      yield* pass(44)
      expect(eventLog.at(-1)).toBe("0 Connected 1")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("50 Disconnected 1")
    }))
})

describe("closeWhenCurrentConnectionIsClosed", () => {
  it.scoped("X4: closes at once before the first turn of the persistent connection, without an attempt", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* fixture.service.closeWhenCurrentConnectionIsClosed
      yield* pass(100)
      expect([yield* stateTag(fixture), fixture.server.attempts, fixture.eventLog]).toEqual(["Closed", [], []])
    }))

  it.scoped("X4: while connected, nothing happens until the connection ends; then Disconnected, then Closed", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on("Disconnected", () => sleep(5)) })
      const { eventLog, server, service } = fixture
      yield* pass(5)
      const finished = yield* ask(service.closeFinished)
      yield* service.closeWhenCurrentConnectionIsClosed
      yield* pass(95)
      expect(yield* service.connected).toBe(server.line)
      expect(yield* service.connectedOrFailedToConnect).toBe(server.line)
      expect(server.line.released).toBe(0)

      server.line.drop()
      yield* settle
      expect(eventLog.at(-1)).toBe("100 Disconnected 1")
      expect([yield* service.isClosed, finished.isWaiting]).toEqual([false, true])
      yield* pass(5)
      expect([yield* service.isClosed, finished.isWaiting]).toEqual([true, false])
      yield* expectQuiet(fixture)
      expect(server.connects).toBe(1)
    }))

  it.scoped("X5: an abort in a look-up that then succeeds reports no address", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.lookUp = ({ abort }) => Effect.as(Effect.ignore(abort(new Refused({ text: "enough" }))), "a")
      })
      yield* settle
      expect([fixture.eventLog, yield* stateTag(fixture)]).toEqual([["0 AttemptingToConnect"], "Closed"])
    }))

  it.scoped("X4: the policy is not stepped, because no other attempt follows", () =>
    Effect.gen(function*() {
      let asked = 0
      const retry = Schedule.forever.pipe(Schedule.mapEffect(() => Effect.sync(() => asked++)))
      const fixture = yield* makeFixture({ retry })
      yield* settle
      yield* fixture.service.closeWhenCurrentConnectionIsClosed
      fixture.server.line.drop()
      yield* settle
      expect([asked, yield* stateTag(fixture)]).toEqual([0, "Closed"])
    }))

  it.scoped("X4: waiting callers fail, because no other connection will follow", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      yield* service.closeWhenCurrentConnectionIsClosed
      server.line.isLost = true
      const waiters = [
        yield* askNow(service.connectedOrClosed),
        yield* askNow(service.connectedOrFailedToConnect)
      ]
      const connected = yield* askNow(service.connected)
      server.line.drop()
      yield* settle
      for (const { error } of waiters) expect(error).toBeInstanceOf(ConnectionClosed)
      expect(connected.isWaiting).toBe(true)
    }))

  it.scoped("X4: if the Connected handler calls it, that connection is the last one", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({
        onEvent: on("Connected", () => fixture.service.closeWhenCurrentConnectionIsClosed)
      })
      yield* pass(20)
      fixture.server.line.drop()
      yield* settle
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(fixture.server.connects).toBe(1)
    }))
})

describe("abort", () => {
  it.scoped("X5: a connect that aborts is the last one, and waiting callers get its error", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { eventLog, server, service } = fixture
      server.connect = (attempt) => Effect.zipRight(Effect.ignore(attempt.abort(abortError())), refuse("unheard"))
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      const connected = yield* ask(service.connected)
      yield* settle
      expect(waiter.error).toEqual(abortError())
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toEqual(abortError())
      expect(connected.isWaiting).toBe(true)
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(eventLog).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
      yield* expectQuiet(fixture)
    }))

  it.scoped("X5: a look-up that aborts is the last one too", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.lookUp = (attempt) => Effect.as(Effect.ignore(attempt.abort(abortError())), "a")
      const waiter = yield* askNow(fixture.service.connectedOrFailedToConnect)
      expect(waiter.error).toEqual(abortError())
      expect(fixture.server.connects).toBe(0)
      expect(yield* stateTag(fixture)).toBe("Closed")
    }))

  it.scoped("X5: an abort while connected waits for the end of the connection, its Disconnected and the handler", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on("Disconnected", () => sleep(5)) })
      const { eventLog, server, service } = fixture
      yield* settle
      yield* abort(fixture)
      yield* pass(100)
      expect(yield* service.connected).toBe(server.line)
      server.line.drop()
      yield* pass(4)
      expect(eventLog.at(-1)).toBe("100 Disconnected 1")
      expect(yield* service.isClosed).toBe(false)
      yield* pass(1)
      expect(yield* stateTag(fixture)).toBe("Closed")
      yield* expectQuiet(fixture)
    }))

  it.scoped("X5: only the first abort counts", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { server, service } = fixture
      server.refuse("no")
      yield* settle
      yield* abort(fixture, "one")
      yield* abort(fixture, "two")
      yield* settle
      yield* abort(fixture, "three")
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("one")
    }))

  it.scoped("X5: only the first of all calls of abort and closeWhenCurrentConnectionIsClosed counts, also while connected", () =>
    Effect.gen(function*() {
      const last = yield* makeFixture()
      const aborted = yield* makeFixture()
      yield* settle
      yield* last.service.closeWhenCurrentConnectionIsClosed
      yield* abort(last)
      yield* abort(aborted)
      yield* aborted.service.closeWhenCurrentConnectionIsClosed
      for (const { server } of [last, aborted]) server.line.drop()
      yield* settle
      expect((yield* askNow(last.service.connectedOrFailedToConnect)).error).toBeInstanceOf(ConnectionClosed)
      expect((yield* askNow(aborted.service.connectedOrFailedToConnect)).failure).toBe("enough")
    }))

  it.scoped("X5: after a close and closeWhenCurrentConnectionIsClosed, a later abort changes nothing", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { service } = fixture
      yield* settle
      yield* service.close
      yield* service.closeWhenCurrentConnectionIsClosed
      yield* abort(fixture)
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toBeInstanceOf(ConnectionClosed)
      expect(yield* service.state.get).toMatchObject({ _tag: "Closed", reason: { _tag: "ClosedByOwner" } })
    }))

  it.scoped("X5: after several closes, an abort still replaces the `closed` error", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      yield* fixture.service.close
      yield* fixture.service.close
      yield* abort(fixture)
      expect((yield* askNow(fixture.service.connectedOrFailedToConnect)).failure).toBe("enough")
    }))

  it.scoped("X5: an abort after a close replaces the `closed` error", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { service } = fixture
      yield* settle
      yield* service.close
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toBeInstanceOf(ConnectionClosed)
      yield* abort(fixture, "late")
      yield* abort(fixture, "later")
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("late")
      expect(yield* service.state.get).toMatchObject({
        _tag: "Closed",
        reason: { _tag: "Aborted", cause: Cause.fail(abortError("late")) }
      })
    }))

  for (const place of ["lookUp", "connect"] as const) {
    it.scoped(`X5: a ${place} that aborts and never ends is interrupted, and the close follows at once`, () =>
      Effect.gen(function*() {
        let isInterrupted = false
        const fixture = yield* makeFixture()
        fixture.server[place] = ({ abort }: Attempt) =>
          Effect.zipRight(Effect.ignore(abort(abortError())), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => isInterrupted = true))
          )
        const waiter = yield* askNow(fixture.service.connectedOrFailedToConnect)
        expect([waiter.failure, isInterrupted, yield* stateTag(fixture)]).toEqual(["enough", true, "Closed"])
        yield* expectAllReleased(fixture)
        yield* expectQuiet(fixture)
      }))
  }

  it.scoped("X5: closing waits only for closeTimeout for an uninterruptible connect that aborts and never ends", () =>
    Effect.gen(function*() {
      const [fixture] = yield* inScope(makeFixture({ closeTimeout: "5 seconds" }))
      fixture.server.isUninterruptible = true
      fixture.server.connect = ({ abort }) => Effect.zipRight(Effect.ignore(abort(abortError())), Effect.never)
      const waiter = yield* askNow(fixture.service.connectedOrFailedToConnect)
      const finished = yield* ask(fixture.service.closeFinished)
      yield* pass(4)
      expect([waiter.failure, finished.isWaiting, yield* stateTag(fixture)]).toEqual(["enough", true, "Closing"])
      yield* pass(1)
      expect([finished.isWaiting, yield* stateTag(fixture)]).toEqual([false, "Closed"])
    }))

  it.scoped("X5: an attempt that has ended can still abort the persistent connection", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.refuse("no")
      yield* settle
      const first = fixture.server.attempt!
      yield* pass(100)
      expect(fixture.server.attempt).not.toBe(first)
      yield* Effect.ignore(first.abort(abortError()))
      yield* settle
      expect(yield* stateTag(fixture)).toBe("Closed")
    }))
})

describe("a close by the peer", () => {
  it.scoped("X6: no close is sent in response to a close by the peer", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { server, service } = fixture
      const finished = yield* askNow(service.closeFinished)
      for (let losses = 1; losses <= 5; losses++) {
        yield* pass(10)
        server.line.drop()
        yield* settle
        expect([yield* service.isClosed, finished.isWaiting]).toEqual([false, true])
      }
      yield* pass(10)
      expect(server.lines).toHaveLength(6)
      expect(yield* stateTag(fixture)).toBe("Connected")
    }))
})

describe("a running attempt", () => {
  const endings: ReadonlyArray<readonly [string, string, (fixture: Fixture) => Effect.Effect<unknown>]> = [
    ["D1", "close", ({ service }) => Effect.forkDaemon(service.close)],
    ["D2", "closeWhenCurrentConnectionIsClosed", ({ service }) => service.closeWhenCurrentConnectionIsClosed],
    ["D2", "abort", (fixture) => abort(fixture)]
  ]

  for (const [rule, name, end] of endings) {
    it.scoped(`${rule}: ${name} interrupts a look-up, and no event follows`, () =>
      Effect.gen(function*() {
        let interrupted = 0
        const fixture = yield* makeFixture()
        fixture.server.lookUp = () => Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted++)))
        yield* settle
        yield* end(fixture)
        yield* settle
        expect(interrupted).toBe(1)
        expect(yield* stateTag(fixture)).toBe("Closed")
        expect(fixture.eventLog).toEqual(["0 AttemptingToConnect"])
        yield* expectQuiet(fixture)
      }))

    it.scoped(`${rule}: ${name} interrupts a connect, and its resources are released`, () =>
      Effect.gen(function*() {
        let held = 0
        const fixture = yield* makeFixture()
        fixture.server.connect = () =>
          Effect.acquireRelease(Effect.sync(() => held++), () => Effect.sync(() => held--)).pipe(
            Effect.zipRight(Effect.never)
          )
        yield* settle
        expect(held).toBe(1)
        yield* end(fixture)
        yield* settle
        expect(held).toBe(0)
        expect(fixture.eventLog).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
        yield* expectQuiet(fixture)
      }))

    it.scoped(`${rule}: ${name} does not interrupt the ObtainedAddress handler, but the attempt does not go on after it`, () =>
      Effect.gen(function*() {
        let ended = 0
        const fixture = yield* makeFixture({
          onEvent: on("ObtainedAddress", () => Effect.zipRight(sleep(10), Effect.sync(() => ended++)))
        })
        yield* pass(5)
        yield* end(fixture)
        yield* settle
        expect(yield* stateTag(fixture)).toBe("Closed")
        expect(ended).toBe(0)
        yield* pass(5)
        expect(ended).toBe(1)
        expect(fixture.server.connects).toBe(0)
        yield* expectQuiet(fixture)
      }))

    it.scoped(`${rule}: ${name} waits for an uninterruptible attempt, and releases its connection`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        const { eventLog, server, service } = fixture
        const waiters = [
          yield* ask(service.connected),
          yield* ask(service.connectedOrClosed),
          yield* ask(service.connectedOrFailedToConnect)
        ]
        server.isUninterruptible = true
        server.connect = () => sleep(10)
        yield* pass(5)
        yield* end(fixture)
        const finished = yield* askNow(service.closeFinished)
        yield* pass(4)
        expect(finished.isWaiting).toBe(true)
        yield* pass(1)
        expect([finished.isWaiting, server.opened]).toEqual([false, 1])
        yield* expectAllReleased(fixture)
        // D2: no caller gets a connection from such an attempt.
        expect(waiters.map(({ answer }) => answer)).toEqual([undefined, undefined, undefined])
        expect(eventLog).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
        yield* expectQuiet(fixture)
      }))

    it.scoped(`${rule}: ${name} in the turn of a successful connect, but before it succeeds, leaves no connection`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        const { server, service } = fixture
        const waiter = yield* ask(service.connectedOrFailedToConnect)
        server.connect = () => name === "close" ? service.close : end(fixture)
        yield* settle
        yield* pass(1)
        expect(waiter.answer).toBeUndefined()
        expect(waiter.exit).toBeDefined()
        expect(yield* stateTag(fixture)).toBe("Closed")
        yield* expectAllReleased(fixture)
        expect(fixture.eventLog).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
      }))
  }

  it.scoped("X3: a close in the turn of a successful connect, but after it, closes an established connection", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { eventLog, server, service } = fixture
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      server.connect = () => Effect.forkDaemon(service.close)
      yield* settle
      expect(waiter.answer).toBe(server.line)
      yield* expectAllReleased(fixture)
      expect(eventLog.slice(2)).toEqual(["0 Connected 1", "0 Disconnected 1"])
    }))

  it.scoped("D1: a close from inside an uninterruptible attempt does not wait for the attempt", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      let closedAfter: number | undefined
      fixture.server.isUninterruptible = true
      fixture.server.connect = () =>
        Effect.gen(function*() {
          yield* fixture.service.close
          closedAfter = fixture.server.released
          yield* sleep(10)
        })
      yield* settle
      expect(closedAfter).toBe(0)
      const outside = yield* askNow(fixture.service.close)
      yield* pass(9)
      expect(outside.isWaiting).toBe(true)
      yield* pass(1)
      expect([outside.isWaiting, fixture.server.opened]).toEqual([false, 1])
      yield* expectAllReleased(fixture)
    }))
})

describe("bugs of the original", () => {
  it.scoped("D10: an exception during the close of a connection is reported, and close completes", () =>
    Effect.gen(function*() {
      const reported: Array<string> = []
      const logger = Logger.make<unknown, void>(({ cause, message }) => {
        reported.push(`${String(message)} ${Cause.pretty(cause)}`)
      })
      const fixture = yield* makeFixture({ serverName: "brittle" }).pipe(Effect.provide(Logger.add(logger)))
      fixture.server.release = () => Effect.die(new Error("stuck"))
      yield* settle
      const closing = yield* askNow(fixture.service.close)
      expect(closing.isWaiting).toBe(false)
      expect(reported).toHaveLength(1)
      expect(reported[0]).toContain("brittle")
      expect(reported[0]).toContain("stuck")
      expect(fixture.eventLog.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("D10: an exception of user code does not stop the loop: look-up, connect, closed, finalizer, handler, policy", () =>
    Effect.gen(function*() {
      const boom = () => {
        throw new Error("boom")
      }
      const fixture = yield* makeFixture({
        onEvent: boom,
        addressEquivalence: boom,
        retry: Schedule.makeWithState<void, unknown, unknown>(undefined, boom)
      })
      const { eventLog, server } = fixture
      server.release = boom
      server.closed = (line) => Effect.zipRight(line.lost, Effect.sync(boom))
      server.connect = ({ generation, number }) => number === 1 ? boom() : generation === 1 ? Effect.void : Effect.never
      yield* pass(15)
      server.line.drop()
      yield* pass(10)
      expect(eventLog.map((entry) => entry.slice(entry.indexOf(" ") + 1))).toEqual([
        "AttemptingToConnect",
        "ObtainedAddress a",
        "FailedToConnect boom!",
        "ObtainedAddress a",
        "Connected 1",
        "Disconnected 1 boom!",
        "AttemptingToConnect",
        "ObtainedAddress a",
        "FailedToConnect boom!"
      ])
      yield* pass(10)
      expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
    }))

  it.scoped("D10: a close and an abort in the same turn as a successful connect end in Closed", () =>
    Effect.gen(function*() {
      for (const order of ["close first", "abort first"]) {
        const fixture = yield* makeFixture()
        const gate = yield* Deferred.make<void>()
        fixture.server.connect = () => Deferred.await(gate)
        yield* settle
        yield* Deferred.succeed(gate, undefined)
        if (order === "close first") yield* ask(fixture.service.close)
        yield* abort(fixture)
        if (order === "abort first") yield* ask(fixture.service.close)
        yield* settle
        expect(yield* stateTag(fixture)).toBe("Closed")
        yield* expectAllReleased(fixture)
      }
    }))
})
