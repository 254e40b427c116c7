import { describe, expect } from "@effect/vitest"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as ConnectionLog from "@persistent-connection/core/ConnectionLog"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { captureLog } from "../support/captureLog.js"
import {
  askNow,
  begin,
  type Event,
  inScope,
  type Life,
  type Options,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Life.js"
import { it } from "../support/virtualTime.js"

const beginLogged = (options: Options = {}, prepare?: (life: Life) => void) =>
  Effect.gen(function*() {
    const { heard, lines, said } = captureLog()
    const life = yield* begin({ serverName: "prices", ...options }, prepare).pipe(
      Effect.tap(({ service }) => ConnectionLog.track(service)),
      Effect.annotateLogs("region", "eu"),
      heard
    )
    return { ...life, lines, said }
  })

const lose = ({ server }: Pick<Life, "server">, text?: string) => {
  server.line.drop(text === undefined ? Exit.void : Exit.fail(new Refused({ text })))
  return settle
}

describe("the log", () => {
  it.scoped("tells the life of a connection, from the first event to the end and its reason", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      life.server.lookUp = () => Effect.succeed("wss://me:hush@feed.example.com/v1?token=hush")
      life.server.refuse("no")
      yield* pass(10)
      life.server.refuse("still no")
      yield* pass(10)
      life.server.accept()
      yield* pass(75)
      yield* lose(life, "reset")
      yield* pass(5)
      yield* life.service.close
      yield* settle
      expect(life.said()).toEqual([
        "INFO Connecting to \"prices\"",
        "INFO The address of \"prices\" is wss://feed.example.com/v1",
        "ERROR Attempt 1 to connect to \"prices\" failed: no; the next one is in 10s",
        "ERROR Attempt 3 to connect to \"prices\" failed: still no; the next one is in 10s",
        "INFO Connected to \"prices\" after 3 failed attempts",
        "INFO The connection to \"prices\" was lost after 1m 5s: reset",
        "INFO Connecting to \"prices\"",
        "INFO The address of \"prices\" is wss://feed.example.com/v1",
        "INFO Connected to \"prices\"",
        "INFO The connection to \"prices\" was closed after 5s",
        "INFO The persistent connection to \"prices\" is closed: its owner closed it"
      ])
    }))

  it.scoped("annotates every line with the server, the event, and the numbers that it has, and keeps those of the fiber", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      life.server.lookUp = () => Effect.succeed("me:hush@feed.example.com:80")
      life.server.refuse("no")
      yield* settle
      life.server.accept()
      yield* pass(10)
      yield* lose(life)
      yield* pass(10)
      yield* life.service.close
      const address = "feed.example.com:80"
      const common = { server_name: "prices", region: "eu" }
      expect(life.lines.map(({ annotations }) => annotations)).toEqual([
        { ...common, event: "AttemptingToConnect", generation: 1 },
        { ...common, event: "ObtainedAddress", generation: 1, attempt: 1, address },
        { ...common, event: "FailedToConnect", generation: 1, attempt: 1, address },
        { ...common, event: "Connected", generation: 1, address },
        { ...common, event: "Disconnected", generation: 1 },
        { ...common, event: "AttemptingToConnect", generation: 2 },
        { ...common, event: "ObtainedAddress", generation: 2, attempt: 1, address },
        { ...common, event: "Connected", generation: 2, address },
        { ...common, event: "Disconnected", generation: 2 },
        { ...common, event: "Closed", reason: "ClosedByOwner" }
      ])
    }))

  it.scoped("has the cause of failures and losses, which has no credentials", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      const refused = new Refused({ text: "no" })
      life.server.connect = () => Effect.fail(refused)
      yield* settle
      expect(life.lines.at(-1)!.cause).toEqual(Cause.fail(refused))
      life.server.connect = () => Effect.die(new Error("GET wss://me:hush@feed.example.com/?token=hush : bug"))
      yield* pass(10)
      const { cause, message } = life.lines.at(-1)!
      expect(message).toContain("failed: GET wss://feed.example.com/ : bug; the next")
      expect(Cause.pretty(cause)).toContain("Error: GET wss://feed.example.com/ : bug")
      expect(Cause.pretty(cause)).toContain("log.test.ts")
      expect(Cause.pretty(cause, { renderErrorCause: true })).not.toContain("hush")
      life.server.accept()
      yield* pass(10)
      yield* lose(life, "reset")
      expect(Cause.pretty(life.lines.find(({ annotations }) => annotations["event"] === "Disconnected")!.cause))
        .toContain("reset")
    }))

  it.scoped("never tells the same failure twice in a row, not even if there was a connection for less than a minute", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      const failures = () => life.lines.filter(({ level }) => level === "ERROR").length
      const flap = (seconds: number) =>
        Effect.gen(function*() {
          life.server.accept()
          yield* pass(10)
          yield* pass(seconds)
          life.server.refuse("no")
          yield* lose(life)
          yield* pass(30)
        })
      life.server.refuse("no")
      yield* pass(1_000)
      expect(failures()).toBe(1)
      yield* flap(0)
      yield* flap(49)
      expect(failures()).toBe(1)
      yield* flap(60)
      expect(failures()).toBe(2)
      life.server.refuse("yes")
      yield* pass(10)
      life.server.refuse("no")
      yield* pass(100)
      expect(failures()).toBe(4)
    }))

  it.scoped("tells an abort, and that the retry policy gave up, as errors", () =>
    Effect.gen(function*() {
      const aborted = yield* beginLogged({}, ({ server }) => {
        server.connect = (attempt) => attempt.abort(new Refused({ text: "wrong password" }))
      })
      yield* settle
      expect(aborted.said().at(-1)).toBe(
        "ERROR The persistent connection to \"prices\" is closed: it was aborted with wrong password"
      )
      expect(aborted.lines.at(-1)!.cause).toEqual(Cause.fail(new Refused({ text: "wrong password" })))
      const gaveUp = yield* beginLogged({ retry: Schedule.recurs(0) }, ({ server }) => server.refuse("no"))
      yield* settle
      expect(gaveUp.said().slice(-2)).toEqual([
        "ERROR Attempt 1 to connect to \"prices\" failed: no; there will be no other",
        "ERROR The persistent connection to \"prices\" is closed: its retry policy gave up after no"
      ])
      expect(gaveUp.lines.at(-1)!.annotations).toMatchObject({ reason: "GaveUp" })
    }))

  it.scoped("tells the end when the scope in which both were made is left", () =>
    Effect.gen(function*() {
      const [{ said }, scope] = yield* inScope(beginLogged())
      yield* pass(3)
      yield* Scope.close(scope, Exit.void)
      expect(said().slice(-2)).toEqual([
        "INFO The connection to \"prices\" was closed after 3s",
        "INFO The persistent connection to \"prices\" is closed: its owner closed it"
      ])
    }))

  it.scoped("says that a retry comes at once", () =>
    Effect.gen(function*() {
      const { said } = yield* beginLogged({ retry: RetryPolicy.fixed("1 second") }, ({ server }) => {
        server.connect = () => Effect.zipRight(sleep(5), Effect.fail(new Refused({ text: "no" })))
      })
      yield* pass(5)
      expect(said().at(-1)).toContain("; the next one is now")
    }))

  it.scoped("says that a retry never comes of itself", () =>
    Effect.gen(function*() {
      const { said } = yield* beginLogged({ retry: Schedule.spaced(Duration.infinity) }, ({ server }) => {
        server.refuse("no")
      })
      yield* settle
      expect(said().at(-1)).toContain("; the next one is never")
    }))

  it.scoped("tells of a refresh that there is a new connection", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      yield* pass(10)
      yield* PersistentConnection.refresh(life.service)
      yield* pass(60)
      expect(life.said().slice(2)).toEqual(["INFO Connected to \"prices\"", "INFO Connected to \"prices\""])
      expect(life.lines.at(-1)!.annotations["generation"]).toBe(2)
    }))

  it.scoped("warns of a refresh that fails, but of the same failure once", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      yield* pass(10)
      life.server.connect = () => refuse("busy")
      yield* Effect.exit(PersistentConnection.refresh(life.service))
      yield* Effect.exit(PersistentConnection.refresh(life.service))
      yield* pass(10)
      expect(life.said().slice(3)).toEqual([
        "WARN The connection to \"prices\" could not be refreshed, and stays: busy"
      ])
      expect(life.lines.at(-1)!.annotations).toMatchObject({ server_name: "prices", event: "FailedToRefresh" })
    }))

  it.scoped("goes on from where it finds the connection", () =>
    Effect.gen(function*() {
      const { heard, said } = captureLog()
      const life = yield* begin({ serverName: "prices" })
      yield* pass(30)
      yield* heard(ConnectionLog.track(life.service))
      yield* settle
      expect(said()).toEqual([])
      yield* lose(life)
      expect(said()).toEqual([
        "INFO The connection to \"prices\" was lost after 30s: a close without an error",
        "INFO Connecting to \"prices\"",
        "INFO The address of \"prices\" is a",
        "INFO Connected to \"prices\""
      ])
    }))

  it.scoped("does not say how long a connection lasted if it does not know", () =>
    Effect.gen(function*() {
      const { heard, said } = captureLog()
      const { server, service } = yield* begin({ serverName: "prices" })
      server.release = () => sleep(5)
      yield* pass(1_000)
      yield* askNow(service.close)
      yield* heard(ConnectionLog.track(service))
      yield* pass(5)
      expect(said()).toEqual([
        "INFO The connection to \"prices\" was closed",
        "INFO The persistent connection to \"prices\" is closed: its owner closed it"
      ])
    }))

  it.scoped("harms nobody if the logger throws", () =>
    Effect.gen(function*() {
      const logger = Logger.make<unknown, void>(() => {
        throw new Error("bug in the logger")
      })
      const { service } = yield* begin().pipe(
        Effect.tap(({ service }) => ConnectionLog.track(service)),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      yield* settle
      expect((yield* service.state.get)._tag).toBe("Connected")
    }))

  it.scoped("goes on if a failure cannot be read", () =>
    Effect.gen(function*() {
      const life = yield* beginLogged()
      const unreadable = {
        get message(): string {
          throw new Error("do not look")
        },
        toString: () => {
          throw new Error("do not look")
        }
      }
      life.server.connect = () => Effect.die(Object.setPrototypeOf(unreadable, Error.prototype))
      yield* pass(5)
      expect(life.said()).toContain(
        "ERROR Attempt 1 to connect to \"prices\" failed: <unreadable>; the next one is in 10s"
      )
      life.server.accept()
      yield* pass(5)
      expect(life.said().at(-1)).toBe("INFO Connected to \"prices\" after 1 failed attempt")
    }))

  it.scoped("has the events that the handler gets, in their order, at their levels", () =>
    Effect.gen(function*() {
      const events: Array<Event> = []
      const life = yield* beginLogged({
        onEvent: (event) =>
          Effect.sync(() => {
            events.push(event)
          })
      })
      const addresses = ["a", "a", "b", "b", "a"]
      life.server.lookUp = () => Effect.sync(() => addresses.shift() ?? "a")
      for (let turn = 0; turn < 40; turn++) {
        // No two failures in a row are the same.
        if (turn % 3 === 0) life.server.refuse(`no ${turn}`)
        else life.server.accept()
        if (turn % 5 === 0 && life.server.lines.length > 0) yield* lose(life)
        yield* pass(10)
      }
      yield* life.service.close
      yield* settle
      const logged = life.lines.filter(({ annotations }) => annotations["event"] !== "Closed")
      expect(logged.map(({ annotations, level }) => `${level} ${String(annotations["event"])}`)).toEqual(
        events.map((event) => `${ConnectionEvent.logLevel(event).label} ${event._tag}`)
      )
      expect(new Set(events.map(({ _tag }) => _tag)).size).toBe(5)
    }))
})
