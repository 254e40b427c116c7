/**
 * Regression tests: mistakes that led, or could lead, to a deadlock, a leak or a wrong result.
 */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  ask,
  askNow,
  type Fixture,
  hasEnded,
  inScope,
  type Line,
  makeFixture,
  now,
  on,
  pass,
  refuse,
  Refused,
  settle,
  sleep,
  stateTag,
  turns
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const kinds = ({ eventLog }: Fixture) => eventLog.map((entry) => entry.split(" ")[1]!)
const stops: ReadonlyArray<readonly [string, (fixture: Fixture) => Effect.Effect<unknown>]> = [
  ["close", ({ service }) => service.close],
  ["closeWhenCurrentConnectionIsClosed", ({ service }) => service.closeWhenCurrentConnectionIsClosed],
  ["abort", ({ server }) => server.abort(new Refused({ text: "enough" }))]
]

describe("a connect that succeeds during a close or an abort", () => {
  for (const [name, stop] of stops) {
    it.scoped(
      `D2, D10: ${name} some turns before or after a connect succeeds: nothing leaks, and every caller gets the right result`,
      () =>
        Effect.gen(function*() {
          const outcomes = new Set<string>()
          for (let connectTakes = 0; connectTakes < 6; connectTakes++) {
            for (let stopTakes = 0; stopTakes < 12; stopTakes++) {
              const [fixture, scope] = yield* inScope(makeFixture())
              const { server, service } = fixture
              const gate = yield* Deferred.make<void>()
              server.connect = () => Effect.zipRight(Deferred.await(gate), turns(connectTakes))
              const waiter = yield* askNow(service.connectedOrFailedToConnect)
              yield* Effect.fork(
                Effect.zipRight(Deferred.await(gate), Effect.zipRight(turns(stopTakes), stop(fixture)))
              )
              yield* settle
              yield* Deferred.succeed(gate, undefined)
              yield* settle

              const events = kinds(fixture).join(" ")
              outcomes.add(events)
              const wasConnected = events.includes("Connected")
              const isKept = (yield* stateTag(fixture)) === "Connected"
              expect(waiter.answer === undefined, `${connectTakes}, ${stopTakes}`).toBe(!wasConnected)
              expect(waiter.isWaiting).toBe(false)
              expect(isKept).toBe(wasConnected && name !== "close")
              if (isKept) server.line.drop()
              yield* settle
              expect(yield* stateTag(fixture)).toBe("Closed")
              expect(kinds(fixture)).toEqual(
                wasConnected
                  ? ["AttemptingToConnect", "ObtainedAddress", "Connected", "Disconnected"]
                  : ["AttemptingToConnect", "ObtainedAddress"]
              )
              expect(server.released).toBe(server.opened)
              yield* Scope.close(scope, Exit.void)
            }
          }
          // Both must have happened, otherwise there was no race.
          expect(outcomes.size).toBeGreaterThan(1)
        })
    )
  }

  it.scoped("E1, X3: if a caller closes as soon as it gets the connection, Disconnected still follows Connected", () =>
    Effect.gen(function*() {
      for (let steps = 15; steps < 100; steps += 3) {
        const fixture = yield* Effect.withMaxOpsBeforeYield(makeFixture(), steps)
        yield* Effect.fork(Effect.zipRight(fixture.service.connected, fixture.service.close))
        yield* pass(1)
        expect(yield* stateTag(fixture)).toBe("Closed")
        const events = kinds(fixture)
        expect(events.includes("Disconnected"), `with ${steps} steps a turn: ${events.join(" ")}`).toBe(
          events.includes("Connected")
        )
        expect(fixture.server.released).toBe(fixture.server.opened)
      }
    }))

  it.scoped("X1: after close there is no current connection, for all preemptions of the fibers of the loop", () =>
    Effect.gen(function*() {
      for (let steps = 15; steps < 100; steps += 3) {
        const { service } = yield* Effect.withMaxOpsBeforeYield(makeFixture(), steps)
        yield* settle
        yield* service.close
        expect(yield* service.currentConnection, `with ${steps} steps a turn`).toEqual(Option.none())
      }
    }))

  it.scoped("E1, X3: the same holds directly after a successful refresh", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(1)
      yield* Effect.zipRight(PersistentConnection.refresh(fixture.service), fixture.service.close)
      yield* settle
      expect(kinds(fixture).filter((kind) => kind === "Connected" || kind === "Disconnected").join(" ")).toMatch(
        /^(Connected Disconnected ?)+$|^Connected Connected Disconnected$/
      )
      expect(fixture.eventLog.at(-1)).toMatch(/Disconnected/)
      const countOf = (kind: string) => fixture.eventLog.filter((entry) => entry.includes(` ${kind} 2`)).length
      expect([countOf("Connected"), countOf("Disconnected")]).toEqual([1, 1])
    }))
})

