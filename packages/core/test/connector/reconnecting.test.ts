/** A health check as part of a persistent connection. */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import { ask, askNow, hasEnded, inScope, type Line, pass, refuse, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { type CheckedFixture, makeCheckedFixture, type PingServer } from "./PingServer.js"

/** The peers of this connection handle pings like this; other peers answer. */
const checked = (number: number, ping: PingServer["ping"]) => (pingServer: PingServer) => {
  pingServer.ping = (line) => line.number === number ? ping(line) : Effect.void
}

const never = () => Effect.never

describe("a connection whose health check fails", () => {
  const probes: ReadonlyArray<readonly [string, PingServer["ping"], string]> = [
    ["fails", () => refuse("gone"), "30 Disconnected 1 gone"],
    ["dies", () => Effect.die("bug"), "30 Disconnected 1 bug!"],
    ["interrupts itself", () => Effect.interrupt, "30 Disconnected 1 The code interrupted itself!"],
    ["hangs", never, "40 Disconnected 1 timeout"],
    ["hangs and cannot be interrupted", () => Effect.uninterruptible(Effect.never), "40 Disconnected 1 timeout"]
  ]

  for (const [does, ping, expected] of probes) {
    it.scoped(`is lost with that cause and replaced at once if the probe ${does}`, () =>
      Effect.gen(function*() {
        const [{ eventLog, service, pingServer }] = yield* inScope(makeCheckedFixture({ prepare: checked(1, ping) }))
        yield* pass(100)
        const at = expected.split(" ")[0]
        expect(eventLog).toEqual(["0 Connected 1", expected, `${at} Connected 2`])
        expect(yield* service.connected).toBe(pingServer.server.line)
      }))
  }

  it.scoped("D4: a close that hangs never delays the next attempt", () =>
    Effect.gen(function*() {
      const [{ eventLog, pingServer }] = yield* inScope(makeCheckedFixture({ prepare: checked(1, never) }))
      pingServer.server.release = (line) => line.number === 1 ? Effect.never : Effect.void
      pingServer.server.closed = (line) =>
        line.number === 1 ? Effect.onInterrupt(Effect.never, () => Effect.never) : line.lost
      yield* pass(100)
      expect(eventLog).toEqual(["0 Connected 1", "40 Disconnected 1 timeout", "40 Connected 2"])
      expect(pingServer.pings.slice(-2)).toEqual(["70 2", "100 2"])
    }))

  it.scoped("A4: is not returned to callers from that moment", () =>
    Effect.gen(function*() {
      const { service, pingServer } = yield* makeCheckedFixture({
        prepare: checked(1, () => refuse("gone")),
        onEvent: (event) => event._tag === "Connected" && event.generation === 1 ? sleep(50) : Effect.void
      })
      yield* pass(29)
      expect(yield* service.connected).toBe(pingServer.server.lines[0])
      yield* pass(1)
      const asked = yield* askNow(service.connected)
      expect(asked.isWaiting).toBe(true)
      yield* pass(20)
      expect(asked.answer).toBe(pingServer.server.lines[1])
    }))

  it.scoped("its uses fail with ConnectionLost and the cause", () =>
    Effect.gen(function*() {
      const { service } = yield* makeCheckedFixture({ prepare: checked(1, () => refuse("gone")) })
      const use = yield* askNow(PersistentConnection.use(service, never))
      yield* pass(30)
      expect(use.error).toMatchObject({ _tag: "ConnectionLost", generation: 1 })
      expect(use.error).toHaveProperty("message", "Connection 1 to \"test\" was lost: gone")
    }))

  it.scoped("is not lost during a day of answers, or of traffic", () =>
    Effect.gen(function*() {
      const quiet = yield* makeCheckedFixture()
      const busy = yield* makeCheckedFixture({
        check: { activity: () => ({}) },
        prepare: checked(1, () => refuse("busy"))
      })
      yield* pass(3_600)
      expect([quiet.eventLog, busy.eventLog]).toEqual([["0 Connected 1"], ["0 Connected 1"]])
      expect([quiet.pingServer.pings.length, busy.pingServer.pings.length]).toEqual([120, 0])
    }))

  it.scoped("a stream continues on the next connection, also without `isClosed`", () =>
    Effect.gen(function*() {
      const { service, pingServer } = yield* makeCheckedFixture({
        combine: (connector) =>
          Connector.healthCheck(
            Connector.make({ connect: connector.connect, closed: (line: Line) => line.lost }),
            { probe: never, interval: "1 hour", timeout: "1 second" }
          )
      })
      const received: Array<number> = []
      yield* ask(Stream.runForEach(
        PersistentConnection.stream(
          service,
          (line) => Stream.concat(Stream.make(line.number), Stream.drain(Stream.fromEffect(Effect.ignore(line.lost))))
        ),
        (number) => Effect.sync(() => received.push(number))
      ))
      for (const expected of [[1], [1, 2], [1, 2, 3]]) {
        yield* pass(10)
        expect(received).toEqual(expected)
        pingServer.server.line.drop()
        yield* settle
      }
    }))
})

describe("a probe of an old connection", () => {
  const late: ReadonlyArray<readonly [string, Effect.Effect<unknown, never>]> = [
    ["fails", Effect.orDie(refuse("gone"))],
    ["is answered", Effect.void],
    ["never ends", Effect.never]
  ]

  for (const [does, end] of late) {
    it.scoped(`has no effect on the new connection if it ${does}`, () =>
      Effect.gen(function*() {
        const [{ eventLog, pingServer }] = yield* inScope(makeCheckedFixture({
          prepare: checked(1, () => Effect.uninterruptible(Effect.zipRight(sleep(15), end)))
        }))
        yield* pass(31)
        // The connection is lost for another reason during the probe, and replaced.
        pingServer.server.line.drop()
        yield* pass(200)
        expect(eventLog).toEqual(["0 Connected 1", "31 Disconnected 1 cleanly", "31 Connected 2"])
      }))
  }

  it.scoped("continues during the drain of the old connection; if it fails, only the old connection is lost", () =>
    Effect.gen(function*() {
      const { eventLog, service, pingServer } = yield* makeCheckedFixture()
      yield* pass(10)
      const use = yield* askNow(PersistentConnection.use(service, never))
      yield* PersistentConnection.refresh(service, { drain: "10 minutes" })
      yield* settle
      expect(eventLog).toEqual(["0 Connected 1", "10 Connected 2"])
      yield* pass(30)
      expect(pingServer.pings).toEqual(["30 1", "40 2"])
      checked(1, () => refuse("gone"))(pingServer)
      yield* pass(20)
      expect([use.isWaiting, pingServer.server.lines.map(({ released }) => released)]).toEqual([false, [1, 0]])
      yield* pass(300)
      expect(eventLog).toEqual(["0 Connected 1", "10 Connected 2"])
      expect(yield* service.connected).toBe(pingServer.server.lines[1])
      expect(pingServer.pings.filter((ping) => ping.endsWith(" 1"))).toEqual(["30 1", "60 1"])
    }))
})

describe("a wake-up", () => {
  const wake = ({ service }: CheckedFixture) => PersistentConnection.reconnectNow(service, { whenConnected: "probe" })

  it.scoped("keeps a connection whose peer answers", () =>
    Effect.gen(function*() {
      const fixture = yield* makeCheckedFixture()
      yield* pass(10)
      const woken = yield* askNow(wake(fixture))
      yield* pass(1)
      expect([woken.isWaiting, fixture.pingServer.pings, fixture.eventLog]).toEqual([false, ["10 1"], [
        "0 Connected 1"
      ]])
    }))

  it.scoped("replaces a connection whose peer does not answer within the timeout", () =>
    Effect.gen(function*() {
      const fixture = yield* makeCheckedFixture({ prepare: checked(1, never) })
      yield* pass(12)
      fixture.pingServer.machine.suspendFor(3_600)
      const woken = yield* askNow(wake(fixture))
      yield* pass(9.999)
      expect([woken.isWaiting, fixture.eventLog.length]).toEqual([true, 1])
      yield* pass(0.001)
      expect(woken.isWaiting).toBe(false)
      expect(fixture.eventLog).toEqual(["0 Connected 1", "3622 Disconnected 1 timeout", "3622 Connected 2"])
    }))

  it.scoped("shares a running probe", () =>
    Effect.gen(function*() {
      const fixture = yield* makeCheckedFixture({ prepare: checked(1, () => sleep(5)) })
      yield* pass(31)
      const wakes = [yield* askNow(wake(fixture)), yield* askNow(wake(fixture))]
      yield* pass(4)
      expect(wakes.map(({ isWaiting }) => isWaiting)).toEqual([false, false])
      expect([fixture.pingServer.pings, fixture.eventLog.length]).toEqual([["30 1"], 1])
    }))

  it.scoped("reports one loss, even if several probes detect it", () =>
    Effect.gen(function*() {
      const fixture = yield* makeCheckedFixture({
        prepare: checked(1, () => Effect.zipRight(sleep(5), refuse("gone")))
      })
      yield* pass(31)
      yield* askNow(wake(fixture))
      yield* askNow(wake(fixture))
      yield* pass(60)
      expect(fixture.eventLog).toEqual(["0 Connected 1", "35 Disconnected 1 gone", "35 Connected 2"])
    }))

  it.scoped("does not wait for the probe if the connection is lost", () =>
    Effect.gen(function*() {
      const fixture = yield* makeCheckedFixture({ prepare: checked(1, never) })
      yield* pass(10)
      const woken = yield* askNow(wake(fixture))
      fixture.pingServer.server.line.drop()
      yield* settle
      expect([woken.isWaiting, fixture.eventLog]).toEqual([
        false,
        ["0 Connected 1", "10 Disconnected 1 cleanly", "10 Connected 2"]
      ])
    }))
})

describe("D7: from inside a probe", () => {
  const operations: ReadonlyArray<
    readonly [string, (fixture: CheckedFixture) => Effect.Effect<unknown, unknown>, boolean]
  > = [
    ["close", ({ service }) => service.close, true],
    ["closeFinished after a close", ({ service }) => Effect.zipRight(service.close, service.closeFinished), true],
    ["closeGracefully", ({ service }) => PersistentConnection.closeGracefully(service, "1 minute"), true],
    ["closeWhenCurrentConnectionIsClosed", ({ service }) => service.closeWhenCurrentConnectionIsClosed, false],
    ["connected", ({ service }) => service.connected, false],
    ["connectedOrFailedToConnect", ({ service }) => service.connectedOrFailedToConnect, false],
    ["use", ({ service }) => PersistentConnection.use(service, () => Effect.void), false],
    ["refresh", ({ service }) => PersistentConnection.refresh(service, { drain: 0 }), false],
    [
      "reconnectNow with a probe",
      ({ service }) => PersistentConnection.reconnectNow(service, { whenConnected: "probe" }),
      false
    ]
  ]

  for (const [name, operation, closes] of operations) {
    for (const [how, way] of [["", Effect.interruptible], [" uninterruptibly", Effect.uninterruptible]] as const) {
      it.scoped(`${name}, awaited${how}, does not deadlock`, () =>
        Effect.gen(function*() {
          let calls = 0
          const [fixture, scope] = yield* inScope(makeCheckedFixture())
          fixture.pingServer.ping = () => calls++ === 0 ? way(Effect.orDie(operation(fixture))) : Effect.void
          yield* pass(100)
          expect([calls > 0, fixture.eventLog.filter((line) => /timeout|!/.test(line))]).toEqual([true, []])
          expect((yield* fixture.service.state.get)._tag).toBe(closes ? "Closed" : "Connected")
          expect(yield* hasEnded(scope)).toBe(true)
          expect(fixture.pingServer.server.lines.map(({ released }) => released)).toEqual(
            fixture.pingServer.server.lines.map(() => 1)
          )
        }))
    }
  }

  it.scoped("leaving the scope of the persistent connection does not deadlock", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      const scope = yield* Scope.make()
      let calls = 0
      const { pingServer } = yield* makeCheckedFixture().pipe(Effect.supervised(supervisor), Scope.extend(scope))
      pingServer.ping = () => Effect.suspend(() => calls++ === 0 ? Scope.close(scope, Exit.void) : Effect.void)
      yield* pass(100)
      expect([calls, pingServer.server.line.released]).toEqual([1, 1])
      expect(yield* supervisor.value).toEqual([])
    }))
})

