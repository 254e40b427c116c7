import { describe, expect } from "@effect/vitest"
import * as State from "@persistent-connection/core/ConnectionState"
import * as Connector from "@persistent-connection/core/Connector"
import { make, refresh, TypeId } from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import {
  ask,
  type Fixture,
  makeFixture,
  on,
  pass,
  refuse,
  Refused,
  settle,
  sleep,
  stateOf
} from "../support/Fixture.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"
import { type AnyState, documented, transitions } from "./transitions.js"

/** All transitions that the tests of this file have observed. */
const seen = new Set<string>()

/** Records every state, from the first one. */
const watch = ({ service }: Fixture) =>
  Effect.gen(function*() {
    const states: Array<AnyState> = []
    yield* ask(Stream.runForEach(service.state.changes, (state) =>
      Effect.sync(() => {
        states.push(state)
      })))
    // Subscribes before the first turn of the loop.
    yield* Effect.yieldNow()
    return states
  })

const record = (states: ReadonlyArray<AnyState>) => {
  for (const transition of transitions(states)) {
    seen.add(transition)
    expect(documented).toContain(transition)
  }
}

/** Like `record`, for an observer that started later. */
const recordFrom = (states: ReadonlyArray<AnyState>) => {
  for (const transition of transitions(states).slice(1)) {
    seen.add(transition)
    expect(documented).toContain(transition)
  }
}

const tags = (states: ReadonlyArray<AnyState>) => states.map(({ _tag }) => _tag)

/** The phases without repetitions. */
const course = (states: ReadonlyArray<AnyState>) =>
  tags(states).filter((tag, index, all) => index === 0 || tag !== all[index - 1])

describe("the table of transitions", () => {
  it("X1: is in the documentation", () => {
    expect(documented.length).toBeGreaterThanOrEqual(13)
    expect(new Set(documented).size).toBe(documented.length)
    expect(documented).toContain("* → Connecting")
  })

  it.scoped("C1, A1, A2: failures, a success, a loss and a close follow the table", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const states = yield* watch(fixture)
      fixture.server.refuse("no")
      yield* pass(15)
      fixture.server.accept()
      yield* pass(10)
      fixture.server.line.drop()
      yield* pass(10)
      yield* fixture.service.close
      yield* settle
      expect(course(states)).toEqual([
        "Connecting",
        "Waiting",
        "Connecting",
        "Waiting",
        "Connecting",
        "Connected",
        "Waiting",
        "Connecting",
        "Connected",
        "Closing",
        "Closed"
      ])
      record(states)
    }))

  for (const phase of phases) {
    for (const end of ["close", "closeWhenCurrentConnectionIsClosed", "abort", "close, then abort"] as const) {
      it.scoped(`X1, X4, X5: ${end} ${phase.name} leads to Closed by documented transitions`, () =>
        Effect.gen(function*() {
          const fixture = yield* phase.reach()
          const states = yield* watch(fixture)
          const abort = fixture.server.abort(new Refused({ text: "enough" }))
          if (end === "abort") yield* abort
          else if (end === "close, then abort") yield* Effect.zip(ask(fixture.service.close), abort)
          else yield* ask(fixture.service[end])
          yield* settle
          if (phase.isConnected && phase.isInHandler) return recordFrom(states)
          if (phase.isConnected && (yield* stateOf(fixture))._tag === "Connected") fixture.server.line.drop()
          yield* settle
          if (end === "close, then abort") yield* fixture.server.abort(new Refused({ text: "again" }))
          yield* settle
          expect(tags(states).at(-1)).toBe("Closed")
          recordFrom(states)
        }))
    }
  }

  it.scoped("X5: the first abort after a close replaces the reason, during closing and afterwards", () =>
    Effect.gen(function*() {
      for (const when of ["Closing", "Closed"]) {
        const fixture = yield* makeFixture()
        fixture.server.release = () => sleep(10)
        yield* settle
        const states = yield* watch(fixture)
        yield* ask(fixture.service.close)
        yield* pass(when === "Closing" ? 5 : 15)
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: when, reason: { _tag: "ClosedByOwner" } })
        yield* fixture.server.abort(new Refused({ text: "late" }))
        const reason = { _tag: "Aborted", cause: Cause.fail(new Refused({ text: "late" })) }
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: when, reason })
        yield* fixture.server.abort(new Refused({ text: "later" }))
        yield* pass(20)
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", reason })
        recordFrom(states)
      }
    }))
})

