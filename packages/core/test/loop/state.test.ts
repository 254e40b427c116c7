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
import { ask, begin, type Life, on, pass, refuse, Refused, settle, sleep, stateOf } from "../support/Life.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"
import { type AnyState, documented, transitions } from "./transitions.js"

/** Every transition that the tests of this file have seen. */
const seen = new Set<string>()

/** Watches every state, from the very first one on. */
const watch = ({ service }: Life) =>
  Effect.gen(function*() {
    const states: Array<AnyState> = []
    yield* ask(Stream.runForEach(service.state.changes, (state) =>
      Effect.sync(() => {
        states.push(state)
      })))
    // Subscribes before the first turn of the loop, which is what is forked next.
    yield* Effect.yieldNow()
    return states
  })

const record = (states: ReadonlyArray<AnyState>) => {
  for (const transition of transitions(states)) {
    seen.add(transition)
    expect(documented).toContain(transition)
  }
}

/** As `record`, for who began to watch in the middle. */
const recordFrom = (states: ReadonlyArray<AnyState>) => {
  for (const transition of transitions(states).slice(1)) {
    seen.add(transition)
    expect(documented).toContain(transition)
  }
}

const tags = (states: ReadonlyArray<AnyState>) => states.map(({ _tag }) => _tag)

/** Without its repetitions. */
const course = (states: ReadonlyArray<AnyState>) =>
  tags(states).filter((tag, index, all) => index === 0 || tag !== all[index - 1])

describe("the table of transitions", () => {
  it("X1: is found in the documentation", () => {
    expect(documented.length).toBeGreaterThanOrEqual(13)
    expect(new Set(documented).size).toBe(documented.length)
    expect(documented).toContain("* → Connecting")
  })

  it.scoped("C1, A1, A2: a life with failures, a success, a loss and a close walks through it", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      const states = yield* watch(life)
      life.server.refuse("no")
      yield* pass(15)
      life.server.accept()
      yield* pass(10)
      life.server.line.drop()
      yield* pass(10)
      yield* life.service.close
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
      it.scoped(`X1, X4, X5: ${end} ${phase.name} takes a documented way to Closed`, () =>
        Effect.gen(function*() {
          const life = yield* phase.reach()
          const states = yield* watch(life)
          const abort = life.server.abort(new Refused({ text: "enough" }))
          if (end === "abort") yield* abort
          else if (end === "close, then abort") yield* Effect.zip(ask(life.service.close), abort)
          else yield* ask(life.service[end])
          yield* settle
          if (phase.isConnected && phase.isInHandler) return recordFrom(states)
          if (phase.isConnected && (yield* stateOf(life))._tag === "Connected") life.server.line.drop()
          yield* settle
          if (end === "close, then abort") yield* life.server.abort(new Refused({ text: "again" }))
          yield* settle
          expect(tags(states).at(-1)).toBe("Closed")
          recordFrom(states)
        }))
    }
  }

  it.scoped("X5: the first abort after a close replaces the reason, while closing and once closed", () =>
    Effect.gen(function*() {
      for (const when of ["Closing", "Closed"]) {
        const life = yield* begin()
        life.server.release = () => sleep(10)
        yield* settle
        const states = yield* watch(life)
        yield* ask(life.service.close)
        yield* pass(when === "Closing" ? 5 : 15)
        expect(yield* stateOf(life)).toMatchObject({ _tag: when, reason: { _tag: "ClosedByOwner" } })
        yield* life.server.abort(new Refused({ text: "late" }))
        const reason = { _tag: "Aborted", cause: Cause.fail(new Refused({ text: "late" })) }
        expect(yield* stateOf(life)).toMatchObject({ _tag: when, reason })
        yield* life.server.abort(new Refused({ text: "later" }))
        yield* pass(20)
        expect(yield* stateOf(life)).toMatchObject({ _tag: "Closed", reason })
        recordFrom(states)
      }
    }))
})

