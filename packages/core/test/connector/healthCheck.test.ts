import { describe, expect } from "@effect/vitest"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import { makeAttempt } from "../support/attempt.js"
import { ask, askNow, type Line, pass, refuse, Refused, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import {
  type CheckOptions,
  connectChecked,
  endOf,
  fixedRandom,
  PingServer,
  SuspendableClock,
  watch
} from "./PingServer.js"

const answering = (ping: PingServer["ping"]) => (pingServer: PingServer) => {
  pingServer.ping = ping
}

const failing = answering(() => refuse("gone"))
const hanging = answering(() => Effect.never)
const uninterruptible = answering(() => Effect.uninterruptible(Effect.never))

const reset = Exit.fail(new Refused({ text: "reset" }))

const time = (ping: string | undefined) => Number(ping?.split(" ")[0])

describe("healthCheck: when it probes", () => {
  it.scoped("first one interval after the connection was established, then one interval after each answer", () =>
    Effect.gen(function*() {
      const { pingServer } = yield* connectChecked({ prepare: answering(() => sleep(5)) })
      yield* pass(29.999)
      expect(pingServer.pings).toEqual([])
      yield* pass(70.001)
      expect(pingServer.pings).toEqual(["30 1", "65 1", "100 1"])
    }))

  it.scoped("each interval is shortened by a random part, up to a quarter", () =>
    Effect.gen(function*() {
      const { pingServer } = yield* connectChecked({ random: fixedRandom(0.999_999) })
      yield* pass(22.5)
      expect(pingServer.pings).toEqual([])
      yield* pass(0.001)
      expect(pingServer.pings).toHaveLength(1)
      yield* pass(22.499)
      expect(pingServer.pings).toHaveLength(1)
      yield* pass(0.001)
      expect(pingServer.pings).toHaveLength(2)
    }))

  it.scoped("T4: the random part is drawn again for each interval, from the Random service, so that clients do not probe in step", () =>
    Effect.gen(function*() {
      const intervals = (seed: number) =>
        Effect.gen(function*() {
          const { release, pingServer } = yield* connectChecked({ random: Random.make(seed) })
          const begun = pingServer.now
          yield* pass(300)
          yield* release
          return pingServer.pings.map((ping, index) =>
            time(ping) - (index === 0 ? begun : time(pingServer.pings[index - 1]))
          )
        })
      const [one, same, other] = [yield* intervals(1), yield* intervals(1), yield* intervals(2)]
      expect(one.map((each) => each.toFixed(3))).toEqual(same.map((each) => each.toFixed(3)))
      expect(new Set([...one, ...other].map((each) => each.toFixed(1))).size).toBeGreaterThan(15)
      for (const each of [...one, ...other]) {
        expect(each).toBeGreaterThanOrEqual(22.5)
        expect(each).toBeLessThanOrEqual(30)
      }
    }))

  it.scoped("a defect of the Random service is the loss of the connection", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ random: { ...fixedRandom(0), next: Effect.die("no entropy") } })
      expect(endOf(yield* watch(checked))).toBe("no entropy!")
    }))

  it.scoped("with an infinite interval only on demand", () =>
    Effect.gen(function*() {
      const { probe, pingServer } = yield* connectChecked({ interval: Duration.infinity })
      yield* pass(100_000_000)
      expect(pingServer.pings).toEqual([])
      yield* probe
      expect(pingServer.pings).toHaveLength(1)
    }))

  it.scoped("also with an interval that is not a whole number of ms", () =>
    Effect.gen(function*() {
      const { pingServer } = yield* connectChecked({ interval: "1500500 micros", random: fixedRandom(0.5) })
      yield* pass(3)
      expect(pingServer.pings).toHaveLength(2)
    }))

  it.scoped("also with an interval longer than the maximum of a platform timer", () =>
    Effect.gen(function*() {
      const { pingServer } = yield* connectChecked({ interval: "60 days" })
      yield* pass(60 * 86_400 - 1)
      expect(pingServer.pings).toEqual([])
      yield* pass(1)
      expect(pingServer.pings).toHaveLength(1)
    }))

  it.each<[string, CheckOptions]>([
    ["interval must be a duration of more than 0, but is 0", { interval: 0 }],
    ["interval must be a duration of more than 0, but is -1", { interval: -1 }],
    ["timeout must be a duration of more than 0, but is \"0 seconds\"", { timeout: "0 seconds" }],
    ["timeout must be a duration of more than 0, but is -1", { timeout: -1 }],
    ["missedProbes must be a whole number of 1 or more, but is 0", { missedProbes: 0 }],
    ["missedProbes must be a whole number of 1 or more, but is 1.5", { missedProbes: 1.5 }],
    ["probe must be a function, but is of type number", { probe: 5 as never }],
    ["activity must be a function, but is of type boolean", { activity: true as never }]
  ])("throws at once: %s", (message, options) => {
    const { connector } = new PingServer(new SuspendableClock(Effect.runSync(Effect.clock))).server
    const all = { probe: () => Effect.void, interval: 1, timeout: 1, ...options }
    expect(() => Connector.healthCheck(connector, all)).toThrow(message)
    expect(() => connector.pipe(Connector.healthCheck(all))).toThrow(message)
  })
})

