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
import { ask, askNow, type Line, pass, refuse, Refused, settle, sleep } from "../support/Life.js"
import { it } from "../support/virtualTime.js"
import { admit, type CheckOptions, drawing, ending, Machine, Ward, watch } from "./Ward.js"

const answering = (ping: Ward["ping"]) => (ward: Ward) => {
  ward.ping = ping
}

const failing = answering(() => refuse("gone"))
const hanging = answering(() => Effect.never)
const stubborn = answering(() => Effect.uninterruptible(Effect.never))

const reset = Exit.fail(new Refused({ text: "reset" }))

const time = (ping: string | undefined) => Number(ping?.split(" ")[0])

describe("healthCheck: when the peer is asked", () => {
  it.scoped("first an interval after the connection was established, then an interval after each answer", () =>
    Effect.gen(function*() {
      const { ward } = yield* admit({ prepare: answering(() => sleep(5)) })
      yield* pass(29.999)
      expect(ward.pings).toEqual([])
      yield* pass(70.001)
      expect(ward.pings).toEqual(["30 1", "65 1", "100 1"])
    }))

  it.scoped("every interval is shortened by a random part of it, up to a quarter", () =>
    Effect.gen(function*() {
      const { ward } = yield* admit({ random: drawing(0.999_999) })
      yield* pass(22.5)
      expect(ward.pings).toEqual([])
      yield* pass(0.001)
      expect(ward.pings).toHaveLength(1)
      yield* pass(22.499)
      expect(ward.pings).toHaveLength(1)
      yield* pass(0.001)
      expect(ward.pings).toHaveLength(2)
    }))

  it.scoped("T4: … drawn anew each time, from the Random service, so that clients do not ask in step", () =>
    Effect.gen(function*() {
      const intervals = (seed: number) =>
        Effect.gen(function*() {
          const { release, ward } = yield* admit({ random: Random.make(seed) })
          const begun = ward.now
          yield* pass(300)
          yield* release
          return ward.pings.map((ping, index) => time(ping) - (index === 0 ? begun : time(ward.pings[index - 1])))
        })
      const [one, same, other] = [yield* intervals(1), yield* intervals(1), yield* intervals(2)]
      expect(one.map((each) => each.toFixed(3))).toEqual(same.map((each) => each.toFixed(3)))
      expect(new Set([...one, ...other].map((each) => each.toFixed(1))).size).toBeGreaterThan(15)
      for (const each of [...one, ...other]) {
        expect(each).toBeGreaterThanOrEqual(22.5)
        expect(each).toBeLessThanOrEqual(30)
      }
    }))

  it.scoped("not at all if the interval is infinite, except on demand", () =>
    Effect.gen(function*() {
      const { probe, ward } = yield* admit({ interval: Duration.infinity })
      yield* pass(100_000_000)
      expect(ward.pings).toEqual([])
      yield* probe
      expect(ward.pings).toHaveLength(1)
    }))

  it.scoped("also if the interval is no whole number of milliseconds", () =>
    Effect.gen(function*() {
      const { ward } = yield* admit({ interval: "1500500 micros", random: drawing(0.5) })
      yield* pass(3)
      expect(ward.pings).toHaveLength(2)
    }))

  it.scoped("also after intervals that are longer than a timer of the machine can be", () =>
    Effect.gen(function*() {
      const { ward } = yield* admit({ interval: "60 days" })
      yield* pass(60 * 86_400 - 1)
      expect(ward.pings).toEqual([])
      yield* pass(1)
      expect(ward.pings).toHaveLength(1)
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
  ])("%s: refused at once", (message, options) => {
    const { connector } = new Ward(new Machine(Effect.runSync(Effect.clock))).server
    const all = { probe: () => Effect.void, interval: 1, timeout: 1, ...options }
    expect(() => Connector.healthCheck(connector, all)).toThrow(message)
    expect(() => connector.pipe(Connector.healthCheck(all))).toThrow(message)
  })
})

describe("healthCheck: a connection that is ill is lost", () => {
  const probes: ReadonlyArray<readonly [string, Ward["ping"], Cause.Cause<unknown>]> = [
    ["fails", () => refuse("gone"), Cause.fail(new Refused({ text: "gone" }))],
    ["dies", () => Effect.die("bug"), Cause.die("bug")],
    ["throws", () => {
      throw new Error("bug")
    }, Cause.die(new Error("bug"))],
    [
      "interrupts itself",
      () => Effect.interrupt,
      Cause.die(new Cause.InterruptedException("It was interrupted from within"))
    ]
  ]

  for (const [does, ping, cause] of probes) {
    it.scoped(`D5: when the probe ${does}, with that cause`, () =>
      Effect.gen(function*() {
        const patient = yield* admit({ prepare: answering(ping) })
        const watched = yield* watch(patient)
        yield* pass(29.999)
        expect([watched.isWaiting, patient.isClosed()]).toEqual([true, false])
        yield* pass(0.001)
        expect(watched.exit).toEqual(Exit.failCause(cause))
        expect(patient.isClosed()).toBe(true)
      }))
  }

  it.scoped("when there is no answer in time, with a TimeoutException that says so, and the probe is interrupted", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const watched = yield* watch(patient)
      yield* pass(39.999)
      expect([watched.isWaiting, patient.isClosed(), patient.ward.out]).toEqual([true, false, 1])
      yield* pass(0.001)
      expect(watched.error).toBeInstanceOf(Cause.TimeoutException)
      expect(watched.error).toHaveProperty("message", "No answer from \"test\" to a health check within 10s")
      expect([patient.isClosed(), patient.ward.out]).toEqual([true, 0])
    }))

  it.scoped("never for want of an answer if the timeout is infinite", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ timeout: Duration.infinity, prepare: hanging })
      yield* pass(100_000)
      expect([patient.isClosed(), patient.ward.pings]).toEqual([false, ["30 1"]])
    }))

  it.scoped("and its peer is not asked again", () =>
    Effect.gen(function*() {
      const { ward } = yield* admit({ prepare: failing })
      yield* pass(1_000)
      expect(ward.pings).toEqual(["30 1"])
      expect(ward.machine.sleepers).toBe(0)
    }))

  it.scoped("D4: at once, even if the probe cannot be interrupted", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: stubborn })
      const watched = yield* watch(patient)
      yield* pass(40)
      expect([ending(watched), patient.ward.out]).toEqual(["timeout", 1])
    }))

  it.scoped("D4: at once, even if the connector's own watch hangs when it is interrupted", () =>
    Effect.gen(function*() {
      const patient = yield* admit({
        prepare: (ward) => {
          ward.server.closed = () => Effect.onInterrupt(Effect.never, () => Effect.never)
          hanging(ward)
        }
      })
      const watched = yield* watch(patient)
      yield* pass(40)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("for all who watch it, and for those who do so later", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: failing })
      const watches = [yield* watch(patient), yield* watch(patient), yield* watch(patient)]
      yield* pass(30)
      watches.push(yield* watch(patient))
      expect(watches.map(ending)).toEqual(["gone", "gone", "gone", "gone"])
    }))

  it.scoped("even if nobody watches it at that time", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: failing })
      yield* pass(30)
      expect(patient.isClosed()).toBe(true)
      expect(ending(yield* watch(patient))).toBe("gone")
    }))

  it.scoped("and another connection is not", () =>
    Effect.gen(function*() {
      const { closed, connector, isClosed, ward } = yield* admit({
        prepare: answering((line) => line.number === 1 ? refuse("gone") : Effect.void)
      })
      const other = yield* connector.connect("a", makeAttempt()).pipe(Effect.withClock(ward.machine))
      const watches = [yield* askNow(closed), yield* askNow(connector.closed(other))]
      yield* pass(300)
      expect(watches.map(ending)).toEqual(["gone", undefined])
      expect([isClosed(), connector.isClosed?.(other)]).toEqual([true, false])
    }))
})