it.scoped("a persistent connection has its type id, and prints its name and its state", () =>
  Effect.gen(function*() {
    const { service } = yield* makeFixture({ serverName: "prices" })
    yield* settle
    expect(service[TypeId]).toBe(TypeId)
    expect(JSON.parse(JSON.stringify(service))).toMatchObject({
      _id: "PersistentConnection",
      serverName: "prices",
      state: { _tag: "Connected" }
    })
  }))

describe("the fields", () => {
  it.scoped("D9: an attempt, its number, its address and its deadline", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on("ObtainedAddress", () => sleep(1)) })
      const { server } = fixture
      server.lookUp = ({ number }) => Effect.as(sleep(2), `address ${number}`)
      server.connect = ({ number }) => number < 3 ? Effect.zipRight(sleep(3), refuse(`no ${number}`)) : sleep(3)
      expect(yield* stateOf(fixture)).toMatchObject({
        _tag: "Connecting",
        since: 0,
        generation: 0,
        attempt: 1,
        address: Option.none(),
        lastCause: Option.none(),
        deadline: Option.none()
      })
      yield* settle
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", attempt: 1, deadline: Option.some(30_000) })
      // The deadline does not run during the handler.
      yield* pass(2)
      expect(yield* stateOf(fixture)).toMatchObject({
        _tag: "Connecting",
        attempt: 1,
        address: Option.some("address 1"),
        deadline: Option.none()
      })
      yield* pass(1)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", since: 0, deadline: Option.some(31_000) })
      yield* pass(3)
      const no1 = Option.some(Cause.fail(new Refused({ text: "no 1" })))
      expect(yield* stateOf(fixture)).toEqual(State.Waiting({
        since: 6_000,
        generation: 0,
        attempt: 1,
        address: Option.some("address 1"),
        lastCause: no1,
        nextAttemptAt: Option.some(10_000)
      }))
      // The second look-up:
      yield* pass(4)
      expect(yield* stateOf(fixture)).toEqual(State.Connecting({
        since: 10_000,
        generation: 0,
        attempt: 2,
        address: Option.some("address 1"),
        lastCause: no1,
        deadline: Option.some(40_000)
      }))
      yield* pass(2)
      expect(yield* stateOf(fixture)).toMatchObject({ attempt: 2, since: 10_000, address: Option.some("address 2") })
      yield* pass(14)
      const connected = State.Connected({
        since: 26_000,
        generation: 1,
        attempt: 3,
        address: Option.some("address 3"),
        lastCause: Option.some(Cause.fail(new Refused({ text: "no 2" }))),
        connection: server.line,
        isLast: false
      })
      expect(yield* stateOf(fixture)).toEqual(connected)
      yield* pass(100)
      expect(yield* stateOf(fixture)).toEqual(connected)
    }))

  it.scoped("D9: no deadline if it is infinite, or while `untimed` runs", () =>
    Effect.gen(function*() {
      const unlimited = yield* makeFixture({ attemptTimeout: Duration.infinity })
      unlimited.server.connect = () => Effect.never
      const fixture = yield* makeFixture({ attemptTimeout: "20 seconds", retry: RetryPolicy.fixed("1 hour") })
      fixture.server.connect = ({ untimed }) =>
        Effect.zipRight(sleep(5), untimed(sleep(10))).pipe(Effect.andThen(Effect.never))
      yield* settle
      expect(yield* stateOf(unlimited)).toMatchObject({ _tag: "Connecting", deadline: Option.none() })
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", deadline: Option.some(20_000) })
      yield* pass(5)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", deadline: Option.none() })
      yield* pass(10)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", deadline: Option.some(30_000) })
      yield* pass(15)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Waiting", since: 30_000 })
    }))

  it.scoped("D9: the address as soon as it has been obtained, also without a deadline", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ attemptTimeout: Duration.infinity }, ({ server }) => {
        server.connect = () => Effect.never
      })
      yield* settle
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", address: Option.some("a") })
    }))

  it.scoped("D9: no deadline any more while the policy decides after a failure", () =>
    Effect.gen(function*() {
      const retry = Schedule.tapInput(RetryPolicy.fixed("10 seconds"), () => sleep(5))
      const fixture = yield* makeFixture({ retry }, ({ server }) => {
        server.connect = () => Effect.zipRight(sleep(1), refuse("no"))
      })
      yield* settle
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", deadline: Option.some(30_000) })
      yield* pass(1)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connecting", deadline: Option.none() })
      yield* pass(5)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Waiting" })
    }))

  it.scoped("D9: each step of an attempt is one state, if its events need no wait", () =>
    Effect.gen(function*() {
      const states = yield* watch(yield* makeFixture())
      yield* settle
      const [none, limit] = [Option.none(), Option.some(30_000)]
      expect(states).toMatchObject([
        { _tag: "Connecting", address: none, deadline: none },
        { _tag: "Connecting", address: none, deadline: limit },
        { _tag: "Connecting", address: Option.some("a"), deadline: limit },
        { _tag: "Connected", address: Option.some("a") }
      ])
    }))

  it.scoped("T2: the time of the next attempt and the cause of the loss", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(4)
      fixture.server.line.drop()
      yield* settle
      expect(yield* stateOf(fixture)).toMatchObject({
        _tag: "Waiting",
        since: 4_000,
        generation: 1,
        attempt: 1,
        lastCause: Option.some(Cause.empty),
        nextAttemptAt: Option.some(10_000)
      })
      yield* pass(6)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connected", since: 10_000, generation: 2 })
      fixture.server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      const lastCause = Option.some(Cause.fail(new Refused({ text: "reset" })))
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Waiting", generation: 2, lastCause })
      yield* pass(10)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connected", generation: 3, lastCause })
    }))

  it.scoped("T2: the time of the next attempt includes `reconnectJitter`, exact to the ms", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ reconnectJitter: "1 minute" }).pipe(Effect.withRandom(Random.make("state")))
      yield* pass(20)
      fixture.server.line.drop()
      yield* settle
      const state = yield* stateOf(fixture)
      const at = state._tag === "Waiting" ? Option.getOrThrow(state.nextAttemptAt) : 0
      expect(at).toBeGreaterThan(20_000)
      yield* pass(60)
      expect(fixture.server.attempts[1]! * 1_000).toBeCloseTo(at, -0.5)
    }))

  it.scoped("A2: a new cycle starts at attempt 1, already during its handler", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on("AttemptingToConnect", () => sleep(5)) })
      fixture.server.connect = ({ generation, number }) => generation === 1 && number < 3 ? refuse("no") : Effect.void
      yield* pass(30)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connected", attempt: 3 })
      fixture.server.line.drop()
      yield* pass(5)
      expect(yield* stateOf(fixture)).toMatchObject({
        _tag: "Connecting",
        since: 35_000,
        attempt: 1,
        generation: 1,
        deadline: Option.none()
      })
    }))

  it.scoped("X4, X5: `isLast` is true for the last connection; afterwards there is no `nextAttemptAt`", () =>
    Effect.gen(function*() {
      for (const end of ["closeWhenCurrentConnectionIsClosed", "abort"] as const) {
        const fixture = yield* makeFixture({ onEvent: on("Disconnected", () => sleep(5)) })
        yield* settle
        yield* end === "abort"
          ? fixture.server.abort(new Refused({ text: "enough" }))
          : fixture.service.closeWhenCurrentConnectionIsClosed
        expect(yield* stateOf(fixture)).toMatchObject({
          _tag: "Connected",
          isLast: true,
          connection: fixture.server.line
        })
        fixture.server.line.drop()
        yield* settle
        expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Waiting", nextAttemptAt: Option.none() })
        yield* pass(5)
        expect(yield* stateOf(fixture)).toMatchObject({
          _tag: "Closed",
          reason: end === "abort"
            ? { _tag: "Aborted", cause: Cause.fail(new Refused({ text: "enough" })) }
            : { _tag: "ClosedByOwner" }
        })
      }
    }))

  it.scoped("D11: after giving up there is no `nextAttemptAt`, and the reason has the cause", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: Schedule.recurs(0), onEvent: on("FailedToConnect", () => sleep(5)) })
      fixture.server.refuse("no")
      yield* settle
      const cause = Cause.fail(new Refused({ text: "no" }))
      expect(yield* stateOf(fixture)).toMatchObject({
        _tag: "Waiting",
        nextAttemptAt: Option.none(),
        lastCause: Option.some(cause)
      })
      yield* pass(5)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", since: 5_000, reason: { _tag: "GaveUp", cause } })
    }))

  it.scoped("X3: the state Closing has the connection until it has been closed", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.release = () => sleep(10)
      yield* pass(5)
      yield* ask(fixture.service.close)
      yield* pass(5)
      expect(yield* stateOf(fixture)).toMatchObject({
        _tag: "Closing",
        since: 5_000,
        generation: 1,
        connection: Option.some(fixture.server.line),
        reason: { _tag: "ClosedByOwner" }
      })
      yield* pass(5)
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Closed", since: 15_000, generation: 1 })
    }))

  it.scoped("X1: `state` and `isClosed` change in the turn of the call of `close`", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.release = () => sleep(10)
      // Reads `state.changes` first, so that it exists and could lag behind.
      expect((yield* stateOf(fixture))._tag).toBe("Connecting")
      yield* settle
      yield* Effect.fork(fixture.service.close)
      while (!(yield* fixture.service.isClosed)) yield* Effect.yieldNow()
      expect((yield* stateOf(fixture))._tag).toBe("Closing")
      yield* pass(10)
    }))

  it.scoped("X4: `isLast` is true from the call of closeWhenCurrentConnectionIsClosed", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* stateOf(fixture)
      yield* settle
      yield* fixture.service.closeWhenCurrentConnectionIsClosed
      expect(yield* stateOf(fixture)).toMatchObject({ _tag: "Connected", isLast: true })
    }))

  it.scoped("X1: `state` is Closed as soon as a close has completed", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* stateOf(fixture)
      yield* settle
      yield* fixture.service.close
      expect((yield* stateOf(fixture))._tag).toBe("Closed")
    }))

  it.scoped("A6: `connection` returns the current connection of any state", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.release = () => sleep(10)
      const current = () => Effect.map(stateOf(fixture), State.connection)
      expect(yield* current()).toEqual(Option.none())
      yield* settle
      expect(yield* current()).toEqual(Option.some(fixture.server.line))
      yield* ask(fixture.service.close)
      yield* pass(5)
      expect(yield* current()).toEqual(Option.some(fixture.server.line))
      yield* pass(5)
      expect(yield* current()).toEqual(Option.none())
    }))

  it.scoped("A1, A2: `current` changes in the same turn as the state, and equals `currentConnection`", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const numberOf = Option.map((line: { readonly number: number }) => line.number)
      const fixture: Fixture = yield* makeFixture({
        onEvent: () => Effect.map(current.get, (line) => seen.push(Option.getOrNull(numberOf(line))))
      })
      const { current, currentConnection } = fixture.service
      const followed: Array<unknown> = []
      yield* ask(Stream.runForEach(current.changes, (line) =>
        Effect.sync(() => {
          followed.push(Option.getOrNull(numberOf(line)))
        })))
      yield* settle
      fixture.server.line.drop()
      yield* pass(10)
      yield* refresh(fixture.service)
      expect(yield* current.get).toEqual(yield* currentConnection)
      yield* fixture.service.close
      expect(yield* current.get).toEqual(Option.none())
      yield* settle
      // AttemptingToConnect, ObtainedAddress, Connected, Disconnected, and so on.
      expect(seen).toEqual([null, null, 1, null, null, null, 2, 3, null])
      expect(followed).toEqual([null, 1, null, 2, 3, null])
    }))

  it.scoped("A1, A2: `current` works with connections that are `undefined`", () =>
    Effect.gen(function*() {
      const { close, current } = yield* make({
        serverName: "void",
        address: Effect.void,
        connector: Connector.make({ connect: () => Effect.void, closed: () => Effect.never })
      })
      yield* settle
      expect(yield* current.get).toEqual(Option.some(undefined))
      yield* close
      expect(yield* current.get).toEqual(Option.none())
    }))
})

