import { describe, expect, it as withTestClock } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  askNow,
  type Fixture,
  inScope,
  type Line,
  makeFixture,
  now,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

describe("leaving the scope waits no longer than closeTimeout (D8)", () => {
  const leaves = (
    prepare: (fixture: Fixture) => void,
    act: (fixture: Fixture) => Effect.Effect<unknown, never, Scope.Scope> = () => Effect.void
  ) =>
    Effect.gen(function*() {
      const [fixture, scope] = yield* inScope(makeFixture({ closeTimeout: "5 seconds" }, prepare))
      yield* settle
      yield* act(fixture)
      const leaving = yield* askNow(Scope.close(scope, Exit.void))
      yield* pass(4)
      const early = leaving.isWaiting
      yield* pass(56)
      expect([early, leaving.isWaiting]).toEqual([true, false])
    })
  const hanging = ({ server }: Fixture) => {
    server.release = (line) => line.number === 1 ? Effect.never : Effect.void
  }

  it.scoped("for an uninterruptible attempt", () =>
    leaves(({ server }) => {
      server.isUninterruptible = true
      server.connect = () => Effect.never
    }))

  it.scoped("for a finalizer that hangs after a loss", () =>
    leaves(hanging, ({ server }) => Effect.sync(() => server.line.drop())))

  it.scoped("for a finalizer that hangs during a close", () => leaves(hanging, ({ service }) => askNow(service.close)))

  it.scoped("for an uninterruptible closed(connection)", () =>
    leaves(({ server }) => {
      server.closed = (line) => Effect.uninterruptible(Effect.zipRight(line.lost, sleep(1_000)))
    }, ({ server }) => Effect.sync(() => server.line.drop())))

  it.scoped("for a finalizer of an attempt that has failed", () =>
    leaves(({ server }) => {
      server.connect = ({ number }) =>
        number === 1 ? Effect.zipRight(Effect.addFinalizer(() => Effect.never), refuse("no")) : Effect.never
    }))
})

describe("an uninterruptible closed(connection) does not delay", () => {
  const stubborn = makeFixture({}, ({ server }) => {
    server.closed = (line) => Effect.uninterruptible(line.lost)
  })

  it.scoped("closeGracefully", () =>
    Effect.gen(function*() {
      const { server, service } = yield* stubborn
      yield* settle
      yield* askNow(PersistentConnection.use(service, () => Effect.never))
      const asked = yield* askNow(PersistentConnection.closeGracefully(service, "5 seconds"))
      yield* pass(60)
      const { isWaiting } = asked
      server.line.drop()
      expect(isWaiting).toBe(false)
    }))

  it.scoped("the release of a connection that has been replaced", () =>
    Effect.gen(function*() {
      const { server, service } = yield* stubborn
      yield* settle
      const first = server.line
      yield* askNow(PersistentConnection.use(service, () => Effect.never))
      yield* askNow(PersistentConnection.refresh(service, { drain: "5 seconds" }))
      yield* pass(60)
      const { released } = first
      first.drop()
      server.line.drop()
      expect(released).toBe(1)
    }))

  it.scoped("a use that fails", () =>
    Effect.gen(function*() {
      const { server, service } = yield* stubborn
      yield* settle
      const asked = yield* askNow(PersistentConnection.useRetrying(service, () => Effect.fail("no")))
      yield* pass(60)
      const { failure, isWaiting } = asked
      server.line.drop()
      expect([isWaiting, failure]).toEqual([false, "no"])
    }))

  it.scoped("a set-up", () =>
    Effect.gen(function*() {
      const { server } = yield* stubborn
      const service = yield* PersistentConnection.make({
        serverName: "x",
        address: Effect.succeed("a"),
        connector: server.connector.pipe(Connector.setup((line: Line) => Effect.succeed(line)))
      })
      yield* settle
      const { _tag } = yield* service.state.get
      server.lines.forEach((line) => line.drop())
      expect(_tag).toBe("Connected")
    }))
})