describe("healthCheck: a probe without an answer", () => {
  const twice = { missedProbes: undefined, prepare: hanging }

  it.scoped("is followed by another at once; two without an answer end the connection, unless you say otherwise", () =>
    Effect.gen(function*() {
      const patient = yield* admit(twice)
      const watched = yield* watch(patient)
      yield* pass(49.999)
      expect([watched.isWaiting, patient.ward.pings]).toEqual([true, ["30 1", "40 1"]])
      yield* pass(0.001)
      expect(watched.error).toHaveProperty("message", "No answer from \"test\" to a health check within 20s")
      expect([patient.ward.mostOut, patient.ward.out]).toEqual([1, 0])
    }))

  it.scoped("as many as you say", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ missedProbes: 4, prepare: hanging })
      const watched = yield* watch(patient)
      yield* pass(69.999)
      expect([watched.isWaiting, patient.ward.pings.length]).toEqual([true, 4])
      yield* pass(0.001)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("is forgotten when the next one is answered", () =>
    Effect.gen(function*() {
      const patient = yield* admit({
        missedProbes: 2,
        prepare: (ward) => {
          ward.ping = () => ward.pings.length % 2 === 1 ? Effect.never : Effect.void
        }
      })
      yield* pass(121)
      expect([patient.isClosed(), patient.ward.pings]).toEqual([false, [
        "30 1",
        "40 1",
        "70 1",
        "80 1",
        "110 1",
        "120 1"
      ]])
    }))

  it.scoped("that fails ends the connection without another", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ missedProbes: 5, prepare: failing })
      const watched = yield* watch(patient)
      yield* pass(30)
      expect([ending(watched), patient.ward.pings.length]).toEqual(["gone", 1])
    }))

  it.scoped("and that cannot be interrupted counts again, since there is never more than one", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ missedProbes: 3, prepare: stubborn })
      const watched = yield* watch(patient)
      yield* pass(59.999)
      expect([watched.isWaiting, patient.ward.pings, patient.ward.out]).toEqual([true, ["30 1"], 1])
      yield* pass(0.001)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("and after something was heard the patience begins anew, also with a probe that cannot be interrupted", () =>
    Effect.gen(function*() {
      let heard = 0
      const patient = yield* admit({ missedProbes: 2, prepare: stubborn, activity: () => heard })
      const watched = yield* watch(patient)
      yield* pass(45)
      heard++
      yield* pass(24.999)
      expect(watched.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("but something heard meanwhile is forgiven, however many there were before", () =>
    Effect.gen(function*() {
      let heard = 0
      const patient = yield* admit({ missedProbes: 2, prepare: hanging, activity: () => heard })
      yield* pass(45)
      heard++
      yield* pass(15)
      expect([patient.isClosed(), patient.ward.pings, patient.ward.out]).toEqual([false, ["30 1", "40 1"], 0])
    }))
})

describe("healthCheck: round-trip time", () => {
  it.scoped("is measured for every answer, in seconds, by server", () =>
    Effect.gen(function*() {
      const measured = Metric.value(Metric.tagged(ConnectionMetrics.roundTripTime, "server_name", "test"))
      const before = yield* measured
      const patient = yield* admit({
        missedProbes: 2,
        prepare: (ward) => {
          ward.ping = () => ward.pings.length === 2 ? Effect.never : sleep(0.25)
        }
      })
      yield* pass(80)
      const after = yield* measured
      expect(patient.ward.pings).toEqual(["30 1", "60.25 1", "70.25 1"])
      expect([after.count - before.count, after.sum - before.sum]).toEqual([2, 0.5])
    }))
})

describe("healthCheck: a wall clock that is set", () => {
  it.scoped("T5: back or forward delays or hastens neither a probe nor the loss", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const watched = yield* watch(patient)
      const { machine, pings } = patient.ward
      machine.setWallClock(-3_600)
      yield* pass(29.999)
      expect(pings).toHaveLength(0)
      yield* pass(0.001)
      expect(pings).toHaveLength(1)
      machine.setWallClock(7_200)
      yield* pass(9.999)
      expect(watched.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(ending(watched)).toBe("timeout")
    }))
})

describe("healthCheck: the connector's own word", () => {
  const ends: ReadonlyArray<readonly [string, Exit.Exit<void, Refused>, Exit.Exit<unknown, unknown>]> = [
    ["closed without an error", Exit.void, Exit.void],
    ["reset", reset, reset],
    ["broken by a bug", Exit.die("bug"), Exit.die("bug")]
  ]

  for (const [how, exit, expected] of ends) {
    it.scoped(`D5: a connection that is ${how} ends so`, () =>
      Effect.gen(function*() {
        const patient = yield* admit()
        const watches = [yield* watch(patient), yield* watch(patient)]
        patient.line.drop(exit)
        yield* settle
        watches.push(yield* watch(patient))
        expect(watches.map(({ exit }) => exit)).toEqual([expected, expected, expected])
        expect(patient.isClosed()).toBe(true)
      }))

    it.scoped(`comes first if a probe fails because the connection is ${how}`, () =>
      Effect.gen(function*() {
        const patient = yield* admit({
          prepare: answering((line) =>
            Effect.catchAllCause(line.lost, () => Effect.void).pipe(Effect.zipRight(refuse("the line is dead")))
          )
        })
        const watched = yield* watch(patient)
        yield* pass(30)
        patient.line.drop(exit)
        yield* settle
        expect(watched.exit).toEqual(expected)
      }))
  }

  it.scoped("is not waited for: a peer that never confirms the close is asked, and found gone", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: failing })
      const watched = yield* watch(patient)
      // As a WebSocket that is closing: `isClosed` says so, `closed` does not end.
      patient.line.isLost = true
      expect(patient.isClosed()).toBe(true)
      yield* pass(30)
      expect(ending(watched)).toBe("gone")
    }))

  it.scoped("isClosed is right where the connector cannot tell", () =>
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

  it.scoped("… from the moment at which it says so to any watch", () =>
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
      expect([ending(interrupted), connector.isClosed?.(connection)]).toEqual(["interrupted", false])
      yield* Deferred.succeed(lost, undefined)
      yield* Effect.yieldNow()
      expect(connector.isClosed?.(connection)).toBe(true)
    }))

  it.scoped("there is none about the connections of others", () =>
    Effect.gen(function*() {
      const { connector } = yield* admit()
      const { line } = yield* admit()
      const cause = yield* Effect.flip(Effect.sandbox(connector.closed(line)))
      expect(Cause.squash(cause)).toBeInstanceOf(Cause.IllegalArgumentException)
    }))
})

