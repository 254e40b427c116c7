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
import { ask, askNow, begin, type Life, on, pass, refuse, Refused, Server, settle, sleep } from "../support/Life.js"
import { phases } from "../support/Phases.js"
import { it } from "../support/virtualTime.js"

/** The connection is lost while the `Connected` handler still runs: it is dead, and the loop does not know it yet. */
const deadButCurrent = (options: { readonly lasts: number }) =>
  Effect.gen(function*() {
    const life = yield* begin({ onEvent: on("Connected", () => sleep(options.lasts)) })
    yield* pass(1)
    life.server.line.drop()
    return life
  })

describe("closeWhenCurrentConnectionIsClosed with a dead connection that the loop does not know yet", () => {
  it.scoped("A5: who waits for the next attempt already is told when closing begins, who asks now at once", () =>
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

describe("becoming current, and ceasing to be", () => {
  it.scoped("A1: a connection is current, and every waiter answered, before its Connected handler ends", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin({ onEvent: on("Connected", () => Effect.never) })
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

  it.scoped("A1: the Connected handler finds it current in its first turn, and everyone who asks is answered", () =>
    Effect.gen(function*() {
      const found: Array<unknown> = []
      const life: Life = yield* begin({
        onEvent: on("Connected", () =>
          Effect.gen(function*() {
            found.push(yield* life.service.connected)
            found.push(yield* Effect.orDie(life.service.connectedOrFailedToConnect))
            found.push(Option.getOrUndefined(yield* life.service.currentConnection))
          }))
      })
      yield* settle
      expect(found).toEqual([life.server.line, life.server.line, life.server.line])
    }))

  it.scoped("A1: `state` says so too, in the first turn of the Connected handler", () =>
    Effect.gen(function*() {
      const found: Array<string> = []
      const life: Life = yield* begin({
        onEvent: (event) =>
          Effect.map(life.service.state.get, ({ _tag }) => {
            found.push(`${event._tag}: ${_tag}`)
          })
      })
      yield* settle
      life.server.line.drop()
      yield* settle
      expect(found).toEqual([
        "AttemptingToConnect: Connecting",
        "ObtainedAddress: Connecting",
        "Connected: Connected",
        "Disconnected: Waiting"
      ])
    }))

  it.scoped("A1: waiters are answered before subscribers get Connected from the bus", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const { server, service } = yield* begin()
      server.connect = () => sleep(1)
      const queue = yield* service.subscribe
      yield* ask(Effect.forever(Effect.map(Queue.take(queue), ({ _tag }) => order.push(_tag))))
      yield* ask(Effect.map(service.connected, () => order.push("answered")))
      yield* pass(1)
      expect(order).toEqual(["AttemptingToConnect", "ObtainedAddress", "answered", "Connected"])
    }))

  it.scoped("A2: it stays current until the Connected handler has ended, and is no longer at Disconnected", () =>
    Effect.gen(function*() {
      const atDisconnected: Array<boolean> = []
      const life: Life = yield* begin({
        onEvent: (event) =>
          event._tag === "Connected"
            ? sleep(5)
            : event._tag === "Disconnected"
            ? Effect.map(life.service.currentConnection, (current) => atDisconnected.push(Option.isSome(current)))
            : Effect.void
      })
      yield* settle
      const { line } = life.server
      line.drop()
      yield* pass(4)
      expect(yield* life.service.currentConnection).toEqual(Option.some(line))
      expect(atDisconnected).toEqual([])
      yield* pass(1)
      expect(yield* life.service.currentConnection).toEqual(Option.none())
      expect(atDisconnected).toEqual([false])
    }))

  it.scoped("A2: the same while closing", () =>
    Effect.gen(function*() {
      const atDisconnected: Array<boolean> = []
      const life: Life = yield* begin({
        onEvent: (event) =>
          event._tag === "Connected"
            ? sleep(5)
            : event._tag === "Disconnected"
            ? Effect.map(life.service.currentConnection, (current) => atDisconnected.push(Option.isSome(current)))
            : Effect.void
      })
      yield* settle
      yield* life.service.close
      yield* pass(4)
      expect(yield* life.service.currentConnection).toEqual(Option.some(life.server.line))
      yield* pass(1)
      expect(yield* life.service.currentConnection).toEqual(Option.none())
      expect(atDisconnected).toEqual([false])
    }))
})

describe("connected", () => {
  it.scoped("A3: answers with the current connection, at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* settle
      expect(yield* service.connected).toBe(server.line)
      expect(yield* service.connected).toBe(server.lines[0])
    }))

  it.scoped("A3: waits for the next one, through failures and backoffs", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      server.refuse("no")
      const waiter = yield* ask(service.connected)
      yield* pass(25)
      expect(waiter.isWaiting).toBe(true)
      server.accept()
      yield* pass(5)
      expect(waiter.answer).toBe(server.line)
    }))

  it.scoped("A3: answers all who wait, however many, with the same connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      server.connect = () => sleep(1)
      const waiters = yield* Effect.all(Array.from({ length: 1_000 }, () => ask(service.connected)))
      yield* pass(1)
      expect(new Set(waiters.map(({ answer }) => answer))).toEqual(new Set([server.line]))
    }))

  for (const phase of phases) {
    it.scoped(`A3, D3: never answers once closed ${phase.name}, neither waiting callers nor later ones`, () =>
      Effect.gen(function*() {
        const { server, service } = yield* phase.reach()
        // Whoever finds a connection that is still good gets it, of course: so let it be known to be dead.
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

  it.scoped("D3: never answers from the moment close is called, though the connection is not closed yet", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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

  it.scoped("A4: does not hand out a connection that is known to be closed, and waits for the next", () =>
    Effect.gen(function*() {
      const { server, service } = yield* deadButCurrent({ lasts: 20 })
      const waiter = yield* askNow(service.connected)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(20)
      expect(waiter.answer).toBe(server.lines[1])
    }))

  it.scoped("A4: a connection that is dead on arrival is handed to nobody", () =>
    Effect.gen(function*() {
      const { diary, server, service } = yield* begin()
      server.connect = ({ generation }, line) =>
        Effect.sync(() => {
          if (generation === 1) line.drop()
        })
      const waiter = yield* ask(service.connected)
      yield* pass(9)
      expect(diary.slice(-2)).toEqual(["0 Connected 1", "0 Disconnected 1"])
      expect(waiter.isWaiting).toBe(true)
      yield* pass(1)
      expect(waiter.answer).toBe(server.lines[1])
    }))

  it.scoped("A4: without `isClosed` a connection counts as open until `closed` has ended", () =>
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

  it.scoped("A4: a connection that is lost while its Connected handler runs is handed to nobody, without `isClosed` either", () =>
    Effect.gen(function*() {
      const { connect, closed } = new Server(() => 0).connector
      const life = yield* begin({
        connector: Connector.make({ connect, closed }),
        onEvent: (event) => event._tag === "Connected" && event.generation === 1 ? sleep(10) : Effect.void
      })
      const { service } = life
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
      // A2: but it stays the current one.
      expect(yield* service.currentConnection).toEqual(Option.some(line))
      yield* pass(7)
      expect(waiters.every(({ isWaiting }) => isWaiting)).toBe(true)
      yield* pass(1)
      expect(waiters.map(({ answer }) => answer?.isLost)).toEqual([false, false, false, false])
    }))

  it.scoped("A4: an `isClosed` that throws has not said that the connection is closed", () =>
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

  it.scoped("D3: waits quietly while the current connection is dead and not yet replaced", () =>
    Effect.gen(function*() {
      let questions = 0
      const life = yield* deadButCurrent({ lasts: 1_000 })
      const { line } = life.server
      Object.defineProperty(line, "isLost", { get: () => ++questions > 0 })
      const waiter = yield* askNow(life.service.connected)
      yield* pass(900)
      expect(waiter.isWaiting).toBe(true)
      expect(questions).toBeLessThan(10)
      yield* pass(100)
      expect(waiter.answer).toBe(life.server.lines[1])
    }))
})

describe("connectedOrFailedToConnect", () => {
  it.scoped("A5: answers at once with the current connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* settle
      expect(yield* service.connectedOrFailedToConnect).toBe(server.line)
    }))

  it.scoped("A5: answers with the result of the next attempt to end: a failure, a success", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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

  it.scoped("A5: a failure that is not reported again is still a result", () =>
    Effect.gen(function*() {
      const { diary, server, service } = yield* begin()
      server.refuse("no")
      yield* pass(5)
      const waiter = yield* ask(service.connectedOrFailedToConnect)
      yield* pass(5)
      expect(waiter.failure).toBe("no")
      expect(diary.filter((entry) => entry.includes("FailedToConnect"))).toHaveLength(1)
    }))

  it.scoped("A5: a failure is answered before its handler ends", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin({ onEvent: on("FailedToConnect", () => Effect.never) })
      server.refuse("no")
      const waiter = yield* askNow(service.connectedOrFailedToConnect)
      expect(waiter.failure).toBe("no")
    }))

  it.scoped("A5, D5: a failed look-up, a defect and a timeout are results, too", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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

  it.scoped("A5: a connection known to be closed is no answer; the next attempt is", () =>
    Effect.gen(function*() {
      const { server, service } = yield* deadButCurrent({ lasts: 20 })
      server.refuse("no")
      const waiter = yield* askNow(service.connectedOrFailedToConnect)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(20)
      expect(waiter.failure).toBe("no")
    }))

  it.scoped("A5, X4: fails at once if told not to reconnect while the current connection is known to be closed", () =>
    Effect.gen(function*() {
      const { service } = yield* deadButCurrent({ lasts: 20 })
      yield* service.closeWhenCurrentConnectionIsClosed
      const asked = yield* askNow(service.connectedOrFailedToConnect)
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
      expect(yield* service.isClosed).toBe(false)
    }))

  for (const phase of phases) {
    it.scoped(`A5: fails as soon as closed ${phase.name}, for waiting callers and later ones`, () =>
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

    it.scoped(`A5, X5: fails with the error of an abort ${phase.name}, for waiting callers and later ones`, () =>
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

  it.scoped("A5, X5: an abort does not take away a connection that is still good", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* settle
      yield* server.abort(new Refused({ text: "enough" }))
      expect(yield* service.connectedOrFailedToConnect).toBe(server.line)
      server.line.drop()
      yield* settle
      expect((yield* askNow(service.connectedOrFailedToConnect)).failure).toBe("enough")
    }))

  it.scoped("A5: fails while a close is still under way", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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
  it.scoped("A6: is the connection if there is one now, without waiting", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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

  it.scoped("A6: may be one that is known to be closed", () =>
    Effect.gen(function*() {
      const { server, service } = yield* deadButCurrent({ lasts: 20 })
      yield* settle
      expect(server.line.isLost).toBe(true)
      expect(yield* service.currentConnection).toEqual(Option.some(server.line))
    }))
})

describe("connectedOrClosed", () => {
  it.scoped("A7: answers as `connected` does", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      const waiter = yield* askNow(service.connectedOrClosed)
      expect(waiter.isWaiting).toBe(true)
      yield* pass(10)
      expect(waiter.answer).toBe(server.line)
      expect(yield* service.connectedOrClosed).toBe(server.line)
    }))

  it.scoped("A7: answers `closed` once closing has finished, and not before", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
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
    it.scoped(`A7: answers "closed" when closed ${phase.name}, for waiting callers and later ones`, () =>
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

  it.scoped("A7: the error says why: closed by the owner, aborted, or given up", () =>
    Effect.gen(function*() {
      const byOwner = yield* begin()
      yield* byOwner.service.close
      expect((yield* Effect.flip(byOwner.service.connectedOrClosed)).message).toBe(
        "The persistent connection to \"test\" is closed: its owner closed it"
      )

      const aborted = yield* begin()
      aborted.server.refuse("no")
      yield* settle
      yield* aborted.server.abort(new Refused({ text: "enough" }))
      yield* settle
      const abortion = yield* Effect.flip(aborted.service.connectedOrClosed)
      expect(abortion.reason).toEqual({ _tag: "Aborted", cause: Cause.fail(new Refused({ text: "enough" })) })
      expect(abortion.message).toContain("enough")

      const gaveUp = yield* begin({ retry: Schedule.recurs(0) })
      gaveUp.server.refuse("no")
      yield* settle
      const surrender = yield* Effect.flip(gaveUp.service.connectedOrClosed)
      expect(surrender.reason).toEqual({ _tag: "GaveUp", cause: Cause.fail(new Refused({ text: "no" })) })
      expect(surrender.message).toContain("no")
    }))
})
