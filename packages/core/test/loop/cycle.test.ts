import { describe, expect } from "@effect/vitest"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type Fixture, makeFixture, now, pass, refuse, Refused, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

/** Runs one effect per call, in order. The last one repeats. */
const inTurn = <A, E>(...effects: ReadonlyArray<Effect.Effect<A, E>>) => {
  let calls = 0
  return () => Effect.suspend(() => effects[Math.min(calls++, effects.length - 1)]!)
}

const lookUps = (...addresses: ReadonlyArray<string>) => inTurn(...addresses.map((address) => Effect.succeed(address)))

/** The events of one kind, without their seconds. */
const eventsOf = ({ eventLog }: Fixture, tag: string) =>
  eventLog.filter((entry) => entry.includes(tag)).map((entry) => entry.slice(entry.indexOf(" ") + 1))

describe("the cycle", () => {
  it.scoped("C1: make returns at once, and the first cycle starts by itself", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      expect(eventLog).toEqual([])
      expect(server.attempts).toEqual([])
      yield* settle
      expect(eventLog).toEqual(["0 AttemptingToConnect", "0 ObtainedAddress a", "0 Connected 1"])
      expect(server.attempts).toEqual([0])
    }))

  it.scoped("C1: make returns at once, even if the first handler never ends", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture({ onEvent: () => Effect.never })
      yield* pass(100)
      expect(eventLog).toEqual(["0 AttemptingToConnect"])
      expect(server.attempts).toEqual([])
    }))

  it.scoped("C2: a cycle starts with one AttemptingToConnect; retries do not repeat it", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.refuse("no")
      yield* pass(35)
      expect(fixture.server.attempts).toEqual([0, 10, 20, 30])
      expect(eventsOf(fixture, "AttemptingToConnect")).toHaveLength(1)

      fixture.server.accept()
      yield* pass(5)
      fixture.server.line.drop()
      yield* pass(10)
      expect(eventsOf(fixture, "Connected")).toEqual(["Connected 1", "Connected 2"])
      expect(eventsOf(fixture, "AttemptingToConnect")).toHaveLength(2)
    }))

  it.scoped("C3: every attempt looks the address up again, then connects to it", () =>
    Effect.gen(function*() {
      const dialled: Array<string> = []
      const fixture = yield* makeFixture()
      fixture.server.lookUp = lookUps("a", "b", "c")
      fixture.server.connect = (_, line) => {
        dialled.push(line.address)
        return dialled.length < 3 ? refuse("no") : Effect.void
      }
      yield* pass(20)
      expect(dialled).toEqual(["a", "b", "c"])
      expect(fixture.server.line.address).toBe("c")
    }))

  it.scoped("C3: a look-up that fails is a failed attempt, without a connect", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      server.lookUp = inTurn<string, Refused>(refuse("who?"), Effect.succeed("a"))
      yield* pass(9)
      expect(eventLog).toEqual(["0 AttemptingToConnect", "0 FailedToConnect who?"])
      expect(server.connects).toBe(0)
      yield* pass(1)
      expect(eventLog.slice(2)).toEqual(["10 ObtainedAddress a", "10 Connected 1"])
    }))
})