describe("healthCheck: watches", () => {
  it.scoped("share one prober", () =>
    Effect.gen(function*() {
      const patient = yield* admit()
      for (let watches = 0; watches < 10; watches++) yield* watch(patient)
      yield* pass(60)
      expect(patient.ward.pings).toEqual(["30 1", "60 1"])
    }))

  it.scoped("can be interrupted without an effect on the others, the prober and the connection", () =>
    Effect.gen(function*() {
      const patient = yield* admit({
        prepare: (ward) => {
          ward.ping = (line) => time(ward.pings.at(-1)) < 90 ? Effect.void : refuse(`${line.number} is gone`)
        }
      })
      const first = yield* watch(patient)
      const second = yield* watch(patient)
      yield* pass(30)
      yield* Fiber.interruptFork(first.fiber)
      yield* pass(30)
      expect([ending(first), ending(second), patient.ward.pings.length]).toEqual(["interrupted", undefined, 2])
      yield* Fiber.interruptFork(second.fiber)
      yield* pass(30)
      expect([patient.ward.pings.length, patient.line.released]).toEqual([3, 0])
      expect(ending(yield* watch(patient))).toBe("1 is gone")
    }))

  it.scoped("end at once when they are interrupted, even if the connector's own hangs then", () =>
    Effect.gen(function*() {
      const patient = yield* admit({
        prepare: ({ server }) => {
          server.closed = () => Effect.onInterrupt(Effect.never, () => Effect.never)
        }
      })
      const { fiber } = yield* watch(patient)
      const interrupting = yield* askNow(Fiber.interrupt(fiber))
      expect(interrupting.isWaiting).toBe(false)
    }))

  it.scoped("run the connector's own watch as long as they last, and no longer", () =>
    Effect.gen(function*() {
      let running = 0
      const patient = yield* admit({
        prepare: ({ server }) => {
          server.closed = ({ lost }) =>
            Effect.acquireUseRelease(Effect.sync(() => running++), () => lost, () => Effect.sync(() => running--))
        }
      })
      const first = yield* watch(patient)
      yield* watch(patient)
      expect(running).toBe(2)
      yield* Fiber.interruptFork(first.fiber)
      yield* settle
      expect(running).toBe(1)
      patient.line.drop()
      yield* settle
      expect(running).toBe(0)
    }))
})

