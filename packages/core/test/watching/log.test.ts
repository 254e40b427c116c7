import { describe, expect } from "@effect/vitest"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as ConnectionLog from "@persistent-connection/core/ConnectionLog"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { captureLog } from "../support/captureLog.js"
import {
  askNow,
  type Event,
  type Fixture,
  inScope,
  makeFixture,
  type Options,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { settableClock } from "../support/settableClock.js"
import { it } from "../support/virtualTime.js"

const makeLoggedFixture = (options: Options = {}, prepare?: (fixture: Fixture) => void) =>
  Effect.gen(function*() {
    const { captured, lines, messages } = captureLog()
    const fixture = yield* makeFixture({ serverName: "prices", ...options }, prepare).pipe(
      Effect.tap(({ service }) => ConnectionLog.track(service)),
      Effect.annotateLogs("region", "eu"),
      captured
    )
    return { ...fixture, lines, messages }
  })

const lose = ({ server }: Pick<Fixture, "server">, text?: string) => {
  server.line.drop(text === undefined ? Exit.void : Exit.fail(new Refused({ text })))
  return settle
}

describe("the log", () => {
  it.scoped("has all events of a connection, and its end with the reason", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture()
      fixture.server.lookUp = () => Effect.succeed("wss://me:hush@feed.example.com/v1?token=hush")
      fixture.server.refuse("no")
      yield* pass(10)
      fixture.server.refuse("still no")
      yield* pass(10)
      fixture.server.accept()
      yield* pass(75)
      yield* lose(fixture, "reset")
      yield* pass(5)
      yield* fixture.service.close
      yield* settle
      expect(fixture.messages()).toEqual([
        "INFO prices: Connecting (connection 1)",
        "INFO prices: Attempt 1 has obtained the address wss://feed.example.com/v1",
        "ERROR prices: Attempt 1 failed: no; next attempt in 10s",
        "ERROR prices: Attempt 3 failed: still no; next attempt in 10s",
        "INFO prices: Connected (connection 1) after 3 failed attempts",
        "INFO prices: Connection 1 was lost: reset; it lasted 1m 5s",
        "INFO prices: Connecting (connection 2)",
        "INFO prices: Attempt 1 has obtained the address wss://feed.example.com/v1",
        "INFO prices: Connected (connection 2)",
        "INFO prices: Connection 2 was closed; it lasted 5s",
        "INFO The persistent connection to \"prices\" is closed: its owner closed it"
      ])
    }))

  it.scoped("annotates every line with the server name, the event and its numbers, and keeps the annotations of the fiber", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture()
      fixture.server.lookUp = () => Effect.succeed("me:hush@feed.example.com:80")
      fixture.server.refuse("no")
      yield* settle
      fixture.server.accept()
      yield* pass(10)
      yield* lose(fixture)
      yield* pass(10)
      yield* fixture.service.close
      const address = "feed.example.com:80"
      const common = { server_name: "prices", region: "eu" }
      expect(fixture.lines.map(({ annotations }) => annotations)).toEqual([
        { ...common, event: "AttemptingToConnect", generation: 1 },
        { ...common, event: "ObtainedAddress", attempt: 1, address },
        { ...common, event: "FailedToConnect", attempt: 1 },
        { ...common, event: "Connected", generation: 1 },
        { ...common, event: "Disconnected", generation: 1 },
        { ...common, event: "AttemptingToConnect", generation: 2 },
        { ...common, event: "ObtainedAddress", attempt: 1, address },
        { ...common, event: "Connected", generation: 2 },
        { ...common, event: "Disconnected", generation: 2 },
        { ...common, event: "Closed", reason: "ClosedByOwner" }
      ])
    }))

  it.scoped("D12: shows no secrets of a failure, and passes no error object to a logger", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture()
      const error = Object.assign(new Error("GET wss://me:hush@feed.example.com/?token=hush : bug"), {
        password: "hush",
        cause: new Error("why", { cause: "authorization: hush" })
      })
      fixture.server.connect = () => Effect.die(error)
      yield* settle
      expect(fixture.messages().at(-1)).toBe(
        "ERROR prices: Attempt 1 failed: defect: GET wss://feed.example.com/ : bug: why: authorization: <redacted>; " +
          "next attempt in 10s"
      )
      expect(fixture.lines.filter(({ cause }) => !Cause.isEmpty(cause))).toEqual([])
    }))

  const errors = ({ lines }: Pick<Effect.Effect.Success<ReturnType<typeof makeLoggedFixture>>, "lines">) =>
    lines.filter(({ level }) => level === "ERROR").map(({ message }) => message)

  it.scoped("D12: writes reminders of an outage at growing intervals", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture(
        { retry: RetryPolicy.fixed("30 minutes") },
        ({ server }) => server.refuse("no")
      )
      yield* pass(24 * 3_600)
      const times = ["30m", "1h", "2h", "4h", "8h", "14h", "20h"]
      expect(errors(fixture).map((line) => line.replace(/ and \d+ failed attempts?/, ""))).toEqual([
        "prices: Attempt 1 failed: no; next attempt in 30m",
        ...times.map((time) => `prices: Still not connected after ${time}: no`)
      ])
      expect(errors(fixture)[3]).toBe("prices: Still not connected after 2h and 4 failed attempts: no")
      const reminder = fixture.lines.find(({ message }) => message.includes("after 2h and"))
      expect(reminder!.annotations).toMatchObject({ server_name: "prices", event: "FailedToConnect", attempt: 4 })
      fixture.server.accept()
      yield* pass(1_800)
      expect(fixture.messages().at(-1)).toBe("INFO prices: Connected (connection 1) after 49 failed attempts")
    }))

  it.scoped("D12: writes a reminder at the earliest one minute after a different failure", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture({}, ({ server }) => server.refuse("no"))
      yield* pass(45)
      fixture.server.refuse("still no")
      yield* pass(60)
      expect(errors(fixture)).toEqual([
        "prices: Attempt 1 failed: no; next attempt in 10s",
        "prices: Attempt 6 failed: still no; next attempt in 10s"
      ])
      yield* pass(5)
      expect(errors(fixture).at(-1)).toBe("prices: Still not connected after 1m 50s and 11 failed attempts: still no")
    }))

  it.scoped("D12: writes reminders of an outage that began before the log", () =>
    Effect.gen(function*() {
      const { captured, messages } = captureLog()
      const { service } = yield* makeFixture({ serverName: "prices" }, ({ server }) => server.refuse("no"))
      yield* pass(25)
      yield* captured(ConnectionLog.track(service))
      yield* pass(100)
      expect(messages()).toEqual(["ERROR prices: Still not connected after 1m 10s and 9 failed attempts: no"])
    }))

  for (const seconds of [0, 30, 3_600]) {
    it.scoped(`D12: logs a second outage like the first, after a connection of ${seconds} s`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeLoggedFixture(
          { retry: RetryPolicy.fixed("5 seconds") },
          ({ server }) => server.refuse("no")
        )
        yield* pass(30)
        fixture.server.accept()
        yield* pass(5 + seconds)
        const first = errors(fixture)
        expect(first).toEqual(["prices: Attempt 1 failed: no; next attempt in 5s"])
        fixture.server.refuse("no")
        yield* lose(fixture, "reset")
        yield* pass(10)
        expect(errors(fixture)).toEqual([...first, ...first])
        yield* pass(60)
        expect(errors(fixture).at(-1)).toContain("Still not connected after 1m")
      }))
  }

  it.scoped("D12: compares failures with a custom equivalence", () =>
    Effect.gen(function*() {
      let id = 0
      const connect = () => refuse(`request ${++id} refused`)
      const countErrors = (options: Options) =>
        Effect.gen(function*() {
          const fixture = yield* makeLoggedFixture(options, ({ server }) => {
            server.connect = connect
          })
          yield* pass(25)
          const failed = fixture.eventLog.filter((entry) => entry.includes("FailedToConnect"))
          expect(errors(fixture)).toHaveLength(failed.length)
          return failed.length
        })
      expect(yield* countErrors({})).toBe(3)
      expect(yield* countErrors({ errorEquivalence: (self, that) => self._tag === that._tag })).toBe(1)
      const throwing = () => {
        throw new Error("incomparable")
      }
      expect(yield* countErrors({ errorEquivalence: throwing })).toBe(3)
    }))

  it.scoped("T5: measures the uptime in monotonic time", () =>
    Effect.gen(function*() {
      const { clock, set } = yield* settableClock
      const fixture = yield* Effect.withClock(makeLoggedFixture(), clock)
      yield* pass(20)
      set(-3_600)
      yield* pass(20)
      yield* lose(fixture, "reset")
      expect(fixture.messages()).toContain("INFO prices: Connection 1 was lost: reset; it lasted 40s")
    }))

  class Goodbye extends Data.TaggedError("Goodbye")<{ readonly text: string }> {
    readonly isRegularEnd = true
    override get message(): string {
      return this.text
    }
  }

  it.scoped("D13: logs a regular close by the server at level INFO, with its cause", () =>
    Effect.gen(function*() {
      const { captured, messages } = captureLog()
      const end = yield* Deferred.make<void, Goodbye>()
      const connector = Connector.make({
        connect: () => Effect.sync(() => ({})),
        closed: () => Deferred.await(end)
      })
      yield* captured(Effect.flatMap(
        PersistentConnection.make({ serverName: "prices", address: Effect.succeed("a"), connector }),
        ConnectionLog.track
      ))
      yield* pass(30)
      yield* Deferred.fail(end, new Goodbye({ text: "1001 going away" }))
      yield* settle
      expect(messages()[3]).toBe("INFO prices: Connection 1 was closed by the server: 1001 going away; it lasted 30s")
    }))

  it.scoped("logs an abort and a policy that gave up at level ERROR", () =>
    Effect.gen(function*() {
      const aborted = yield* makeLoggedFixture({}, ({ server }) => {
        server.connect = (attempt) => attempt.abort(new Refused({ text: "wrong password" }))
      })
      yield* settle
      expect(aborted.messages().at(-1)).toBe(
        "ERROR The persistent connection to \"prices\" is closed: it was aborted with wrong password"
      )
      const gaveUp = yield* makeLoggedFixture({ retry: Schedule.recurs(0) }, ({ server }) => server.refuse("no"))
      yield* settle
      expect(gaveUp.messages().slice(-2)).toEqual([
        "ERROR prices: Attempt 1 failed: no; no further attempt",
        "ERROR The persistent connection to \"prices\" is closed: its retry policy gave up after no"
      ])
      expect(gaveUp.lines.at(-1)!.annotations).toMatchObject({ reason: "GaveUp" })
    }))

  it.scoped("logs the end if the log and the persistent connection share a scope", () =>
    Effect.gen(function*() {
      const [{ messages }, scope] = yield* inScope(makeLoggedFixture())
      yield* pass(3)
      yield* Scope.close(scope, Exit.void)
      expect(messages().slice(-2)).toEqual([
        "INFO prices: Connection 1 was closed; it lasted 3s",
        "INFO The persistent connection to \"prices\" is closed: its owner closed it"
      ])
    }))

  it.scoped("shows an immediate next attempt", () =>
    Effect.gen(function*() {
      const { messages } = yield* makeLoggedFixture({ retry: RetryPolicy.fixed("1 second") }, ({ server }) => {
        server.connect = () => Effect.zipRight(sleep(5), Effect.fail(new Refused({ text: "no" })))
      })
      yield* pass(5)
      expect(messages().at(-1)).toContain("; next attempt now")
    }))

  it.scoped("shows that the next attempt needs reconnectNow", () =>
    Effect.gen(function*() {
      const { messages } = yield* makeLoggedFixture({ retry: Schedule.spaced(Duration.infinity) }, ({ server }) => {
        server.refuse("no")
      })
      yield* settle
      expect(messages().at(-1)).toContain("; next attempt only after reconnectNow")
    }))

  it.scoped("logs the new connection after a refresh", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture({}, ({ server }) => server.refuse("no"))
      yield* settle
      fixture.server.accept()
      yield* pass(10)
      yield* PersistentConnection.refresh(fixture.service)
      yield* pass(60)
      expect(fixture.messages().slice(3)).toEqual([
        "INFO prices: Connected (connection 1) after 1 failed attempt",
        "INFO prices: Connected (connection 2)"
      ])
      expect(fixture.lines.at(-1)!.annotations["generation"]).toBe(2)
    }))

  it.scoped("warns of a failed refresh, once per connection while the failure is the same", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture()
      yield* pass(10)
      const warning = "WARN prices: The refresh failed; the connection stays open: busy"
      fixture.server.connect = () => refuse("busy")
      yield* Effect.exit(PersistentConnection.refresh(fixture.service))
      yield* Effect.exit(PersistentConnection.refresh(fixture.service))
      yield* pass(10)
      expect(fixture.messages().slice(3)).toEqual([warning])
      expect(fixture.lines.at(-1)!.annotations).toMatchObject({ server_name: "prices", event: "FailedToRefresh" })
      fixture.server.accept()
      yield* PersistentConnection.refresh(fixture.service)
      yield* settle
      fixture.server.connect = () => refuse("busy")
      yield* Effect.exit(PersistentConnection.refresh(fixture.service))
      expect(fixture.messages().slice(4)).toEqual(["INFO prices: Connected (connection 2)", warning])
    }))

  it.scoped("can start at any phase of the connection", () =>
    Effect.gen(function*() {
      const { captured, messages } = captureLog()
      const fixture = yield* makeFixture({ serverName: "prices" })
      yield* pass(30)
      yield* captured(ConnectionLog.track(fixture.service))
      yield* settle
      expect(messages()).toEqual([])
      yield* lose(fixture)
      expect(messages()).toEqual([
        "INFO prices: Connection 1 was closed; it lasted 30s",
        "INFO prices: Connecting (connection 2)",
        "INFO prices: Attempt 1 has obtained the address a",
        "INFO prices: Connected (connection 2)"
      ])
    }))

  it.scoped("does not show an unknown uptime", () =>
    Effect.gen(function*() {
      const { captured, messages } = captureLog()
      const { server, service } = yield* makeFixture({ serverName: "prices" })
      server.release = () => sleep(5)
      yield* pass(1_000)
      yield* askNow(service.close)
      yield* captured(ConnectionLog.track(service))
      yield* pass(5)
      expect(messages()).toEqual([
        "INFO prices: Connection 1 was closed",
        "INFO The persistent connection to \"prices\" is closed: its owner closed it"
      ])
    }))

  it.scoped("is not affected by a logger that throws", () =>
    Effect.gen(function*() {
      const logger = Logger.make<unknown, void>(() => {
        throw new Error("bug in the logger")
      })
      const { service } = yield* makeFixture().pipe(
        Effect.tap(({ service }) => ConnectionLog.track(service)),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      yield* settle
      expect((yield* service.state.get)._tag).toBe("Connected")
    }))

  it.scoped("continues after an unreadable failure", () =>
    Effect.gen(function*() {
      const fixture = yield* makeLoggedFixture()
      const unreadable = {
        get message(): string {
          throw new Error("unreadable property")
        },
        toString: () => {
          throw new Error("unreadable property")
        }
      }
      fixture.server.connect = () => Effect.die(Object.setPrototypeOf(unreadable, Error.prototype))
      yield* pass(5)
      expect(fixture.messages()).toContain(
        "ERROR prices: Attempt 1 failed: defect: <unreadable>; next attempt in 10s"
      )
      fixture.server.accept()
      yield* pass(5)
      expect(fixture.messages().at(-1)).toBe("INFO prices: Connected (connection 1) after 1 failed attempt")
    }))

  it.scoped("has the events of the handler, in order, at their log levels", () =>
    Effect.gen(function*() {
      const events: Array<Event> = []
      const fixture = yield* makeLoggedFixture({
        onEvent: (event) =>
          Effect.sync(() => {
            events.push(event)
          })
      })
      const addresses = ["a", "a", "b", "b", "a"]
      fixture.server.lookUp = () => Effect.sync(() => addresses.shift() ?? "a")
      for (let turn = 0; turn < 40; turn++) {
        // Successive failures differ.
        if (turn % 3 === 0) fixture.server.refuse(`no ${turn}`)
        else fixture.server.accept()
        if (turn % 5 === 0 && fixture.server.lines.length > 0) yield* lose(fixture)
        yield* pass(10)
      }
      yield* fixture.service.close
      yield* settle
      const logged = fixture.lines.filter(({ annotations }) => annotations["event"] !== "Closed")
      expect(logged.map(({ annotations, level }) => `${level} ${String(annotations["event"])}`)).toEqual(
        events.map((event) => `${ConnectionEvent.logLevel(event).label} ${event._tag}`)
      )
      expect(new Set(events.map(({ _tag }) => _tag)).size).toBe(5)
    }))
})
