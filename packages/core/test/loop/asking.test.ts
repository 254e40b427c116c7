import { describe, expect } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import {
  ask,
  askNow,
  type Fixture,
  makeFixture,
  on,
  pass,
  refuse,
  Refused,
  Server,
  settle,
  sleep
} from "../support/Fixture.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"

/** The connection is lost while the `Connected` handler still runs, so the loop has not noticed the loss yet. */
const deadButCurrent = (options: { readonly lasts: number }) =>
  Effect.gen(function*() {
    const fixture = yield* makeFixture({ onEvent: on("Connected", () => sleep(options.lasts)) })
    yield* pass(1)
    fixture.server.line.drop()
    return fixture
  })

describe("closeWhenCurrentConnectionIsClosed before the loop has noticed a loss", () => {
  it.scoped("A5: a waiting connectedOrFailedToConnect fails when closing begins, and a new call fails at once", () =>
    Effect.gen(function*() {
      const { service } = yield* deadButCurrent({ lasts: 5 })
      const before = yield* askNow(service.connectedOrFailedToConnect)
      yield* service.closeWhenCurrentConnectionIsClosed
      const after = yield* askNow(service.connectedOrFailedToConnect)
      expect([before.isWaiting, after.isWaiting]).toEqual([true, false])
      yield* pass(4)
      expect(before.error).toBeInstanceOf(ConnectionClosed)
    }))
})

describe("the current connection", () => {
  it.scoped("A1: a connection becomes current and all waiting callers get it before its Connected handler ends", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({ onEvent: on("Connected", () => Effect.never) })
      server.connect = () => sleep(1)
      const waiters = [
        yield* ask(service.connected),
        yield* ask(service.connectedOrClosed),
        yield* ask(service.connectedOrFailedToConnect)
      ]
      yield* settle
      expect(waiters.map(({ isWaiting }) => isWaiting)).toEqual([true, true, true])
      yield* pass(1)
      expect(waiters.map(({ answer }) => answer)).toEqual([server.line, server.line, server.line])
      expect(yield* service.currentConnection).toEqual(Option.some(server.line))
    }))

  it.scoped("A1: it is already current in the first turn of the Connected handler, and callers get it", () =>
    Effect.gen(function*() {
      const found: Array<unknown> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: on("Connected", () =>
          Effect.gen(function*() {
            found.push(yield* fixture.service.connected)
            found.push(yield* Effect.orDie(fixture.service.connectedOrFailedToConnect))
            found.push(Option.getOrUndefined(yield* fixture.service.currentConnection))
          }))
      })
      yield* settle
      expect(found).toEqual([fixture.server.line, fixture.server.line, fixture.server.line])
    }))

  it.scoped("A1: `state` is already Connected in the first turn of the Connected handler", () =>
    Effect.gen(function*() {
      const found: Array<string> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          Effect.map(fixture.service.state.get, ({ _tag }) => {
            found.push(`${event._tag}: ${_tag}`)
          })
      })
      yield* settle
      fixture.server.line.drop()
      yield* settle
      expect(found).toEqual([
        "AttemptingToConnect: Connecting",
        "ObtainedAddress: Connecting",
        "Connected: Connected",
        "Disconnected: Waiting"
      ])
    }))

  it.scoped("A1: waiting callers get the connection before bus subscribers get Connected", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const { server, service } = yield* makeFixture()
      server.connect = () => sleep(1)
      const queue = yield* service.subscribe
      yield* ask(Effect.forever(Effect.map(Queue.take(queue), ({ _tag }) => order.push(_tag))))
      yield* ask(Effect.map(service.connected, () => order.push("answered")))
      yield* pass(1)
      expect(order).toEqual(["AttemptingToConnect", "ObtainedAddress", "answered", "Connected"])
    }))

  it.scoped("A2: it stays current until the Connected handler has ended, and is not current at Disconnected", () =>
    Effect.gen(function*() {
      const atDisconnected: Array<boolean> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          event._tag === "Connected"
            ? sleep(5)
            : event._tag === "Disconnected"
            ? Effect.map(fixture.service.currentConnection, (current) => atDisconnected.push(Option.isSome(current)))
            : Effect.void
      })
      yield* settle
      const { line } = fixture.server
      line.drop()
      yield* pass(4)
      expect(yield* fixture.service.currentConnection).toEqual(Option.some(line))
      expect(atDisconnected).toEqual([])
      yield* pass(1)
      expect(yield* fixture.service.currentConnection).toEqual(Option.none())
      expect(atDisconnected).toEqual([false])
    }))

  it.scoped("A2: the same holds during a close", () =>
    Effect.gen(function*() {
      const atDisconnected: Array<boolean> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          event._tag === "Connected"
            ? sleep(5)
            : event._tag === "Disconnected"
            ? Effect.map(fixture.service.currentConnection, (current) => atDisconnected.push(Option.isSome(current)))
            : Effect.void
      })
      yield* settle
      yield* fixture.service.close
      yield* pass(4)
      expect(yield* fixture.service.currentConnection).toEqual(Option.some(fixture.server.line))
      yield* pass(1)
      expect(yield* fixture.service.currentConnection).toEqual(Option.none())
      expect(atDisconnected).toEqual([false])
    }))
})