describe("healthCheck: who is heard is not asked", () => {
  const heard = { activity: (line: Line) => current?.activity(line) }
  let current: Ward | undefined

  /** A patient whose activity counts. */
  const admitHeard = (options: CheckOptions & { readonly prepare?: (ward: Ward) => void } = {}) =>
    Effect.map(admit({ ...heard, ...options }), (patient) => {
      current = patient.ward
      return patient
    })

  /** Something is received every so many seconds. */
  const talk = (ward: Ward, line: Line, every: number, times: number) =>
    Effect.replicateEffect(Effect.zipRight(pass(every), Effect.sync(() => ward.hear(line))), times)

  it.scoped("there is no probe while something is received in each half of an interval", () =>
    Effect.gen(function*() {
      const { line, ward } = yield* admitHeard({ prepare: failing })
      yield* talk(ward, line, 14, 40)
      expect(ward.pings).toEqual([])
    }))

  it.scoped("it is asked once it has been silent for half an interval, then after each whole interval", () =>
    Effect.gen(function*() {
      const { line, ward } = yield* admitHeard()
      yield* pass(1)
      ward.hear(line)
      yield* pass(43)
      expect(ward.pings).toEqual([])
      yield* pass(31)
      expect(ward.pings).toEqual(["45 1", "75 1"])
    }))

  it.scoped("silence is noticed an interval and the timeout after the last word, at the latest", () =>
    Effect.gen(function*() {
      const patient = yield* admitHeard({ prepare: hanging })
      const { line, ward } = patient
      const watched = yield* watch(patient)
      yield* pass(15)
      ward.hear(line)
      yield* pass(15.001)
      ward.hear(line)
      yield* pass(39.998)
      expect([ward.pings, watched.isWaiting]).toEqual([["60 1"], true])
      yield* pass(0.001)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("idle is not dead: who has nothing to say but answers is kept", () =>
    Effect.gen(function*() {
      const patient = yield* admitHeard()
      yield* pass(3_600)
      expect([patient.isClosed(), patient.ward.pings.length]).toEqual([false, 120])
    }))

  it.scoped("values are compared by Object.is", () =>
    Effect.gen(function*() {
      const { ward: never } = yield* admit({ activity: () => NaN })
      const { ward: always } = yield* admit({ activity: () => ({}) })
      yield* pass(60)
      expect([never.pings.length, always.pings.length]).toEqual([2, 0])
    }))

  it.scoped("D10: an activity that throws is a loss with that defect", () =>
    Effect.gen(function*() {
      let calls = 0
      const patient = yield* admit({
        activity: () => {
          if (calls++ > 0) throw new Error("bug")
        }
      })
      const watched = yield* watch(patient)
      yield* pass(30)
      expect(watched.exit).toEqual(Exit.die(new Error("bug")))
    }))

  it.scoped("a busy link: an answer that is stuck behind the traffic is no loss", () =>
    Effect.gen(function*() {
      const patient = yield* admitHeard({ prepare: hanging })
      const { line, ward } = patient
      yield* pass(30)
      expect(ward.out).toBe(1)
      // One long message after 30 seconds of silence, which keeps the answer back.
      yield* talk(ward, line, 4, 20)
      expect([patient.isClosed(), ward.out, ward.pings]).toEqual([false, 0, ["30 1"]])
    }))

  it.scoped("… and when the silence begins again, the peer is asked again", () =>
    Effect.gen(function*() {
      const patient = yield* admitHeard({ prepare: hanging })
      const { line, ward } = patient
      const watched = yield* watch(patient)
      yield* pass(35)
      ward.hear(line)
      yield* pass(34.999)
      expect([ward.pings, watched.isWaiting]).toEqual([["30 1"], true])
      yield* pass(0.001)
      expect(ward.pings).toEqual(["30 1", "70 1"])
      yield* pass(10)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("… not twice at a time, if the probe cannot be interrupted, and the silence is noticed all the same", () =>
    Effect.gen(function*() {
      const patient = yield* admitHeard({ prepare: stubborn })
      const { line, ward } = patient
      const watched = yield* watch(patient)
      yield* pass(30)
      yield* talk(ward, line, 5, 20)
      expect([ward.out, ward.pings, watched.isWaiting]).toEqual([1, ["30 1"], true])
      yield* pass(20)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("a probe that fails has failed, whatever is heard", () =>
    Effect.gen(function*() {
      const patient = yield* admitHeard({ prepare: answering(() => Effect.zipRight(sleep(5), refuse("gone"))) })
      const { line, ward } = patient
      const watched = yield* watch(patient)
      yield* pass(30)
      yield* talk(ward, line, 1, 5)
      expect(ending(watched)).toBe("gone")
    }))
})

describe("healthCheck: a machine that sleeps", () => {
  it.scoped("through an interval: the peer has its full time to answer afterwards", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: answering(() => sleep(9.999)) })
      const { machine, pings } = patient.ward
      yield* pass(15)
      machine.sleepFor(3_600)
      yield* pass(24.999)
      expect([pings, patient.isClosed()]).toEqual([["3630 1"], false])
      yield* pass(30)
      expect([pings, patient.isClosed()]).toEqual([["3630 1", "3669.999 1"], false])
    }))

  it.scoped("while a probe is out: the answer, which nobody could look for, still counts", () =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const patient = yield* admit({ prepare: answering(() => Deferred.await(answer)) })
      yield* pass(35)
      patient.ward.machine.sleepFor(3_600)
      // The deadline comes as soon as the machine is awake, and before what has been received meanwhile.
      yield* pass(5)
      expect(patient.isClosed()).toBe(false)
      yield* pass(9)
      yield* Deferred.succeed(answer, undefined)
      yield* pass(20)
      expect([patient.isClosed(), patient.ward.pings.length]).toEqual([false, 1])
    }))

  it.scoped("while a probe is out: without an answer the connection is lost after the timeout once more", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const watched = yield* watch(patient)
      yield* pass(35)
      patient.ward.machine.sleepFor(3_600)
      yield* pass(14.999)
      expect(watched.isWaiting).toBe(true)
      yield* pass(0.001)
      expect([ending(watched), patient.ward.pings.length]).toEqual(["timeout", 1])
    }))

  it.scoped("again and again, as a page in the background does: the loss is noticed all the same", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const watched = yield* watch(patient)
      yield* pass(30)
      for (let minute = 0; minute < 2; minute++) {
        expect(watched.isWaiting).toBe(true)
        yield* pass(5)
        patient.ward.machine.sleepFor(55)
        yield* pass(5)
      }
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("a deadline that is only a little late is no excuse", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const watched = yield* watch(patient)
      yield* pass(35)
      patient.ward.machine.sleepFor(1)
      yield* pass(5)
      expect(ending(watched)).toBe("timeout")
    }))

  it.scoped("an answer that comes after its time, but before the timer that was to say so, counts", () =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const patient = yield* admit({ prepare: answering(() => Deferred.await(answer)) })
      yield* pass(35)
      patient.ward.machine.sleepFor(60)
      yield* Deferred.succeed(answer, undefined)
      yield* pass(29)
      expect([patient.isClosed(), patient.ward.pings.length]).toEqual([false, 1])
    }))
})

