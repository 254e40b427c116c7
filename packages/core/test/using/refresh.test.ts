import { describe, expect } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import { ConnectionClosed, ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import {
  ask,
  askNow,
  describeCause,
  type Fixture,
  hasEnded,
  inScope,
  type Line,
  makeFixture,
  on,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { objectsReachableFrom } from "../support/size.js"
import { it } from "../support/virtualTime.js"

const { maxAge, reconnectNow, refresh, refreshWhen, use } = PersistentConnection

const released = ({ server }: Fixture) => server.lines.map(({ released }) => released)

const currentLine = ({ service }: Fixture) =>
  Effect.map(service.currentConnection, (line) => Option.getOrUndefined(line)?.number)

describe("refresh", () => {
  it.scoped("publishes the next connection before the old one is closed: there is always a current connection", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { eventLog, server, service } = fixture
      yield* settle
      const seen: Array<string> = []
      yield* askNow(
        Stream.runForEach(
          service.state.changes,
          ({ _tag, generation }) => Effect.sync(() => seen.push(`${_tag} ${generation}`))
        )
      )
      server.connect = () => sleep(3)
      const asked = yield* askNow(refresh(service))
      yield* pass(2)
      expect(yield* use(service, (line) => Effect.succeed(line.number))).toBe(1)
      yield* pass(1)
      expect(asked.exit).toEqual(Exit.void)
      expect(yield* currentLine(fixture)).toBe(2)
      expect(released(fixture)).toEqual([1, 0])
      expect(seen).toEqual(["Connected 1", "Connected 2"])
      expect(eventLog.slice(-2)).toEqual(["0 Connected 1", "3 Connected 2"])
    }))

  it.scoped("looks the address up again (C3)", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      server.lookUp = () => Effect.succeed("b")
      yield* refresh(service)
      expect(server.lines.map(({ address }) => address)).toEqual(["a", "b"])
      expect((yield* service.state.get).address).toEqual(Option.some("b"))
    }))

  it.scoped("keeps nothing of the connections that it has replaced", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const refreshed = (times: number) =>
        Effect.map(
          Effect.repeatN(Effect.zipRight(refresh(service), settle), times - 1),
          () => objectsReachableFrom(service)
        )
      const before = yield* refreshed(5)
      expect(yield* refreshed(50)).toBeLessThan(before + 200)
    }))

  it.scoped("does not restart the policy if the replaced connection is young (D14)", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.exponential({ base: "1 second", jitter: "none" })
      const { server, service } = yield* makeFixture({ retry }, ({ server }) => server.refuse("no"))
      yield* pass(2)
      server.accept()
      yield* pass(3)
      yield* refresh(service)
      yield* pass(1)
      server.line.drop()
      yield* pass(10)
      expect(server.attempts).toEqual([0, 1, 3, 5, 9])
    }))

  it.scoped("drains the old connection: running uses continue on it, new uses get the new one", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { service } = fixture
      yield* settle
      const old = yield* askNow(use(service, (line) => Effect.as(sleep(10), line.number)))
      yield* service.pipe(refresh({ drain: "1 minute" }))
      expect(yield* use(service, (line) => Effect.succeed(line.number))).toBe(2)
      yield* pass(9)
      expect(released(fixture)).toEqual([0, 0])
      yield* pass(1)
      expect(old.answer).toBe(1)
      expect(released(fixture)).toEqual([1, 0])
    }))

  it.scoped("interrupts the remaining uses of the old connection after the drain time, by default 30 s", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const first = yield* askNow(use(fixture.service, () => Effect.never))
      yield* refresh(fixture.service)
      const second = yield* askNow(use(fixture.service, () => Effect.never))
      yield* refresh(fixture.service, { drain: "2 seconds" })
      const third = yield* askNow(use(fixture.service, () => Effect.never))
      yield* refresh(fixture.service, { drain: 0 })
      yield* settle
      const waiting = () => [first, second, third].map(({ isWaiting }) => isWaiting)
      expect(waiting()).toEqual([true, true, false])
      yield* pass(2)
      expect(waiting()).toEqual([true, false, false])
      yield* pass(27)
      expect(released(fixture)).toEqual([0, 1, 1, 0])
      yield* pass(1)
      expect(waiting()).toEqual([false, false, false])
      expect(released(fixture)).toEqual([1, 1, 1, 0])
      const ends = [first, second, third].map(({ error }) => (error as ConnectionLost<Refused>).generation)
      expect(ends).toEqual([1, 2, 3])
    }))

  it.scoped("ends the drain at once when the old connection is lost; its uses fail with the loss", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(use(fixture.service, () => Effect.never))
      yield* refresh(fixture.service)
      fixture.server.lines[0]!.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      expect((asked.error as ConnectionLost<Refused>).message).toBe("Connection 1 to \"test\" was lost: reset")
      expect(released(fixture)).toEqual([1, 0])
      expect(fixture.eventLog.at(-1)).toBe("0 Connected 2")
    }))

  it.scoped("if the attempt fails, the old connection stays, refresh fails with the cause, and there is no event", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { eventLog, server, service } = fixture
      yield* settle
      const before = [...eventLog]
      server.refuse("full")
      expect((yield* askNow(refresh(service))).failure).toBe("full")
      server.lookUp = () => refuse("unknown")
      expect((yield* askNow(refresh(service))).failure).toBe("unknown")
      server.lookUp = () => Effect.die("bug")
      expect((yield* askNow(refresh(service))).failure).toBe("bug!")
      server.lookUp = () => Effect.never
      const stuck = yield* askNow(refresh(service))
      yield* pass(30)
      expect(stuck.failure, "D9").toBe("timeout")
      expect(eventLog).toEqual(before)
      expect(yield* use(service, (line) => Effect.succeed(line.number))).toBe(1)
      expect(released(fixture)).toEqual([0])
    }))

  it.scoped("a failed refresh releases its resources", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      let open = 0
      server.connect = () =>
        Effect.zipRight(
          Effect.acquireRelease(Effect.sync(() => open++), () => Effect.sync(() => open--)),
          refuse("no")
        )
      yield* askNow(refresh(service))
      expect(open).toBe(0)
    }))

  it.scoped("concurrent refreshes share one attempt", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      fixture.server.connect = () => sleep(1)
      const asked = yield* Effect.forEach([1, 2, 3], () => ask(refresh(fixture.service)))
      yield* pass(1)
      expect(asked.map(({ exit }) => exit)).toEqual([Exit.void, Exit.void, Exit.void])
      expect(released(fixture)).toEqual([1, 0])
    }))

  it.scoped("continues if its caller is interrupted", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      fixture.server.connect = () => sleep(1)
      const asked = yield* askNow(refresh(fixture.service))
      yield* Fiber.interrupt(asked.fiber)
      yield* pass(1)
      expect(yield* currentLine(fixture)).toBe(2)
    }))

  it.scoped("without a connection it makes the next attempt at once, or joins a running one", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const { server, service } = fixture
      yield* settle
      expect((yield* askNow(refresh(service))).failure).toBe("no")
      expect(server.attempts).toEqual([0, 0])
      server.connect = () => sleep(1)
      const asked = [yield* askNow(refresh(service)), yield* askNow(refresh(service))]
      yield* pass(1)
      expect(asked.map(({ exit }) => exit)).toEqual([Exit.void, Exit.void])
      expect(server.attempts).toEqual([0, 0, 0])
      expect(yield* currentLine(fixture)).toBe(1)
    }))

  it.scoped("if the old connection is lost during it, the loop reconnects as usual, and refresh waits for that", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { eventLog, server, service } = fixture
      yield* pass(60)
      server.connect = () => sleep(5)
      const asked = yield* askNow(refresh(service))
      yield* pass(2)
      server.line.drop()
      yield* pass(4)
      expect(asked.isWaiting).toBe(true)
      yield* pass(1)
      expect(asked.exit).toEqual(Exit.void)
      expect(eventLog.slice(-4)).toEqual([
        "62 Disconnected 1",
        "62 AttemptingToConnect",
        "62 ObtainedAddress a",
        "67 Connected 2"
      ])
      expect(released(fixture)).toEqual([1, 0])
    }))

  it.scoped("after such a loss, the attempt of the refresh is interrupted, and its late resources are released", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(60)
      fixture.server.isUninterruptible = true
      fixture.server.connect = () => sleep(5)
      yield* askNow(refresh(fixture.service))
      yield* pass(2)
      fixture.server.line.drop()
      yield* pass(60)
      expect(released(fixture)).toEqual([1, 1, 0])
      expect(yield* fixture.service.currentConnection).toEqual(Option.some(fixture.server.line))
    }))

  it.scoped("T2: after the next loss, the delay runs from the attempt of the refresh", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(60)
      yield* refresh(fixture.service)
      yield* pass(4)
      fixture.server.line.drop()
      yield* pass(5)
      expect(fixture.eventLog.at(-1)).toBe("64 Disconnected 2")
      yield* pass(1)
      expect(fixture.eventLog.slice(-3)).toEqual(["70 AttemptingToConnect", "70 ObtainedAddress a", "70 Connected 3"])
    }))

  it.scoped("fails with ConnectionClosed after and during a close", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      fixture.server.connect = () => Effect.never
      const asked = yield* askNow(refresh(fixture.service))
      yield* fixture.service.close
      yield* settle
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect((yield* askNow(refresh(fixture.service))).error).toBeInstanceOf(ConnectionClosed)
      expect(released(fixture)).toEqual([1])
    }))

  it.scoped("fails if no other connection will follow, also if this is decided during the refresh; the old connection stays", () =>
    Effect.gen(function*() {
      const last = yield* makeFixture()
      const aborted = yield* makeFixture()
      yield* settle
      for (const { server } of [last, aborted]) server.connect = () => Effect.never
      const first = yield* askNow(refresh(last.service))
      yield* last.service.closeWhenCurrentConnectionIsClosed
      const second = yield* askNow(refresh(aborted.service))
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      yield* settle
      expect(first.error).toBeInstanceOf(ConnectionClosed)
      expect(second.failure).toBe("banned")
      expect((yield* askNow(refresh(last.service))).error).toBeInstanceOf(ConnectionClosed)
      expect((yield* askNow(refresh(aborted.service))).failure).toBe("banned")
      for (const fixture of [last, aborted]) {
        expect(yield* use(fixture.service, (line) => Effect.succeed(line.number))).toBe(1)
        fixture.server.line.drop()
        yield* settle
        expect((yield* fixture.service.state.get)._tag).toBe("Closed")
      }
    }))

  it.scoped("an abort by its own attempt makes the old connection the last one", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      fixture.server.connect = ({ abort }) =>
        Effect.zipRight(Effect.ignore(abort(new Refused({ text: "banned" }))), Effect.never)
      expect((yield* askNow(refresh(fixture.service))).failure).toBe("banned")
      expect(yield* currentLine(fixture)).toBe(1)
      expect(yield* fixture.service.isClosed).toBe(false)
    }))

  it.scoped("X5: an abort from outside interrupts and releases the attempt, and makes the old connection the last one", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { server, service } = fixture
      yield* settle
      const first = server.attempt!
      let held = 0
      server.connect = () =>
        Effect.zipRight(
          Effect.acquireRelease(Effect.sync(() => held++), () => Effect.sync(() => held--)),
          Effect.never
        )
      const asked = yield* askNow(refresh(service))
      expect(held).toBe(1)
      yield* Effect.ignore(first.abort(new Refused({ text: "banned" })))
      yield* settle
      expect([asked.failure, held]).toEqual(["banned", 0])
      expect(yield* service.state.get).toMatchObject({ _tag: "Connected", generation: 1, isLast: true })
      yield* pass(100)
      server.line.drop()
      yield* settle
      expect(yield* service.state.get).toMatchObject({ _tag: "Closed", reason: { _tag: "Aborted" } })
      expect(server.attempts).toEqual([0, 0])
    }))

  it.scoped("X5: an uninterruptible attempt that aborts is released at its end, and never becomes current", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { server, service } = fixture
      yield* settle
      server.isUninterruptible = true
      server.connect = ({ abort }) => Effect.zipRight(Effect.ignore(abort(new Refused({ text: "banned" }))), sleep(10))
      expect((yield* askNow(refresh(service))).failure).toBe("banned")
      yield* pass(10)
      expect([released(fixture), yield* currentLine(fixture)]).toEqual([[0, 1], 1])
    }))

  it.scoped("C7: its attempts are numbered from 1 until one succeeds, and have the last cause", () =>
    Effect.gen(function*() {
      const attempts: Array<string> = []
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.connect = ({ failedAttempts, generation, lastCause, number }) =>
          Effect.flatMap(failedAttempts, (failed) => {
            const cause = Option.match(lastCause, { onNone: () => "nothing", onSome: describeCause })
            attempts.push(`${generation}.${number} after ${failed} failures, ${cause}`)
            return generation === 2 && number < 3 ? refuse(`no ${number}`) : Effect.void
          })
      })
      yield* settle
      for (let refreshes = 0; refreshes < 4; refreshes++) yield* Effect.ignore(refresh(fixture.service))
      expect(attempts).toEqual([
        "1.1 after 0 failures, nothing",
        "2.1 after 0 failures, nothing",
        "2.2 after 0 failures, no 1",
        "2.3 after 0 failures, no 2",
        "3.1 after 0 failures, nothing"
      ])
    }))

  it.scoped("E1: the new Connected is reported after the handler of the old one has ended", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on("Connected", () => sleep(5)) })
      yield* pass(1)
      yield* refresh(fixture.service)
      expect(yield* currentLine(fixture)).toBe(2)
      expect(fixture.eventLog.at(-1)).toBe("0 Connected 1")
      yield* pass(4)
      expect(fixture.eventLog.at(-1)).toBe("5 Connected 2")
    }))

  it.scoped("D7: the loss of the new connection is detected while the handler of the old one still runs", () =>
    Effect.gen(function*() {
      const ends: Array<unknown> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: on("Connected", (event) =>
          event._tag === "Connected" && event.generation === 1
            ? Effect.zipRight(
              sleep(5),
              Effect.flatMap(Effect.flip(use(fixture.service, () => Effect.never)), (end) =>
                Effect.sync(() => ends.push(end)))
            ).pipe(Effect.ignore)
            : Effect.void)
      })
      yield* pass(1)
      yield* refresh(fixture.service)
      yield* pass(20)
      fixture.server.line.drop()
      yield* settle
      expect(ends).toMatchObject([{ _tag: "ConnectionLost", generation: 2 }])
      expect(fixture.eventLog.slice(2)).toEqual([
        "0 Connected 1",
        "21 Connected 2",
        "21 Disconnected 2",
        "21 AttemptingToConnect",
        "21 ObtainedAddress a",
        "21 Connected 3"
      ])
    }))

  it.scoped("Connected is reported even if the new connection ends before its event is due", () =>
    Effect.gen(function*() {
      const lost = yield* makeFixture({ onEvent: on("Connected", () => sleep(5)) })
      const closed = yield* makeFixture({ onEvent: on("Connected", () => sleep(5)) })
      yield* pass(1)
      for (const { service } of [lost, closed]) yield* refresh(service)
      lost.server.line.drop()
      const closing = yield* askNow(closed.service.close)
      expect(closing.exit, "close does not wait for handlers").toEqual(Exit.void)
      yield* pass(20)
      expect(lost.eventLog.slice(2, 5)).toEqual(["0 Connected 1", "5 Connected 2", "10 Disconnected 2"])
      expect(closed.eventLog.slice(2)).toEqual(["0 Connected 1", "5 Connected 2", "10 Disconnected 2"])
    }))

  it.scoped("D7: called inside its own look-up or connect, it dies and the attempt fails", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const wait = Effect.orDie(refresh(fixture.service))
      fixture.server.lookUp = () => Effect.as(wait, "a")
      expect((yield* askNow(refresh(fixture.service))).failure).toBe("The connection to \"test\" waits for itself!")
      fixture.server.lookUp = () => Effect.succeed("a")
      fixture.server.connect = () => wait
      expect((yield* askNow(refresh(fixture.service))).failure).toBe("The connection to \"test\" waits for itself!")
      expect(yield* currentLine(fixture)).toBe(1)
    }))

  it.scoped("D7: works inside a use, a handler and a release", () =>
    Effect.gen(function*() {
      const used = yield* makeFixture()
      yield* settle
      expect(yield* use(used.service, (line) => Effect.as(refresh(used.service), line.number))).toBe(1)
      expect(yield* currentLine(used)).toBe(2)

      const handled: Fixture = yield* makeFixture({
        onEvent: on("Connected", (event) =>
          event._tag === "Connected" && event.generation === 1 ? Effect.ignore(refresh(handled.service)) : Effect.void)
      })
      yield* settle
      expect(yield* currentLine(handled)).toBe(2)
      expect(handled.eventLog.slice(2)).toEqual(["0 Connected 1", "0 Connected 2"])

      const releasing: Fixture = yield* makeFixture()
      yield* pass(60)
      releasing.server.release = (line) =>
        line.number === 1 ? Effect.ignore(refresh(releasing.service)) : Effect.void
      releasing.server.line.drop()
      yield* settle
      expect(yield* currentLine(releasing)).toBe(2)
      yield* pass(60)
      expect(released(releasing)).toEqual([1, 0])
    }))

  it.scoped("D8: leaves nothing behind if the scope is left during it", () =>
    Effect.gen(function*() {
      const [dialling, first] = yield* inScope(makeFixture())
      const [draining, second] = yield* inScope(makeFixture())
      yield* settle
      dialling.server.connect = () => Effect.zipRight(Effect.addFinalizer(() => sleep(1)), Effect.never)
      const asked = yield* askNow(refresh(dialling.service))
      yield* askNow(use(draining.service, () => Effect.never))
      yield* refresh(draining.service, { drain: Infinity })
      expect([yield* hasEnded(first), yield* hasEnded(second)]).toEqual([true, true])
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect([released(dialling), released(draining)]).toEqual([[1], [1, 1]])
    }))

  it.scoped("X1: close waits for the release of a replaced connection, but ends its drain", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      fixture.server.release = (line) => line.number === 1 ? sleep(5) : Effect.void
      const asked = yield* askNow(use(fixture.service, () => Effect.never))
      yield* refresh(fixture.service, { drain: Infinity })
      const closing = yield* askNow(fixture.service.close)
      expect(asked.error).toBeInstanceOf(ConnectionLost)
      yield* pass(4)
      expect([closing.isWaiting, released(fixture)]).toEqual([true, [0, 1]])
      yield* pass(1)
      expect([closing.exit, released(fixture)]).toEqual([Exit.void, [1, 1]])
    }))
})