describe("healthCheck: a failed check is a loss", () => {
  const probes: ReadonlyArray<readonly [string, PingServer["ping"], Cause.Cause<unknown>]> = [
    ["fails", () => refuse("gone"), Cause.fail(new Refused({ text: "gone" }))],
    ["dies", () => Effect.die("bug"), Cause.die("bug")],
    ["throws", () => {
      throw new Error("bug")
    }, Cause.die(new Error("bug"))],
    [
      "interrupts itself",
      () => Effect.interrupt,
      Cause.die(new Cause.InterruptedException("The code interrupted itself"))
    ]
  ]

  for (const [does, ping, cause] of probes) {
    it.scoped(`D5: if the probe ${does}, with that cause`, () =>
      Effect.gen(function*() {
        const checked = yield* connectChecked({ prepare: answering(ping) })
        const watched = yield* watch(checked)
        yield* pass(29.999)
        expect([watched.isWaiting, checked.isClosed()]).toEqual([true, false])
        yield* pass(0.001)
        expect(watched.exit).toEqual(Exit.failCause(cause))
        expect(checked.isClosed()).toBe(true)
      }))
  }

  it.scoped("if there is no answer in time, with a TimeoutException; the probe is interrupted", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const watched = yield* watch(checked)
      yield* pass(39.999)
      expect([watched.isWaiting, checked.isClosed(), checked.pingServer.inFlight]).toEqual([true, false, 1])
      yield* pass(0.001)
      expect(watched.error).toBeInstanceOf(Cause.TimeoutException)
      expect(watched.error).toHaveProperty("message", "No answer from \"test\" to a health check within 10s")
      expect([checked.isClosed(), checked.pingServer.inFlight]).toEqual([true, 0])
    }))

  it.scoped("with an infinite timeout a missing answer is never a loss", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ timeout: Duration.infinity, prepare: hanging })
      yield* pass(100_000)
      expect([checked.isClosed(), checked.pingServer.pings]).toEqual([false, ["30 1"]])
    }))

  it.scoped("and the peer is not probed again", () =>
    Effect.gen(function*() {
      const { pingServer } = yield* connectChecked({ prepare: failing })
      yield* pass(1_000)
      expect(pingServer.pings).toEqual(["30 1"])
      expect(pingServer.machine.sleepers).toBe(0)
    }))

  it.scoped("D4: at once, even if the probe cannot be interrupted", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: uninterruptible })
      const watched = yield* watch(checked)
      yield* pass(40)
      expect([endOf(watched), checked.pingServer.inFlight]).toEqual(["timeout", 1])
    }))

  it.scoped("D4: at once, even if the connector's `closed` hangs when it is interrupted", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({
        prepare: (pingServer) => {
          pingServer.server.closed = () => Effect.onInterrupt(Effect.never, () => Effect.never)
          hanging(pingServer)
        }
      })
      const watched = yield* watch(checked)
      yield* pass(40)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("for all current and later calls of `closed`", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: failing })
      const watches = [yield* watch(checked), yield* watch(checked), yield* watch(checked)]
      yield* pass(30)
      watches.push(yield* watch(checked))
      expect(watches.map(endOf)).toEqual(["gone", "gone", "gone", "gone"])
    }))

  it.scoped("even if no `closed` is running at that time", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: failing })
      yield* pass(30)
      expect(checked.isClosed()).toBe(true)
      expect(endOf(yield* watch(checked))).toBe("gone")
    }))

  it.scoped("and other connections are not affected", () =>
    Effect.gen(function*() {
      const { closed, connector, isClosed, pingServer } = yield* connectChecked({
        prepare: answering((line) => line.number === 1 ? refuse("gone") : Effect.void)
      })
      const other = yield* connector.connect("a", makeAttempt()).pipe(Effect.withClock(pingServer.machine))
      const watches = [yield* askNow(closed), yield* askNow(connector.closed(other))]
      yield* pass(300)
      expect(watches.map(endOf)).toEqual(["gone", undefined])
      expect([isClosed(), connector.isClosed?.(other)]).toEqual([true, false])
    }))
})

