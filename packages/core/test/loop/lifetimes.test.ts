import { describe, expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import {
  ask,
  askNow,
  describeCause,
  type Fixture,
  hasEnded,
  inScope,
  makeFixture,
  on,
  type Options,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"

/** A fixture whose connections each hold one resource, and the number of held resources. */
const makeHoldingFixture = (options: Options = {}) =>
  Effect.gen(function*() {
    const fixture = yield* makeFixture(options)
    const things = { held: 0, taken: 0 }
    const hold = Effect.acquireRelease(
      Effect.sync(() => {
        things.held++
        things.taken++
      }),
      () => Effect.sync(() => things.held--)
    )
    return { ...fixture, things, hold }
  })

describe("the scope of a connection", () => {
  it.scoped("D4: is closed once when the connection is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(10)
      const { line } = server
      expect(line.released).toBe(0)
      line.drop()
      yield* settle
      expect(line.released).toBe(1)
      yield* pass(20)
      yield* service.close
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1])
    }))

  it.scoped("D4: is closed once by a close, and not again when the connection then ends", () =>
    Effect.gen(function*() {
      const [{ server, service }, scope] = yield* inScope(makeFixture())
      server.release = (line) => Effect.sync(() => line.drop())
      yield* settle
      yield* service.close
      yield* settle
      expect(yield* hasEnded(scope)).toBe(true)
      expect(server.line.released).toBe(1)
    }))

  it.scoped("D4: is closed when the attempt fails, dies, interrupts itself or times out", () =>
    Effect.gen(function*() {
      const { hold, server, things } = yield* makeHoldingFixture()
      const ends = [refuse("no"), Effect.die("bug"), Effect.interrupt, Effect.never, Effect.failCause(Cause.empty)]
      let next = 0
      server.connect = () => Effect.zipRight(hold, ends[next++ % ends.length]!)
      yield* pass(300)
      expect(things.taken).toBeGreaterThan(10)
      expect(things.held).toBeLessThanOrEqual(1)
      server.refuse("full")
      yield* pass(40)
      expect(things.held).toBe(0)
    }))

  it.scoped("D4: is closed with the exit of the connection", () =>
    Effect.gen(function*() {
      const exits: Array<string> = []
      const { server, service } = yield* makeFixture()
      server.connect = () =>
        Effect.addFinalizer((exit) =>
          Effect.sync(() => exits.push(Exit.isSuccess(exit) ? "success" : describeCause(exit.cause)))
        )
      yield* pass(10)
      server.line.drop()
      yield* pass(10)
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(10)
      yield* service.close
      server.connect = () => Effect.void
      expect(exits).toEqual(["success", "reset", "success"])
    }))

  it.scoped("D4: each connection has its own scope: its resources are released separately", () =>
    Effect.gen(function*() {
      const { hold, server, things } = yield* makeHoldingFixture()
      server.connect = () => hold
      for (let connection = 1; connection <= 5; connection++) {
        yield* pass(10)
        expect([things.taken, things.held]).toEqual([connection, 1])
        server.line.drop()
        yield* settle
      }
    }))

  const finalizers: ReadonlyArray<readonly [string, Effect.Effect<unknown>]> = [
    ["hangs", Effect.never],
    ["dies", Effect.die("bug")],
    ["interrupts itself", Effect.interrupt],
    ["takes a minute", sleep(60)]
  ]

  for (const [does, finalizer] of finalizers) {
    it.scoped(`D4: a finalizer that ${does} never delays the next attempt after a loss`, () =>
      Effect.gen(function*() {
        const [{ eventLog, server }] = yield* inScope(makeFixture())
        server.release = () => finalizer
        yield* pass(20)
        server.line.drop()
        yield* settle
        expect(eventLog.slice(3)).toEqual([
          "20 Disconnected 1",
          "20 AttemptingToConnect",
          "20 ObtainedAddress a",
          "20 Connected 2"
        ])
      }))

    it.scoped(`D4: a finalizer that ${does} after a loss never delays a close`, () =>
      Effect.gen(function*() {
        const [{ server, service }] = yield* inScope(makeFixture())
        server.release = ({ number }) => number === 1 ? finalizer : Effect.void
        yield* pass(20)
        server.line.drop()
        yield* settle
        expect((yield* askNow(service.close)).isWaiting).toBe(false)
        expect((yield* service.state.get)._tag).toBe("Closed")
        expect(server.line.released).toBe(1)
      }))

    it.scoped(`D4: a finalizer that ${does} never delays the next attempt after a failure`, () =>
      Effect.gen(function*() {
        const [{ eventLog, server }] = yield* inScope(makeFixture())
        server.connect = ({ number }) =>
          number === 1 ? Effect.zipRight(Effect.addFinalizer(() => finalizer), refuse("no")) : Effect.void
        yield* pass(10)
        expect(eventLog.slice(2)).toEqual(["0 FailedToConnect no", "10 Connected 1"])
      }))

    it.scoped(`D4: a finalizer of the look-up that ${does} delays the loop at most until the deadline`, () =>
      Effect.gen(function*() {
        const [{ server }] = yield* inScope(makeFixture())
        server.lookUp = ({ number }) => number === 1 ? Effect.ensuring(refuse("who?"), finalizer) : Effect.succeed("a")
        yield* pass(30)
        expect(server.lines).toHaveLength(1)
      }))
  }

  it.scoped("D4: `closed` is interrupted when its result is not needed any more", () =>
    Effect.gen(function*() {
      let watching = 0
      const fixture = yield* makeFixture()
      fixture.server.closed = (line) =>
        Effect.acquireUseRelease(
          Effect.sync(() => watching++),
          () => line.lost,
          () => Effect.sync(() => watching--)
        )
      yield* settle
      expect(watching).toBe(1)
      yield* fixture.service.close
      yield* settle
      expect(watching).toBe(0)
    }))

  it.scoped("D5: a `closed` that fails or dies is a loss with that cause", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { eventLog, server, service } = yield* makeFixture({
        onEvent: (event) =>
          Effect.sync(() => {
            if (event._tag === "Disconnected") seen.push(describeCause(event.cause))
          })
      })
      const ends = [
        refuse("reset"),
        Effect.die(new Error("bug")),
        Effect.interrupt,
        Effect.void,
        Effect.failCause(Cause.parallel(Cause.fail(new Refused({ text: "both" })), Cause.die(new Error("too"))))
      ]
      server.closed = ({ number }) => Effect.zipRight(sleep(20), ends[number - 1] ?? Effect.never)
      yield* pass(110)
      expect(seen).toHaveLength(5)
      expect([seen[0], seen[1], seen[3], seen[4]]).toEqual(["reset", "bug!", "nothing", "both"])
      // Code that interrupts itself does not interrupt its callers.
      expect(seen[2]).not.toBe("interrupted")
      expect(eventLog.at(-1)).toBe("100 Connected 6")
      const { lastCause } = yield* service.state.get
      expect(lastCause._tag === "Some" && [...Cause.failures(lastCause.value)]).toEqual([new Refused({ text: "both" })])
      expect(lastCause._tag === "Some" && [...Cause.defects(lastCause.value)]).toEqual([new Error("too")])
    }))

  it.scoped("D5: the failure of an attempt is a cause: typed errors stay typed, defects stay defects", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      const asked = askNow(Effect.sandbox(service.connectedOrFailedToConnect))
      server.connect = () => refuse("no")
      const typed = (yield* asked).error!
      expect([[...Cause.failures(typed)], [...Cause.defects(typed)]]).toEqual([[new Refused({ text: "no" })], []])
      server.connect = () => Effect.die(new Error("bug"))
      const next = yield* asked
      yield* pass(10)
      const defect = next.error!
      expect([[...Cause.failures(defect)], [...Cause.defects(defect)]]).toEqual([[], [new Error("bug")]])
    }))
})

