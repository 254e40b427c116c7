import { describe, expect } from "@effect/vitest"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { expectTypeOf } from "vitest"
import { makeAttempt } from "../support/attempt.js"
import { askNow, type Line, makeFixture, pass, refuse, Refused, Server, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const attempt = makeAttempt()

const interruptedItself = Cause.die(new Cause.InterruptedException("The code interrupted itself"))

const gone = Cause.fail(new Refused({ text: "gone" }))

/** A connection with background work, released by the test. */
const open = <E, R>(work: (line: Line) => Effect.Effect<unknown, E, R>, server = new Server(() => 0)) =>
  Effect.gen(function*() {
    const connector = server.connector.pipe(Connector.runInBackground(work))
    const scope = yield* Scope.make()
    const line = yield* Scope.extend(connector.connect("a", attempt), scope)
    return {
      line,
      server,
      connector,
      closed: yield* askNow(connector.closed(line)),
      isClosed: () => connector.isClosed!(line),
      release: Scope.close(scope, Exit.void)
    }
  })

describe("runInBackground", () => {
  it.effect("starts after all earlier combinators have succeeded, with the connection, the address and the attempt", () =>
    Effect.gen(function*() {
      const login = yield* Deferred.make<void>()
      const given: Array<unknown> = []
      const connector = new Server(() => 0).connector.pipe(
        Connector.setup(() => Deferred.await(login)),
        Connector.runInBackground((line, address, { serverName }) =>
          Effect.sync(() => given.push(line, address, serverName))
        )
      )
      const connecting = yield* askNow(Effect.scoped(Effect.zipLeft(connector.connect("a", attempt), Effect.never)))
      yield* settle
      expect(given).toEqual([])
      yield* Deferred.succeed(login, undefined)
      yield* settle
      expect(given).toEqual([expect.objectContaining({ number: 1 }), "a", "test"])
      yield* Fiber.interrupt(connecting.fiber)
    }))

  const failures: ReadonlyArray<readonly [string, Effect.Effect<unknown, Refused>, Cause.Cause<unknown>]> = [
    ["fails", refuse("gone"), gone],
    ["dies", Effect.die("bug"), Cause.die("bug")],
    ["interrupts itself", Effect.interrupt, interruptedItself],
    [
      "waits for a fiber that is interrupted",
      Effect.flatMap(Effect.fork(Effect.interrupt), Fiber.join),
      interruptedItself
    ]
  ]
  for (const [name, end, cause] of failures) {
    it.effect(`S4: work that ${name} ends the connection at once with that cause`, () =>
      Effect.gen(function*() {
        const { closed, isClosed, line, release } = yield* open(() => Effect.zipRight(sleep(1), end))
        yield* pass(0.999)
        expect([closed.exit, isClosed()]).toEqual([undefined, false])
        yield* pass(0.001)
        expect([closed.exit, isClosed()]).toEqual([Exit.failCause(cause), true])
        expect(line.isLost).toBe(false)
        yield* release
      }))
  }

  it.effect("S4: a function that throws is a defect of the work", () =>
    Effect.gen(function*() {
      const { closed, release } = yield* open((): Effect.Effect<void> => {
        throw new Error("bug")
      })
      yield* settle
      expect(closed.exit).toEqual(Exit.die(new Error("bug")))
      yield* release
    }))

  it.effect("A4: the connection is known to be closed in the same turn", () =>
    Effect.gen(function*() {
      let fail = (): void => {}
      const { isClosed, release } = yield* open(() =>
        Effect.async<void, Refused>((resume) => {
          fail = () => resume(refuse("gone"))
        })
      )
      yield* settle
      const seen: Array<boolean> = []
      fail()
      // The next turns of the scheduler.
      for (let turn = 0; turn < 2; turn++) {
        yield* Effect.yieldNow()
        seen.push(isClosed())
      }
      expect(seen).toContain(true)
      expect(seen.at(-1)).toBe(true)
      yield* release
    }))

  it.effect("S4: `closed` ends at once, even if the connector's `closed` hangs when it is interrupted", () =>
    Effect.gen(function*() {
      const server = new Server(() => 0)
      const hanging = yield* Deferred.make<void>()
      server.closed = () => Effect.uninterruptible(Deferred.await(hanging))
      const { closed, release } = yield* open(() => Effect.zipRight(sleep(1), refuse("gone")), server)
      yield* pass(1)
      expect(closed.exit).toEqual(Exit.failCause(gone))
      // D8: no fiber of it is left after the close of the scope.
      const released = yield* askNow(release)
      yield* settle
      expect([server.released, released.exit]).toEqual([1, undefined])
      yield* Deferred.succeed(hanging, undefined)
      yield* settle
      expect(released.exit).toEqual(Exit.void)
    }))

  it.effect("S4: work that ends without a failure does not end the connection, and its resources are released", () =>
    Effect.gen(function*() {
      let released = 0
      const { closed, isClosed, line, release } = yield* open(() =>
        Effect.addFinalizer(() => Effect.sync(() => released++))
      )
      yield* settle
      expect([closed.exit, isClosed(), released]).toEqual([undefined, false, 1])
      line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* settle
      expect([closed.exit, isClosed()]).toEqual([Exit.fail(new Refused({ text: "reset" })), true])
      yield* release
    }))

  it.effect("S1: the work continues after the peer has ended the connection, until the release", () =>
    Effect.gen(function*() {
      let beats = 0
      const work = Effect.forever(Effect.zipRight(sleep(1), Effect.sync(() => beats++)))
      const { closed, line, release } = yield* open(() => work)
      line.drop()
      yield* pass(3)
      expect([closed.exit, beats]).toEqual([Exit.void, 3])
      yield* release
      yield* pass(3)
      expect(beats).toBe(3)
    }))

  it.effect("D4: the release first interrupts the work and waits for it; this is not a failure", () =>
    Effect.gen(function*() {
      const { closed, connector, isClosed, line, release, server } = yield* open(() =>
        Effect.onInterrupt(Effect.never, () => sleep(1))
      )
      expect([closed.exit, isClosed()]).toEqual([undefined, false])
      const released = yield* askNow(release)
      yield* settle
      expect([server.released, released.exit]).toEqual([0, undefined])
      yield* pass(1)
      expect([server.released, released.exit, isClosed()]).toEqual([1, Exit.void, true])
      expect(closed.exit && Exit.isFailure(closed.exit) && Cause.isInterruptedOnly(closed.exit.cause)).toBe(true)
      line.drop()
      expect(yield* Effect.exit(connector.closed(line))).toEqual(Exit.void)
    }))

  it.effect("A4: counts as closed after `isClosed`, the end of `closed` or the release", () =>
    Effect.gen(function*() {
      const reported = yield* open(() => Effect.never)
      reported.line.isLost = true
      expect(reported.isClosed()).toBe(true)
      yield* reported.release

      const { closed: own, connect } = new Server(() => 0).connector
      const silent = Connector.make({ connect, closed: own }).pipe(Connector.runInBackground(() => Effect.never))
      yield* Effect.scoped(Effect.gen(function*() {
        const line = yield* silent.connect("a", attempt)
        const watch = yield* askNow(silent.closed(line))
        yield* Fiber.interrupt(watch.fiber)
        yield* settle
        expect(silent.isClosed!(line)).toBe(false)
        yield* askNow(silent.closed(line))
        line.drop()
        yield* settle
        expect(silent.isClosed!(line)).toBe(true)
      }))
      const line = yield* Effect.scoped(silent.connect("a", attempt))
      expect(silent.isClosed!(line)).toBe(true)
    }))

  it.effect("D8: starts nothing after the release", () =>
    Effect.gen(function*() {
      const server = new Server(() => 0)
      const hanging = yield* Deferred.make<void>()
      server.closed = () => Effect.uninterruptible(Deferred.await(hanging))
      const connector = server.connector.pipe(Connector.runInBackground(() => Effect.never))
      const line = yield* Effect.scoped(connector.connect("a", attempt))
      const watch = yield* askNow(connector.closed(line))
      const interrupting = yield* askNow(Fiber.interrupt(watch.fiber))
      expect(interrupting.exit).toBe(undefined)
      yield* Deferred.succeed(hanging, undefined)
      yield* settle
      expect(interrupting.exit).toBeDefined()
    }))

  it.effect("D10: reports a defect during the interruption of the work", () =>
    Effect.gen(function*() {
      const { release, server } = yield* open(() => Effect.onInterrupt(Effect.never, () => Effect.die("bug")))
      yield* settle
      expect(yield* Effect.exit(release)).toEqual(Exit.die("bug"))
      expect(server.released).toBe(1)
      const failed = yield* open(() => Effect.die("bug"))
      yield* settle
      expect(yield* Effect.exit(failed.release)).toEqual(Exit.void)
    }))

  it.effect("D1: is interruptible even if the attempt was not", () =>
    Effect.gen(function*() {
      const { release } = yield* Effect.uninterruptible(open(() => Effect.never))
      const released = yield* askNow(release)
      yield* settle
      expect(released.exit).toEqual(Exit.void)
    }))

  it.effect("S4: a failure while a later set-up runs fails the attempt with its cause", () =>
    Effect.gen(function*() {
      const connector = new Server(() => 0).connector.pipe(
        Connector.runInBackground(() => Effect.zipRight(sleep(1), refuse("gone"))),
        Connector.setup(() => Effect.never)
      )
      const connecting = yield* askNow(Effect.scoped(connector.connect("a", attempt)))
      yield* pass(1)
      expect(connecting.exit).toEqual(Exit.failCause(gone))
    }))

  it.effect("of several works, the first failure is the cause", () =>
    Effect.gen(function*() {
      const connector = new Server(() => 0).connector.pipe(
        Connector.runInBackground(() => Effect.zipRight(sleep(2), refuse("reader"))),
        Connector.runInBackground(() => Effect.zipRight(sleep(1), refuse("heartbeat")))
      )
      yield* Effect.scoped(Effect.gen(function*() {
        const line = yield* connector.connect("a", attempt)
        const closed = yield* askNow(connector.closed(line))
        yield* pass(2)
        const exit = Exit.fail(new Refused({ text: "heartbeat" }))
        expect([closed.exit, yield* Effect.exit(connector.closed(line))]).toEqual([exit, exit])
      }))
    }))

  it.effect("a probe fails with the loss if there is one, and otherwise runs the connector's probe", () =>
    Effect.gen(function*() {
      const server = new Server(() => 0)
      const probed = Connector.make({ ...server.connector, probe: () => refuse("no answer") })
      const connector = probed.pipe(Connector.runInBackground(() => Effect.zipRight(sleep(1), refuse("gone"))))
      expect(server.connector.pipe(Connector.runInBackground(() => Effect.void)).probe).toBe(undefined)
      yield* Effect.scoped(Effect.gen(function*() {
        const line = yield* connector.connect("a", attempt)
        expect(yield* Effect.exit(connector.probe!(line))).toEqual(Exit.fail(new Refused({ text: "no answer" })))
        yield* pass(1)
        expect(yield* Effect.exit(connector.probe!(line))).toEqual(Exit.failCause(gone))
      }))
    }))

  it.effect("does not inherit the span of the attempt, which has ended", () =>
    Effect.gen(function*() {
      const spans: Array<unknown> = []
      const { release } = yield* Effect.withSpan(
        open(() => Effect.map(Effect.option(Effect.currentSpan), (span) => spans.push(Option.isSome(span)))),
        "attempt"
      )
      yield* settle
      expect(spans).toEqual([false])
      yield* release
    }))

  it.scoped("S4: the persistent connection reports the loss and opens the next connection", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture({}, (fixture) => {
        const { connector } = fixture.server
        Object.assign(fixture.server, {
          connector: connector.pipe(
            Connector.runInBackground((line) =>
              line.number === 1 ? Effect.zipRight(sleep(12), refuse("gone")) : Effect.never
            )
          )
        })
      })
      yield* pass(12)
      expect(eventLog).toEqual([
        "0 AttemptingToConnect",
        "0 ObtainedAddress a",
        "0 Connected 1",
        "12 Disconnected 1 gone",
        "12 AttemptingToConnect",
        "12 ObtainedAddress a",
        "12 Connected 2"
      ])
      expect([server.released, (yield* service.connected).number]).toEqual([1, 2])
    }))

  it.scoped("D7: the work may close the persistent connection that it belongs to", () =>
    Effect.gen(function*() {
      const closing = yield* Deferred.make<Effect.Effect<void>>()
      const { server, service } = yield* makeFixture({}, (fixture) => {
        const { connector } = fixture.server
        Object.assign(fixture.server, {
          connector: connector.pipe(Connector.runInBackground(() => Effect.flatten(Deferred.await(closing))))
        })
      })
      yield* Deferred.succeed(closing, service.close)
      const closed = yield* askNow(service.closeFinished)
      expect([closed.exit, server.released]).toEqual([Exit.void, 1])
    }))

  it("infers its types, in both forms", () => {
    class Codec extends Context.Tag("Codec")<Codec, { readonly decode: Effect.Effect<void, "bad"> }>() {}
    const server = new Server(() => 0).connector
    type Expected = Connector.Connector<string, Line, Refused | "bad", Codec>
    expectTypeOf(
      server.pipe(Connector.runInBackground((line, address, { number }) => {
        expectTypeOf([line, address, number] as const).toEqualTypeOf<readonly [Line, string, number]>()
        return Effect.flatMap(Effect.zipLeft(Codec, Effect.scope), ({ decode }) => decode)
      }))
    ).toEqualTypeOf<Expected>()
    expectTypeOf(Connector.runInBackground(server, (line) => {
      expectTypeOf(line).toEqualTypeOf<Line>()
      return Effect.flatMap(Codec, ({ decode }) => decode)
    })).toEqualTypeOf<Expected>()
  })
})