describe("equal addresses", () => {
  it.scoped("C4: an address is reported only if it differs from the previous one", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.refuse("no")
      fixture.server.lookUp = lookUps("a", "a", "b", "b", "a", "a")
      yield* pass(50)
      expect(fixture.server.attempts).toHaveLength(6)
      expect(eventsOf(fixture, "ObtainedAddress")).toEqual([
        "ObtainedAddress a",
        "ObtainedAddress b",
        "ObtainedAddress a"
      ])
    }))

  it.scoped("C4: a failed look-up in between does not reset the comparison", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.refuse("no")
      fixture.server.lookUp = inTurn<string, Refused>(Effect.succeed("a"), refuse("who?"), Effect.succeed("a"))
      yield* pass(30)
      expect(fixture.server.connects).toBe(3)
      expect(eventsOf(fixture, "ObtainedAddress")).toEqual(["ObtainedAddress a"])
    }))

  it.scoped("C4: after a reconnect the first address is reported again", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(10)
      fixture.server.line.drop()
      yield* settle
      expect(eventsOf(fixture, "ObtainedAddress")).toEqual(["ObtainedAddress a", "ObtainedAddress a"])
    }))

  it.scoped("C4: `addressEquivalence` decides whether two addresses are the same", () =>
    Effect.gen(function*() {
      const compared: Array<string> = []
      const fixture = yield* makeFixture({
        addressEquivalence: (self, that) => {
          compared.push(`${self} and ${that}`)
          return self.toLowerCase() === that.toLowerCase()
        }
      })
      fixture.server.refuse("no")
      fixture.server.lookUp = lookUps("a", "A", "b", "a")
      yield* pass(30)
      expect(eventsOf(fixture, "ObtainedAddress")).toEqual([
        "ObtainedAddress a",
        "ObtainedAddress b",
        "ObtainedAddress a"
      ])
      expect(compared).toEqual(["a and A", "A and b", "b and a"])
    }))

  it.scoped("C4: if the equivalence throws, the addresses differ and the cycle goes on", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({
        addressEquivalence: () => {
          throw new Error("incomparable")
        }
      })
      fixture.server.connect = inTurn<void, Refused>(refuse("no"), Effect.void)
      yield* pass(10)
      expect(eventsOf(fixture, "ObtainedAddress")).toEqual(["ObtainedAddress a", "ObtainedAddress a"])
      expect(eventsOf(fixture, "Connected")).toEqual(["Connected 1"])
    }))
})

