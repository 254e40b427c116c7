import { describe, expect } from "@effect/vitest"
import { ConnectionClosed, ConnectionLost, NotConnected } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import {
  ask,
  type Asked,
  askNow,
  type Event,
  type Fixture,
  hasEnded,
  inScope,
  type Line,
  makeFixture,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const { reconnectNow, useRetrying, use } = PersistentConnection

/** Work that runs until it is interrupted, and its status. */
class Work {
  readonly begun: Array<number> = []
  readonly interrupted: Array<number> = []
  readonly on = (line: Line) =>
    Effect.sync(() => this.begun.push(line.number)).pipe(
      Effect.zipRight(Effect.never),
      Effect.onInterrupt(() => Effect.sync(() => this.interrupted.push(line.number)))
    )
}

const lostOf = (asked: Asked<unknown, unknown>) => {
  expect(asked.error).toBeInstanceOf(ConnectionLost)
  return asked.error as ConnectionLost<Refused>
}

const notConnectedOf = (asked: Asked<unknown, unknown>) => {
  expect(asked.error).toBeInstanceOf(NotConnected)
  return asked.error as NotConnected<Refused>
}

const closedOf = (asked: Asked<unknown, unknown>) => {
  expect(asked.error).toBeInstanceOf(ConnectionClosed)
  return asked.error as ConnectionClosed<Refused>
}

const failure = <A, E>(asked: Asked<A, E>) =>
  asked.exit?._tag === "Failure" ? asked.exit.cause : expect.unreachable("the effect has not failed")

describe("use", () => {
  it.scoped("starts no fiber if f returns a result", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      // Each fiber takes the next id.
      const started = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.suspend(() => {
          const { id } = FiberId.unsafeMake()
          return Effect.map(Effect.exit(effect), (exit) => [exit, FiberId.unsafeMake().id - id - 1])
        })
      const refused = Exit.fail(new Refused({ text: "no" }))
      const defect = new Error("thrown")
      expect(yield* started(use(service, () => Effect.succeed(1)))).toEqual([Exit.succeed(1), 0])
      expect(yield* started(use(service, () => refused))).toEqual([refused, 0])
      expect(
        yield* started(use(service, () => {
          throw defect
        }))
      ).toEqual([Exit.die(defect), 0])
      expect((yield* started(use(service, () => Effect.yieldNow())))[1]).toBe(1)
    }))

  it.scoped("returns the result of f on the current connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      expect(yield* use(service, (line) => Effect.succeed(line))).toBe(server.line)
      expect(yield* service.pipe(use((line) => Effect.succeed(line.number)))).toBe(1)
    }))

  it.scoped("waits for a connection if there is none", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const asked = yield* askNow(use(service, (line) => Effect.succeed(line.number)))
      expect(asked.isWaiting).toBe(true)
      server.accept()
      yield* pass(10)
      expect(asked.answer).toBe(1)
    }))

  it.scoped("waits for the next connection if the current one is known to be closed (A4)", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({
        onEvent: (event) => event._tag === "Connected" ? sleep(5) : Effect.void
      })
      yield* settle
      server.line.drop()
      const asked = yield* askNow(use(service, (line) => Effect.succeed(line.number)))
      expect(asked.isWaiting).toBe(true)
      yield* pass(10)
      expect(asked.answer).toBe(2)
    }))

  it.scoped("with a timeout, waits at most that long", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const asked = yield* askNow(Effect.timeout(use(service, () => Effect.void), "3 seconds"))
      yield* pass(2)
      expect(asked.isWaiting).toBe(true)
      yield* pass(1)
      expect(asked.failure).toBe("timeout")
    }))

  it.scoped("can be interrupted while waiting, without any effect", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const asked = yield* askNow(use(service, () => Effect.die("must not run")))
      yield* Fiber.interrupt(asked.fiber)
      server.accept()
      yield* pass(10)
      expect(asked.failure).toBe("interrupted")
    }))

  it.scoped("with whenDisconnected: \"fail\" fails at once without a connection, and has the last cause", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const attempt = use(service, () => Effect.void, { whenDisconnected: "fail" })
      yield* settle
      const before = notConnectedOf(yield* askNow(attempt))
      expect(before).toMatchObject({ serverName: "test", generation: 0, failedAttempts: 1 })
      expect(before.message).toBe("There has been no connection to \"test\" yet: the last attempt failed: no")
      expect(before.lastCause).toEqual(Option.some(Cause.fail(new Refused({ text: "no" }))))
      server.accept()
      yield* pass(10)
      expect((yield* askNow(attempt)).exit).toEqual(Exit.void)
      yield* pass(60)
      server.refuse("not now")
      server.line.drop(Exit.fail(new Refused({ text: "bye" })))
      yield* settle
      // The next attempt has failed too.
      const after = notConnectedOf(yield* askNow(attempt))
      expect(after).toMatchObject({ serverName: "test", generation: 1, failedAttempts: 1 })
      expect(after.message).toBe("There is no connection to \"test\" now: the last attempt failed: not now")
      expect(after.lastCause).toEqual(Option.some(Cause.fail(new Refused({ text: "not now" }))))
    }))

  it.scoped("with whenDisconnected: \"fail\" fails at once on a lost connection, even during its handler", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({
        onEvent: (event) => event._tag === "Connected" ? sleep(5) : Effect.void
      })
      server.connect = ({ generation, number }) => generation === 1 && number === 1 ? refuse("no") : Effect.void
      yield* pass(10)
      const attempt = use(service, () => Effect.void, { whenDisconnected: "fail" })
      server.line.isLost = true
      const unknown = notConnectedOf(yield* ask(attempt).pipe(Effect.zipLeft(Effect.yieldNow())))
      expect(unknown).toMatchObject({ generation: 1, failedAttempts: 0, lastCause: Option.some(Cause.empty) })
      server.line.drop(Exit.fail(new Refused({ text: "bye" })))
      yield* settle
      const known = notConnectedOf(yield* askNow(attempt))
      expect(known.lastCause).toEqual(Option.some(Cause.fail(new Refused({ text: "bye" }))))
      expect(known.message).toBe("There is no connection to \"test\" now: connection 1 was lost: bye")
      yield* pass(60)
    }))

  it.scoped("ends with the errors, the defects and the interruption of f", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      expect((yield* askNow(use(service, () => refuse("no such symbol")))).failure).toBe("no such symbol")
      expect((yield* askNow(use(service, () => Effect.die("broken")))).failure).toBe("broken!")
      expect(
        (yield* askNow(use(service, (): Effect.Effect<void> => {
          throw new Error("thrown")
        }))).failure
      ).toBe("thrown!")
      expect((yield* askNow(use(service, () => Effect.interrupt))).failure).toBe("interrupted")
    }))

  it.scoped("interrupts f when the connection is lost, and fails with the server name, the generation and the cause", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const work = new Work()
      const asked = yield* askNow(use(service, work.on))
      expect(asked.isWaiting).toBe(true)
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      expect(work).toMatchObject({ begun: [1], interrupted: [1] })
      const lost = lostOf(asked)
      expect(lost).toMatchObject({ _tag: "ConnectionLost", serverName: "test", generation: 1 })
      expect(Cause.failureOption(lost.lossCause)).toEqual(Option.some(new Refused({ text: "reset" })))
      expect(lost.message).toBe("Connection 1 to \"test\" was lost: reset")
    }))

  it.scoped("a loss interrupts all uses of that connection, and no others", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const first = yield* Effect.forEach([1, 2, 3], () => askNow(use(service, new Work().on)))
      server.line.drop()
      yield* settle
      const second = yield* Effect.forEach([1, 2, 3], () => askNow(use(service, new Work().on)))
      expect(first.map(lostOf).map(({ generation }) => generation)).toEqual([1, 1, 1])
      expect(second.map(({ isWaiting }) => isWaiting)).toEqual([true, true, true])
    }))

  it.scoped("fails at once if f causes the loss and then runs forever", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(
        use(service, (line) => Effect.zipRight(Effect.sync(() => line.drop()), Effect.never))
      )
      expect(lostOf(asked).generation).toBe(1)
      expect(server.lines.length).toBe(2)
    }))

  it.scoped("returns the result of f if f ends in the turn in which it has lost the connection", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(use(service, (line) => Effect.sync(() => line.drop()).pipe(Effect.as("done"))))
      expect(asked.answer).toBe("done")
    }))

  it.scoped("never runs f twice", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const work = new Work()
      const asked = yield* askNow(use(service, work.on))
      server.line.drop()
      yield* pass(60)
      expect(work.begun).toEqual([1])
      lostOf(asked)
    }))

  it.scoped("waits for the clean-up of f, and reports its defects together with the loss", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const slow = yield* askNow(use(service, () => Effect.ensuring(Effect.never, sleep(5))))
      const broken = yield* askNow(use(service, () => Effect.ensuring(Effect.never, Effect.die("clean-up"))))
      server.line.drop()
      yield* settle
      expect(slow.isWaiting).toBe(true)
      lostOf(broken)
      expect(Option.getOrUndefined(Cause.dieOption(failure(broken)))).toBe("clean-up")
      expect(Cause.isInterrupted(failure(broken))).toBe(false)
      yield* pass(5)
      lostOf(slow)
    }))

  it.scoped("waits for an uninterruptible f and then fails; the loop does not wait", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(use(service, () => Effect.uninterruptible(sleep(5))))
      server.line.drop()
      yield* pass(4)
      expect(asked.isWaiting).toBe(true)
      expect(server.lines.length).toBe(2)
      yield* pass(1)
      expect(lostOf(asked).generation).toBe(1)
    }))

  it.scoped("D4, X4: an uninterruptible f delays neither the release of a lost connection nor a close", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { server, service } = fixture
      yield* settle
      const first = server.line
      const asked = yield* askNow(use(service, () => Effect.uninterruptible(sleep(60))))
      const closing = yield* askNow(PersistentConnection.closeGracefully(service, "1 hour"))
      first.drop()
      yield* settle
      expect([first.released, closing.exit, asked.isWaiting]).toEqual([1, Exit.void, true])

      const other = yield* makeFixture()
      yield* settle
      yield* askNow(use(other.service, () => Effect.uninterruptible(sleep(60))))
      yield* other.service.closeWhenCurrentConnectionIsClosed
      other.server.line.drop()
      const late = yield* askNow(other.service.connectedOrClosed)
      closedOf(late)
      expect(other.server.released).toBe(1)
    }))

  it.scoped("interrupts f on a loss also in an uninterruptible caller", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const work = new Work()
      const asked = yield* askNow(Effect.uninterruptible(use(service, work.on)))
      asked.fiber.unsafeInterruptAsFork(asked.fiber.id())
      yield* settle
      expect(work.interrupted).toEqual([])
      server.line.drop()
      yield* settle
      expect(work.interrupted).toEqual([1])
      expect(asked.isWaiting).toBe(false)
    }))

  it.scoped("interrupts f when the caller is interrupted, and waits for its clean-up", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      let cleanedUp = false
      const asked = yield* askNow(
        use(
          service,
          () => Effect.ensuring(Effect.never, Effect.zipRight(sleep(3), Effect.sync(() => cleanedUp = true)))
        )
      )
      const interruption = yield* askNow(Fiber.interrupt(asked.fiber))
      expect(interruption.isWaiting).toBe(true)
      yield* pass(3)
      expect(interruption.isWaiting).toBe(false)
      expect(cleanedUp).toBe(true)
      expect(asked.failure).toBe("interrupted")
      // The interruption has not affected the connection.
      expect(server.line.isLost).toBe(false)
    }))

  it.scoped("is interrupted, not lost, if both happen in one turn", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const seen: Array<string> = []
      const asked = yield* askNow(
        use(service, new Work().on).pipe(Effect.catchAll(() => Effect.sync(() => seen.push("caught"))))
      )
      server.line.drop()
      yield* Fiber.interrupt(asked.fiber)
      expect(asked.failure).toBe("interrupted")
      expect(seen).toEqual([])
    }))

  it.scoped("inherits changes of FiberRefs in both directions", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const ref = yield* FiberRef.make(0)
      yield* FiberRef.set(ref, 1)
      const seen = yield* use(service, () => FiberRef.getAndUpdate(ref, (n) => n + 1))
      expect(seen).toBe(1)
      expect(yield* FiberRef.get(ref)).toBe(2)
      // Also if f is asynchronous, and if f fails.
      const asked = yield* ask(Effect.gen(function*() {
        yield* use(service, () => Effect.zipRight(sleep(1), FiberRef.set(ref, 3)))
        yield* Effect.ignore(use(service, () => Effect.zipRight(FiberRef.update(ref, (n) => n + 1), refuse("no"))))
        return yield* FiberRef.get(ref)
      }))
      yield* pass(1)
      expect(asked.answer).toBe(4)
    }))

  it.scoped("does not leak its internal marks to the caller", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      yield* use(service, () => Effect.void)
      // If the caller still counted as a part of the use, the drain would not wait for the next use.
      const slow = yield* askNow(use(service, () => sleep(5)))
      const closing = yield* askNow(PersistentConnection.closeGracefully(service, "1 minute"))
      expect(closing.isWaiting).toBe(true)
      yield* pass(5)
      expect([slow.exit, closing.isWaiting]).toEqual([Exit.void, false])
    }))

  it.scoped("fails with its own failure if it has one after the connection has ended", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const refused = yield* askNow(
        use(service, () => Effect.uninterruptible(Effect.zipRight(sleep(5), refuse("mine"))))
      )
      yield* pass(1)
      server.line.drop()
      yield* pass(10)
      expect(refused.failure).toBe("mine")
      const died = yield* askNow(use(service, () => Effect.zipRight(service.close, Effect.die("bug"))))
      expect(failure(died)).toEqual(Cause.die("bug"))
    }))

  it.scoped("an uninterruptible use adds nothing to the interruption of its caller", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      for (const end of [Effect.succeed(1), Effect.interrupt]) {
        const asked = yield* askNow(use(service, () => Effect.uninterruptible(Effect.zipRight(sleep(5), end))))
        yield* Effect.fork(Fiber.interrupt(asked.fiber))
        yield* pass(5)
        expect(Cause.isInterruptedOnly(failure(asked))).toBe(true)
      }
    }))

  it.scoped("interrupts the forked fibers of f at the end of f", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const work = new Work()
      yield* use(service, (line) => Effect.zipLeft(Effect.fork(work.on(line)), Effect.yieldNow()))
      yield* settle
      expect(work).toMatchObject({ begun: [1], interrupted: [1] })
    }))

  it.scoped("does not close a scope that f uses", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      let released = 0
      const scope = yield* Scope.make()
      yield* Scope.extend(use(service, () => Effect.addFinalizer(() => Effect.sync(() => released++))), scope)
      expect(released).toBe(0)
      yield* Scope.close(scope, Exit.void)
      expect(released).toBe(1)
    }))

  it.scoped("can be nested: the loss of either connection interrupts the inner use", () =>
    Effect.gen(function*() {
      const outer = yield* makeFixture({ serverName: "outer" })
      const inner = yield* makeFixture({ serverName: "inner" })
      yield* pass(60)
      const both = use(outer.service, () => use(inner.service, () => Effect.never))
      const first = yield* askNow(both)
      inner.server.line.drop()
      yield* settle
      expect(lostOf(first).serverName).toBe("inner")
      const second = yield* askNow(both)
      outer.server.line.drop()
      yield* settle
      expect(lostOf(second).serverName).toBe("outer")
    }))

  it.scoped("fails with ConnectionClosed from the call of close", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(5)
      yield* settle
      const running = yield* askNow(use(service, new Work().on))
      const closing = yield* ask(service.close)
      yield* settle
      expect(closing.isWaiting).toBe(true)
      expect(closedOf(running).reason).toEqual({ _tag: "ClosedByOwner" })
      const asked = yield* askNow(use(service, () => Effect.die("must not run")))
      expect(closedOf(asked)).toMatchObject({ serverName: "test", reason: { _tag: "ClosedByOwner" } })
      closedOf(yield* askNow(use(service, () => Effect.die("must not run"), { whenDisconnected: "fail" })))
      yield* pass(5)
    }))

  it.scoped("fails with the reason if the persistent connection closes while a caller waits", () =>
    Effect.gen(function*() {
      const waits = (fixture: Fixture) => askNow(use(fixture.service, () => Effect.void))
      const closed = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const byOwner = yield* waits(closed)
      yield* closed.service.close
      yield* settle
      expect(closedOf(byOwner).reason).toEqual({ _tag: "ClosedByOwner" })

      const aborted = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const byAbort = yield* waits(aborted)
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      yield* settle
      expect(closedOf(byAbort).reason).toEqual({ _tag: "Aborted", cause: Cause.fail(new Refused({ text: "banned" })) })
    }))

  it.scoped("still works after closeWhenCurrentConnectionIsClosed, until the last connection ends", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      yield* service.closeWhenCurrentConnectionIsClosed
      expect(yield* use(service, (line) => Effect.succeed(line.number))).toBe(1)
      const asked = yield* askNow(use(service, new Work().on))
      server.line.drop()
      yield* settle
      expect(lostOf(asked).generation).toBe(1)
      closedOf(yield* askNow(use(service, () => Effect.void)))
    }))

  it.scoped("works without isClosed, based on the state of the loop", () =>
    Effect.gen(function*() {
      const connector = Connector.make({
        connect: () => Deferred.make<void, Refused>(),
        closed: (end: Deferred.Deferred<void, Refused>) => Deferred.await(end)
      })
      const service = yield* PersistentConnection.make({
        serverName: "blind",
        address: Effect.void,
        connector,
        retry: RetryPolicy.fixed(0)
      })
      const first = yield* service.connected
      const asked = yield* askNow(use(service, () => Effect.never))
      yield* Deferred.fail(first, new Refused({ text: "gone" }))
      yield* settle
      expect(lostOf(asked).generation).toBe(1)
      expect(yield* use(service, (line) => Effect.succeed(line === first))).toBe(false)
    }))

  it.scoped("D8: leaving the scope interrupts running uses", () =>
    Effect.gen(function*() {
      const [{ service }, scope] = yield* inScope(makeFixture())
      yield* settle
      const work = new Work()
      const asked = yield* askNow(use(service, work.on))
      expect(yield* hasEnded(scope)).toBe(true)
      closedOf(asked)
      expect(work.interrupted).toEqual([1])
    }))

  it.scoped("in the Connected handler: fails if the connection is lost during it, and the cycle goes on", () =>
    Effect.gen(function*() {
      const results: Array<Exit.Exit<unknown, unknown>> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event: Event) =>
          event._tag === "Connected" && event.generation === 1
            ? Effect.flatMap(Effect.exit(use(fixture.service, () => Effect.never)), (exit) =>
              Effect.sync(() => results.push(exit)))
            : Effect.void
      })
      yield* pass(60)
      fixture.server.line.drop()
      yield* settle
      expect(results.map((exit) => Exit.isFailure(exit) && Cause.failureOption(exit.cause))).toMatchObject([
        { _tag: "Some", value: { _tag: "ConnectionLost", generation: 1 } }
      ])
      expect(fixture.eventLog.slice(-3)).toEqual(["60 AttemptingToConnect", "60 ObtainedAddress a", "60 Connected 2"])
    }))

  it.scoped("in the look-up and in connect, dies and the attempt fails", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({}, (fixture) => {
        fixture.server.lookUp = () => Effect.orDie(use(fixture.service, () => Effect.succeed("a")))
      })
      yield* settle
      fixture.server.lookUp = () => Effect.succeed("a")
      yield* pass(10)
      expect(fixture.eventLog).toEqual([
        "0 AttemptingToConnect",
        "0 FailedToConnect The connection to \"test\" waits for itself!",
        "10 ObtainedAddress a",
        "10 Connected 1"
      ])
      fixture.server.connect = ({ number }) =>
        number === 1 ? Effect.orDie(use(fixture.service, () => Effect.void)) : Effect.void
      fixture.server.line.drop()
      yield* pass(20)
      expect(fixture.eventLog.slice(-3)).toEqual([
        "20 ObtainedAddress a",
        "20 FailedToConnect The connection to \"test\" waits for itself!",
        "30 Connected 2"
      ])
    }))
})