describe("a second call in the same turn", () => {
  it.scoped("A5: a caller that calls again directly after a result gets the next result, and no result twice", () =>
    Effect.gen(function*() {
      const results: Array<string> = []
      const { server, service } = yield* makeFixture()
      server.connect = ({ number }) => refuse(`no ${number}`)
      yield* Effect.fork(
        Effect.forever(
          Effect.catchTag(
            service.connectedOrFailedToConnect,
            "Refused",
            ({ text }) => Effect.map(now, (second) => results.push(`${second}: ${text}`))
          )
        )
      )
      yield* pass(35)
      expect(results).toEqual(["0: no 1", "10: no 2", "20: no 3", "30: no 4"])
    }))

  it.scoped("A4: a caller that calls again directly after a loss gets the next connection", () =>
    Effect.gen(function*() {
      const results: Array<number> = []
      const { server, service } = yield* makeFixture()
      yield* Effect.fork(Effect.forever(Effect.flatMap(service.connected, (line) => {
        results.push(line.number)
        return line.lost
      })))
      for (let losses = 0; losses < 4; losses++) {
        yield* pass(10)
        server.line.drop()
      }
      yield* pass(10)
      expect(results).toEqual([1, 2, 3, 4, 5])
    }))

  it.scoped("X1: directly after the completion of close there is no current connection", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      yield* service.close
      expect(yield* service.currentConnection).toEqual(Option.none())
      expect(yield* service.isClosed).toBe(true)
    }))
})