describe("healthCheck: a missed probe", () => {
  const twice = { missedProbes: undefined, prepare: hanging }

  it.scoped("is followed by another probe at once; by default two missed probes end the connection", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked(twice)
      const watched = yield* watch(checked)
      yield* pass(49.999)
      expect([watched.isWaiting, checked.pingServer.pings]).toEqual([true, ["30 1", "40 1"]])
      yield* pass(0.001)
      expect(watched.error).toHaveProperty("message", "No answer from \"test\" to a health check within 20s")
      expect([checked.pingServer.maxInFlight, checked.pingServer.inFlight]).toEqual([1, 0])
    }))

  it.scoped("ends the connection after `missedProbes` missed probes", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ missedProbes: 4, prepare: hanging })
      const watched = yield* watch(checked)
      yield* pass(69.999)
      expect([watched.isWaiting, checked.pingServer.pings.length]).toEqual([true, 4])
      yield* pass(0.001)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("no longer counts after an answer to the next probe", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({
        missedProbes: 2,
        prepare: (pingServer) => {
          pingServer.ping = () => pingServer.pings.length % 2 === 1 ? Effect.never : Effect.void
        }
      })
      yield* pass(121)
      expect([checked.isClosed(), checked.pingServer.pings]).toEqual([false, [
        "30 1",
        "40 1",
        "70 1",
        "80 1",
        "110 1",
        "120 1"
      ]])
    }))

  it.scoped("does not follow a failed probe, which ends the connection at once", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ missedProbes: 5, prepare: failing })
      const watched = yield* watch(checked)
      yield* pass(30)
      expect([endOf(watched), checked.pingServer.pings.length]).toEqual(["gone", 1])
    }))

  it.scoped("whose probe cannot be interrupted counts again after each timeout, because only one probe runs at a time", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ missedProbes: 3, prepare: uninterruptible })
      const watched = yield* watch(checked)
      yield* pass(59.999)
      expect([watched.isWaiting, checked.pingServer.pings, checked.pingServer.inFlight]).toEqual([true, ["30 1"], 1])
      yield* pass(0.001)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("no longer counts after received data, also if the probe cannot be interrupted", () =>
    Effect.gen(function*() {
      let received = 0
      const checked = yield* connectChecked({ missedProbes: 2, prepare: uninterruptible, activity: () => received })
      const watched = yield* watch(checked)
      yield* pass(45)
      received++
      yield* pass(24.999)
      expect(watched.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("does not count if data was received during the probe, regardless of earlier missed probes", () =>
    Effect.gen(function*() {
      let received = 0
      const checked = yield* connectChecked({ missedProbes: 2, prepare: hanging, activity: () => received })
      yield* pass(45)
      received++
      yield* pass(15)
      expect([checked.isClosed(), checked.pingServer.pings, checked.pingServer.inFlight]).toEqual([false, [
        "30 1",
        "40 1"
      ], 0])
    }))
})

describe("healthCheck: round-trip time", () => {
  it.scoped("is measured for every answer, in seconds, by server", () =>
    Effect.gen(function*() {
      const measured = Metric.value(Metric.tagged(ConnectionMetrics.roundTripTime, "server_name", "test"))
      const before = yield* measured
      const checked = yield* connectChecked({
        missedProbes: 2,
        prepare: (pingServer) => {
          pingServer.ping = () => pingServer.pings.length === 2 ? Effect.never : sleep(0.25)
        }
      })
      yield* pass(80)
      const after = yield* measured
      expect(checked.pingServer.pings).toEqual(["30 1", "60.25 1", "70.25 1"])
      expect([after.count - before.count, after.sum - before.sum]).toEqual([2, 0.5])
    }))
})

describe("healthCheck: changes of the wall clock", () => {
  it.scoped("T5: affect neither the time of a probe nor the time of the loss", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const watched = yield* watch(checked)
      const { machine, pings } = checked.pingServer
      machine.setWallClock(-3_600)
      yield* pass(29.999)
      expect(pings).toHaveLength(0)
      yield* pass(0.001)
      expect(pings).toHaveLength(1)
      machine.setWallClock(7_200)
      yield* pass(9.999)
      expect(watched.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(endOf(watched)).toBe("timeout")
    }))
})

describe("healthCheck: losses that the connector reports", () => {
  const ends: ReadonlyArray<readonly [string, Exit.Exit<void, Refused>, Exit.Exit<unknown, unknown>]> = [
    ["closed without an error", Exit.void, Exit.void],
    ["reset", reset, reset],
    ["broken by a bug", Exit.die("bug"), Exit.die("bug")]
  ]

  for (const [how, exit, expected] of ends) {
    it.scoped(`D5: a connection that is ${how} ends with the connector's result`, () =>
      Effect.gen(function*() {
        const checked = yield* connectChecked()
        const watches = [yield* watch(checked), yield* watch(checked)]
        checked.line.drop(exit)
        yield* settle
        watches.push(yield* watch(checked))
        expect(watches.map(({ exit }) => exit)).toEqual([expected, expected, expected])
        expect(checked.isClosed()).toBe(true)
      }))

    it.scoped(`take priority if a probe fails because the connection is ${how}`, () =>
      Effect.gen(function*() {
        const checked = yield* connectChecked({
          prepare: answering((line) =>
            Effect.catchAllCause(line.lost, () => Effect.void).pipe(Effect.zipRight(refuse("the line is dead")))
          )
        })
        const watched = yield* watch(checked)
        yield* pass(30)
        checked.line.drop(exit)
        yield* settle
        expect(watched.exit).toEqual(expected)
      }))
  }

  it.scoped("are not awaited: a peer that never confirms the close is probed, and found dead", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: failing })
      const watched = yield* watch(checked)
      // Like a WebSocket during its closing handshake: `isClosed` is true, but `closed` does not end.
      checked.line.isLost = true
      expect(checked.isClosed()).toBe(true)
      yield* pass(30)
      expect(endOf(watched)).toBe("gone")
    }))

  it.scoped("isClosed reports the loss even if the connector has no `isClosed`", () =>
    Effect.gen(function*() {
      const connector = Connector.make<string, object>({
        connect: () => Effect.succeed({}),
        closed: () => Effect.never
      }).pipe(Connector.healthCheck({ probe: () => Effect.fail("gone"), interval: 1, timeout: 1 }))
      const connection = yield* connector.connect("a", makeAttempt())
      expect(connector.isClosed?.(connection)).toBe(false)
      yield* pass(1)
      expect(connector.isClosed?.(connection)).toBe(true)
    }))

  it.scoped("isClosed is true from the moment at which `closed` ends", () =>
    Effect.gen(function*() {
      const lost = yield* Deferred.make<void>()
      const connector = Connector.make<string, object>({
        connect: () => Effect.succeed({}),
        closed: () => Deferred.await(lost)
      }).pipe(Connector.healthCheck({ probe: () => Effect.void, interval: 1000, timeout: 1 }))
      const connection = yield* connector.connect("a", makeAttempt())
      const interrupted = yield* askNow(connector.closed(connection))
      yield* askNow(connector.closed(connection))
      yield* Fiber.interruptFork(interrupted.fiber)
      yield* settle
      expect([endOf(interrupted), connector.isClosed?.(connection)]).toEqual(["interrupted", false])
      yield* Deferred.succeed(lost, undefined)
      yield* Effect.yieldNow()
      expect(connector.isClosed?.(connection)).toBe(true)
    }))

  it.scoped("connections of other connectors are rejected", () =>
    Effect.gen(function*() {
      const { connector } = yield* connectChecked()
      const { line } = yield* connectChecked()
      const cause = yield* Effect.flip(Effect.sandbox(connector.closed(line)))
      expect(Cause.squash(cause)).toBeInstanceOf(Cause.IllegalArgumentException)
    }))
})