describe("a use behaves like the effect itself", () => {
  type Wrap = <A, E>(
    effect: Effect.Effect<A, E>
  ) => Effect.Effect<A, E | ConnectionLost<Refused> | ConnectionClosed<Refused>>
  const scenarios: Readonly<Record<string, (wrap: Wrap) => Effect.Effect<unknown, unknown, Scope.Scope>>> = {
    "a defect in the finalizer of an interrupted effect": (wrap) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(wrap(Effect.ensuring(Effect.never, Effect.die("boom"))))
        yield* settle
        const exit = yield* Fiber.interrupt(fiber)
        return Exit.isFailure(exit) ? [...Cause.defects(exit.cause)] : exit
      }),
    "a failure of an uninterruptible effect after an interruption": (wrap) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(wrap(Effect.uninterruptible(Effect.zipRight(sleep(1), Effect.fail("no")))))
        yield* settle
        yield* Fiber.interruptFork(fiber)
        yield* pass(2)
        const exit = yield* Fiber.await(fiber)
        return Exit.isFailure(exit) ? [...Cause.failures(exit.cause)] : exit
      }),
    "the FiberRefs of an interrupted effect": (wrap) =>
      Effect.gen(function*() {
        const ref = yield* FiberRef.make(1)
        const seen: Array<number> = []
        const fiber = yield* Effect.fork(Effect.ensuring(
          wrap(Effect.zipRight(FiberRef.set(ref, 7), Effect.never)),
          Effect.map(FiberRef.get(ref), (value) => seen.push(value))
        ))
        yield* settle
        yield* Fiber.interrupt(fiber)
        return seen
      })
  }

  for (const [name, scenario] of Object.entries(scenarios)) {
    it.scoped(`with ${name}`, () =>
      Effect.gen(function*() {
        const { service } = yield* makeFixture()
        yield* settle
        const plain = yield* scenario((effect) => effect)
        expect(yield* scenario((effect) => use(service, () => effect))).toEqual(plain)
      }))
  }
})