describe("refreshWhen", () => {
  it.scoped("refreshes each connection at its signal", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const hints = new Map<number, Deferred.Deferred<void>>()
      const hint = (line: Line) =>
        Effect.flatMap(Deferred.make<void>(), (hint) => {
          hints.set(line.number, hint)
          return Deferred.await(hint)
        })
      yield* askNow(fixture.service.pipe(refreshWhen(hint)))
      yield* pass(60)
      expect(yield* currentLine(fixture)).toBe(1)
      for (const number of [1, 2, 3]) {
        yield* Deferred.succeed(hints.get(number)!, undefined)
        yield* pass(1)
        expect(yield* currentLine(fixture)).toBe(number + 1)
      }
      // A signal of a connection that has ended.
      yield* Deferred.succeed(hints.get(4)!, undefined)
      fixture.server.line.drop()
      yield* pass(60)
      expect(released(fixture)).toEqual([1, 1, 1, 1, 0])
    }))

  it.scoped("with maxAge it refreshes on a schedule with jitter", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const ages: Array<number> = []
      yield* askNow(
        refreshWhen(fixture.service, maxAge("100 seconds", { jitter: 0.5 })).pipe(
          Effect.withRandom(Random.make("ages"))
        )
      )
      for (let i = 0; i < 8; i++) {
        const since = (yield* fixture.service.state.get).since
        const generation = (yield* fixture.service.state.get).generation
        while ((yield* fixture.service.state.get).generation === generation) yield* pass(1)
        ages.push(((yield* fixture.service.state.get).since - since) / 1_000)
      }
      for (const age of ages) {
        expect(age).toBeGreaterThanOrEqual(50)
        expect(age).toBeLessThanOrEqual(100)
      }
      expect(new Set(ages).size).toBeGreaterThan(5)
    }))

  it.scoped("without jitter it refreshes at exactly that age; after a loss the age starts at 0", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* askNow(refreshWhen(fixture.service, maxAge("100 seconds", { jitter: 0 })))
      yield* pass(60)
      fixture.server.line.drop()
      yield* pass(99)
      expect(yield* currentLine(fixture)).toBe(2)
      yield* pass(1)
      expect(yield* currentLine(fixture)).toBe(3)
      expect(fixture.eventLog.at(-1)).toBe("160 Connected 3")
    }))

  it.scoped("by the age of the connection, which the signal can read and wait for", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(5)
      const ages: Array<number> = []
      const read = (age: PersistentConnection.ConnectionAge) =>
        Effect.map(age.now, (duration) => ages.push(Duration.toSeconds(duration)))
      yield* askNow(refreshWhen(
        fixture.service,
        (_, age) => Effect.zipRight(read(age), Effect.zipRight(age.reaches(Duration.seconds(20)), read(age)))
      ))
      yield* pass(15)
      expect([ages, yield* currentLine(fixture)]).toEqual([[5, 20, 0], 2])
      const asked = yield* askNow(refreshWhen(fixture.service, (_, age) => age.reaches(-1 as never)))
      expect(asked.failure).toContain("age must be a duration of 0 or more, but is -1")
    }))

  it("maxAge throws for invalid options", () => {
    expect(() => maxAge(-1)).toThrow("maxAge must be a duration of 0 or more, but is -1")
    expect(() => maxAge("1 hour", { jitter: 2 })).toThrow("jitter must be a number from 0 to 1, but is 2")
  })

  it.scoped("retries while the refresh fails, and the old connection stays", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* askNow(refreshWhen(fixture.service, maxAge("100 seconds", { jitter: 0 })))
      yield* pass(1)
      fixture.server.refuse("full")
      yield* pass(120)
      expect(fixture.server.attempts.length).toBeGreaterThan(3)
      expect(fixture.server.attempts.length).toBeLessThan(8)
      expect(yield* currentLine(fixture)).toBe(1)
      fixture.server.accept()
      yield* pass(60)
      expect(yield* currentLine(fixture)).toBe(2)
    }))

  it.scoped("runs until the owner closes, and fails after an abort", () =>
    Effect.gen(function*() {
      const closed = yield* makeFixture()
      const aborted = yield* makeFixture()
      const asked = [
        yield* askNow(refreshWhen(closed.service, maxAge("1 hour"))),
        yield* askNow(refreshWhen(aborted.service, maxAge("1 hour")))
      ] as const
      yield* closed.service.close
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      // The last connection is never refreshed.
      yield* pass(10_000)
      expect(aborted.server.attempts.length).toBe(1)
      aborted.server.line.drop()
      yield* settle
      expect(asked[0].exit).toEqual(Exit.void)
      expect(asked[1].error).toBeInstanceOf(ConnectionClosed)
    }))
})

