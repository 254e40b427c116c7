/** Tests of `current`, the current connection as a `Subscribable`. */
import { loopOf } from "#internal/loop/service.js"
import { describe, expect } from "@effect/vitest"
import * as State from "@persistent-connection/core/ConnectionState"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import { ask, askNow, type Fixture, makeFixture, on, pass, settle, sleep, turns } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

/** The numbers of the connections that a subscriber of `current` receives; 0 for none. */
const follow = ({ service }: Fixture) =>
  Effect.gen(function*() {
    const seen: Array<number> = []
    yield* askNow(Stream.runForEach(
      service.current.changes,
      (line) => Effect.sync(() => seen.push(Option.getOrUndefined(line)?.number ?? 0))
    ))
    return seen
  })

describe("current", () => {
  it.scoped("is a Subscribable", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      expect(Subscribable.isSubscribable(service.current)).toBe(true)
    }))

  it.scoped("first emits the present connection, then each change once", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const early = yield* follow(fixture)
      yield* pass(10)
      const late = yield* follow(fixture)
      fixture.server.line.drop()
      yield* settle
      yield* fixture.service.close
      yield* settle
      expect([early, late]).toEqual([[0, 1, 0, 2, 0], [1, 0, 2, 0]])
      expect(yield* fixture.service.current.get).toEqual(Option.none())
    }))

  it.scoped("emits the next connection directly when a connection is replaced", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const seen = yield* follow(fixture)
      yield* PersistentConnection.refresh(fixture.service)
      yield* settle
      expect(seen).toEqual([1, 2])
    }))

  it.scoped("A1, A2: is set before the Connected handler begins, and none before the Disconnected handler begins", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: ({ _tag }) =>
          Effect.flatMap(fixture.service.current.get, (line) => {
            seen.push(`${_tag} ${Option.getOrUndefined(line)?.number ?? "none"}`)
            return _tag === "Connected" ? sleep(5) : Effect.void
          })
      })
      const { server, service } = fixture
      expect(yield* service.current.get).toEqual(Option.none())
      yield* pass(1)
      server.line.drop()
      yield* pass(3)
      expect(yield* service.current.get).toEqual(Option.some(server.line))
      yield* pass(1)
      yield* service.close
      expect(seen.slice(0, 4)).toEqual([
        "AttemptingToConnect none",
        "ObtainedAddress none",
        "Connected 1",
        "Disconnected none"
      ])
    }))

  it.scoped("always changes in the same turn as the state", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      const seen = new Set<string>()
      const compare = Effect.zipWith(service.current.get, service.state.get, (current, state) => {
        seen.add(state._tag)
        expect(current).toEqual(State.connection(state))
        expect(current).toEqual(Effect.runSync(service.currentConnection))
      })
      const compareInEachTurn = Effect.repeatN(Effect.zipRight(compare, Effect.yieldNow()), 20)
      yield* compareInEachTurn
      server.line.drop()
      yield* compareInEachTurn
      yield* pass(10)
      yield* ask(PersistentConnection.refresh(service))
      yield* compareInEachTurn
      server.release = () => turns(5)
      yield* ask(service.close)
      yield* compareInEachTurn
      expect([...seen].sort()).toEqual(["Closed", "Closing", "Connected", "Connecting", "Waiting"])
    }))

  it.scoped("emits a change also to a fiber that is just subscribing", () =>
    Effect.gen(function*() {
      for (let steps = 15; steps < 40; steps++) {
        for (let later = 0; later < 8; later++) {
          const fixture = yield* makeFixture()
          yield* settle
          const seen: Array<boolean> = []
          const following = Stream.runForEach(
            fixture.service.current.changes,
            (line) => Effect.sync(() => seen.push(Option.isSome(line)))
          )
          yield* ask(Effect.withMaxOpsBeforeYield(following, steps))
          yield* turns(later)
          fixture.server.line.drop()
          yield* settle
          expect(seen.at(-1), `with ${steps} steps a turn, ${later} turns later`).toBe(false)
        }
      }
    }))

  it.scoped("D7a: the loop does not wait for a handler that follows it", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({
        onEvent: on("Connected", () =>
          fixture.service.current.changes.pipe(Stream.filter(Option.isNone), Stream.take(1), Stream.runDrain))
      })
      yield* pass(10)
      fixture.server.line.drop()
      yield* settle
      expect(fixture.eventLog.slice(2)).toEqual([
        "0 Connected 1",
        "10 Disconnected 1",
        "10 AttemptingToConnect",
        "10 ObtainedAddress a",
        "10 Connected 2"
      ])
    }))

  it.scoped("has a bus from its first subscriber on, which all subscribers share", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* pass(10)
      yield* Effect.scoped(Stream.runHead(service.state.changes))
      const bus = () => Reflect.get(loopOf(service).status, "connections") as unknown
      yield* service.current.get
      expect(bus()).toBeUndefined()
      yield* Effect.scoped(Stream.runHead(service.current.changes))
      const first = bus()
      expect(first).toBeDefined()
      yield* Effect.scoped(Stream.runHead(service.current.changes))
      expect(bus()).toBe(first)
    }))
})