describe("a set-up without a result", () => {
  it.effect("returns the connection itself", () =>
    Effect.gen(function*() {
      const server = new Server(() => 0)
      const nothing = server.connector.pipe(Connector.setup(() => Effect.void))
      const sometimes = Connector.setup(server.connector, (line) =>
        Effect.succeed(line.number === 2 ? { line } : undefined))
      yield* Effect.scoped(Effect.gen(function*() {
        expect(yield* nothing.connect("a", attempt)).toBe(server.line)
        expect(yield* sometimes.connect("a", attempt)).toEqual({ line: server.line })
        expect(yield* sometimes.connect("a", attempt)).toBe(server.line)
        const closed = yield* askNow(nothing.closed(server.lines[0]!))
        server.lines[0]!.drop()
        yield* settle
        expect([closed.exit, nothing.isClosed!(server.lines[0]!)]).toEqual([Exit.void, true])
      }))
    }))

  it("has the type of the connection, in both forms", () => {
    const server = new Server(() => 0).connector
    const send = (_: Line): Effect.Effect<void, "full"> => Effect.void
    type Expected = Connector.Connector<string, Line, Refused | "full" | ConnectionLost>
    expectTypeOf(server.pipe(Connector.setup((line) => send(line)))).toEqualTypeOf<Expected>()
    expectTypeOf(Connector.setup(server, (line) => send(line))).toEqualTypeOf<Expected>()
    expectTypeOf(server.pipe(Connector.setup(() => Effect.succeed(undefined)))).toEqualTypeOf<
      Connector.Connector<string, Line, Refused | ConnectionLost>
    >()
    // The next step in a pipe is inferred too.
    server.pipe(
      Connector.setup(send),
      Connector.setup((line) => {
        expectTypeOf(line).toEqualTypeOf<Line>()
        return Effect.succeed({ line })
      }),
      Connector.runInBackground((connection) => {
        expectTypeOf(connection).toEqualTypeOf<{ line: Line }>()
        return Effect.void
      }),
      Connector.healthCheck({
        probe: (connection) => {
          expectTypeOf(connection).toEqualTypeOf<{ line: Line }>()
          return Effect.void
        },
        interval: 1,
        timeout: 1
      })
    )
  })

  it("returns an object or nothing", () => {
    const server = new Server(() => 0).connector
    // @ts-expect-error Type 'number' is not assignable to type 'void | object'
    server.pipe(Connector.setup(() => Effect.succeed(1)))
    // @ts-expect-error Type 'number' is not assignable to type 'void | object'
    Connector.setup(server, () => Effect.succeed(1))
    expect(true).toBe(true)
  })
})