describe("equal errors", () => {
  const failures = (...connects: ReadonlyArray<() => Effect.Effect<void, Refused>>) =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.connect = inTurn(...connects.map(Effect.suspend))
      yield* pass(10 * connects.length - 1)
      expect(fixture.server.connects).toBe(connects.length)
      return eventsOf(fixture, "FailedToConnect").map((entry) => entry.replace("FailedToConnect ", ""))
    })

  const no = () => refuse("no")
  const full = () => refuse("full")
  const dies = () => Effect.die(new Error("no"))

  it.scoped("C5: a failure is reported only if its error differs from the previous one", () =>
    Effect.gen(function*() {
      expect(yield* failures(no, no, full, full, no, no)).toEqual(["no", "full", "no"])
    }))

  it.scoped("C5: look-up and connect share the previous error", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.refuse("no")
      fixture.server.lookUp = inTurn<string, Refused>(
        Effect.succeed("a"),
        refuse("no"),
        Effect.succeed("a"),
        refuse("who?")
      )
      yield* pass(30)
      expect(eventsOf(fixture, "FailedToConnect")).toEqual(["FailedToConnect no", "FailedToConnect who?"])
    }))

  it.scoped("C5: after a reconnect the first error is reported again", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.connect = inTurn<void, Refused>(refuse("no"), Effect.void, refuse("no"))
      yield* pass(20)
      fixture.server.line.drop()
      yield* settle
      expect(eventsOf(fixture, "FailedToConnect")).toEqual(["FailedToConnect no", "FailedToConnect no"])
    }))

  it.scoped("C5: a typed error and a defect with the same text are different errors", () =>
    Effect.gen(function*() {
      expect(yield* failures(no, dies, dies, no)).toEqual(["no", "no!", "no"])
    }))

  it.scoped("C5: stack traces, spans and fiber ids do not count", () =>
    Effect.gen(function*() {
      const somewhereElse = () => new Error("no")
      const parallel = (effect: Effect.Effect<void, Refused>) =>
        Effect.asVoid(Effect.all([effect, Effect.never], { concurrency: "unbounded" }))
      expect(
        yield* failures(
          dies,
          () => Effect.die(somewhereElse()),
          () => Effect.withSpan(dies(), "span"),
          () => parallel(dies()),
          () => Effect.yieldNow().pipe(Effect.andThen(dies())),
          no,
          () => Effect.withSpan(no(), "span"),
          () => parallel(no()),
          () => Effect.failCause(Cause.parallel(Cause.fail(new Refused({ text: "no" })), Cause.interrupt(someFiber)))
        )
      ).toEqual(["no!", "no"])
    }))

  it.scoped("C5, D12: the text of an error and of its causes counts; a difference that the text does not show does not", () =>
    Effect.gen(function*() {
      const caused = (by: string) => () => Effect.die(new Error("no", { cause: new Error(by) }))
      const traced = (id: number) => () => Effect.die(Object.assign(new Error("no"), { request: { traceparent: id } }))
      const reported = yield* failures(
        caused("x"),
        caused("x"),
        caused("y"),
        traced(1),
        traced(2),
        () => Effect.die("no"),
        () => Effect.die(new TypeError("no"))
      )
      expect(reported).toHaveLength(3)
    }))

  it.scoped("D12: a custom equivalence decides whether two failures are the same", () =>
    Effect.gen(function*() {
      let id = 0
      const fixture = yield* makeFixture({ errorEquivalence: (self, that) => self._tag === that._tag })
      fixture.server.connect = () => id === 3 ? Effect.never : refuse(`request ${++id}`)
      yield* pass(60)
      expect(eventsOf(fixture, "FailedToConnect")).toEqual(["FailedToConnect request 1", "FailedToConnect timeout"])
    }))

  it.scoped("C5: successive timeouts are equal failures", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      fixture.server.connect = () => Effect.never
      yield* pass(100)
      expect(fixture.server.attempts).toEqual([0, 30, 60, 90])
      expect(eventsOf(fixture, "FailedToConnect")).toEqual(["FailedToConnect timeout"])
    }))

  const thrown = () => {
    throw new Error("bug")
  }

  for (
    const [what, effect] of [
      ["a defect", () => Effect.die(new Error("bug"))],
      ["a defect later on", () => Effect.zipRight(sleep(1), Effect.die(new Error("bug")))],
      ["a synchronous throw", thrown],
      ["an effect that throws", () => Effect.sync(thrown)]
    ] as const
  ) {
    it.scoped(`C6: ${what} in the look-up is a failed attempt like any other`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        fixture.server.lookUp = effect
        yield* pass(5)
        expect(eventsOf(fixture, "FailedToConnect")).toEqual(["FailedToConnect bug!"])
        fixture.server.lookUp = () => Effect.succeed("a")
        yield* pass(5)
        expect(fixture.eventLog.at(-1)).toBe("10 Connected 1")
      }))

    it.scoped(`C6: ${what} in connect is a failed attempt like any other`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        fixture.server.connect = effect
        yield* pass(5)
        expect(eventsOf(fixture, "FailedToConnect")).toEqual(["FailedToConnect bug!"])
        fixture.server.accept()
        yield* pass(5)
        expect(fixture.eventLog.at(-1)).toBe("10 Connected 1")
      }))
  }
})

const someFiber = Effect.runSync(Effect.fiberId)