describe("healthCheck: several calls of `closed`", () => {
  it.scoped("share one prober", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked()
      for (let watches = 0; watches < 10; watches++) yield* watch(checked)
      yield* pass(60)
      expect(checked.pingServer.pings).toEqual(["30 1", "60 1"])
    }))

  it.scoped("can be interrupted without an effect on the other calls, the prober or the connection", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({
        prepare: (pingServer) => {
          pingServer.ping = (line) =>
            time(pingServer.pings.at(-1)) < 90 ? Effect.void : refuse(`${line.number} is gone`)
        }
      })
      const first = yield* watch(checked)
      const second = yield* watch(checked)
      yield* pass(30)
      yield* Fiber.interruptFork(first.fiber)
      yield* pass(30)
      expect([endOf(first), endOf(second), checked.pingServer.pings.length]).toEqual(["interrupted", undefined, 2])
      yield* Fiber.interruptFork(second.fiber)
      yield* pass(30)
      expect([checked.pingServer.pings.length, checked.line.released]).toEqual([3, 0])
      expect(endOf(yield* watch(checked))).toBe("1 is gone")
    }))

  it.scoped("end at once when they are interrupted, even if the connector's `closed` hangs then", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({
        prepare: ({ server }) => {
          server.closed = () => Effect.onInterrupt(Effect.never, () => Effect.never)
        }
      })
      const { fiber } = yield* watch(checked)
      const interrupting = yield* askNow(Fiber.interrupt(fiber))
      expect(interrupting.isWaiting).toBe(false)
    }))

  it.scoped("run the connector's `closed` for as long as they run, and no longer", () =>
    Effect.gen(function*() {
      let running = 0
      const checked = yield* connectChecked({
        prepare: ({ server }) => {
          server.closed = ({ lost }) =>
            Effect.acquireUseRelease(Effect.sync(() => running++), () => lost, () => Effect.sync(() => running--))
        }
      })
      const first = yield* watch(checked)
      yield* watch(checked)
      expect(running).toBe(2)
      yield* Fiber.interruptFork(first.fiber)
      yield* settle
      expect(running).toBe(1)
      checked.line.drop()
      yield* settle
      expect(running).toBe(0)
    }))
})