describe("connected", () => {
  it.scoped("A3: returns the current connection at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      expect(yield* service.connected).toBe(server.line)
      expect(yield* service.connected).toBe(server.lines[0])
    }))

  it.scoped("A3: waits for the next connection through failures and backoffs", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.refuse("no")
      const waiter = yield* ask(service.connected)
      yield* pass(25)
      expect(waiter.isWaiting).toBe(true)
      server.accept()
      yield* pass(5)
      expect(waiter.answer).toBe(server.line)
    }))

  it.scoped("A3: all waiting callers get the same connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.connect = () => sleep(1)
      const waiters = yield* Effect.all(Array.from({ length: 1_000 }, () => ask(service.connected)))
      yield* pass(1)
      expect(new Set(waiters.map(({ answer }) => answer))).toEqual(new Set([server.line]))
    }))

  for (const phase of phases) {
    it.scoped(`A3, D3: suspends forever after a close ${phase.name}, for waiting and later callers`, () =>
      Effect.gen(function*() {
        const { server, service } = yield* phase.reach()
        // A working connection would be returned, so it is made known to be dead.
        if (phase.isConnected) server.line.isLost = true
        const early = yield* ask(service.connected)
        yield* ask(service.close)
        const during = yield* askNow(service.connected)
        yield* pass(1_000)
        const late = yield* askNow(service.connected)
        expect([early.isWaiting, during.isWaiting, late.isWaiting]).toEqual([true, true, true])
        expect(Exit.isInterrupted(yield* Fiber.interrupt(late.fiber))).toBe(true)
      }))
  }

  it.scoped("D3: suspends forever from the call of close, even before the connection is closed", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(60)
      yield* settle
      const closing = yield* ask(Effect.zipRight(service.close, Effect.succeed("closed")))
      const sameTurn = yield* ask(service.connected)
      yield* pass(30)
      const later = yield* askNow(service.connected)
      expect(server.line.isLost).toBe(false)
      expect([closing, sameTurn, later].map(({ isWaiting }) => isWaiting)).toEqual([true, true, true])
      yield* pass(30)
      expect([closing, sameTurn, later].map(({ isWaiting }) => isWaiting)).toEqual([false, true, true])
    }))

  it.scoped("A4: does not return a connection that is known to be closed, and waits for the next", () =>
    Effect.gen(function*() {
      const { server, service } = yield* deadButCurrent({ lasts: 20 })
      const waiter = yield* askNow(service.connected)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(20)
      expect(waiter.answer).toBe(server.lines[1])
    }))

  it.scoped("A4: a connection that is lost at once is never returned", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture()
      server.connect = ({ generation }, line) =>
        Effect.sync(() => {
          if (generation === 1) line.drop()
        })
      const waiter = yield* ask(service.connected)
      yield* pass(9)
      expect(eventLog.slice(-2)).toEqual(["0 Connected 1", "0 Disconnected 1"])
      expect(waiter.isWaiting).toBe(true)
      yield* pass(1)
      expect(waiter.answer).toBe(server.lines[1])
    }))

  it.scoped("A4: without `isClosed`, a connection counts as open until `closed` has ended", () =>
    Effect.gen(function*() {
      const ended = yield* Deferred.make<void>()
      const service = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("a"),
        connector: Connector.make({
          connect: () => Effect.succeed({}),
          closed: () => Effect.zipRight(Deferred.await(ended), sleep(5))
        }),
        retry: RetryPolicy.fixed("10 seconds")
      })
      yield* settle
      const first = yield* service.connected
      yield* Deferred.succeed(ended, undefined)
      yield* pass(4)
      expect(yield* service.connected).toBe(first)
      yield* pass(1)
      expect((yield* askNow(service.connected)).isWaiting).toBe(true)
    }))

  it.scoped("A4: a connection that is lost during its Connected handler is not returned any more, also without `isClosed`", () =>
    Effect.gen(function*() {
      const { connect, closed } = new Server(() => 0).connector
      const fixture = yield* makeFixture({
        connector: Connector.make({ connect, closed }),
        onEvent: (event) => event._tag === "Connected" && event.generation === 1 ? sleep(10) : Effect.void
      })
      const { service } = fixture
      yield* settle
      const line = yield* service.connected
      yield* pass(2)
      line.drop()
      yield* settle
      const waiters = [
        yield* askNow(service.connected),
        yield* askNow(service.connectedOrClosed),
        yield* askNow(service.connectedOrFailedToConnect),
        yield* askNow(PersistentConnection.use(service, Effect.succeed))
      ]
      const refused = yield* askNow(PersistentConnection.use(service, Effect.succeed, { whenDisconnected: "fail" }))
      expect(refused.exit?._tag).toBe("Failure")
      // A2: it stays the current connection.
      expect(yield* service.currentConnection).toEqual(Option.some(line))
      yield* pass(7)
      expect(waiters.every(({ isWaiting }) => isWaiting)).toBe(true)
      yield* pass(1)
      expect(waiters.map(({ answer }) => answer?.isLost)).toEqual([false, false, false, false])
    }))

  it.scoped("A4: if `isClosed` throws, the connection counts as open", () =>
    Effect.gen(function*() {
      const service = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("a"),
        connector: Connector.make({
          connect: () => Effect.succeed({}),
          closed: () => Effect.never,
          isClosed: () => {
            throw new Error("no idea")
          }
        })
      })
      yield* settle
      expect((yield* askNow(service.connected)).answer).toBeDefined()
      expect((yield* askNow(service.connectedOrClosed)).answer).toBeDefined()
      expect((yield* askNow(service.connectedOrFailedToConnect)).answer).toBeDefined()
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
    }))

  it.scoped("D3: waits without spinning while the current connection is dead and not yet replaced", () =>
    Effect.gen(function*() {
      let questions = 0
      const fixture = yield* deadButCurrent({ lasts: 1_000 })
      const { line } = fixture.server
      Object.defineProperty(line, "isLost", { get: () => ++questions > 0 })
      const waiter = yield* askNow(fixture.service.connected)
      yield* pass(900)
      expect(waiter.isWaiting).toBe(true)
      expect(questions).toBeLessThan(10)
      yield* pass(100)
      expect(waiter.answer).toBe(fixture.server.lines[1])
    }))
})