describe("waiting for its own connection", () => {
  const waits: ReadonlyArray<readonly [string, (fixture: Fixture) => Effect.Effect<unknown, unknown>]> = [
    ["connected", ({ service }) => service.connected],
    ["connectedOrClosed", ({ service }) => service.connectedOrClosed],
    ["connectedOrFailedToConnect", ({ service }) => service.connectedOrFailedToConnect],
    ["closeFinished", ({ service }) => service.closeFinished]
  ]
  const itself = "The connection to \"test\" waits for itself!"
  const inChildren: ReadonlyArray<readonly [string, (effect: Effect.Effect<void>) => Effect.Effect<void>]> = [
    ["an awaited child", (effect) => Effect.flatMap(Effect.fork(effect), Fiber.join)],
    ["a race", (effect) => Effect.raceFirst(effect, Effect.interruptible(Effect.never))]
  ]
  const places: ReadonlyArray<readonly [string, (fixture: Fixture, effect: Effect.Effect<void>) => void]> = [
    ["look-up", ({ server }, effect) => {
      server.lookUp = ({ number }) => number === 1 ? Effect.as(effect, "a") : Effect.succeed("a")
    }],
    ["connect", ({ server }, effect) => {
      server.connect = ({ number }) => number === 1 ? effect : Effect.void
    }]
  ]

  for (const [name, wait] of waits) {
    for (const [place, prepare] of places) {
      it.scoped(`D7c: a ${place} that awaits ${name} dies with a readable message`, () =>
        Effect.gen(function*() {
          const [fixture, scope] = yield* inScope(makeFixture({ attemptTimeout: Duration.infinity }))
          prepare(fixture, Effect.ignore(wait(fixture)))
          yield* pass(10)
          expect(fixture.eventLog).toContain(`0 FailedToConnect ${itself}`)
          expect(yield* stateTag(fixture)).toBe("Connected")
          expect(yield* hasEnded(scope)).toBe(true)
        }))

      for (const [how, inChild] of inChildren) {
        it.scoped(`D7c: a ${place} that awaits ${name} in ${how} runs into its deadline`, () =>
          Effect.gen(function*() {
            const [fixture, scope] = yield* inScope(makeFixture())
            prepare(fixture, inChild(Effect.ignore(wait(fixture))))
            yield* pass(29)
            expect(yield* stateTag(fixture)).toBe("Connecting")
            yield* pass(1)
            expect(fixture.eventLog).toContain("30 FailedToConnect timeout")
            expect(fixture.eventLog.at(-1)).toBe("30 Connected 1")
            expect(yield* hasEnded(scope)).toBe(true)
          }))

        it.scoped(`D7c: a ${place} that awaits ${name} in ${how}, without a deadline, waits until closing`, () =>
          Effect.gen(function*() {
            const [fixture, scope] = yield* inScope(makeFixture({ attemptTimeout: Duration.infinity }))
            prepare(fixture, inChild(Effect.ignore(wait(fixture))))
            yield* pass(1_000)
            expect(yield* stateTag(fixture)).toBe("Connecting")
            expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
            expect(yield* stateTag(fixture)).toBe("Closed")
            expect(fixture.server.released).toBe(fixture.server.opened)
            expect(yield* hasEnded(scope)).toBe(true)
          }))
      }
    }

    it.scoped(`D7: close does not wait for an uninterruptible connect that awaits ${name} in a child`, () =>
      Effect.gen(function*() {
        const [fixture, scope] = yield* inScope(makeFixture())
        fixture.server.isUninterruptible = true
        fixture.server.connect = () => Effect.flatMap(Effect.fork(Effect.ignore(wait(fixture))), Fiber.join)
        yield* pass(1)
        const closing = yield* ask(fixture.service.close)
        yield* pass(100)
        expect(closing.isWaiting).toBe(false)
        expect(yield* hasEnded(scope)).toBe(true)
        expect(fixture.server.released).toBe(fixture.server.opened)
      }))

    it.scoped(`D7: close does not wait for a finalizer that awaits ${name} in a race`, () =>
      Effect.gen(function*() {
        const [fixture, scope] = yield* inScope(makeFixture())
        fixture.server.release = () =>
          Effect.raceFirst(Effect.ignore(wait(fixture)), Effect.interruptible(Effect.never))
        yield* settle
        const closing = yield* ask(fixture.service.close)
        yield* pass(100)
        expect(closing.isWaiting).toBe(false)
        expect(yield* hasEnded(scope)).toBe(true)
      }))
  }

  it.scoped("D7c: a connect whose attempt has ended may wait for a connection", () =>
    Effect.gen(function*() {
      const retry = Schedule.forever.pipe(Schedule.mapEffect(() => sleep(60)))
      const fixture: Fixture = yield* makeFixture({ attemptTimeout: "5 seconds", retry }, ({ server }) => {
        server.connect = () => Effect.uninterruptible(Effect.zipRight(sleep(10), wait))
      })
      let exit: Exit.Exit<Line> | undefined
      const wait = Effect.onExit(
        Effect.suspend(() => fixture.service.connected),
        (ended) => Effect.sync(() => exit = ended)
      )
      yield* pass(20)
      fixture.server.accept()
      yield* pass(100)
      expect(exit).toEqual(Exit.succeed(fixture.server.lines.at(-1)))
    }))

  it.scoped("D7a: an AttemptingToConnect handler that waits for a connection gets it", () =>
    Effect.gen(function*() {
      const got: Array<number> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: on(
          "AttemptingToConnect",
          () => Effect.map(fixture.service.connected, ({ number }) => got.push(number))
        )
      })
      yield* settle
      expect(got).toEqual([1])
    }))

  it.scoped("D7a, E1: the end of a handler that was let go does not end the wait for the running handler", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({
        onEvent: ({ _tag }) =>
          _tag === "AttemptingToConnect" ? fixture.service.connected : _tag === "Connected" ? sleep(5) : Effect.void
      })
      yield* pass(1)
      fixture.server.line.drop()
      yield* settle
      expect(kinds(fixture)).not.toContain("Disconnected")
      yield* pass(4)
      expect(fixture.eventLog.at(3)).toBe("5 Disconnected 1")
    }))

  it.scoped("D7a: the loop does not wait for a handler whose child waits", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({
        onEvent: on(
          "AttemptingToConnect",
          () => Effect.zipRight(Effect.forkDaemon(fixture.service.connected), sleep(5))
        )
      })
      yield* pass(10)
      expect(fixture.server.attempts).toEqual([0])
    }))

  it.scoped("D7, E1: the loop waits for a handler whose call returned at once", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({
        onEvent: on("Connected", () => Effect.zipRight(fixture.service.connected, sleep(50)))
      })
      yield* pass(20)
      fixture.server.line.drop()
      yield* pass(29)
      expect(kinds(fixture)).not.toContain("Disconnected")
      yield* pass(1)
      expect(fixture.eventLog[3]).toBe("50 Disconnected 1")
    }))

  it.scoped("D7, E1: the loop waits for a handler that waits for another persistent connection", () =>
    Effect.gen(function*() {
      const other = yield* makeFixture()
      other.server.connect = () => sleep(5)
      const fixture = yield* makeFixture({ onEvent: on("AttemptingToConnect", () => other.service.connected) })
      yield* pass(10)
      expect(fixture.server.attempts).toEqual([5])
    }))

  it.scoped("D7, E1: a handler that follows the events of another persistent connection is waited for", () =>
    Effect.gen(function*() {
      const other = yield* makeFixture()
      const fixture = yield* makeFixture({
        onEvent: on(
          "AttemptingToConnect",
          () => Stream.runDrain(Stream.takeUntil(other.service.events, ({ _tag }) => _tag === "Disconnected"))
        )
      })
      yield* pass(5)
      expect(fixture.server.attempts).toEqual([])
      other.server.line.drop()
      yield* settle
      expect(fixture.server.attempts).toEqual([5])
    }))

  it.scoped("D7b: a fiber inside one persistent connection is outside another: its close waits until closing has finished", () =>
    Effect.gen(function*() {
      const other = yield* makeFixture()
      other.server.release = () => sleep(5)
      yield* settle
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.connect = () => other.service.close
      })
      yield* pass(4)
      expect(fixture.server.lines).toEqual([])
      yield* pass(1)
      expect([fixture.server.lines.length, other.server.released]).toEqual([1, 1])
    }))

  it.scoped("X1: a caller that joins a fiber of a connection stays outside: its close waits until closing has finished", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      let reader: Fiber.Fiber<string> | undefined
      server.connect = () =>
        Effect.map(Effect.forkScoped(Effect.as(sleep(1), "read")), (fiber) => {
          reader = fiber
        })
      yield* pass(2)
      expect(yield* Fiber.join(reader!)).toBe("read")
      server.release = () => sleep(60)
      const closing = yield* ask(service.close)
      yield* pass(59)
      expect(closing.isWaiting).toBe(true)
      yield* pass(1)
      expect(closing.isWaiting).toBe(false)
    }))

  it.scoped("D8: a caller that joins a fiber of a connection: leaving the scope waits until everything has ended", () =>
    Effect.gen(function*() {
      const [{ server }, scope] = yield* inScope(makeFixture())
      let reader: Fiber.Fiber<string> | undefined
      server.connect = () =>
        Effect.map(Effect.forkScoped(Effect.as(sleep(1), "read")), (fiber) => {
          reader = fiber
        })
      yield* pass(2)
      expect(yield* Fiber.join(reader!)).toBe("read")
      server.release = () => sleep(60)
      const leaving = yield* ask(Scope.close(scope, Exit.void))
      yield* pass(59)
      expect([leaving.isWaiting, server.released]).toEqual([true, 0])
      yield* pass(1)
      expect([leaving.isWaiting, server.released]).toEqual([false, 1])
    }))

  it.scoped("A3: a caller that joins a fiber of a connection: its `connected` suspends forever after a close", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      let reader: Fiber.Fiber<string> | undefined
      server.connect = () =>
        Effect.map(Effect.forkScoped(Effect.as(sleep(1), "read")), (fiber) => {
          reader = fiber
        })
      yield* pass(2)
      yield* Fiber.join(reader!)
      yield* service.close
      expect((yield* askNow(service.connected)).isWaiting).toBe(true)
    }))

  it.scoped("D7: two nested persistent connections can close each other", () =>
    Effect.gen(function*() {
      for (const closer of ["inner", "outer"]) {
        const [outer, scope] = yield* inScope(makeFixture())
        let inner: Fixture | undefined
        outer.server.connect = () =>
          Effect.map(makeFixture(), (fixture) => {
            inner = fixture
          })
        yield* pass(1)
        if (closer === "inner") inner!.server.closed = () => outer.service.close
        else yield* ask(outer.service.close)
        inner!.server.line.drop()
        yield* pass(20)
        if (closer === "outer") expect(yield* stateTag(inner!)).toBe("Closed")
        expect(yield* hasEnded(scope)).toBe(true)
        expect([yield* stateTag(outer), yield* stateTag(inner!)]).toEqual(["Closed", "Closed"])
      }
    }))
})

