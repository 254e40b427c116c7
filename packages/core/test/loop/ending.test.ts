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
  begin,
  inScope,
  type Life,
  on,
  pass,
  refuse,
  Refused,
  settle,
  sleep,
  stateTag
} from "../support/Life.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"

const enough = (text = "enough") => new Refused({ text })
const abort = ({ server }: Life, text?: string) => server.abort(enough(text))
/** Every connection that there has been has been released once, and there is none now. */
const expectAllReleased = ({ server, service }: Life) =>
  Effect.map(service.currentConnection, (current) => {
    expect(current).toEqual(Option.none())
    expect(server.lines.map(({ released }) => released)).toEqual(server.lines.map(() => 1))
  })

/** Nothing is attempted any more, and nothing reported, however long one waits. */
const expectQuiet = ({ diary, server }: Life) =>
  Effect.gen(function*() {
    const events = [...diary]
    const { attempts: { length }, connects } = server
    yield* pass(1_000)
    expect(diary).toEqual(events)
    expect(server.attempts.length).toBe(length)
    expect(server.connects).toBe(connects)
  })

describe("close", () => {
  for (const phase of phases) {
    it.scoped(`X1: close ${phase.name} closes the connection, and stops all further attempts`, () =>
      Effect.gen(function*() {
        const life = yield* phase.reach()
        const { server, service } = life
        const before = life.diary.length
        const closing = yield* askNow(service.close)
        expect(closing.isWaiting).toBe(false)
        expect(yield* service.isClosed).toBe(true)
        expect(server.lines.every(({ released }) => released === 1)).toBe(true)
        if (!phase.isConnected || !phase.isInHandler) {
          yield* expectAllReleased(life)
          expect(yield* stateTag(life)).toBe("Closed")
          expect(life.diary.length - before).toBe(phase.isConnected ? 1 : 0)
        }
        yield* expectQuiet(life)
      }))

    it.scoped(`X1: close ${phase.name} can be called any number of times, from anywhere`, () =>
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
        const life = yield* phase.reach()
        const { diary, server, service } = life
        yield* service.closeWhenCurrentConnectionIsClosed
        yield* settle
        if (phase.isConnected) {
          expect(yield* service.isClosed).toBe(false)
          expect(yield* service.currentConnection).toEqual(Option.some(server.line))
          expect(diary.filter((entry) => entry.includes("Disconnected"))).toEqual([])
        } else {
          expect(yield* stateTag(life)).toBe("Closed")
          expect((yield* askNow(service.closeFinished)).isWaiting).toBe(false)
          yield* expectAllReleased(life)
        }
        yield* expectQuiet(life)
      }))

    it.scoped(`X5: an abort ${phase.name} does the same, and its error is what everybody gets`, () =>
      Effect.gen(function*() {
        const life = yield* phase.reach()
        const { server, service } = life
        yield* abort(life)
        yield* settle
        expect(yield* stateTag(life)).toBe(phase.isConnected ? "Connected" : "Closed")
        if (phase.isConnected) server.line.isLost = true
        expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("enough")
        yield* expectQuiet(life)
      }))

    it.scoped(`D10: close and abort ${phase.name}, in any order, end in closed, with the error of the first abort`, () =>
      Effect.gen(function*() {
        type Step = (life: Life) => Effect.Effect<unknown>
        const close: Step = ({ service }) => ask(service.close)
        const one: Step = (life) => abort(life, "one")
        const two: Step = (life) => abort(life, "two")
        const orders = [[close, one], [one, close], [one, close, two], [close, one, two], [one, two, close]]
        for (const turns of [Effect.void, settle]) {
          for (const order of orders) {
            const life = yield* phase.reach()
            for (const step of order) yield* Effect.zipRight(step(life), turns)
            yield* settle
            expect((yield* askNow(life.service.closeFinished)).isWaiting).toBe(false)
            expect((yield* askNow(life.service.connectedOrFailedToConnect)).failure).toBe("one")
            const { reason } = (yield* askNow(life.service.connectedOrClosed)).error!
            expect(reason).toEqual({ _tag: "Aborted", cause: Cause.fail(enough("one")) })
            yield* expectQuiet(life)
          }
        }
      }))
  }

  it.scoped("X1: close before the first turn prevents every attempt, and no event follows", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* life.service.close
      expect(yield* stateTag(life)).toBe("Closed")
      yield* expectQuiet(life)
      expect(life.diary).toEqual([])
      expect(life.server.attempts).toEqual([])
    }))

  it.scoped("X1: isClosed is true from the moment of the first call", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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

  it.scoped("X1: when it completes the last connection has been closed; later calls wait for the first", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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
      const life = yield* begin()
      const finished = yield* ask(life.service.closeFinished)
      yield* pass(100)
      expect(finished.isWaiting).toBe(true)
      expect(yield* stateTag(life)).toBe("Connected")
      yield* life.service.close
      yield* settle
      expect(finished.isWaiting).toBe(false)
    }))

  it.scoped("X1: interrupting who called close does not cancel the closing", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      life.server.release = () => sleep(60)
      yield* settle
      const closing = yield* askNow(life.service.close)
      yield* pass(30)
      yield* Fiber.interrupt(closing.fiber)
      const other = yield* askNow(life.service.closeFinished)
      yield* pass(30)
      expect(other.isWaiting).toBe(false)
      yield* expectAllReleased(life)
      expect(yield* stateTag(life)).toBe("Closed")
    }))

  it.scoped("X2: close ends the wait of a backoff at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin({ retry: Schedule.spaced("1 hour") })
      server.refuse("no")
      yield* pass(60)
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
    }))

  it.scoped("X3: close while connected closes the connection, and Disconnected is still reported", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { diary, server, service } = life
      yield* pass(5)
      yield* service.close
      yield* settle
      expect(server.line.released).toBe(1)
      expect(diary.at(-1)).toBe("5 Disconnected 1")
      yield* expectQuiet(life)
    }))

  it.scoped("X3: the Disconnected of a close comes after the Connected handler", () =>
    Effect.gen(function*() {
      const { diary, server, service } = yield* begin({ onEvent: on("Connected", () => sleep(50)) })
      yield* pass(5)
      yield* service.close
      expect(server.line.released).toBe(1)
      yield* pass(44)
      expect(diary.at(-1)).toBe("0 Connected 1")
      yield* pass(1)
      expect(diary.at(-1)).toBe("50 Disconnected 1")
    }))
})