/** A hold of the current connection, and its end. */
class Holder {
  readonly ends: Array<readonly [number, string]> = []
  readonly hold: PersistentConnection.Hold<Line, Refused>

  constructor(service: Fixture["service"], onEnd: () => void = () => {}) {
    const held = PersistentConnection.unsafeHold(service, (line, reason) => {
      this.ends.push([line.number, reason._tag])
      onEnd()
    })
    this.hold = Exit.getOrElse(held, () => expect.unreachable("there is no connection"))
  }
}

describe("unsafeHold", () => {
  it.scoped("gives the current connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      expect(new Holder(service).hold.connection).toBe(server.line)
    }))

  it.scoped("fails without a connection, with the last cause, and after the close", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      yield* settle
      const held = Effect.suspend(() => PersistentConnection.unsafeHold(service, () => {}))
      const { failedAttempts, lastCause } = notConnectedOf(yield* askNow(held))
      expect([failedAttempts, Option.isSome(lastCause)]).toEqual([1, true])
      yield* service.close
      closedOf(yield* askNow(held))
    }))

  const ends: Array<[name: string, end: (fixture: Fixture) => Effect.Effect<void, unknown>, tag: string]> = [
    ["is lost", ({ server }) => Effect.sync(() => server.line.drop()), "ConnectionLost"],
    ["is dropped", ({ service }) => reconnectNow(service, { whenConnected: "drop" }), "ConnectionLost"],
    ["is closed", ({ service }) => service.close, "ConnectionClosed"],
    [
      "has been replaced, and the drain time is over",
      ({ service }) => PersistentConnection.refresh(service, { drain: 0 }),
      "ConnectionLost"
    ]
  ]
  for (const [name, end, tag] of ends) {
    it.scoped(`calls onEnd at once when the connection ${name}`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        yield* settle
        const { ends, hold } = new Holder(fixture.service)
        expect([ends, hold.end]).toEqual([[], undefined])
        yield* Effect.fork(end(fixture))
        yield* settle
        expect([ends, hold.end?._tag]).toEqual([[[1, tag]], tag])
        hold.release()
      }))
  }

  it.scoped("does not call onEnd after its release", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const { ends, hold } = new Holder(service)
      hold.release()
      server.line.drop()
      yield* settle
      expect([ends, hold.end]).toEqual([[], undefined])
    }))

  it.scoped("counts as a use until its release", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const { hold } = new Holder(service)
      const other = new Holder(service)
      yield* PersistentConnection.refresh(service)
      hold.release()
      hold.release()
      yield* pass(5)
      expect(server.released).toBe(0)
      other.hold.release()
      yield* settle
      expect(server.released).toBe(1)
    }))

  it.scoped("throws at its release what onEnd has thrown, and the loop goes on", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const thrower = new Holder(service, () => {
        throw new Error("thrown")
      })
      const { ends } = new Holder(service)
      server.line.drop()
      yield* pass(10)
      expect([ends, server.lines.length]).toEqual([[[1, "ConnectionLost"]], 2])
      const released = Effect.exit(Effect.try({ try: () => thrower.hold.release(), catch: String }))
      expect([yield* released, yield* released]).toEqual([Exit.fail("Error: thrown"), Exit.void])
    }))

  it.scoped("D7: onEnd may close the persistent connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const { ends, hold } = new Holder(service, () => Effect.runFork(service.close))
      server.line.drop()
      yield* pass(10)
      expect([ends, server.lines.length]).toEqual([[[1, "ConnectionLost"]], 1])
      hold.release()
      yield* service.closeFinished
    }))
})