describe("leaving the scope", () => {
  for (const phase of phases) {
    it.scoped(`D8: leaving it ${phase.name} closes everything, and no fiber is left`, () =>
      Effect.gen(function*() {
        const supervisor = yield* Supervisor.track
        const [fixture, scope] = yield* inScope(Effect.supervised(phase.reach(), supervisor))
        const { server, service } = fixture
        expect((yield* supervisor.value).length).toBeGreaterThan(0)
        const leaving = yield* askNow(Scope.close(scope, Exit.void))
        expect(leaving.isWaiting).toBe(false)
        expect((yield* supervisor.value).length, "fibers left").toBe(0)
        expect((yield* service.state.get)._tag).toBe("Closed")
        expect(yield* service.isClosed).toBe(true)
        expect((yield* askNow(service.close)).isWaiting).toBe(false)
        expect(server.lines.map(({ released }) => released)).toEqual(server.lines.map(() => 1))
        const events = [...fixture.eventLog]
        yield* pass(1_000)
        expect(fixture.eventLog).toEqual(events)
        expect((yield* supervisor.value).length, "fibers left").toBe(0)
      }))
  }

  it.scoped("D8: leaving it before the first turn prevents all attempts", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      const [fixture, scope] = yield* inScope(Effect.supervised(makeFixture(), supervisor))
      yield* Scope.close(scope, Exit.void)
      yield* pass(100)
      expect(fixture.eventLog).toEqual([])
      expect(fixture.server.attempts).toEqual([])
      expect((yield* supervisor.value).length, "fibers left").toBe(0)
    }))

  it.scoped("D8: it interrupts a running handler and waits for it", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [, scope] = yield* inScope(makeFixture({
        onEvent: on("Connected", () =>
          Effect.onInterrupt(Effect.never, () => Effect.zipRight(sleep(5), Effect.sync(() => log.push("let go")))))
      }))
      yield* settle
      const leaving = yield* askNow(Effect.zipRight(
        Scope.close(scope, Exit.void),
        Effect.sync(() =>
          log.push("left")
        )
      ))
      yield* pass(4)
      expect([leaving.isWaiting, log]).toEqual([true, []])
      yield* pass(1)
      expect([leaving.isWaiting, log]).toEqual([false, ["let go", "left"]])
    }))

  it.scoped("D8: it also interrupts a handler that still runs after a close", () =>
    Effect.gen(function*() {
      let torn = 0
      const [{ service }, scope] = yield* inScope(makeFixture({
        onEvent: on("ObtainedAddress", () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => torn++)))
      }))
      yield* settle
      yield* service.close
      yield* pass(10)
      expect(torn).toBe(0)
      yield* Scope.close(scope, Exit.void)
      expect(torn).toBe(1)
    }))

  it.scoped("D8: the handler of the last Disconnected does not outlive the scope", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const [fixture, scope] = yield* inScope(makeFixture({
        onEvent: on("Disconnected", () => Effect.zipRight(sleep(5), Effect.sync(() => log.push("too late"))))
      }))
      yield* settle
      expect(yield* hasEnded(scope)).toBe(true)
      expect(fixture.eventLog.at(-1)).toContain("Disconnected")
      yield* pass(100)
      expect(log).toEqual([])
    }))

  it.scoped("D8: it waits for a slow finalizer, also for one of a connection that was lost before", () =>
    Effect.gen(function*() {
      const [{ server }, scope] = yield* inScope(makeFixture())
      server.release = ({ number }) => sleep(number === 1 ? 30 : 5)
      yield* pass(20)
      server.line.drop()
      yield* settle
      const leaving = yield* askNow(Scope.close(scope, Exit.void))
      yield* pass(29)
      expect([leaving.isWaiting, server.released]).toEqual([true, 1])
      yield* pass(1)
      expect([leaving.isWaiting, server.released]).toEqual([false, 2])
    }))

  it.scoped("D8: it waits for an uninterruptible attempt, also for one whose deadline has passed", () =>
    Effect.gen(function*() {
      const [{ server }, scope] = yield* inScope(makeFixture())
      server.isUninterruptible = true
      server.connect = () => sleep(50)
      yield* pass(29)
      server.isUninterruptible = false
      yield* pass(6)
      expect(server.connects).toBe(2)
      const leaving = yield* askNow(Scope.close(scope, Exit.void))
      yield* pass(14)
      expect([leaving.isWaiting, server.opened, server.released]).toEqual([true, 0, 0])
      yield* pass(1)
      expect([leaving.isWaiting, server.opened, server.released]).toEqual([false, 1, 1])
    }))

  const ways: ReadonlyArray<readonly [string, (leave: Effect.Effect<void>) => Effect.Effect<void>]> = [
    ["itself", (leave) => leave],
    ["itself, uninterruptibly", Effect.uninterruptible],
    ["through a child", (leave) => Effect.flatMap(Effect.fork(leave), Fiber.join)],
    [
      "through an uninterruptible child",
      (leave) => Effect.flatMap(Effect.fork(Effect.uninterruptible(leave)), Fiber.join)
    ]
  ]

  for (
    const tag of ["AttemptingToConnect", "ObtainedAddress", "FailedToConnect", "Connected", "Disconnected"] as const
  ) {
    for (const [how, way] of ways) {
      it.scoped(`D8: the ${tag} handler can leave it ${how}`, () =>
        Effect.gen(function*() {
          const supervisor = yield* Supervisor.track
          const scope = yield* Scope.make()
          let calls = 0
          const leave = Effect.suspend(() => calls++ === 0 ? way(Scope.close(scope, Exit.void)) : Effect.void)
          const { server } = yield* makeFixture({ onEvent: on(tag, () => Effect.zipRight(sleep(1), leave)) }).pipe(
            Effect.supervised(supervisor),
            Scope.extend(scope)
          )
          server.connect = ({ generation, number }) => generation * number === 1 ? refuse("no") : Effect.void
          yield* pass(20)
          if (tag === "Disconnected") server.line.drop()
          yield* pass(60)
          expect(calls).toBe(1)
          expect((yield* supervisor.value).length, "fibers left").toBe(0)
          expect(server.released).toBe(server.opened)
        }))
    }
  }

  for (const place of ["look-up", "connect", "`closed`", "finalizer"]) {
    for (const [how, way] of ways) {
      it.scoped(`D8: a ${place} can leave it ${how}`, () =>
        Effect.gen(function*() {
          const supervisor = yield* Supervisor.track
          const scope = yield* Scope.make()
          let calls = 0
          const leave = Effect.suspend(() => calls++ === 0 ? way(Scope.close(scope, Exit.void)) : Effect.void)
          const { server } = yield* makeFixture().pipe(Effect.supervised(supervisor), Scope.extend(scope))
          if (place === "look-up") server.lookUp = () => Effect.as(leave, "a")
          if (place === "connect") server.connect = () => Effect.zipRight(sleep(1), leave)
          if (place === "`closed`") server.closed = () => Effect.zipRight(sleep(1), leave)
          if (place === "finalizer") server.release = () => Effect.zipRight(sleep(1), leave)
          yield* pass(2)
          if (place === "finalizer") server.line.drop()
          yield* pass(60)
          expect(calls).toBe(1)
          expect((yield* supervisor.value).length, "fibers left").toBe(0)
          expect(server.released).toBe(server.opened)
        }))
    }
  }
})