describe("healthCheck: received data replaces probes", () => {
  const received = { activity: (line: Line) => current?.activity(line) }
  let current: PingServer | undefined

  /** A checked connection with the `activity` option. */
  const connectWithActivity = (options: CheckOptions & { readonly prepare?: (pingServer: PingServer) => void } = {}) =>
    Effect.map(connectChecked({ ...received, ...options }), (checked) => {
      current = checked.pingServer
      return checked
    })

  /** Receives data at a regular interval, in seconds. */
  const receiveRegularly = (pingServer: PingServer, line: Line, every: number, times: number) =>
    Effect.replicateEffect(Effect.zipRight(pass(every), Effect.sync(() => pingServer.receive(line))), times)

  it.scoped("no probe is sent while data is received in each half of an interval", () =>
    Effect.gen(function*() {
      const { line, pingServer } = yield* connectWithActivity({ prepare: failing })
      yield* receiveRegularly(pingServer, line, 14, 40)
      expect(pingServer.pings).toEqual([])
    }))

  it.scoped("the first probe follows half an interval of silence, later ones follow whole intervals", () =>
    Effect.gen(function*() {
      const { line, pingServer } = yield* connectWithActivity()
      yield* pass(1)
      pingServer.receive(line)
      yield* pass(43)
      expect(pingServer.pings).toEqual([])
      yield* pass(31)
      expect(pingServer.pings).toEqual(["45 1", "75 1"])
    }))

  it.scoped("silence is detected at the latest one interval plus the timeout after the last received data", () =>
    Effect.gen(function*() {
      const checked = yield* connectWithActivity({ prepare: hanging })
      const { line, pingServer } = checked
      const watched = yield* watch(checked)
      yield* pass(15)
      pingServer.receive(line)
      yield* pass(15.001)
      pingServer.receive(line)
      yield* pass(39.998)
      expect([pingServer.pings, watched.isWaiting]).toEqual([["60 1"], true])
      yield* pass(0.001)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("an idle peer that answers its probes stays connected", () =>
    Effect.gen(function*() {
      const checked = yield* connectWithActivity()
      yield* pass(3_600)
      expect([checked.isClosed(), checked.pingServer.pings.length]).toEqual([false, 120])
    }))

  it.scoped("values of `activity` are compared by Object.is", () =>
    Effect.gen(function*() {
      const { pingServer: never } = yield* connectChecked({ activity: () => NaN })
      const { pingServer: always } = yield* connectChecked({ activity: () => ({}) })
      yield* pass(60)
      expect([never.pings.length, always.pings.length]).toEqual([2, 0])
    }))

  it.scoped("D10: an `activity` that throws is a loss with that defect", () =>
    Effect.gen(function*() {
      let calls = 0
      const checked = yield* connectChecked({
        activity: () => {
          if (calls++ > 0) throw new Error("bug")
        }
      })
      const watched = yield* watch(checked)
      yield* pass(30)
      expect(watched.exit).toEqual(Exit.die(new Error("bug")))
    }))

  it.scoped("a busy link: an answer that is delayed behind other traffic is not a loss", () =>
    Effect.gen(function*() {
      const checked = yield* connectWithActivity({ prepare: hanging })
      const { line, pingServer } = checked
      yield* pass(30)
      expect(pingServer.inFlight).toBe(1)
      // After 30 seconds of silence, one long message delays the answer.
      yield* receiveRegularly(pingServer, line, 4, 20)
      expect([checked.isClosed(), pingServer.inFlight, pingServer.pings]).toEqual([false, 0, ["30 1"]])
    }))

  it.scoped("a busy link: when the silence starts again, the peer is probed again", () =>
    Effect.gen(function*() {
      const checked = yield* connectWithActivity({ prepare: hanging })
      const { line, pingServer } = checked
      const watched = yield* watch(checked)
      yield* pass(35)
      pingServer.receive(line)
      yield* pass(34.999)
      expect([pingServer.pings, watched.isWaiting]).toEqual([["30 1"], true])
      yield* pass(0.001)
      expect(pingServer.pings).toEqual(["30 1", "70 1"])
      yield* pass(10)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("a busy link: an uninterruptible probe does not overlap with another one, and the silence is still detected", () =>
    Effect.gen(function*() {
      const checked = yield* connectWithActivity({ prepare: uninterruptible })
      const { line, pingServer } = checked
      const watched = yield* watch(checked)
      yield* pass(30)
      yield* receiveRegularly(pingServer, line, 5, 20)
      expect([pingServer.inFlight, pingServer.pings, watched.isWaiting]).toEqual([1, ["30 1"], true])
      yield* pass(20)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("a failed probe is a loss, even if data is received", () =>
    Effect.gen(function*() {
      const checked = yield* connectWithActivity({
        prepare: answering(() => Effect.zipRight(sleep(5), refuse("gone")))
      })
      const { line, pingServer } = checked
      const watched = yield* watch(checked)
      yield* pass(30)
      yield* receiveRegularly(pingServer, line, 1, 5)
      expect(endOf(watched)).toBe("gone")
    }))
})

describe("healthCheck: a machine that was suspended", () => {
  it.scoped("during an interval: afterwards the peer has the full timeout to answer", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: answering(() => sleep(9.999)) })
      const { machine, pings } = checked.pingServer
      yield* pass(15)
      machine.suspendFor(3_600)
      yield* pass(24.999)
      expect([pings, checked.isClosed()]).toEqual([["3630 1"], false])
      yield* pass(30)
      expect([pings, checked.isClosed()]).toEqual([["3630 1", "3669.999 1"], false])
    }))

  it.scoped("during a probe: an answer that arrived during the suspension counts", () =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const checked = yield* connectChecked({ prepare: answering(() => Deferred.await(answer)) })
      yield* pass(35)
      checked.pingServer.machine.suspendFor(3_600)
      // After the wake-up the deadline fires before the received data is processed.
      yield* pass(5)
      expect(checked.isClosed()).toBe(false)
      yield* pass(9)
      yield* Deferred.succeed(answer, undefined)
      yield* pass(20)
      expect([checked.isClosed(), checked.pingServer.pings.length]).toEqual([false, 1])
    }))

  it.scoped("during a probe: without an answer the connection is lost after one more timeout", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const watched = yield* watch(checked)
      yield* pass(35)
      checked.pingServer.machine.suspendFor(3_600)
      yield* pass(14.999)
      expect(watched.isWaiting).toBe(true)
      yield* pass(0.001)
      expect([endOf(watched), checked.pingServer.pings.length]).toEqual(["timeout", 1])
    }))

  it.scoped("repeatedly, like a page in the background: the loss is still detected", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const watched = yield* watch(checked)
      yield* pass(30)
      for (let minute = 0; minute < 2; minute++) {
        expect(watched.isWaiting).toBe(true)
        yield* pass(5)
        checked.pingServer.machine.suspendFor(55)
        yield* pass(5)
      }
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("a deadline that fires slightly late does not extend the timeout", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const watched = yield* watch(checked)
      yield* pass(35)
      checked.pingServer.machine.suspendFor(1)
      yield* pass(5)
      expect(endOf(watched)).toBe("timeout")
    }))

  it.scoped("an answer after the deadline counts if it is processed before the deadline fires", () =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const checked = yield* connectChecked({ prepare: answering(() => Deferred.await(answer)) })
      yield* pass(35)
      checked.pingServer.machine.suspendFor(60)
      yield* Deferred.succeed(answer, undefined)
      yield* pass(29)
      expect([checked.isClosed(), checked.pingServer.pings.length]).toEqual([false, 1])
    }))
})