describe("D8: leaving the scope of the persistent connection", () => {
  const moments: ReadonlyArray<readonly [string, PingServer["ping"], number]> = [
    ["between two probes", () => Effect.void, 45],
    ["during a probe", never, 35],
    [
      "during a probe that is slow to be interrupted",
      () => Effect.onInterrupt(never(), () => sleep(5)),
      35
    ],
    ["after a failed probe", () => refuse("gone"), 35]
  ]

  for (const [when, ping, seconds] of moments) {
    it.scoped(`leaves no fiber, no timer and no connection ${when}`, () =>
      Effect.gen(function*() {
        const supervisor = yield* Supervisor.track
        const [{ pingServer }, scope] = yield* inScope(
          Effect.supervised(makeCheckedFixture({ prepare: checked(1, ping) }), supervisor)
        )
        yield* pass(seconds)
        expect((yield* supervisor.value).length).toBeGreaterThan(0)
        expect(yield* hasEnded(scope)).toBe(true)
        expect(yield* supervisor.value).toEqual([])
        expect([pingServer.machine.sleepers, pingServer.inFlight]).toEqual([0, 0])
        expect(pingServer.server.lines.map(({ released }) => released)).toEqual(pingServer.server.lines.map(() => 1))
        const pings = [...pingServer.pings]
        yield* pass(1_000)
        expect(pingServer.pings).toEqual(pings)
      }))
  }

  it.scoped("waits for an uninterruptible probe, at most for closeTimeout", () =>
    Effect.gen(function*() {
      const [, scope] = yield* inScope(makeCheckedFixture({
        closeTimeout: "5 seconds",
        prepare: checked(1, () => Effect.uninterruptible(Effect.never))
      }))
      yield* pass(35)
      const leaving = yield* askNow(Scope.close(scope, Exit.void))
      yield* pass(4.999)
      expect(leaving.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(leaving.isWaiting).toBe(false)
    }))
})

describe("the fibers of a connection", () => {
  it.scoped("are only two besides the loop, even after a long time; one of them sleeps", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      const { pingServer } = yield* Effect.supervised(makeCheckedFixture(), supervisor)
      yield* pass(3_605)
      expect(yield* supervisor.value).toHaveLength(2)
      expect(pingServer.machine.sleepers).toBe(1)
    }))
})