describe("a connection that is established after the deadline", () => {
  it.scoped("D4, D9: is released, and no caller gets it", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture()
      server.isUninterruptible = true
      server.connect = ({ number }) => sleep(number === 1 ? 45 : 20)
      const waiter = yield* ask(service.connected)
      yield* pass(44)
      expect(server.opened).toBe(0)
      expect(eventLog.at(-1)).toBe("30 FailedToConnect timeout")
      yield* pass(1)
      expect([server.opened, server.released]).toEqual([1, 1])
      expect(waiter.isWaiting).toBe(true)
      yield* pass(5)
      expect(waiter.answer).toBe(server.lines[1])
      expect([server.opened, server.released]).toEqual([2, 1])
    }))

  it.scoped("D9: the same holds if it is established in the ms of the deadline", () =>
    Effect.gen(function*() {
      const [{ eventLog, server, service }, scope] = yield* inScope(makeFixture())
      server.connect = () => sleep(30)
      yield* pass(30)
      const connected = (yield* askNow(service.connected)).answer
      expect(server.lines.filter(({ released }) => released === 0)).toEqual(connected === undefined ? [] : [connected])
      expect(eventLog.filter((entry) => entry.includes("Connected"))).toHaveLength(connected === undefined ? 0 : 1)
      expect(yield* hasEnded(scope)).toBe(true)
      expect(server.released).toBe(server.opened)
    }))
})