describe("healthCheck: on demand", () => {
  it.scoped("probes at once, and the connection is lost if the peer does not answer within the timeout", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const watched = yield* watch(checked)
      yield* pass(1)
      const asked = yield* askNow(checked.probe)
      expect(checked.pingServer.pings).toEqual(["1 1"])
      yield* pass(9.999)
      expect([asked.isWaiting, checked.isClosed()]).toEqual([true, false])
      yield* pass(0.001)
      expect([endOf(asked), endOf(watched), checked.isClosed()]).toEqual(["timeout", "timeout", true])
    }))

  it.scoped("succeeds if the peer answers; fails if not, also in later calls", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked()
      expect(endOf(yield* askNow(checked.probe))).toBe("closed")
      failing(checked.pingServer)
      expect(endOf(yield* askNow(checked.probe))).toBe("gone")
      answering(() => Effect.void)(checked.pingServer)
      expect(endOf(yield* askNow(checked.probe))).toBe("gone")
      expect(checked.pingServer.pings).toHaveLength(2)
    }))

  it.effect("dies for a connection of another connector", () =>
    Effect.gen(function*() {
      const { probe } = Connector.healthCheck(
        Connector.make({ connect: () => Effect.succeed({}), closed: () => Effect.never }),
        { probe: () => Effect.void, interval: "1 second", timeout: "1 second" }
      )
      const exit = yield* Effect.exit(probe!({}))
      expect(String(exit)).toContain("The connection does not belong to this connector")
    }))

  it.scoped("shares a running probe: there is one probe at a time", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: answering(() => sleep(5)) })
      yield* pass(29)
      const early = yield* ask(checked.probe)
      yield* pass(2)
      const late = [yield* askNow(checked.probe), yield* askNow(checked.probe)]
      expect([early, ...late].map(endOf)).toEqual([undefined, undefined, undefined])
      yield* pass(3)
      expect([early, ...late].map(endOf)).toEqual(["closed", "closed", "closed"])
      expect([checked.pingServer.pings, checked.pingServer.maxInFlight]).toEqual([["29 1"], 1])
    }))

  it.scoped("an interrupted caller does not stop the probe", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const asked = yield* askNow(checked.probe)
      const other = yield* askNow(checked.probe)
      yield* Fiber.interruptFork(asked.fiber)
      yield* pass(10)
      expect([endOf(other), checked.isClosed()]).toEqual(["timeout", true])
    }))

  it.scoped("fails with the loss if the connection is already lost for another reason", () =>
    Effect.gen(function*() {
      let isBroken = false
      const checked = yield* connectChecked({
        prepare: hanging,
        activity: () => {
          if (isBroken) throw new Error("bug")
        }
      })
      yield* pass(25)
      const asked = yield* askNow(checked.probe)
      isBroken = true
      yield* pass(5)
      expect([endOf(asked), checked.isClosed()]).toEqual(["bug!", true])
    }))

  it.scoped("D7: a probe that asks for a probe does not wait for itself", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({
        prepare: (pingServer) => {
          pingServer.ping = (line) => Effect.orDie(patientOf().connector.probe!(line))
        }
      })
      const patientOf = () => checked
      const asked = yield* askNow(checked.probe)
      expect([endOf(asked), checked.pingServer.pings.length]).toEqual(["closed", 1])
    }))

  it.scoped("does not hang while the connection is being released", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({ prepare: hanging })
      const asked = yield* askNow(checked.probe)
      yield* checked.release
      yield* settle
      // The caller does not look interrupted itself.
      expect([endOf(asked), checked.isClosed()]).toEqual(["The code interrupted itself!", true])
    }))
})