describe("the count of failures", () => {
  it.scoped("C7: connect sees 0 on the first attempt, one more after every failure, and 0 after a success", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const { server } = yield* makeFixture()
      server.connect = (attempt) =>
        Effect.flatMap(attempt.failedAttempts, (count) => {
          seen.push(count)
          return seen.length === 4 ? Effect.void : refuse("no")
        })
      yield* pass(30)
      expect(seen).toEqual([0, 1, 2, 3])
      yield* pass(60)
      server.line.drop()
      yield* pass(10)
      expect(seen).toEqual([0, 1, 2, 3, 0, 1])
    }))

  it.scoped("C7: failed look-ups count as well, and so do defects and timeouts", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture()
      server.lookUp = inTurn<string, Refused>(refuse("who?"), Effect.die("bug"), Effect.never, Effect.succeed("a"))
      server.connect = () => Effect.never
      yield* pass(55)
      expect(server.connects).toBe(1)
      expect(yield* server.attempt!.failedAttempts).toBe(3)
    }))

  it.scoped("C7: a kept attempt object always reads the current count", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture()
      server.refuse("no")
      yield* settle
      const first = server.attempt!
      expect(yield* first.failedAttempts).toBe(1)
      yield* pass(20)
      expect(server.attempt).not.toBe(first)
      expect(yield* first.failedAttempts).toBe(3)
      server.accept()
      yield* pass(10)
      expect(yield* first.failedAttempts).toBe(0)
    }))
})

describe("the delay", () => {
  it.scoped("T1: it runs from the beginning of the attempt, not from its failure", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture()
      server.lookUp = () => Effect.as(sleep(1), "a")
      server.connect = () => Effect.zipRight(sleep(3), refuse("no"))
      yield* pass(35)
      expect(server.attempts).toEqual([0, 10, 20, 30])
    }))

  it.scoped("T1: an attempt that took longer than the delay is retried at once", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture()
      server.connect = () => Effect.zipRight(sleep(12), refuse("no"))
      yield* pass(40)
      expect(server.attempts).toEqual([0, 12, 24, 36])
    }))

  it.scoped("T1: it starts after the AttemptingToConnect handler", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({
        onEvent: (event) => event._tag === "AttemptingToConnect" ? sleep(7) : Effect.void
      })
      server.refuse("no")
      yield* pass(30)
      expect(server.attempts).toEqual([7, 17, 27])
    }))

  it.scoped("T1: the other handlers run during the delay, and extend it only if they take longer", () =>
    Effect.gen(function*() {
      let patience = 4
      const { server } = yield* makeFixture({
        onEvent: (event) =>
          event._tag === "FailedToConnect" || event._tag === "ObtainedAddress" ? sleep(patience) : Effect.void
      })
      server.connect = inTurn(refuse("no"), refuse("full"))
      yield* pass(10)
      expect(server.attempts).toEqual([0, 10])
      patience = 15
      server.refuse("closed")
      yield* pass(25)
      expect(server.attempts).toEqual([0, 10, 20, 35])
    }))

  it.scoped("T2: a long-lived connection is replaced at once", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      yield* pass(25)
      server.line.drop()
      yield* settle
      expect(eventLog.slice(3)).toEqual([
        "25 Disconnected 1",
        "25 AttemptingToConnect",
        "25 ObtainedAddress a",
        "25 Connected 2"
      ])
    }))

  it.scoped("T2: a short-lived connection is throttled: the next attempt waits for the delay since the last attempt began", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture()
      yield* pass(4)
      server.line.drop()
      yield* pass(5)
      expect(eventLog.slice(3)).toEqual(["4 Disconnected 1"])
      yield* pass(1)
      expect(eventLog.slice(4)).toEqual(["10 AttemptingToConnect", "10 ObtainedAddress a", "10 Connected 2"])
    }))

  it.scoped("T2: the delay runs from the last attempt of the cycle, not from the first", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture()
      server.connect = inTurn<void, Refused>(refuse("no"), Effect.void)
      yield* pass(12)
      server.line.drop()
      yield* pass(20)
      expect(server.attempts).toEqual([0, 10, 20])
    }))

  it.scoped("T3: the default delay is between 7 and 13 seconds, drawn again for every attempt", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ retry: undefined, attemptTimeout: Duration.infinity }).pipe(
        Effect.withRandom(Random.make("T3"))
      )
      server.refuse("no")
      yield* pass(3_000)
      const delays = server.attempts.slice(1).map((time, index) => time - server.attempts[index]!)
      const mean = delays.reduce((sum, delay) => sum + delay) / delays.length
      expect(delays.length).toBeGreaterThan(280)
      expect(Math.min(...delays)).toBeGreaterThanOrEqual(6.999)
      expect(Math.min(...delays)).toBeLessThan(7.2)
      expect(Math.max(...delays)).toBeLessThanOrEqual(13.001)
      expect(Math.max(...delays)).toBeGreaterThan(12.8)
      expect(mean).toBeGreaterThan(9.7)
      expect(mean).toBeLessThan(10.3)
      for (let from = 7; from < 13; from++) {
        const share = delays.filter((delay) => delay >= from && delay < from + 1).length / delays.length
        expect(share).toBeGreaterThan(0.08)
        expect(share).toBeLessThan(0.27)
      }
    }))

  it.scoped("T3: without jitter the delay is used unchanged", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ retry: RetryPolicy.fixed("1234 millis") })
      server.refuse("no")
      yield* pass(5)
      expect(server.attempts).toEqual([0, 1.234, 2.468, 3.702, 4.936])
    }))

  it.scoped("T3: a delay of 0 retries at once", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture({ retry: RetryPolicy.fixed(0) })
      server.connect = inTurn<void, Refused>(...Array.from({ length: 50 }, () => refuse("no")), Effect.void)
      yield* settle
      expect(server.attempts).toEqual(Array.from({ length: 51 }, () => 0))
      expect(eventLog.at(-1)).toBe("0 Connected 1")
    }))
})