describe("a `closed` that misbehaves", () => {
  it.scoped("D4, X1: close does not wait for an uninterruptible `closed` that never ends", () =>
    Effect.gen(function*() {
      const [fixture] = yield* inScope(makeFixture())
      fixture.server.closed = () => Effect.uninterruptible(Effect.never)
      yield* settle
      expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(fixture.eventLog.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("D4, D8: an uninterruptible `closed` that ends with the release of its connection is awaited", () =>
    Effect.gen(function*() {
      const [fixture, scope] = yield* inScope(makeFixture())
      fixture.server.closed = (line) => Effect.uninterruptible(line.lost)
      fixture.server.release = (line) => Effect.sync(() => line.drop())
      yield* settle
      expect(yield* hasEnded(scope)).toBe(true)
      expect(kinds(fixture)).toEqual(["AttemptingToConnect", "ObtainedAddress", "Connected", "Disconnected"])
    }))

  it.scoped("D4: a finalizer that dies does not prevent close from completing", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.release = () => Effect.die("bug")
      yield* settle
      expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(fixture)).toBe("Closed")
    }))

  it.scoped("D5: a `closed` that throws, dies or interrupts itself at once is a loss, and close works", () =>
    Effect.gen(function*() {
      const boom = () => {
        throw new Error("boom")
      }
      for (const closed of [boom, () => Effect.die("bug"), () => Effect.interrupt, () => refuse("reset")]) {
        const fixture = yield* makeFixture()
        fixture.server.closed = closed
        yield* pass(15)
        expect(kinds(fixture)).toEqual([
          "AttemptingToConnect",
          "ObtainedAddress",
          "Connected",
          "Disconnected",
          "AttemptingToConnect",
          "ObtainedAddress",
          "Connected",
          "Disconnected"
        ])
        expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
        expect(fixture.server.released).toBe(2)
      }
    }))
})

describe("an attempt that interrupts itself", () => {
  for (const place of ["lookUp", "connect"] as const) {
    it.scoped(`C6, D5: in ${place}, counts as a failed attempt, and waiting callers are not interrupted`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        if (place === "lookUp") fixture.server.lookUp = () => Effect.interrupt
        else fixture.server.connect = () => Effect.interrupt
        const waiter = yield* askNow(Effect.exit(fixture.service.connectedOrFailedToConnect))
        const exit = waiter.answer!
        expect(Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause)).toBe(true)
        expect(kinds(fixture).at(-1)).toBe("FailedToConnect")
        fixture.server.lookUp = () => Effect.succeed("a")
        fixture.server.accept()
        yield* pass(10)
        expect(yield* stateTag(fixture)).toBe("Connected")
      }))
  }

  it.scoped("C6, D5: also counts as failed if another fiber interrupts it", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      let dialling: Fiber.RuntimeFiber<unknown, unknown> | undefined
      fixture.server.connect = () =>
        Effect.withFiberRuntime((fiber) => {
          dialling = fiber
          return Effect.never
        })
      const waiter = yield* askNow(Effect.exit(fixture.service.connectedOrFailedToConnect))
      yield* Fiber.interruptFork(dialling!)
      yield* settle
      expect(waiter.isWaiting).toBe(false)
      expect(Exit.isFailure(waiter.answer!) && !Cause.isInterrupted(waiter.answer.cause)).toBe(true)
      fixture.server.accept()
      yield* pass(10)
      expect(yield* stateTag(fixture)).toBe("Connected")
    }))
})