describe("healthCheck: release", () => {
  const probes: ReadonlyArray<readonly [string, PingServer["ping"], number]> = [
    ["between two probes", () => Effect.void, 10],
    ["during a probe", () => Effect.never, 35],
    ["after a failed probe", () => refuse("gone"), 35],
    ["after a probe without an answer", () => Effect.never, 45]
  ]

  for (const [when, ping, seconds] of probes) {
    it.scoped(`D8: leaves no fiber and no timer if the connection is released ${when}`, () =>
      Effect.gen(function*() {
        const supervisor = yield* Supervisor.track
        const checked = yield* Effect.supervised(connectChecked({ prepare: answering(ping) }), supervisor)
        const watches = [yield* watch(checked), yield* watch(checked)]
        yield* pass(seconds)
        yield* checked.release
        expect(checked.pingServer.machine.sleepers).toBe(0)
        expect(checked.pingServer.inFlight).toBe(0)
        const own = new Set(watches.map(({ fiber }) => fiber.id().id))
        const left = (yield* supervisor.value).filter((fiber) => !own.has(fiber.id().id))
        expect(left).toEqual([])
        yield* pass(1_000)
        expect(checked.pingServer.pings.length).toBeLessThanOrEqual(1)
      }))
  }

  it.scoped("D8: leaves nothing if the attempt fails or is interrupted", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      for (const connect of [refuse("no"), Effect.never, Effect.die("bug")]) {
        const pingServer = new PingServer(new SuspendableClock(yield* Effect.clock))
        pingServer.server.connect = () => connect
        const attempting = yield* askNow(
          Effect.scoped(pingServer.connector().connect("a", makeAttempt())).pipe(
            Effect.supervised(supervisor),
            Effect.withClock(pingServer.machine)
          )
        )
        yield* Fiber.interruptFork(attempting.fiber)
        yield* settle
        expect(attempting.isWaiting).toBe(false)
        expect(pingServer.machine.sleepers).toBe(0)
      }
      expect(yield* supervisor.value).toEqual([])
    }))

  it.scoped("D8: waits for an uninterruptible probe, after everything else has been released", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const checked = yield* connectChecked({
        prepare: (pingServer) => {
          pingServer.server.release = (line) =>
            Effect.sync(() => {
              log.push("connection released")
              line.drop()
            })
          // The probe ends only after the release of the connection: waiting for it first would be a deadlock.
          pingServer.ping = (line) =>
            Effect.uninterruptible(
              Effect.zipRight(Effect.ignore(line.lost), Effect.zipRight(sleep(3), Effect.sync(() => log.push("probe"))))
            )
        }
      })
      yield* pass(30)
      const releasing = yield* askNow(checked.release)
      expect([releasing.isWaiting, log]).toEqual([true, ["connection released"]])
      yield* pass(3)
      expect([releasing.isWaiting, log]).toEqual([false, ["connection released", "probe"]])
      expect(checked.isClosed()).toBe(true)
    }))

  it.scoped("D8: waits for a running `closed` of the connector", () =>
    Effect.gen(function*() {
      const letGo = yield* Deferred.make<void>()
      const checked = yield* connectChecked({
        prepare: (pingServer) => {
          pingServer.server.closed = () => Effect.onInterrupt(Effect.never, () => Deferred.await(letGo))
          failing(pingServer)
        }
      })
      const watched = yield* watch(checked)
      yield* pass(30)
      expect(endOf(watched)).toBe("gone")
      const releasing = yield* askNow(checked.release)
      expect([releasing.isWaiting, checked.line.released]).toEqual([true, 1])
      yield* Deferred.succeed(letGo, undefined)
      yield* settle
      expect(releasing.isWaiting).toBe(false)
    }))

  it.scoped("a probe that ends after the release has no effect", () =>
    Effect.gen(function*() {
      for (const end of [refuse("gone"), Effect.void, Effect.die("bug")]) {
        const checked = yield* connectChecked({
          prepare: answering(() => Effect.uninterruptible(Effect.zipRight(sleep(8), end)))
        })
        yield* pass(30)
        yield* askNow(checked.release)
        yield* pass(100)
        expect([endOf(yield* watch(checked)), checked.line.released, checked.pingServer.pings.length]).toEqual([
          undefined,
          1,
          1
        ])
      }
    }))

  it.scoped("after the release, `closed` is the `closed` of the connector", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked()
      yield* checked.release
      const watched = yield* watch(checked)
      expect(watched.isWaiting).toBe(true)
      checked.line.drop(reset)
      yield* settle
      expect(endOf(watched)).toBe("reset")
    }))

  it.scoped("D8: after the release, interrupting `closed` waits for its end", () =>
    Effect.gen(function*() {
      const checked = yield* connectChecked({
        prepare: ({ server }) => {
          server.closed = () => Effect.onInterrupt(Effect.never, () => sleep(5))
        }
      })
      yield* checked.release
      const { fiber } = yield* watch(checked)
      const interrupting = yield* askNow(Fiber.interrupt(fiber))
      expect(interrupting.isWaiting).toBe(true)
      yield* pass(5)
      expect(interrupting.isWaiting).toBe(false)
    }))
})