describe("closeWhenCurrentConnectionIsClosed", () => {
  it.scoped("X4: while connected nothing happens until the connection ends, then Disconnected, then closed", () =>
    Effect.gen(function*() {
      const life = yield* begin({ onEvent: on("Disconnected", () => sleep(5)) })
      const { diary, server, service } = life
      yield* pass(5)
      const finished = yield* ask(service.closeFinished)
      yield* service.closeWhenCurrentConnectionIsClosed
      yield* pass(95)
      expect(yield* service.connected).toBe(server.line)
      expect(yield* service.connectedOrFailedToConnect).toBe(server.line)
      expect(server.line.released).toBe(0)

      server.line.drop()
      yield* settle
      expect(diary.at(-1)).toBe("100 Disconnected 1")
      expect([yield* service.isClosed, finished.isWaiting]).toEqual([false, true])
      yield* pass(5)
      expect([yield* service.isClosed, finished.isWaiting]).toEqual([true, false])
      yield* expectQuiet(life)
      expect(server.connects).toBe(1)
    }))

  it.scoped("X4: the policy is not asked, since there will be no other attempt", () =>
    Effect.gen(function*() {
      let asked = 0
      const retry = Schedule.forever.pipe(Schedule.mapEffect(() => Effect.sync(() => asked++)))
      const life = yield* begin({ retry })
      yield* settle
      yield* life.service.closeWhenCurrentConnectionIsClosed
      life.server.line.drop()
      yield* settle
      expect([asked, yield* stateTag(life)]).toEqual([0, "Closed"])
    }))

  it.scoped("X4: who waits is told that there will be no other connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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

  it.scoped("X4: called by the Connected handler it ends with that connection", () =>
    Effect.gen(function*() {
      const life: Life = yield* begin({
        onEvent: on("Connected", () => life.service.closeWhenCurrentConnectionIsClosed)
      })
      yield* pass(20)
      life.server.line.drop()
      yield* settle
      expect(yield* stateTag(life)).toBe("Closed")
      expect(life.server.connects).toBe(1)
    }))
})

describe("abort", () => {
  it.scoped("X5: a connect that aborts is the last one, and whoever waits gets its error", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { diary, server, service } = life
      server.connect = (attempt) => Effect.zipRight(Effect.ignore(attempt.abort(enough())), refuse("unheard"))
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      const connected = yield* ask(service.connected)
      yield* settle
      expect(waiter.error).toEqual(enough())
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toEqual(enough())
      expect(connected.isWaiting).toBe(true)
      expect(yield* stateTag(life)).toBe("Closed")
      expect(diary).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
      yield* expectQuiet(life)
    }))

  it.scoped("X5: so is a look-up that aborts", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      life.server.lookUp = (attempt) => Effect.as(Effect.ignore(attempt.abort(enough())), "a")
      const waiter = yield* askNow(life.service.connectedOrFailedToConnect)
      expect(waiter.error).toEqual(enough())
      expect(life.server.connects).toBe(0)
      expect(yield* stateTag(life)).toBe("Closed")
    }))

  it.scoped("X5: an abort while connected waits for the end of the connection, its Disconnected and the handler", () =>
    Effect.gen(function*() {
      const life = yield* begin({ onEvent: on("Disconnected", () => sleep(5)) })
      const { diary, server, service } = life
      yield* settle
      yield* abort(life)
      yield* pass(100)
      expect(yield* service.connected).toBe(server.line)
      server.line.drop()
      yield* pass(4)
      expect(diary.at(-1)).toBe("100 Disconnected 1")
      expect(yield* service.isClosed).toBe(false)
      yield* pass(1)
      expect(yield* stateTag(life)).toBe("Closed")
      yield* expectQuiet(life)
    }))

  it.scoped("X5: only the first abort counts", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { server, service } = life
      server.refuse("no")
      yield* settle
      yield* abort(life, "one")
      yield* abort(life, "two")
      yield* settle
      yield* abort(life, "three")
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("one")
    }))

  it.scoped("X5: only the first of all aborts and closeWhenCurrentConnectionIsClosed counts, also while connected", () =>
    Effect.gen(function*() {
      const told = yield* begin()
      const aborted = yield* begin()
      yield* settle
      yield* told.service.closeWhenCurrentConnectionIsClosed
      yield* abort(told)
      yield* abort(aborted)
      yield* aborted.service.closeWhenCurrentConnectionIsClosed
      for (const { server } of [told, aborted]) server.line.drop()
      yield* settle
      expect((yield* askNow(told.service.connectedOrFailedToConnect)).error).toBeInstanceOf(ConnectionClosed)
      expect((yield* askNow(aborted.service.connectedOrFailedToConnect)).failure).toBe("enough")
    }))

  it.scoped("X5: closeWhenCurrentConnectionIsClosed counts also after a close: a later abort changes nothing", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { service } = life
      yield* settle
      yield* service.close
      yield* service.closeWhenCurrentConnectionIsClosed
      yield* abort(life)
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toBeInstanceOf(ConnectionClosed)
      expect(yield* service.state.get).toMatchObject({ _tag: "Closed", reason: { _tag: "ClosedByOwner" } })
    }))

  it.scoped("X5: any number of closes do not count: a later abort replaces the `closed` error", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* settle
      yield* life.service.close
      yield* life.service.close
      yield* abort(life)
      expect((yield* askNow(life.service.connectedOrFailedToConnect)).failure).toBe("enough")
    }))

  it.scoped("X5: one that comes after a close still replaces the `closed` error", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { service } = life
      yield* settle
      yield* service.close
      expect((yield* askNow(service.connectedOrFailedToConnect)).error).toBeInstanceOf(ConnectionClosed)
      yield* abort(life, "late")
      yield* abort(life, "later")
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("late")
      expect(yield* service.state.get).toMatchObject({
        _tag: "Closed",
        reason: { _tag: "Aborted", cause: Cause.fail(enough("late")) }
      })
    }))

  for (const place of ["lookUp", "connect"] as const) {
    it.scoped(`X5: a ${place} that aborts and never ends is interrupted, and closed at once`, () =>
      Effect.gen(function*() {
        let isInterrupted = false
        const life = yield* begin()
        life.server[place] = ({ abort }: Attempt) =>
          Effect.zipRight(Effect.ignore(abort(enough())), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => isInterrupted = true))
          )
        const waiter = yield* askNow(life.service.connectedOrFailedToConnect)
        expect([waiter.failure, isInterrupted, yield* stateTag(life)]).toEqual(["enough", true, "Closed"])
        yield* expectAllReleased(life)
        yield* expectQuiet(life)
      }))
  }

  it.scoped("X5: nobody waits for a connect that aborts, never ends and cannot be interrupted, but for closeTimeout", () =>
    Effect.gen(function*() {
      const [life] = yield* inScope(begin({ closeTimeout: "5 seconds" }))
      life.server.isStubborn = true
      life.server.connect = ({ abort }) => Effect.zipRight(Effect.ignore(abort(enough())), Effect.never)
      const waiter = yield* askNow(life.service.connectedOrFailedToConnect)
      const finished = yield* ask(life.service.closeFinished)
      yield* pass(4)
      expect([waiter.failure, finished.isWaiting, yield* stateTag(life)]).toEqual(["enough", true, "Closing"])
      yield* pass(1)
      expect([finished.isWaiting, yield* stateTag(life)]).toEqual([false, "Closed"])
    }))

  it.scoped("X5: an attempt that is over can still abort the persistent connection", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      life.server.refuse("no")
      yield* settle
      const first = life.server.attempt!
      yield* pass(100)
      expect(life.server.attempt).not.toBe(first)
      yield* Effect.ignore(first.abort(enough()))
      yield* settle
      expect(yield* stateTag(life)).toBe("Closed")
    }))
})