describe("functions that throw or re-enter", () => {
  it.scoped("D10: an `addressEquivalence` that calls close", () =>
    Effect.gen(function*() {
      const states: Array<string> = []
      const fixture: Fixture = yield* makeFixture({
        addressEquivalence: () => {
          Effect.runFork(fixture.service.close)
          return true
        }
      })
      fixture.server.refuse("no")
      yield* settle
      fixture.server.connect = () => Effect.map(fixture.service.isClosed, (isClosed) => states.push(`${isClosed}`))
      yield* pass(20)
      expect(states).toEqual([])
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(yield* fixture.service.isClosed).toBe(true)
    }))

  it.scoped("D7: an `isClosed` that calls `connected`", () =>
    Effect.gen(function*() {
      const service: PersistentConnection.PersistentConnection<object> = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("a"),
        connector: Connector.make({
          connect: () => Effect.succeed({}),
          closed: () => Effect.never,
          isClosed: () => Option.isNone(Effect.runSync(service.currentConnection))
        })
      })
      yield* settle
      expect((yield* askNow(service.connected)).isWaiting).toBe(false)
    }))
})

describe("the caller's clock and random source", () => {
  const forbidden = (): never => {
    throw new Error("This clock must not be used")
  }
  const forbiddenClock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: forbidden,
    unsafeCurrentTimeNanos: forbidden,
    currentTimeMillis: Effect.sync(forbidden),
    currentTimeNanos: Effect.sync(forbidden),
    sleep: forbidden
  }
  const forbiddenRandom: Random.Random = {
    [Random.RandomTypeId]: Random.RandomTypeId,
    next: Effect.sync(forbidden),
    nextBoolean: Effect.sync(forbidden),
    nextInt: Effect.sync(forbidden),
    nextRange: forbidden,
    nextIntBetween: forbidden,
    shuffle: forbidden
  }
  const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(Effect.withClock(forbiddenClock), Effect.withRandom(forbiddenRandom))

  it.scoped("T4: the clock and the random source of callers are never used", () =>
    Effect.gen(function*() {
      const [fixture, scope] = yield* inScope(makeFixture({ retry: RetryPolicy.standard, reconnectJitter: "1 second" }))
      const { server, service } = fixture
      server.refuse("no")
      const waiters = yield* Effect.all([
        ask(elsewhere(service.connected)),
        ask(elsewhere(service.connectedOrClosed)),
        ask(elsewhere(Effect.exit(service.connectedOrFailedToConnect))),
        ask(elsewhere(service.closeFinished))
      ])
      yield* settle
      server.accept()
      yield* pass(20)
      expect(waiters.map(({ isWaiting }) => isWaiting)).toEqual([false, false, false, true])
      yield* elsewhere(service.currentConnection)
      yield* elsewhere(service.isClosed)
      yield* elsewhere(service.state.get)
      yield* Effect.scoped(elsewhere(service.subscribe))
      yield* elsewhere(server.attempt!.failedAttempts)
      server.line.drop()
      yield* pass(20)
      yield* elsewhere(service.closeWhenCurrentConnectionIsClosed)
      yield* elsewhere(server.abort(new Refused({ text: "enough" })))
      yield* elsewhere(service.close)
      yield* settle
      expect(waiters.every(({ isWaiting }) => !isWaiting)).toBe(true)
      expect((yield* service.state.get).since).toBe(40_000)
      const leaving = yield* askNow(elsewhere(Scope.close(scope, Exit.void)))
      expect(leaving.exit).toEqual(Exit.void)
    }))

  it.scoped("T4: everything uses the clock and the random source of `make`, also the effects of users", () =>
    Effect.gen(function*() {
      const hour = 3_600_000
      const test = yield* Effect.clock
      const later: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => test.unsafeCurrentTimeMillis() + hour,
        unsafeCurrentTimeNanos: () => test.unsafeCurrentTimeNanos() + BigInt(hour) * 1_000_000n,
        currentTimeMillis: Effect.map(test.currentTimeMillis, (millis) => millis + hour),
        currentTimeNanos: Effect.map(test.currentTimeNanos, (nanos) => nanos + BigInt(hour) * 1_000_000n),
        sleep: (duration) => test.sleep(duration)
      }
      const seen: Array<number> = []
      const see = Effect.map(Clock.currentTimeMillis, (millis) => {
        seen.push(millis - hour)
      })
      const fixture = yield* makeFixture({ onEvent: () => see }).pipe(Effect.withClock(later))
      fixture.server.lookUp = () => Effect.as(see, "a")
      fixture.server.connect = ({ number }) => Effect.zipRight(see, number === 1 ? refuse("no") : Effect.void)
      fixture.server.release = () => see
      fixture.server.closed = (line) => Effect.zipRight(line.lost, see)
      yield* pass(4)
      expect(yield* fixture.service.state.get).toMatchObject({
        _tag: "Waiting",
        since: hour,
        nextAttemptAt: Option.some(hour + 10_000)
      })
      yield* pass(6)
      // Attempting, look-up, address, connect, failure; look-up, connect, connected.
      expect(seen).toEqual([0, 0, 0, 0, 0, 10_000, 10_000, 10_000])
      fixture.server.line.drop()
      yield* pass(0)
      // Closed, released, disconnected.
      expect(seen.slice(8)).toEqual([10_000, 10_000, 10_000])
      expect(yield* fixture.service.state.get).toMatchObject({ since: hour + 10_000 })
    }))

  it.scoped("T4: `Math.random` is never called", () =>
    Effect.gen(function*() {
      const { random } = Math
      let asked = 0
      Math.random = () => {
        asked++
        return random()
      }
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          Math.random = random
        })
      )
      const fixture = yield* makeFixture({ retry: undefined, reconnectJitter: "5 seconds" }).pipe(
        Effect.withRandom(Random.make("T4"))
      )
      fixture.server.connect = ({ number }) => number < 3 ? refuse("no") : Effect.void
      yield* pass(60)
      fixture.server.line.drop()
      yield* pass(60)
      expect(fixture.server.lines).toHaveLength(2)
      expect(asked).toBe(0)
    }))
})

describe("after the scope has been left", () => {
  it.scoped("D8: every operation still completes after the scope has been left", () =>
    Effect.gen(function*() {
      const [{ eventLog, server, service }, scope] = yield* inScope(makeFixture())
      yield* settle
      yield* Scope.close(scope, Exit.void)
      const answers = yield* Effect.all([
        askNow(service.close),
        askNow(service.closeFinished),
        askNow(service.isClosed),
        askNow(service.currentConnection),
        askNow(Effect.flip(service.connectedOrClosed)),
        askNow(Effect.flip(service.connectedOrFailedToConnect)),
        askNow(Effect.scoped(service.subscribe)),
        askNow(server.abort(new Refused({ text: "late" }))),
        askNow(service.closeWhenCurrentConnectionIsClosed)
      ])
      expect(answers.map(({ exit }) => exit?._tag)).toEqual(answers.map(() => "Success"))
      const connected = yield* askNow(service.connected)
      expect(connected.isWaiting).toBe(true)
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("late")
      yield* pass(100)
      expect(eventLog).toHaveLength(4)
    }))
})