describe("reconnectNow", () => {
  it.scoped("makes the next attempt at once, in a backoff after a failure and after a loss", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour") }, ({ server }) => server.refuse("no"))
      yield* pass(1)
      yield* reconnectNow(fixture.service)
      yield* settle
      expect(fixture.server.attempts).toEqual([0, 1])
      fixture.server.accept()
      yield* reconnectNow(fixture.service)
      yield* settle
      yield* pass(5)
      fixture.server.line.drop()
      yield* pass(5)
      expect(fixture.eventLog.at(-1)).toBe("6 Disconnected 1")
      yield* reconnectNow(fixture.service)
      yield* settle
      expect(fixture.eventLog.slice(-3)).toEqual(["11 AttemptingToConnect", "11 ObtainedAddress a", "11 Connected 2"])
      expect(fixture.server.attempts).toEqual([0, 1, 1, 11])
    }))

  it.scoped("makes it after the handler of the last event has ended, also if that handler calls it", () =>
    Effect.gen(function*() {
      const slow = yield* makeFixture({
        onEvent: on("Disconnected", () => sleep(5)),
        retry: RetryPolicy.fixed("1 hour")
      })
      const within: Fixture = yield* makeFixture({
        onEvent: on("Disconnected", () => Effect.zipLeft(reconnectNow(within.service), sleep(3))),
        retry: RetryPolicy.fixed("1 hour")
      })
      yield* pass(60)
      for (const { server } of [slow, within]) server.line.drop()
      yield* settle
      yield* reconnectNow(slow.service)
      yield* pass(4)
      expect(slow.eventLog.at(-1)).toBe("60 Disconnected 1")
      expect(within.eventLog.at(-1)).toBe("63 Connected 2")
      yield* pass(1)
      expect(slow.eventLog.at(-1)).toBe("65 Connected 2")
    }))

  it.scoped("makes it even if the loss is not reported yet: in the turn of the loss, and during the Connected handler", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.fixed("1 hour")
      const slow = yield* makeFixture({ onEvent: on("Connected", () => sleep(5)), retry })
      const quick = yield* makeFixture({ retry })
      yield* pass(1)
      for (const { server, service } of [slow, quick]) {
        server.line.drop()
        yield* Effect.yieldNow()
        yield* reconnectNow(service)
      }
      yield* settle
      expect(quick.eventLog.slice(3)).toEqual([
        "1 Disconnected 1",
        "1 AttemptingToConnect",
        "1 ObtainedAddress a",
        "1 Connected 2"
      ])
      yield* pass(4)
      expect(slow.eventLog.at(-1)).toBe("5 Connected 2")
      // The call affects one attempt only.
      quick.server.line.drop()
      yield* pass(60)
      expect(quick.eventLog.at(-1)).toBe("5 Disconnected 2")
    }))

  it.scoped("makes it even if the loop has not noticed that the connection is closed", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour") })
      yield* pass(1)
      fixture.server.line.isLost = true
      yield* reconnectNow(fixture.service)
      yield* pass(1)
      fixture.server.line.drop()
      yield* settle
      expect(fixture.eventLog.at(-1)).toBe("2 Connected 2")
    }))

  it.scoped("makes only the next attempt at once, also if a refresh replaces the closed connection first", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour") })
      yield* pass(1)
      fixture.server.line.isLost = true
      yield* reconnectNow(fixture.service, { whenConnected: "refresh" })
      yield* settle
      expect(fixture.eventLog.at(-1)).toBe("1 Connected 2")
      yield* pass(1)
      fixture.server.line.drop()
      yield* pass(60)
      expect(fixture.eventLog.at(-1)).toBe("2 Disconnected 2")
    }))

  it.scoped("with `restart`, calls the next server only if the attempt has failed, and does not forget a shutdown", () =>
    Effect.gen(function*() {
      const restart = { whenConnecting: "restart" } as const
      for (const failoverWhen of [undefined, () => true]) {
        const called: Array<string> = []
        const lookUp = Addresses.failover(["a", "b", "c"], { failoverWhen })
        const { server, service } = yield* makeFixture({
          address: (attempt) =>
            Effect.tap(lookUp(attempt), (address) => called.push(`${address} ${attempt.elsewhere}`)),
          retry: RetryPolicy.fixed("1 second")
        })
        yield* pass(60)
        server.connect = () => Effect.never
        yield* Effect.fork(refresh(service, { elsewhere: true }))
        yield* settle
        server.line.drop()
        yield* settle
        yield* reconnectNow(service, restart)
        yield* settle
        yield* reconnectNow(service, restart)
        yield* settle
        const next = failoverWhen === undefined ? "b true" : "c true"
        expect(called).toEqual(["a false", "b true", next, next, next])
      }
    }))

  it.scoped("with `restart`, gives up an attempt that hangs; the policy and the events do not count it", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: RetryPolicy.giveUpAfter(Schedule.forever, 2) }, ({ server }) => {
        server.connect = () => Effect.never
      })
      const asked = yield* askNow(fixture.service.connectedOrFailedToConnect)
      for (let round = 0; round < 5; round++) {
        yield* pass(1)
        yield* reconnectNow(fixture.service, { whenConnecting: "restart" })
      }
      yield* settle
      fixture.server.accept()
      expect([fixture.server.attempts, asked.isWaiting]).toEqual([[0, 1, 2, 3, 4, 5], true])
      yield* reconnectNow(fixture.service, { whenConnecting: "restart" })
      yield* settle
      expect(fixture.eventLog).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a", "5 Connected 1"])
      expect(fixture.server.attempt?.number).toBe(1)
      expect((yield* fixture.service.state.get).attempt).toBe(1)
    }))

  it.scoped("with `restart`, does not wait for the release of the attempt, and loses no connection", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.isUninterruptible = true
        server.connect = () => sleep(5)
        server.release = () => sleep(2)
      })
      yield* pass(1)
      yield* reconnectNow(fixture.service, { whenConnecting: "restart" })
      yield* pass(5)
      const [, second] = fixture.server.lines
      expect(Option.getOrUndefined(yield* fixture.service.currentConnection)).toBe(second)
      yield* pass(10)
      expect(fixture.server.lines.map(({ released }) => released)).toEqual([1, 0])
    }))

  it.scoped("with `restart`, does nothing else: in a backoff, while connected, and for an attempt that is over", () =>
    Effect.gen(function*() {
      const slow = on("FailedToConnect", () => sleep(5))
      const fixture = yield* makeFixture({ onEvent: slow }, ({ server }) => server.refuse("no"))
      yield* pass(1)
      yield* reconnectNow(fixture.service, { whenConnecting: "restart" })
      yield* pass(3)
      expect(fixture.server.attempts).toEqual([0])
      fixture.server.accept()
      yield* pass(1)
      yield* reconnectNow(fixture.service, { whenConnecting: "restart" })
      expect([fixture.server.attempts, yield* currentLine(fixture)]).toEqual([[0, 5], 1])
    }))

  it.scoped("with `restart`, waits for the handler of the last event, and makes one attempt", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({ onEvent: on("ObtainedAddress", () => sleep(5)) })
      yield* pass(1)
      yield* Effect.repeatN(reconnectNow(service, { whenConnecting: "restart" }), 2)
      yield* pass(3)
      expect(server.attempts).toEqual([0])
      yield* pass(1)
      expect([server.attempts, server.connects]).toEqual([[0, 5], 1])
    }))

  it.scoped("with `restart`, makes one attempt as soon as the policy has decided about the last one", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.fixed("1 hour").pipe(Schedule.tapOutput(() => sleep(5)))
      const { server, service } = yield* makeFixture({ retry }, ({ server }) => server.refuse("no"))
      yield* pass(1)
      yield* reconnectNow(service, { whenConnecting: "restart" })
      yield* pass(60)
      expect(server.attempts).toEqual([0, 5])
    }))

  it.scoped("does nothing during an attempt, and by default while connected", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.connect = () => sleep(5)
      })
      yield* pass(1)
      yield* reconnectNow(fixture.service)
      yield* pass(4)
      expect(fixture.server.attempts).toEqual([0])
      yield* reconnectNow(fixture.service)
      yield* fixture.service.pipe(reconnectNow())
      yield* fixture.service.pipe(reconnectNow({ whenConnected: "keep" }))
      yield* pass(5)
      expect(fixture.server.attempts).toEqual([0])
      expect(yield* currentLine(fixture)).toBe(1)
    }))

  it.scoped("with `refresh`, it replaces the connection without waiting for the end of the refresh", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      fixture.server.connect = () => sleep(5)
      expect((yield* askNow(reconnectNow(fixture.service, { whenConnected: "refresh" }))).exit).toEqual(Exit.void)
      expect(yield* currentLine(fixture)).toBe(1)
      yield* pass(5)
      expect(yield* currentLine(fixture)).toBe(2)
      // If the refresh fails, the old connection stays.
      fixture.server.refuse("full")
      yield* reconnectNow(fixture.service, { whenConnected: "refresh" })
      yield* pass(60)
      expect(yield* currentLine(fixture)).toBe(2)
    }))

  it.scoped("does not reopen a persistent connection that has given up, even during the last handler", () =>
    Effect.gen(function*() {
      const failed = yield* makeFixture(
        { retry: Schedule.stop, onEvent: on("FailedToConnect", () => sleep(10)) },
        (fixture) => fixture.server.refuse("no")
      )
      const lost = yield* makeFixture({ retry: Schedule.stop, onEvent: on("Disconnected", () => sleep(10)) })
      yield* settle
      lost.server.line.drop()
      yield* pass(5)
      for (const fixture of [failed, lost]) {
        for (const whenConnected of ["keep", "probe", "refresh", "drop"] as const) {
          yield* reconnectNow(fixture.service, { whenConnected })
        }
        expect((yield* fixture.service.state.get)._tag).toBe("Waiting")
      }
      yield* pass(60)
      for (const fixture of [failed, lost]) {
        expect((yield* fixture.service.state.get)._tag).toBe("Closed")
        expect(fixture.server.attempts).toEqual([0])
        yield* reconnectNow(fixture.service)
      }
      yield* pass(60)
      expect([failed, lost].map(({ server }) => server.attempts)).toEqual([[0], [0]])
    }))

  it.scoped("does not reopen a closed persistent connection", () =>
    Effect.gen(function*() {
      const closed = yield* makeFixture()
      const ended = yield* makeFixture()
      const last = yield* makeFixture()
      yield* settle
      yield* closed.service.close
      yield* ended.service.closeWhenCurrentConnectionIsClosed
      ended.server.line.drop()
      yield* last.service.closeWhenCurrentConnectionIsClosed
      yield* settle
      for (const { service } of [closed, ended, last]) {
        for (const whenConnected of ["keep", "probe", "refresh"] as const) {
          yield* reconnectNow(service, { whenConnected })
        }
      }
      yield* pass(60)
      expect([closed, ended, last].map(({ server }) => server.attempts.length)).toEqual([1, 1, 1])
      expect((yield* last.service.state.get)._tag).toBe("Connected")
    }))
})