describe("time and randomness", () => {
  const history = (seed: string) =>
    Effect.gen(function*() {
      const from = yield* now
      const { eventLog, server } = yield* makeFixture({
        retry: RetryPolicy.exponential({ base: "3 seconds" }),
        reconnectJitter: "1 minute"
      })
      server.connect = ({ number }) => number % 3 === 0 ? Effect.void : refuse(`no ${number}`)
      for (let minute = 0; minute < 6; minute++) {
        yield* pass(60)
        if (server.lines.length > 0) server.line.drop()
      }
      return eventLog.map((entry) => {
        const [second, ...rest] = entry.split(" ")
        return `${(Number(second) - from).toFixed(6)} ${rest.join(" ")}`
      })
    }).pipe(Effect.scoped, Effect.withRandom(Random.make(seed)))

  it.effect("T4: the whole history is deterministic for given inputs", () =>
    Effect.gen(function*() {
      const first = yield* history("a seed")
      expect(first.length).toBeGreaterThan(20)
      expect(yield* history("a seed")).toEqual(first)
      expect(yield* history("another seed")).not.toEqual(first)
    }))
})

describe("data types as addresses", () => {
  class Host extends Data.Class<{ readonly name: string }> {}

  it.scoped("C4: two addresses are the same if `Equal` or their content says so", () =>
    Effect.gen(function*() {
      const reported: Array<unknown> = []
      const addresses: ReadonlyArray<unknown> = [
        new Host({ name: "a" }),
        new Host({ name: "a" }),
        new Host({ name: "b" }),
        { host: "a", ports: [1, 2] },
        { host: "a", ports: [1, 2] },
        { host: "a", ports: [1, 3] },
        new URL("ws://a"),
        new URL("ws://a"),
        new URL("ws://b")
      ]
      const fixture = yield* makeFixture({
        addressEquivalence: undefined,
        onEvent: (event) =>
          Effect.sync(() => {
            if (event._tag === "ObtainedAddress") reported.push(event.address)
          })
      })
      fixture.server.refuse("no")
      // The test server expects strings as addresses. Here it only records other values.
      fixture.server.lookUp = lookUps(...(addresses as ReadonlyArray<string>))
      yield* pass(10 * addresses.length - 10)
      expect(fixture.server.attempts).toHaveLength(addresses.length)
      expect(reported).toEqual([0, 2, 3, 5, 6, 8].map((index) => addresses[index]))
    }))
})