describe("interrupting waiting callers", () => {
  const waits: ReadonlyArray<readonly [string, (fixture: Fixture) => Effect.Effect<unknown, unknown>]> = [
    ["connected", ({ service }) => service.connected],
    ["connectedOrClosed", ({ service }) => service.connectedOrClosed],
    ["connectedOrFailedToConnect", ({ service }) => service.connectedOrFailedToConnect],
    ["closeFinished", ({ service }) => service.closeFinished]
  ]

  for (const [name, wait] of waits) {
    it.scoped(`D8: interrupting a caller of ${name} leaves nothing behind, and does not affect others`, () =>
      Effect.gen(function*() {
        const [fixture, scope] = yield* inScope(makeFixture({ attemptTimeout: Duration.infinity }))
        const { server, service } = fixture
        server.connect = () => sleep(60)
        const stays = yield* ask(wait(fixture))
        const goes = yield* askNow(wait(fixture))
        expect(Exit.isInterrupted(yield* Fiber.interrupt(goes.fiber))).toBe(true)
        yield* pass(59)
        expect(stays.isWaiting).toBe(true)
        yield* pass(1)
        expect(server.lines).toHaveLength(1)
        if (name === "closeFinished") yield* service.close
        yield* settle
        expect(stays.exit?._tag).toBe("Success")
        expect(yield* hasEnded(scope)).toBe(true)
      }))
  }

  it.scoped("D8: closing continues if the caller of close is interrupted, at any time", () =>
    Effect.gen(function*() {
      const [{ server, service }, scope] = yield* inScope(makeFixture())
      server.release = () => sleep(10)
      yield* settle
      for (const moment of ["at once", "after a turn", "after 5 seconds"]) {
        const closing = yield* Effect.fork(service.close)
        if (moment === "after a turn") yield* Effect.yieldNow()
        if (moment === "after 5 seconds") yield* pass(5)
        expect(Exit.isInterrupted(yield* Fiber.interrupt(closing))).toBe(true)
      }
      yield* pass(5)
      expect(server.released).toBe(1)
      expect(yield* hasEnded(scope)).toBe(true)
    }))
})