describe("fibers that a connect leaves behind", () => {
  it.scoped("D7b: a callback that runs with a runtime from connect is inside: its close waits only until closing has begun", () =>
    Effect.gen(function*() {
      let run: ((effect: Effect.Effect<unknown>) => unknown) | undefined
      const { service } = yield* makeFixture({}, ({ server }) => {
        server.connect = () =>
          Effect.map(Effect.runtime<never>(), (runtime) => {
            run = Runtime.runFork(runtime)
          })
        server.release = () => sleep(5)
      })
      yield* settle
      let closedAt = -1
      run!(Effect.zipRight(
        service.close,
        Effect.map(now, (at) => {
          closedAt = at
        })
      ))
      yield* pass(10)
      expect(closedAt).toBe(0)
    }))

  it.scoped("D7b: the producer of a stream is inside: its close waits only until closing has begun", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(60)
      yield* settle
      let answered = -1
      const close = Effect.uninterruptible(Effect.zipRight(service.close, Effect.map(now, (at) => answered = at)))
      yield* askNow(Stream.runDrain(PersistentConnection.stream(service, () => Stream.fromEffect(close))))
      yield* pass(100)
      expect([answered, server.released]).toEqual([0, 1])
    }))

  it.scoped("D7: close completes even if the release waits for a fiber that calls close uninterruptibly", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture({}, ({ server }) => {
        server.connect = () =>
          Effect.forkScoped(Effect.uninterruptible(Effect.zipRight(sleep(5), Effect.suspend(() => service.close))))
      })
      yield* pass(10)
      expect((yield* service.state.get)._tag).toBe("Closed")
    }))
})

describe("D7: a finalizer that calls close", () => {
  withTestClock.scoped("through a promise does not prevent close from completing", () =>
    Effect.gen(function*() {
      const fixture: { current?: Fixture } = {}
      fixture.current = yield* makeFixture({}, ({ server }) => {
        server.release = () =>
          Effect.flatMap(Effect.runtime<never>(), (runtime) =>
            Effect.promise(async () => {
              await Promise.resolve()
              await Runtime.runPromise(runtime)(fixture.current!.service.close)
            }))
      })
      yield* settle
      yield* fixture.current.service.close
      expect((yield* fixture.current.service.state.get)._tag).toBe("Closed")
    }))
})

describe("D5: a close does not hide a loss", () => {
  it.scoped("that is reported only after the end of a handler", () =>
    Effect.gen(function*() {
      const exits: Array<string> = []
      const { eventLog, server, service } = yield* makeFixture({
        onEvent: (event) => event._tag === "Connected" ? sleep(10) : Effect.void
      }, ({ server }) => {
        server.connect = () => Effect.addFinalizer((exit) => Effect.sync(() => exits.push(exit._tag)))
      })
      yield* settle
      server.line.drop(Exit.fail(new Refused({ text: "bye" })))
      yield* settle
      yield* askNow(service.close)
      yield* pass(20)
      expect(eventLog.at(-1)).toBe("10 Disconnected 1 bye")
      expect(exits).toEqual(["Failure"])
    }))
})

describe("D7: awaited in a Connected handler across a loss,", () => {
  const ways: Readonly<Record<string, (service: Fixture["service"]) => Effect.Effect<unknown, unknown>>> = {
    "a stream": (service) => PersistentConnection.stream(service, numbers).pipe(Stream.take(2), Stream.runDrain),
    "a resumable stream": (service) =>
      PersistentConnection.resumableStream(service, {
        subscribe: (line) => Effect.succeed(numbers(line)),
        cursor: (number) => number
      }).pipe(Stream.take(3), Stream.runDrain),
    "the events": ({ events }) =>
      events.pipe(Stream.filter(({ _tag }) => _tag === "Disconnected"), Stream.take(1), Stream.runDrain),
    "the states": ({ state }) =>
      state.changes.pipe(Stream.filter(({ generation }) => generation === 2), Stream.take(1), Stream.runDrain)
  }
  const numbers = (line: Line) => Stream.concat(Stream.make(line.number), Stream.never)

  for (const [name, run] of Object.entries(ways)) {
    it.scoped(`${name}: does not prevent the next connection`, () =>
      Effect.gen(function*() {
        const fixture: { current?: Fixture } = {}
        let ended = 0
        fixture.current = yield* makeFixture({
          onEvent: (event) =>
            event._tag === "Connected" && event.generation === 1
              ? Effect.suspend(() => Effect.ignore(run(fixture.current!.service))).pipe(
                Effect.zipRight(Effect.sync(() => ended++))
              )
              : Effect.void
        })
        yield* pass(1)
        fixture.current.server.line.drop()
        yield* pass(100)
        expect([fixture.current.server.lines.length, ended]).toEqual([2, 1])
      }))
  }
})