describe("the other side", () => {
  it.scoped("X6: no close is generated because the other side closed", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { server, service } = life
      const finished = yield* askNow(service.closeFinished)
      for (let losses = 1; losses <= 5; losses++) {
        yield* pass(10)
        server.line.drop()
        yield* settle
        expect([yield* service.isClosed, finished.isWaiting]).toEqual([false, true])
      }
      yield* pass(10)
      expect(server.lines).toHaveLength(6)
      expect(yield* stateTag(life)).toBe("Connected")
    }))
})

describe("an attempt under way", () => {
  const endings: ReadonlyArray<readonly [string, string, (life: Life) => Effect.Effect<unknown>]> = [
    ["D1", "close", ({ service }) => Effect.forkDaemon(service.close)],
    ["D2", "closeWhenCurrentConnectionIsClosed", ({ service }) => service.closeWhenCurrentConnectionIsClosed],
    ["D2", "abort", (life) => abort(life)]
  ]

  for (const [rule, name, end] of endings) {
    it.scoped(`${rule}: ${name} interrupts a look-up, and nothing follows`, () =>
      Effect.gen(function*() {
        let interrupted = 0
        const life = yield* begin()
        life.server.lookUp = () => Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted++)))
        yield* settle
        yield* end(life)
        yield* settle
        expect(interrupted).toBe(1)
        expect(yield* stateTag(life)).toBe("Closed")
        expect(life.diary).toEqual(["0 AttemptingToConnect"])
        yield* expectQuiet(life)
      }))

    it.scoped(`${rule}: ${name} interrupts a connect, and what it had acquired is released`, () =>
      Effect.gen(function*() {
        let held = 0
        const life = yield* begin()
        life.server.connect = () =>
          Effect.acquireRelease(Effect.sync(() => held++), () => Effect.sync(() => held--)).pipe(
            Effect.zipRight(Effect.never)
          )
        yield* settle
        expect(held).toBe(1)
        yield* end(life)
        yield* settle
        expect(held).toBe(0)
        expect(life.diary).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
        yield* expectQuiet(life)
      }))

    it.scoped(`${rule}: ${name} does not tear the ObtainedAddress handler, and what would follow it does not happen`, () =>
      Effect.gen(function*() {
        let ended = 0
        const life = yield* begin({
          onEvent: on("ObtainedAddress", () => Effect.zipRight(sleep(10), Effect.sync(() => ended++)))
        })
        yield* pass(5)
        yield* end(life)
        yield* settle
        expect(yield* stateTag(life)).toBe("Closed")
        expect(ended).toBe(0)
        yield* pass(5)
        expect(ended).toBe(1)
        expect(life.server.connects).toBe(0)
        yield* expectQuiet(life)
      }))

    it.scoped(`${rule}: ${name} waits for an attempt that cannot be interrupted, and releases what comes of it`, () =>
      Effect.gen(function*() {
        const life = yield* begin()
        const { diary, server, service } = life
        const waiters = [
          yield* ask(service.connected),
          yield* ask(service.connectedOrClosed),
          yield* ask(service.connectedOrFailedToConnect)
        ]
        server.isStubborn = true
        server.connect = () => sleep(10)
        yield* pass(5)
        yield* end(life)
        const finished = yield* askNow(service.closeFinished)
        yield* pass(4)
        expect(finished.isWaiting).toBe(true)
        yield* pass(1)
        expect([finished.isWaiting, server.opened]).toEqual([false, 1])
        yield* expectAllReleased(life)
        // D2: nobody is ever handed a connection that was established only to be closed.
        expect(waiters.map(({ answer }) => answer)).toEqual([undefined, undefined, undefined])
        expect(diary).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
        yield* expectQuiet(life)
      }))

    it.scoped(`${rule}: ${name} called in the turn in which a connect succeeds, but before it does, leaves no connection`, () =>
      Effect.gen(function*() {
        const life = yield* begin()
        const { server, service } = life
        const waiter = yield* ask(service.connectedOrFailedToConnect)
        server.connect = () => name === "close" ? service.close : end(life)
        yield* settle
        yield* pass(1)
        expect(waiter.answer).toBeUndefined()
        expect(waiter.exit).toBeDefined()
        expect(yield* stateTag(life)).toBe("Closed")
        yield* expectAllReleased(life)
        expect(life.diary).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a"])
      }))
  }

  it.scoped("X3: a close in the turn in which a connect succeeds, but after it, closes an established connection", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const { diary, server, service } = life
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      server.connect = () => Effect.forkDaemon(service.close)
      yield* settle
      expect(waiter.answer).toBe(server.line)
      yield* expectAllReleased(life)
      expect(diary.slice(2)).toEqual(["0 Connected 1", "0 Disconnected 1"])
    }))

  it.scoped("D1: close from inside an uninterruptible attempt does not wait for it", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      let closedAfter: number | undefined
      life.server.isStubborn = true
      life.server.connect = () =>
        Effect.gen(function*() {
          yield* life.service.close
          closedAfter = life.server.released
          yield* sleep(10)
        })
      yield* settle
      expect(closedAfter).toBe(0)
      const outside = yield* askNow(life.service.close)
      yield* pass(9)
      expect(outside.isWaiting).toBe(true)
      yield* pass(1)
      expect([outside.isWaiting, life.server.opened]).toEqual([false, 1])
      yield* expectAllReleased(life)
    }))
})