describe("connectedOrFailedToConnect", () => {
  it.scoped("A5: returns the current connection at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      expect(yield* service.connectedOrFailedToConnect).toBe(server.line)
    }))

  it.scoped("A5: returns the result of the next attempt that ends: a failure or a success", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.connect = () => Effect.zipRight(sleep(5), refuse("no"))
      const early = yield* ask(service.connectedOrFailedToConnect)
      yield* pass(5)
      expect(early.error).toEqual(new Refused({ text: "no" }))
      const inBackoff = yield* askNow(service.connectedOrFailedToConnect)
      server.connect = () => sleep(5)
      yield* pass(9)
      expect(inBackoff.isWaiting).toBe(true)
      yield* pass(1)
      expect(inBackoff.answer).toBe(server.line)
    }))

  it.scoped("A5: a repeated failure without an event is still a result", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture()
      server.refuse("no")
      yield* pass(5)
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      yield* pass(5)
      expect(waiter.failure).toBe("no")
      expect(eventLog.filter((entry) => entry.includes("FailedToConnect"))).toHaveLength(1)
    }))

  it.scoped("A5: returns a failure before its handler ends", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({ onEvent: on("FailedToConnect", () => Effect.never) })
      server.refuse("no")
      const waiter = yield* askNow(service.connectedOrFailedToConnect)
      expect(waiter.failure).toBe("no")
    }))

  it.scoped("A5, D5: a failed look-up, a defect and a timeout are results too", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.lookUp = () => refuse("who?")
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("who?")
      server.lookUp = () => Effect.die(new Error("bug"))
      const second = yield* ask(service.connectedOrFailedToConnect)
      yield* pass(10)
      expect(second.failure).toBe("bug!")
      server.lookUp = () => Effect.never
      const third = yield* ask(service.connectedOrFailedToConnect)
      yield* pass(40)
      expect(third.error).toBeInstanceOf(Cause.TimeoutException)
    }))

  it.scoped("A5: does not return a connection that is known to be closed, but the result of the next attempt", () =>
    Effect.gen(function*() {
      const { server, service } = yield* deadButCurrent({ lasts: 20 })
      server.refuse("no")
      const waiter = yield* askNow(service.connectedOrFailedToConnect)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(20)
      expect(waiter.failure).toBe("no")
    }))

  it.scoped("A5, X4: fails at once after closeWhenCurrentConnectionIsClosed if the current connection is known to be closed", () =>
    Effect.gen(function*() {
      const { service } = yield* deadButCurrent({ lasts: 20 })
      yield* service.closeWhenCurrentConnectionIsClosed
      const asked = yield* askNow(service.connectedOrFailedToConnect)
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect(yield* service.isClosed).toBe(false)
    }))

  for (const phase of phases) {
    it.scoped(`A5: fails at once after a close ${phase.name}, for waiting and later callers`, () =>
      Effect.gen(function*() {
        const { server, service } = yield* phase.reach()
        if (phase.isConnected) server.line.isLost = true
        const early = yield* ask(service.connectedOrFailedToConnect)
        const calm = yield* askNow(Effect.void)
        expect([calm.isWaiting, early.isWaiting]).toEqual([false, true])
        yield* ask(service.close)
        const sameTurn = yield* ask(service.connectedOrFailedToConnect)
        yield* settle
        const late = yield* askNow(service.connectedOrFailedToConnect)
        for (const { error } of [early, sameTurn, late]) {
          expect(error).toBeInstanceOf(ConnectionClosed)
          expect(error).toMatchObject({ serverName: "test", reason: { _tag: "ClosedByOwner" } })
        }
      }))

    it.scoped(`A5, X5: fails with the error of an abort ${phase.name}, for waiting and later callers`, () =>
      Effect.gen(function*() {
        const { server, service } = yield* phase.reach()
        if (phase.isConnected) server.line.isLost = true
        const early = yield* askNow(service.connectedOrFailedToConnect)
        expect(early.isWaiting).toBe(true)
        yield* server.abort(new Refused({ text: "enough" }))
        const late = yield* askNow(service.connectedOrFailedToConnect)
        for (const { error } of [early, late]) expect(error).toEqual(new Refused({ text: "enough" }))
      }))
  }

  it.scoped("A5, X5: after an abort it still returns a working connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      yield* server.abort(new Refused({ text: "enough" }))
      expect(yield* service.connectedOrFailedToConnect).toBe(server.line)
      server.line.drop()
      yield* settle
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("enough")
    }))

  it.scoped("A5: fails during a close", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(60)
      yield* settle
      const closing = yield* ask(service.close)
      const waiter = yield* askNow(service.connectedOrFailedToConnect)
      expect(waiter.error).toBeInstanceOf(ConnectionClosed)
      expect(closing.isWaiting).toBe(true)
      yield* pass(60)
    }))
})