it.scoped("a persistent connection is known by its type id, and prints its name and its state", () =>
  Effect.gen(function*() {
    const { service } = yield* begin({ serverName: "prices" })
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
      const life = yield* begin({ onEvent: on("ObtainedAddress", () => sleep(1)) })
      const { server } = life
      server.lookUp = ({ number }) => Effect.as(sleep(2), `address ${number}`)
      server.connect = ({ number }) => number < 3 ? Effect.zipRight(sleep(3), refuse(`no ${number}`)) : sleep(3)
      expect(yield* stateOf(life)).toMatchObject({
        _tag: "Connecting",
        since: 0,
        generation: 0,
        attempt: 1,
        address: Option.none(),
        lastCause: Option.none(),
        deadline: Option.none()
      })
      yield* settle
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connecting", attempt: 1, deadline: Option.some(30_000) })
      // In the handler the time stands still.
      yield* pass(2)
      expect(yield* stateOf(life)).toMatchObject({
        _tag: "Connecting",
        attempt: 1,
        address: Option.some("address 1"),
        deadline: Option.none()
      })
      yield* pass(1)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connecting", since: 0, deadline: Option.some(31_000) })
      yield* pass(3)
      const no1 = Option.some(Cause.fail(new Refused({ text: "no 1" })))
      expect(yield* stateOf(life)).toEqual(State.Waiting({
        since: 6_000,
        generation: 0,
        attempt: 1,
        address: Option.some("address 1"),
        lastCause: no1,
        nextAttemptAt: Option.some(10_000)
      }))
      // The second look-up:
      yield* pass(4)
      expect(yield* stateOf(life)).toEqual(State.Connecting({
        since: 10_000,
        generation: 0,
        attempt: 2,
        address: Option.some("address 1"),
        lastCause: no1,
        deadline: Option.some(40_000)
      }))
      yield* pass(2)
      expect(yield* stateOf(life)).toMatchObject({ attempt: 2, since: 10_000, address: Option.some("address 2") })
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
      expect(yield* stateOf(life)).toEqual(connected)
      yield* pass(100)
      expect(yield* stateOf(life)).toEqual(connected)
    }))

  it.scoped("D9: no deadline without one, nor while `untimed` runs", () =>
    Effect.gen(function*() {
      const unlimited = yield* begin({ attemptTimeout: Duration.infinity })
      unlimited.server.connect = () => Effect.never
      const life = yield* begin({ attemptTimeout: "20 seconds", retry: RetryPolicy.fixed("1 hour") })
      life.server.connect = ({ untimed }) =>
        Effect.zipRight(sleep(5), untimed(sleep(10))).pipe(Effect.andThen(Effect.never))
      yield* settle
      expect(yield* stateOf(unlimited)).toMatchObject({ _tag: "Connecting", deadline: Option.none() })
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connecting", deadline: Option.some(20_000) })
      yield* pass(5)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connecting", deadline: Option.none() })
      yield* pass(10)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connecting", deadline: Option.some(30_000) })
      yield* pass(15)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Waiting", since: 30_000 })
    }))

  it.scoped("T2: when the next attempt is due after a loss, and why it was lost", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* pass(4)
      life.server.line.drop()
      yield* settle
      expect(yield* stateOf(life)).toMatchObject({
        _tag: "Waiting",
        since: 4_000,
        generation: 1,
        attempt: 1,
        lastCause: Option.some(Cause.empty),
        nextAttemptAt: Option.some(10_000)
      })
      yield* pass(6)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connected", since: 10_000, generation: 2 })
      life.server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      const lastCause = Option.some(Cause.fail(new Refused({ text: "reset" })))
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Waiting", generation: 2, lastCause })
      yield* pass(10)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connected", generation: 3, lastCause })
    }))

  it.scoped("T2: with `reconnectJitter` as well, to the ms", () =>
    Effect.gen(function*() {
      const life = yield* begin({ reconnectJitter: "1 minute" }).pipe(Effect.withRandom(Random.make("state")))
      yield* pass(20)
      life.server.line.drop()
      yield* settle
      const state = yield* stateOf(life)
      const at = state._tag === "Waiting" ? Option.getOrThrow(state.nextAttemptAt) : 0
      expect(at).toBeGreaterThan(20_000)
      yield* pass(60)
      expect(life.server.attempts[1]! * 1_000).toBeCloseTo(at, -0.5)
    }))

  it.scoped("A2: a new cycle begins at 1 attempt again, and says so while its handler runs", () =>
    Effect.gen(function*() {
      const life = yield* begin({ onEvent: on("AttemptingToConnect", () => sleep(5)) })
      life.server.connect = ({ generation, number }) => generation === 1 && number < 3 ? refuse("no") : Effect.void
      yield* pass(30)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connected", attempt: 3 })
      life.server.line.drop()
      yield* pass(5)
      expect(yield* stateOf(life)).toMatchObject({
        _tag: "Connecting",
        since: 35_000,
        attempt: 1,
        generation: 1,
        deadline: Option.none()
      })
    }))

  it.scoped("X4, X5: a connection that will be the last says so, and then that no attempt is due", () =>
    Effect.gen(function*() {
      for (const end of ["closeWhenCurrentConnectionIsClosed", "abort"] as const) {
        const life = yield* begin({ onEvent: on("Disconnected", () => sleep(5)) })
        yield* settle
        yield* end === "abort"
          ? life.server.abort(new Refused({ text: "enough" }))
          : life.service.closeWhenCurrentConnectionIsClosed
        expect(yield* stateOf(life)).toMatchObject({ _tag: "Connected", isLast: true, connection: life.server.line })
        life.server.line.drop()
        yield* settle
        expect(yield* stateOf(life)).toMatchObject({ _tag: "Waiting", nextAttemptAt: Option.none() })
        yield* pass(5)
        expect(yield* stateOf(life)).toMatchObject({
          _tag: "Closed",
          reason: end === "abort"
            ? { _tag: "Aborted", cause: Cause.fail(new Refused({ text: "enough" })) }
            : { _tag: "ClosedByOwner" }
        })
      }
    }))

  it.scoped("D11: after giving up no attempt is due, and the cause is the reason", () =>
    Effect.gen(function*() {
      const life = yield* begin({ retry: Schedule.recurs(0), onEvent: on("FailedToConnect", () => sleep(5)) })
      life.server.refuse("no")
      yield* settle
      const cause = Cause.fail(new Refused({ text: "no" }))
      expect(yield* stateOf(life)).toMatchObject({
        _tag: "Waiting",
        nextAttemptAt: Option.none(),
        lastCause: Option.some(cause)
      })
      yield* pass(5)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Closed", since: 5_000, reason: { _tag: "GaveUp", cause } })
    }))

  it.scoped("X3: closing holds on to the connection until it has been closed", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      life.server.release = () => sleep(10)
      yield* pass(5)
      yield* ask(life.service.close)
      yield* pass(5)
      expect(yield* stateOf(life)).toMatchObject({
        _tag: "Closing",
        since: 5_000,
        generation: 1,
        connection: Option.some(life.server.line),
        reason: { _tag: "ClosedByOwner" }
      })
      yield* pass(5)
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Closed", since: 15_000, generation: 1 })
    }))

  it.scoped("X1: `state` changes in the turn in which `close` is called, as `isClosed` does", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      life.server.release = () => sleep(10)
      // Read, so that it is there to lag behind.
      expect((yield* stateOf(life))._tag).toBe("Connecting")
      yield* settle
      yield* Effect.fork(life.service.close)
      while (!(yield* life.service.isClosed)) yield* Effect.yieldNow()
      expect((yield* stateOf(life))._tag).toBe("Closing")
      yield* pass(10)
    }))

  it.scoped("X4: `state` says that the connection is the last one as soon as that has been asked for", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* stateOf(life)
      yield* settle
      yield* life.service.closeWhenCurrentConnectionIsClosed
      expect(yield* stateOf(life)).toMatchObject({ _tag: "Connected", isLast: true })
    }))

  it.scoped("X1: `state` is Closed as soon as a close has completed", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* stateOf(life)
      yield* settle
      yield* life.service.close
      expect((yield* stateOf(life))._tag).toBe("Closed")
    }))

  it.scoped("A6: `connection` reads the current connection from any state", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      life.server.release = () => sleep(10)
      const current = () => Effect.map(stateOf(life), State.connection)
      expect(yield* current()).toEqual(Option.none())
      yield* settle
      expect(yield* current()).toEqual(Option.some(life.server.line))
      yield* ask(life.service.close)
      yield* pass(5)
      expect(yield* current()).toEqual(Option.some(life.server.line))
      yield* pass(5)
      expect(yield* current()).toEqual(Option.none())
    }))

  it.scoped("A1, A2: `current` changes in the turn in which the state does, and shows what `currentConnection` gives", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const numberOf = Option.map((line: { readonly number: number }) => line.number)
      const life: Life = yield* begin({
        onEvent: () => Effect.map(current.get, (line) => seen.push(Option.getOrNull(numberOf(line))))
      })
      const { current, currentConnection } = life.service
      const followed: Array<unknown> = []
      yield* ask(Stream.runForEach(current.changes, (line) =>
        Effect.sync(() => {
          followed.push(Option.getOrNull(numberOf(line)))
        })))
      yield* settle
      life.server.line.drop()
      yield* pass(10)
      yield* refresh(life.service)
      expect(yield* current.get).toEqual(yield* currentConnection)
      yield* life.service.close
      expect(yield* current.get).toEqual(Option.none())
      yield* settle
      // AttemptingToConnect, ObtainedAddress, Connected, Disconnected, and so on.
      expect(seen).toEqual([null, null, 1, null, null, null, 2, 3, null])
      expect(followed).toEqual([null, 1, null, 2, 3, null])
    }))

  it.scoped("A1, A2: `current` shows also connections that are `undefined`", () =>
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
  const collect = ({ service }: Life, into: Array<AnyState>, delay: number) =>
    Stream.runForEach(service.state.changes, (state) =>
      Effect.zipRight(
        sleep(delay),
        Effect.sync(() => {
          into.push(state)
        })
      ))

  const loseEvery10Seconds = ({ server }: Life, losses: number) =>
    Effect.gen(function*() {
      for (let loss = 0; loss < losses; loss++) {
        yield* pass(10)
        server.line.drop()
        yield* settle
      }
    })

  it.scoped("E1: begin with the present state, and keep up to 64 for a slow consumer", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* settle
      const slow: Array<AnyState> = []
      const fast: Array<AnyState> = []
      yield* ask(collect(life, fast, 0))
      yield* ask(collect(life, slow, 100))
      yield* loseEvery10Seconds(life, 5)
      expect(fast.length).toBeGreaterThan(20)
      expect(fast.length).toBeLessThan(64)
      expect(fast[0]?._tag).toBe("Connected")
      yield* pass(100 * fast.length)
      expect(slow).toEqual(fast)
    }))

  it.scoped("E1: never make the loop wait for a consumer; one that is too slow loses the oldest", () =>
    Effect.gen(function*() {
      const life = yield* begin()
      yield* settle
      const slow: Array<AnyState> = []
      const fast: Array<AnyState> = []
      yield* ask(collect(life, fast, 0))
      yield* ask(collect(life, slow, 1_000))
      yield* loseEvery10Seconds(life, 30)
      expect(life.server.lines).toHaveLength(31)
      yield* pass(1_000 * fast.length)
      expect(slow.length).toBeLessThan(fast.length)
      expect(slow.slice(-64)).toEqual(fast.slice(-64))
    }))

  it.scoped("A2: a subscriber that comes in the middle of a transition misses no state, and gets none twice or out of order", () =>
    Effect.gen(function*() {
      // A consumer that yields between any two of its steps subscribes in the middle of everything.
      for (let steps = 15; steps < 60; steps += 4) {
        const life = yield* begin()
        yield* settle
        const states: Array<AnyState> = []
        yield* Stream.runForEach(life.service.state.changes, (state) => Effect.sync(() => states.push(state))).pipe(
          Effect.withMaxOpsBeforeYield(steps),
          Effect.fork
        )
        for (let turn = 0; turn < steps % 7; turn++) yield* Effect.yieldNow()
        life.server.line.drop()
        yield* pass(10)
        yield* life.service.close
        yield* settle
        recordFrom(states)
        expect(tags(states).at(-1)).toBe("Closed")
        expect((yield* stateOf(life))._tag).toBe("Closed")
      }
    }))
})

describe("all in all", () => {
  it("C1 to X6: every transition that is documented has been seen", () => {
    expect([...seen].sort()).toEqual([...documented].sort())
  })
})