describe("healthCheck: the environment of a probe", () => {
  class Pinger extends Context.Tag("test/Pinger")<Pinger, { readonly ping: Effect.Effect<void> }>() {}

  const bare = Connector.make<string, object>({ connect: () => Effect.succeed({}), closed: () => Effect.never })

  it.scoped("has the services of the attempt", () =>
    Effect.gen(function*() {
      let pings = 0
      const connector = bare.pipe(
        Connector.healthCheck({ probe: () => Effect.flatMap(Pinger, ({ ping }) => ping), interval: 1, timeout: 1 })
      )
      const connection = yield* Effect.provideService(connector.connect("a", makeAttempt()), Pinger, {
        ping: Effect.sync(() => {
          pings++
        })
      })
      yield* pass(0.001)
      yield* connector.probe!(connection)
      expect(pings).toBe(2)
    }))

  it.scoped("has its own scope, which is closed when the probe has ended", () =>
    Effect.gen(function*() {
      let held = 0
      let most = 0
      const hold = Effect.acquireRelease(
        Effect.sync(() => {
          most = Math.max(most, ++held)
        }),
        () => Effect.sync(() => held--)
      )
      const connector = bare.pipe(Connector.healthCheck({ probe: () => hold, interval: 1, timeout: 1 }))
      const connection = yield* connector.connect("a", makeAttempt())
      for (let probes = 0; probes < 10; probes++) yield* connector.probe!(connection)
      expect([held, most]).toEqual([0, 1])
    }))

  it.scoped("does not have the span of the attempt, which has ended", () =>
    Effect.gen(function*() {
      const parents: Array<Option.Option<unknown>> = []
      const probe = () => Effect.map(Effect.option(Effect.currentParentSpan), (parent) => parents.push(parent))
      const connector = bare.pipe(Connector.healthCheck({ probe, interval: 1, timeout: 1 }))
      const connection = yield* Effect.withSpan(connector.connect("a", makeAttempt()), "attempt")
      yield* connector.probe!(connection)
      expect(parents).toEqual([Option.none()])
    }))

  it.scoped("D1: is interruptible even if the attempt was not", () =>
    Effect.gen(function*() {
      const checked = yield* Effect.uninterruptible(connectChecked({ prepare: hanging }))
      const watched = yield* watch(checked)
      yield* pass(40)
      expect([endOf(watched), checked.pingServer.inFlight]).toEqual(["timeout", 0])
    }))
})

describe("healthCheck: with other combinators", () => {
  const passesOn = <Connection, E>(
    name: string,
    combine: (connector: ReturnType<PingServer["connector"]>) => Connector.Connector<string, Connection, E>
  ) =>
    it.scoped(`${name}: passes on the loss and the probe`, () =>
      Effect.gen(function*() {
        const pingServer = new PingServer(new SuspendableClock(yield* Effect.clock))
        const connector = combine(pingServer.connector())
        const connection = yield* connector.connect("a", makeAttempt()).pipe(Effect.withRandom(fixedRandom(0)))
        expect(endOf(yield* askNow(connector.probe!(connection)))).toBe("closed")
        const watched = yield* askNow(connector.closed(connection))
        failing(pingServer)
        yield* pass(30)
        expect([endOf(watched), connector.isClosed?.(connection)]).toEqual(["gone", true])
      }))

  passesOn("map", Connector.map((line) => ({ line })))
  passesOn("setup", Connector.setup((line) => Effect.succeed({ line })))
  passesOn("mapError", Connector.mapError((error) => error.message))
  passesOn("mapAddress", Connector.mapAddress((address: string) => address))
  passesOn("connectTimeout", Connector.connectTimeout("1 second"))
  passesOn("limitAttempts", Connector.limitAttempts(Connector.makeAttemptLimiter(1)))
  passesOn(
    "another health check",
    Connector.healthCheck({ probe: () => Effect.void, interval: "7 seconds", timeout: "1 second" })
  )

  it.scoped("setup: a peer that falls silent during the set-up fails the attempt", () =>
    Effect.gen(function*() {
      const pingServer = new PingServer(new SuspendableClock(yield* Effect.clock))
      hanging(pingServer)
      const connector = pingServer.connector().pipe(Connector.setup(() => Effect.never))
      const scope = yield* Scope.make()
      const attempting = yield* askNow(
        Scope.extend(connector.connect("a", makeAttempt()), scope).pipe(Effect.withRandom(fixedRandom(0)))
      )
      yield* pass(39.999)
      expect(attempting.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(endOf(attempting)).toBe("timeout")
      yield* Scope.close(scope, Exit.void)
      expect(pingServer.server.line.released).toBe(1)
    }))
})