describe("what the original got wrong", () => {
  it.scoped("D10: a connection whose closing throws does not keep close from completing, and it is reported", () =>
    Effect.gen(function*() {
      const reported: Array<string> = []
      const logger = Logger.make<unknown, void>(({ cause, message }) => {
        reported.push(`${String(message)} ${Cause.pretty(cause)}`)
      })
      const life = yield* begin({ serverName: "brittle" }).pipe(Effect.provide(Logger.add(logger)))
      life.server.release = () => Effect.die(new Error("stuck"))
      yield* settle
      const closing = yield* askNow(life.service.close)
      expect(closing.isWaiting).toBe(false)
      expect(reported).toHaveLength(1)
      expect(reported[0]).toContain("brittle")
      expect(reported[0]).toContain("stuck")
      expect(life.diary.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("D10: nothing that user code throws stops the loop: look-up, connect, closed, finalizer, handler, delay", () =>
    Effect.gen(function*() {
      const boom = () => {
        throw new Error("boom")
      }
      const life = yield* begin({
        onEvent: boom,
        addressEquivalence: boom,
        retry: Schedule.makeWithState<void, unknown, unknown>(undefined, boom)
      })
      const { diary, server } = life
      server.release = boom
      server.closed = (line) => Effect.zipRight(line.lost, Effect.sync(boom))
      server.connect = ({ generation, number }) => number === 1 ? boom() : generation === 1 ? Effect.void : Effect.never
      yield* pass(15)
      server.line.drop()
      yield* pass(10)
      expect(diary.map((entry) => entry.slice(entry.indexOf(" ") + 1))).toEqual([
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
      expect((yield* askNow(life.service.close)).isWaiting).toBe(false)
    }))

  it.scoped("D10: a close and an abort in one turn with the success of a connect end in closed", () =>
    Effect.gen(function*() {
      for (const order of ["close first", "abort first"]) {
        const life = yield* begin()
        const gate = yield* Deferred.make<void>()
        life.server.connect = () => Deferred.await(gate)
        yield* settle
        yield* Deferred.succeed(gate, undefined)
        if (order === "close first") yield* ask(life.service.close)
        yield* abort(life)
        if (order === "abort first") yield* ask(life.service.close)
        yield* settle
        expect(yield* stateTag(life)).toBe("Closed")
        yield* expectAllReleased(life)
      }
    }))
})
