import { describe, expect } from "@effect/vitest"
import { ConnectionClosed, ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type Asked,
  askNow,
  type Event,
  type Fixture,
  hasEnded,
  inScope,
  makeFixture,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const { closeGracefully, forEachConnection, refresh, useRetrying, stream, use } = PersistentConnection

const errors = (...asked: ReadonlyArray<Asked<unknown, unknown>>) => asked.map(({ error }) => error)

describe("closeGracefully", () => {
  it.scoped("lets running uses finish, and then closes", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture()
      yield* settle
      const short = yield* askNow(use(service, () => Effect.as(sleep(3), "short")))
      const long = yield* askNow(use(service, () => Effect.as(sleep(7), "long")))
      const closing = yield* askNow(service.pipe(closeGracefully("1 minute")))
      expect(yield* service.isClosed).toBe(true)
      yield* pass(3)
      expect(short.answer).toBe("short")
      expect([closing.isWaiting, server.released]).toEqual([true, 0])
      yield* pass(4)
      expect(long.answer).toBe("long")
      expect([closing.isWaiting, server.released]).toEqual([false, 1])
      expect(eventLog.at(-1)).toBe("7 Disconnected 1")
    }))

  it.scoped("rejects new uses from the moment of the call", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      yield* askNow(use(service, () => sleep(5)))
      yield* askNow(closeGracefully(service, "1 minute"))
      const asked = yield* Effect.all([
        askNow(use(service, () => Effect.die("must not run"))),
        askNow(useRetrying(service, () => Effect.die("must not run"))),
        askNow(refresh(service)),
        askNow(service.connectedOrFailedToConnect)
      ])
      for (const error of errors(...asked)) expect(error).toBeInstanceOf(ConnectionClosed)
      expect((yield* askNow(forEachConnection(service, () => Effect.die("must not run")))).exit).toEqual(Exit.void)
      expect((yield* askNow(Stream.runDrain(stream(service, () => Stream.die("must not run"))))).exit).toEqual(
        Exit.void
      )
      yield* pass(5)
    }))

  it.scoped("ends forEachConnection at once", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      yield* askNow(use(service, () => sleep(5)))
      const following = yield* askNow(forEachConnection(service, () => Effect.never))
      yield* askNow(closeGracefully(service, "1 minute"))
      expect(following.exit).toEqual(Exit.void)
      yield* pass(5)
    }))

  it.scoped("interrupts unfinished uses after the drain time", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(use(service, () => Effect.never))
      const closing = yield* askNow(closeGracefully(service, "5 seconds"))
      yield* pass(4)
      expect([asked.isWaiting, server.released]).toEqual([true, 0])
      yield* pass(1)
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect([closing.isWaiting, server.released]).toEqual([false, 1])
    }))

  it.scoped("closes at once if no use is running, or if there is no connection", () =>
    Effect.gen(function*() {
      const idle = yield* makeFixture()
      const unconnected = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      yield* settle
      const closings = [
        yield* askNow(closeGracefully(idle.service, "1 minute")),
        yield* askNow(closeGracefully(unconnected.service, "1 minute"))
      ]
      expect(closings.map(({ exit }) => exit)).toEqual([Exit.void, Exit.void])
      expect([idle.server.released, unconnected.server.attempts.length]).toEqual([1, 1])
    }))

  it.scoped("with a drain of 0 it is a close; with an infinite drain it waits without a limit", () =>
    Effect.gen(function*() {
      const none = yield* makeFixture()
      const endless = yield* makeFixture()
      yield* settle
      const first = yield* askNow(use(none.service, () => Effect.never))
      const second = yield* askNow(use(endless.service, () => sleep(100_000)))
      yield* askNow(closeGracefully(none.service, 0))
      expect(first.error).toBeInstanceOf(ConnectionClosed)
      const closing = yield* askNow(closeGracefully(endless.service, Infinity))
      yield* pass(99_999)
      expect(closing.isWaiting).toBe(true)
      yield* pass(1)
      expect([closing.exit, second.exit]).toEqual([Exit.void, Exit.void])
    }))

  it.scoped("throws for an invalid drain time", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      expect(() => closeGracefully(service, -1)).toThrow("drain must be a duration of 0 or more, but is -1")
    }))

  it.scoped("a close ends the drain, and waits for the same end", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(use(service, () => Effect.never))
      const gracefully = yield* askNow(closeGracefully(service, "1 hour"))
      const close = yield* askNow(service.close)
      expect([gracefully.exit, close.exit, server.released]).toEqual([Exit.void, Exit.void, 1])
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
    }))

  it.scoped("uses the shorter drain time if called twice", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      yield* askNow(use(service, () => Effect.never))
      const first = yield* askNow(closeGracefully(service, "1 hour"))
      yield* pass(10)
      const second = yield* askNow(closeGracefully(service, "5 seconds"))
      const third = yield* askNow(closeGracefully(service, "2 hours"))
      yield* pass(4)
      expect(first.isWaiting).toBe(true)
      yield* pass(1)
      expect([first.exit, second.exit, third.exit]).toEqual([Exit.void, Exit.void, Exit.void])
      expect((yield* askNow(closeGracefully(service, "1 hour"))).exit).toEqual(Exit.void)
    }))

  it.scoped("continues if its caller is interrupted", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      yield* askNow(use(service, () => Effect.never))
      const closing = yield* askNow(closeGracefully(service, "5 seconds"))
      yield* Fiber.interrupt(closing.fiber)
      yield* pass(5)
      expect(server.released).toBe(1)
      expect((yield* askNow(service.closeFinished)).exit).toEqual(Exit.void)
    }))

  it.scoped("D8: leaving the scope ends the drain, also in the same turn", () =>
    Effect.gen(function*() {
      const [{ server, service }, scope] = yield* inScope(makeFixture())
      yield* settle
      const asked = yield* askNow(use(service, () => Effect.never))
      yield* askNow(closeGracefully(service, "1 hour"))
      expect(yield* hasEnded(scope)).toBe(true)
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect(server.released).toBe(1)

      const [other, otherScope] = yield* inScope(makeFixture())
      yield* settle
      yield* askNow(use(other.service, () => Effect.never))
      const both = Effect.zipRight(Effect.forkDaemon(closeGracefully(other.service, "1 hour")), Effect.yieldNow())
      const leaving = yield* askNow(Effect.zipRight(both, Scope.close(otherScope, Exit.void)))
      expect(leaving.exit).toEqual(Exit.void)
    }))

  it.scoped("if the connection is lost, its uses fail with the loss, and closing continues at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(use(service, () => Effect.never))
      const again = yield* askNow(useRetrying(service, () => Effect.never))
      const closing = yield* askNow(closeGracefully(service, "1 hour"))
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      expect(asked.error).toBeInstanceOf(ConnectionLost)
      expect(Cause.failureOption((asked.error as ConnectionLost<Refused>).lossCause)).toEqual(
        Option.some(new Refused({ text: "reset" }))
      )
      expect(again.error).toBeInstanceOf(ConnectionClosed)
      expect([closing.exit, server.released, server.attempts.length]).toEqual([Exit.void, 1, 1])
    }))

  it.scoped("a running use that fails keeps its own failure", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const used = yield* askNow(use(service, () => Effect.zipRight(sleep(1), refuse("own"))))
      const retried = yield* askNow(useRetrying(service, () => Effect.zipRight(sleep(1), refuse("own"))))
      yield* askNow(closeGracefully(service, "1 hour"))
      yield* pass(1)
      expect([used.failure, retried.failure]).toEqual(["own", "own"])
    }))

  it.scoped("lets uses of a replaced connection finish too", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const onFirst = yield* askNow(use(service, () => Effect.as(sleep(10), "first")))
      yield* refresh(service)
      const onSecond = yield* askNow(use(service, () => Effect.as(sleep(2), "second")))
      const closing = yield* askNow(closeGracefully(service, "1 minute"))
      yield* pass(2)
      expect([onSecond.answer, onFirst.isWaiting, closing.isWaiting]).toEqual(["second", true, true])
      yield* pass(8)
      expect([onFirst.answer, closing.exit]).toEqual(["first", Exit.void])
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1])
    }))

  it.scoped("lets them finish even if there is no current connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(use(service, () => Effect.as(sleep(10), "first")))
      yield* refresh(service)
      server.refuse("no")
      server.line.drop()
      yield* settle
      const closing = yield* askNow(closeGracefully(service, "1 minute"))
      expect([asked.isWaiting, closing.isWaiting]).toEqual([true, true])
      yield* pass(10)
      expect([asked.answer, closing.exit]).toEqual(["first", Exit.void])
    }))

  it.scoped("closes the connection before an uninterruptible refresh has ended, and then waits for the refresh", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      server.isUninterruptible = true
      server.connect = () => sleep(20)
      const refreshing = yield* askNow(refresh(service))
      const asked = yield* askNow(use(service, () => Effect.never))
      const closing = yield* askNow(closeGracefully(service, "5 seconds"))
      expect(refreshing.error).toBeInstanceOf(ConnectionClosed)
      yield* pass(5)
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect([server.lines[0]!.released, closing.isWaiting]).toEqual([1, true])
      yield* pass(15)
      expect(closing.exit).toEqual(Exit.void)
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1])
    }))

  describe("D7: from inside", () => {
    /** A call inside a place must neither wait for that place nor end the drain too early for others. */
    const within = (
      name: string,
      place: (fixture: Fixture, call: Effect.Effect<void>) => Effect.Effect<unknown, unknown, Scope.Scope>
    ) =>
      it.scoped(name, () =>
        Effect.gen(function*() {
          const fixture = yield* makeFixture()
          yield* settle
          const other = yield* askNow(use(fixture.service, () => Effect.as(sleep(5), "done")))
          const asked = yield* askNow(Effect.scoped(place(fixture, closeGracefully(fixture.service, Infinity))))
          yield* pass(4)
          expect(other.isWaiting).toBe(true)
          yield* pass(1)
          expect(other.answer).toBe("done")
          expect(asked.isWaiting).toBe(false)
          expect(fixture.server.released).toBe(1)
        }))

    within("a use: does not wait for it", ({ service }, call) => use(service, () => call))
    within(
      "a nested use: does not wait for either use",
      ({ service }, call) => use(service, () => use(service, () => call))
    )
    within(
      "a fiber that a use waits for",
      ({ service }, call) => use(service, () => Effect.flatMap(Effect.fork(call), Fiber.join))
    )
    within(
      "several fibers that a use waits for",
      ({ service }, call) =>
        use(service, () => Effect.all([call, call, Effect.timeout(call, "1 hour")], { concurrency: "unbounded" }))
    )
    within("an uninterruptible use", ({ service }, call) => use(service, () => Effect.uninterruptible(call)))
    within("useRetrying", ({ service }, call) => useRetrying(service, () => call))
    within("forEachConnection", ({ service }, call) => forEachConnection(service, () => call))
    within("a stream", ({ service }, call) => Stream.runDrain(stream(service, () => Stream.fromEffect(call))))
    within(
      "the consumer of a stream",
      ({ service }, call) => Stream.runForEach(stream(service, () => Stream.make(1)), () => call)
    )
    within(
      "a finalizer of forEachConnection",
      ({ service }, call) =>
        Effect.raceFirst(forEachConnection(service, () => Effect.addFinalizer(() => call)), sleep(1))
    )

    for (const name of ["connected", "connectedOrClosed", "closeFinished"] as const) {
      for (const seconds of [0, 2]) {
        it.scoped(`a use that waits for ${name} from second ${seconds} does not prevent its end`, () =>
          Effect.gen(function*() {
            const { server, service } = yield* makeFixture()
            yield* settle
            const wait = Effect.zipRight(sleep(seconds), Effect.suspend(() => service[name]))
            const asked = yield* askNow(use(service, () => wait))
            const other = yield* askNow(use(service, () => Effect.as(sleep(5), "done")))
            yield* pass(1)
            const closing = yield* askNow(closeGracefully(service, Infinity))
            yield* pass(1)
            expect(asked.isWaiting).toBe(false)
            yield* pass(3)
            expect([other.answer, closing.exit, server.released]).toEqual(["done", Exit.void, 1])
          }))
      }
    }

    it.scoped("in a use, waits only until closing has begun, and lets that use finish", () =>
      Effect.gen(function*() {
        const { server, service } = yield* makeFixture()
        yield* settle
        const asked = yield* askNow(use(service, () => Effect.zipRight(closeGracefully(service, Infinity), sleep(5))))
        const closing = yield* askNow(service.closeFinished)
        yield* pass(4)
        expect([asked.isWaiting, closing.isWaiting, server.released]).toEqual([true, true, 0])
        yield* pass(1)
        expect([asked.exit, closing.exit, server.released]).toEqual([Exit.void, Exit.void, 1])
      }))

    it.scoped("a use on a replaced connection: does not wait for that use", () =>
      Effect.gen(function*() {
        const { server, service } = yield* makeFixture()
        yield* settle
        const asked = yield* askNow(use(service, () => Effect.zipRight(sleep(3), closeGracefully(service, Infinity))))
        yield* refresh(service, { drain: Infinity })
        yield* pass(3)
        expect(asked.isWaiting).toBe(false)
        expect(server.lines.map(({ released }) => released)).toEqual([1, 1])
      }))

    it.scoped("a handler: does not wait for that handler", () =>
      Effect.gen(function*() {
        const fixture: Fixture = yield* makeFixture({
          onEvent: (event: Event) =>
            event._tag === "Connected"
              ? use(fixture.service, () => closeGracefully(fixture.service, Infinity)).pipe(Effect.ignore)
              : Effect.void
        })
        yield* settle
        expect((yield* askNow(fixture.service.closeFinished)).exit).toEqual(Exit.void)
        expect(fixture.eventLog).toEqual([
          "0 AttemptingToConnect",
          "0 ObtainedAddress a",
          "0 Connected 1",
          "0 Disconnected 1"
        ])
      }))

    it.scoped("the look-up, connect, and the release of a connection", () =>
      Effect.gen(function*() {
        const call = (fixture: Fixture) => Effect.suspend(() => closeGracefully(fixture.service, Infinity))
        const lookUp: Fixture = yield* makeFixture({}, (fixture) => {
          fixture.server.lookUp = () => Effect.as(call(fixture), "a")
        })
        const connect: Fixture = yield* makeFixture({}, (fixture) => {
          fixture.server.connect = () => Effect.uninterruptible(call(fixture))
        })
        const release: Fixture = yield* makeFixture({}, (fixture) => {
          fixture.server.release = () => call(fixture)
        })
        yield* settle
        release.server.line.drop()
        yield* settle
        for (const { service } of [lookUp, connect, release]) {
          expect((yield* askNow(service.closeFinished)).exit).toEqual(Exit.void)
        }
        const onClose: Fixture = yield* makeFixture({}, (fixture) => {
          fixture.server.release = () => call(fixture)
        })
        yield* settle
        expect((yield* askNow(onClose.service.close)).exit).toEqual(Exit.void)
      }))
  })
})