describe("healthCheck: on demand", () => {
  it.scoped("the peer is asked now, with the deadline, and the connection is lost if it does not answer", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const watched = yield* watch(patient)
      yield* pass(1)
      const asked = yield* askNow(patient.probe)
      expect(patient.ward.pings).toEqual(["1 1"])
      yield* pass(9.999)
      expect([asked.isWaiting, patient.isClosed()]).toEqual([true, false])
      yield* pass(0.001)
      expect([ending(asked), ending(watched), patient.isClosed()]).toEqual(["timeout", "timeout", true])
    }))

  it.scoped("it succeeds when the peer answers, and fails when it does not, also later", () =>
    Effect.gen(function*() {
      const patient = yield* admit()
      expect(ending(yield* askNow(patient.probe))).toBe("closed")
      failing(patient.ward)
      expect(ending(yield* askNow(patient.probe))).toBe("gone")
      answering(() => Effect.void)(patient.ward)
      expect(ending(yield* askNow(patient.probe))).toBe("gone")
      expect(patient.ward.pings).toHaveLength(2)
    }))

  it.effect("a connection of another connector is a defect, and none of the peer's", () =>
    Effect.gen(function*() {
      const { probe } = Connector.healthCheck(
        Connector.make({ connect: () => Effect.succeed({}), closed: () => Effect.never }),
        { probe: () => Effect.void, interval: "1 second", timeout: "1 second" }
      )
      const exit = yield* Effect.exit(probe!({}))
      expect(String(exit)).toContain("The connection is not one of this connector's")
    }))

  it.scoped("who asks while the peer is being asked shares the answer: there is one probe at a time", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: answering(() => sleep(5)) })
      yield* pass(29)
      const early = yield* ask(patient.probe)
      yield* pass(2)
      const late = [yield* askNow(patient.probe), yield* askNow(patient.probe)]
      expect([early, ...late].map(ending)).toEqual([undefined, undefined, undefined])
      yield* pass(3)
      expect([early, ...late].map(ending)).toEqual(["closed", "closed", "closed"])
      expect([patient.ward.pings, patient.ward.mostOut]).toEqual([["29 1"], 1])
    }))

  it.scoped("whoever asks may go away: the peer is still being asked", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const asked = yield* askNow(patient.probe)
      const other = yield* askNow(patient.probe)
      yield* Fiber.interruptFork(asked.fiber)
      yield* pass(10)
      expect([ending(other), patient.isClosed()]).toEqual(["timeout", true])
    }))

  it.scoped("who asks is told the verdict, whatever it is for", () =>
    Effect.gen(function*() {
      let isBroken = false
      const patient = yield* admit({
        prepare: hanging,
        activity: () => {
          if (isBroken) throw new Error("bug")
        }
      })
      yield* pass(25)
      const asked = yield* askNow(patient.probe)
      isBroken = true
      yield* pass(5)
      expect([ending(asked), patient.isClosed()]).toEqual(["bug!", true])
    }))

  it.scoped("D7: a probe that asks for a probe does not wait for itself", () =>
    Effect.gen(function*() {
      const patient = yield* admit({
        prepare: (ward) => {
          ward.ping = (line) => Effect.orDie(patientOf().connector.probe!(line))
        }
      })
      const patientOf = () => patient
      const asked = yield* askNow(patient.probe)
      expect([ending(asked), patient.ward.pings.length]).toEqual(["closed", 1])
    }))

  it.scoped("who asks when the connection is being released is not left waiting", () =>
    Effect.gen(function*() {
      const patient = yield* admit({ prepare: hanging })
      const asked = yield* askNow(patient.probe)
      yield* patient.release
      yield* settle
      // And does not look interrupted itself.
      expect([ending(asked), patient.isClosed()]).toEqual(["It was interrupted from within!", true])
    }))
})