describe("currentConnection", () => {
  it.scoped("A6: returns the connection, if there is one, without waiting", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.connect = () => sleep(1)
      expect(yield* service.currentConnection).toEqual(Option.none())
      yield* settle
      expect(yield* service.currentConnection).toEqual(Option.none())
      yield* pass(1)
      expect(yield* service.currentConnection).toEqual(Option.some(server.line))
      server.line.drop()
      yield* settle
      expect(yield* service.currentConnection).toEqual(Option.none())
    }))

  it.scoped("A6: may return a connection that is known to be closed", () =>
    Effect.gen(function*() {
      const { server, service } = yield* deadButCurrent({ lasts: 20 })
      yield* settle
      expect(server.line.isLost).toBe(true)
      expect(yield* service.currentConnection).toEqual(Option.some(server.line))
    }))
})

describe("connectedOrClosed", () => {
  it.scoped("A7: returns the same connections as `connected`", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      const waiter = yield* askNow(service.connectedOrClosed)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(10)
      expect(waiter.answer).toBe(server.line)
      expect(yield* service.connectedOrClosed).toBe(server.line)
    }))

  it.scoped("A7: fails with ConnectionClosed when closing has finished, not before", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.release = () => sleep(60)
      yield* settle
      yield* ask(service.close)
      const waiter = yield* askNow(service.connectedOrClosed)
      yield* pass(59)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(1)
      expect(waiter.error).toBeInstanceOf(ConnectionClosed)
    }))

  for (const phase of phases) {
    it.scoped(`A7: fails with ConnectionClosed after a close ${phase.name}, for waiting and later callers`, () =>
      Effect.gen(function*() {
        const { server, service } = yield* phase.reach()
        if (phase.isConnected) server.line.isLost = true
        const early = yield* askNow(service.connectedOrClosed)
        expect(early.isWaiting).toBe(true)
        yield* service.close
        const late = yield* askNow(service.connectedOrClosed)
        for (const { error } of [early, late]) expect(error).toBeInstanceOf(ConnectionClosed)
      }))
  }

  it.scoped("A7: the error has the reason: closed by the owner, aborted, or given up", () =>
    Effect.gen(function*() {
      const byOwner = yield* makeFixture()
      yield* byOwner.service.close
      expect((yield* Effect.flip(byOwner.service.connectedOrClosed)).message).toBe(
        "The persistent connection to \"test\" is closed: its owner closed it"
      )

      const aborted = yield* makeFixture()
      aborted.server.refuse("no")
      yield* settle
      yield* aborted.server.abort(new Refused({ text: "enough" }))
      yield* settle
      const abortError = yield* Effect.flip(aborted.service.connectedOrClosed)
      expect(abortError.reason).toEqual({ _tag: "Aborted", cause: Cause.fail(new Refused({ text: "enough" })) })
      expect(abortError.message).toContain("enough")

      const gaveUp = yield* makeFixture({ retry: Schedule.recurs(0) })
      gaveUp.server.refuse("no")
      yield* settle
      const giveUpError = yield* Effect.flip(gaveUp.service.connectedOrClosed)
      expect(giveUpError.reason).toEqual({ _tag: "GaveUp", cause: Cause.fail(new Refused({ text: "no" })) })
      expect(giveUpError.message).toContain("no")
    }))
})