describe("useRetrying", () => {
  it.scoped("does not run f again if it fails on a replaced connection that is not lost", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const runs: Array<number> = []
      const asked = yield* askNow(
        PersistentConnection.useRetrying(service, ({ number }) =>
          Effect.zipRight(
            Effect.sync(() => runs.push(number)),
            Effect.zipRight(sleep(5), Effect.fail("no"))
          ))
      )
      yield* askNow(PersistentConnection.refresh(service))
      yield* pass(5)
      expect([runs, asked.failure]).toEqual([[1], "no"])
    }))

  it.scoped("runs f again on the next connection, without a limit", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const work = new Work()
      const asked = yield* askNow(
        useRetrying(service, (line) => line.number < 4 ? work.on(line) : Effect.succeed("done"))
      )
      for (let i = 0; i < 3; i++) {
        server.line.drop()
        yield* pass(60)
      }
      expect(work).toMatchObject({ begun: [1, 2, 3], interrupted: [1, 2, 3] })
      expect(asked.answer).toBe("done")
    }))

  it.scoped("runs f again if the loss causes its failure", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(useRetrying(service, (line) =>
        line.number === 1
          ? Effect.zipRight(Effect.sync(() => line.drop()), refuse("broken pipe"))
          : Effect.succeed(line.number)))
      expect(asked.answer).toBe(2)
    }))

  it.scoped("runs f again also without isClosed and in an uninterruptible caller", () =>
    Effect.gen(function*() {
      const connector = Connector.make({
        connect: () => Deferred.make<void>(),
        closed: (end: Deferred.Deferred<void>) => Deferred.await(end)
      })
      const service = yield* PersistentConnection.make({
        serverName: "blind",
        address: Effect.void,
        connector,
        retry: RetryPolicy.fixed(0)
      })
      yield* settle
      let runs = 0
      const f = (line: Deferred.Deferred<void>) =>
        Effect.suspend(() =>
          runs++ === 0 ? Effect.zipRight(Deferred.succeed(line, undefined), refuse("broken pipe")) : refuse("own")
        )
      const asked = yield* askNow(useRetrying(service, f))
      expect([asked.failure, runs]).toEqual(["own", 2])
      runs = 0
      const uninterruptible = yield* askNow(Effect.uninterruptible(useRetrying(service, f)))
      expect([uninterruptible.failure, runs]).toEqual(["own", 2])
    }))

  it.scoped("keeps a failure of f during a close, and an interruption by f itself", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const interrupting = yield* askNow(useRetrying(service, () => Effect.interrupt))
      expect(interrupting.failure).toBe("interrupted")
      const f = () => Effect.uninterruptible(Effect.zipRight(sleep(5), refuse("mine")))
      const failing = yield* askNow(useRetrying(service, f))
      yield* pass(1)
      yield* askNow(service.close)
      yield* pass(4)
      expect(failing.failure).toBe("mine")
    }))

  it.scoped("keeps a failure of f if the connection is lost during a graceful close", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const f = () => Effect.uninterruptible(Effect.zipRight(sleep(5), refuse("mine")))
      const failing = yield* askNow(useRetrying(service, f))
      yield* askNow(PersistentConnection.closeGracefully(service, "1 minute"))
      server.line.drop()
      yield* pass(5)
      expect(failing.failure).toBe("mine")
    }))

  it.scoped("fails with a failure of f on an open connection, and with a defect of f in any case", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* pass(60)
      expect((yield* askNow(useRetrying(service, () => refuse("no such symbol")))).failure).toBe("no such symbol")
      const asked = yield* askNow(
        useRetrying(service, (line) => Effect.zipRight(Effect.sync(() => line.drop()), Effect.die("bug")))
      )
      expect(asked.failure).toBe("bug!")
    }))

  it.scoped("is not affected by the loss of another persistent connection", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      const other = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(useRetrying(service, () => use(other.service, () => Effect.never)))
      other.server.line.drop()
      yield* settle
      expect(lostOf(asked).generation).toBe(1)
    }))

  it.scoped("fails with ConnectionClosed if there is no next connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const work = new Work()
      const asked = yield* askNow(useRetrying(service, work.on))
      yield* service.closeWhenCurrentConnectionIsClosed
      server.line.drop()
      yield* settle
      expect(closedOf(asked).reason).toEqual({ _tag: "ClosedByOwner" })
      expect(work.begun).toEqual([1])
    }))

  it.scoped("can be interrupted while working and while waiting", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const work = new Work()
      const first = yield* askNow(useRetrying(service, work.on))
      const second = yield* askNow(useRetrying(service, work.on))
      yield* Fiber.interrupt(first.fiber)
      server.refuse("no")
      server.line.drop()
      yield* settle
      expect(second.isWaiting).toBe(true)
      yield* Fiber.interrupt(second.fiber)
      server.accept()
      yield* pass(60)
      expect(work).toMatchObject({ begun: [1, 1], interrupted: [1, 1] })
      expect([first.failure, second.failure]).toEqual(["interrupted", "interrupted"])
    }))
})