describe("healthCheck: what is left", () => {
  const probes: ReadonlyArray<readonly [string, Ward["ping"], number]> = [
    ["between two probes", () => Effect.void, 10],
    ["while a probe is out", () => Effect.never, 35],
    ["after a failed probe", () => refuse("gone"), 35],
    ["after a probe without an answer", () => Effect.never, 45]
  ]

  for (const [when, ping, seconds] of probes) {
    it.scoped(`D8: no fiber and no timer when the connection is released ${when}`, () =>
      Effect.gen(function*() {
        const supervisor = yield* Supervisor.track
        const patient = yield* Effect.supervised(admit({ prepare: answering(ping) }), supervisor)
        const watches = [yield* watch(patient), yield* watch(patient)]
        yield* pass(seconds)
        yield* patient.release
        expect(patient.ward.machine.sleepers).toBe(0)
        expect(patient.ward.out).toBe(0)
        const own = new Set(watches.map(({ fiber }) => fiber.id().id))
        const left = (yield* supervisor.value).filter((fiber) => !own.has(fiber.id().id))
        expect(left).toEqual([])
        yield* pass(1_000)
        expect(patient.ward.pings.length).toBeLessThanOrEqual(1)
      }))
  }

  it.scoped("D8: nothing when the attempt fails or is interrupted", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      for (const connect of [refuse("no"), Effect.never, Effect.die("bug")]) {
        const ward = new Ward(new Machine(yield* Effect.clock))
        ward.server.connect = () => connect
        const attempting = yield* askNow(
          Effect.scoped(ward.connector().connect("a", makeAttempt())).pipe(
            Effect.supervised(supervisor),
            Effect.withClock(ward.machine)
          )
        )
        yield* Fiber.interruptFork(attempting.fiber)
        yield* settle
        expect(attempting.isWaiting).toBe(false)
        expect(ward.machine.sleepers).toBe(0)
      }
      expect(yield* supervisor.value).toEqual([])
    }))

  it.scoped("D8: the release waits for a probe that cannot be interrupted, after everything else", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const patient = yield* admit({
        prepare: (ward) => {
          ward.server.release = (line) =>
            Effect.sync(() => {
              log.push("connection released")
              line.drop()
            })
          // It ends because the connection does; a release that waited for it first would wait for ever.
          ward.ping = (line) =>
            Effect.uninterruptible(
              Effect.zipRight(Effect.ignore(line.lost), Effect.zipRight(sleep(3), Effect.sync(() => log.push("probe"))))
            )
        }
      })
      yield* pass(30)
      const releasing = yield* askNow(patient.release)
      expect([releasing.isWaiting, log]).toEqual([true, ["connection released"]])
      yield* pass(3)
      expect([releasing.isWaiting, log]).toEqual([false, ["connection released", "probe"]])
      expect(patient.isClosed()).toBe(true)
    }))

  it.scoped("D8: the release waits for what is left of the connector's own watch", () =>
    Effect.gen(function*() {
      const letGo = yield* Deferred.make<void>()
      const patient = yield* admit({
        prepare: (ward) => {
          ward.server.closed = () => Effect.onInterrupt(Effect.never, () => Deferred.await(letGo))
          failing(ward)
        }
      })
      const watched = yield* watch(patient)
      yield* pass(30)
      expect(ending(watched)).toBe("gone")
      const releasing = yield* askNow(patient.release)
      expect([releasing.isWaiting, patient.line.released]).toEqual([true, 1])
      yield* Deferred.succeed(letGo, undefined)
      yield* settle
      expect(releasing.isWaiting).toBe(false)
    }))

  it.scoped("an old probe that fails, or is answered, after the release has no effect", () =>
    Effect.gen(function*() {
      for (const end of [refuse("gone"), Effect.void, Effect.die("bug")]) {
        const patient = yield* admit({
          prepare: answering(() => Effect.uninterruptible(Effect.zipRight(sleep(8), end)))
        })
        yield* pass(30)
        yield* askNow(patient.release)
        yield* pass(100)
        expect([ending(yield* watch(patient)), patient.line.released, patient.ward.pings.length]).toEqual([
          undefined,
          1,
          1
        ])
      }
    }))

  it.scoped("a watch of a connection that has been released is the connector's own", () =>
    Effect.gen(function*() {
      const patient = yield* admit()
      yield* patient.release
      const watched = yield* watch(patient)
      expect(watched.isWaiting).toBe(true)
      patient.line.drop(reset)
      yield* settle
      expect(ending(watched)).toBe("reset")
    }))

  it.scoped("D8: … and is waited for by who interrupts it, as nobody else does any more", () =>
    Effect.gen(function*() {
      const patient = yield* admit({
        prepare: ({ server }) => {
          server.closed = () => Effect.onInterrupt(Effect.never, () => sleep(5))
        }
      })
      yield* patient.release
      const { fiber } = yield* watch(patient)
      const interrupting = yield* askNow(Fiber.interrupt(fiber))
      expect(interrupting.isWaiting).toBe(true)
      yield* pass(5)
      expect(interrupting.isWaiting).toBe(false)
    }))
})