describe("`changes`", () => {
  const collect = ({ service }: Fixture, into: Array<AnyState>, delay: number) =>
    Stream.runForEach(service.state.changes, (state) =>
      Effect.zipRight(
        sleep(delay),
        Effect.sync(() => {
          into.push(state)
        })
      ))

  const loseEvery10Seconds = ({ server }: Fixture, losses: number) =>
    Effect.gen(function*() {
      for (let loss = 0; loss < losses; loss++) {
        yield* pass(10)
        server.line.drop()
        yield* settle
      }
    })

  it.scoped("E1: start with the present state, and buffer up to 64 states for a slow consumer", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const slow: Array<AnyState> = []
      const fast: Array<AnyState> = []
      yield* ask(collect(fixture, fast, 0))
      yield* ask(collect(fixture, slow, 100))
      yield* loseEvery10Seconds(fixture, 5)
      expect(fast.length).toBeGreaterThan(20)
      expect(fast.length).toBeLessThan(64)
      expect(fast[0]?._tag).toBe("Connected")
      yield* pass(100 * fast.length)
      expect(slow).toEqual(fast)
    }))

  it.scoped("E1: never make the loop wait; a slow consumer loses the oldest states", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const slow: Array<AnyState> = []
      const fast: Array<AnyState> = []
      yield* ask(collect(fixture, fast, 0))
      yield* ask(collect(fixture, slow, 1_000))
      yield* loseEvery10Seconds(fixture, 30)
      expect(fixture.server.lines).toHaveLength(31)
      yield* pass(1_000 * fast.length)
      expect(slow.length).toBeLessThan(fast.length)
      expect(slow.slice(-64)).toEqual(fast.slice(-64))
    }))

  it.scoped("A2: a subscriber that starts during a transition gets every state once and in order", () =>
    Effect.gen(function*() {
      // A consumer that yields between all its steps subscribes at every possible moment.
      for (let steps = 15; steps < 60; steps += 4) {
        const fixture = yield* makeFixture()
        yield* settle
        const states: Array<AnyState> = []
        yield* Stream.runForEach(fixture.service.state.changes, (state) => Effect.sync(() => states.push(state))).pipe(
          Effect.withMaxOpsBeforeYield(steps),
          Effect.fork
        )
        for (let turn = 0; turn < steps % 7; turn++) yield* Effect.yieldNow()
        fixture.server.line.drop()
        yield* pass(10)
        yield* fixture.service.close
        yield* settle
        recordFrom(states)
        expect(tags(states).at(-1)).toBe("Closed")
        expect((yield* stateOf(fixture))._tag).toBe("Closed")
      }
    }))
})

describe("all tests together", () => {
  it("C1 to X6: every documented transition has been observed", () => {
    expect([...seen].sort()).toEqual([...documented].sort())
  })
})