describe("healthCheck: what a probe is given", () => {
  class Pinger extends Context.Tag("test/Pinger")<Pinger, { readonly ping: Effect.Effect<void> }>() {}

  const bare = Connector.make<string, object>({ connect: () => Effect.succeed({}), closed: () => Effect.never })

  it.scoped("the services of the attempt", () =>
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

  it.scoped("a scope for each, which is closed when it has ended", () =>
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

  it.scoped("no span of an attempt that has ended long ago", () =>
    Effect.gen(function*() {
      const parents: Array<Option.Option<unknown>> = []
      const probe = () => Effect.map(Effect.option(Effect.currentParentSpan), (parent) => parents.push(parent))
      const connector = bare.pipe(Connector.healthCheck({ probe, interval: 1, timeout: 1 }))
      const connection = yield* Effect.withSpan(connector.connect("a", makeAttempt()), "attempt")
      yield* connector.probe!(connection)
      expect(parents).toEqual([Option.none()])
    }))

  it.scoped("D1: the possibility to be interrupted, even if the attempt has none", () =>
    Effect.gen(function*() {
      const patient = yield* Effect.uninterruptible(admit({ prepare: hanging }))
      const watched = yield* watch(patient)
      yield* pass(40)
      expect([ending(watched), patient.ward.out]).toEqual(["timeout", 0])
    }))
})

describe("healthCheck: with other combinators", () => {
  const passesOn = <Connection, E>(
    name: string,
    combine: (connector: ReturnType<Ward["connector"]>) => Connector.Connector<string, Connection, E>
  ) =>
    it.scoped(`${name}: the verdict and the probe are passed on`, () =>
      Effect.gen(function*() {
        const ward = new Ward(new Machine(yield* Effect.clock))
        const connector = combine(ward.connector())
        const connection = yield* connector.connect("a", makeAttempt()).pipe(Effect.withRandom(drawing(0)))
        expect(ending(yield* askNow(connector.probe!(connection)))).toBe("closed")
        const watched = yield* askNow(connector.closed(connection))
        failing(ward)
        yield* pass(30)
        expect([ending(watched), connector.isClosed?.(connection)]).toEqual(["gone", true])
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

  it.scoped("setup: a peer that falls silent during it fails the attempt", () =>
    Effect.gen(function*() {
      const ward = new Ward(new Machine(yield* Effect.clock))
      hanging(ward)
      const connector = ward.connector().pipe(Connector.setup(() => Effect.never))
      const scope = yield* Scope.make()
      const attempting = yield* askNow(
        Scope.extend(connector.connect("a", makeAttempt()), scope).pipe(Effect.withRandom(drawing(0)))
      )
      yield* pass(39.999)
      expect(attempting.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(ending(attempting)).toBe("timeout")
      yield* Scope.close(scope, Exit.void)
      expect(ward.server.line.released).toBe(1)
    }))
})
