import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { captureLog } from "../support/captureLog.js"
import { inScope, makeFixture, type Options, pass, refuse, Refused, type Server, settle } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const quotation = "cannot reach wss://me:hush@a/?token=hush"
const fails = refuse(quotation)

describe("the default log", () => {
  const ends: ReadonlyArray<readonly [reason: string, why: string, options: Options, connect: Server["connect"]]> = [
    [
      "Aborted",
      "it was aborted with cannot reach wss://a/",
      {},
      ({ abort }) => abort(new Refused({ text: quotation }))
    ],
    ["GaveUp", "its retry policy gave up after cannot reach wss://a/", { retry: Schedule.recurs(1) }, () => fails]
  ]
  for (const [reason, why, options, connect] of ends) {
    it.scoped(`has one line for the end of a persistent connection, with the reason: ${reason}`, () =>
      Effect.gen(function*() {
        const { captured, lines } = captureLog()
        const { service } = yield* captured(makeFixture(options, ({ server }) => {
          server.connect = connect
        }))
        yield* settle
        const [line] = lines
        expect(line).toMatchObject({
          level: "ERROR",
          message: `The persistent connection to "test" is closed: ${why}`,
          annotations: { server_name: "test", event: "Closed", reason }
        })
        yield* service.close
        yield* pass(10)
        expect(lines.length).toBe(1)
      }))
  }

  class Goodbye extends Data.TaggedError("Goodbye")<{ readonly text: string }> {
    readonly isRegularEnd = true
    override get message(): string {
      return this.text
    }
  }

  it.scoped("D13: has level INFO if the policy gave up after a regular close by the server", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const connector = Connector.make({
        connect: () => Effect.sync(() => ({})),
        closed: () => Effect.fail(new Goodbye({ text: "1000 done" }))
      })
      const address = Effect.succeed("a")
      yield* captured(PersistentConnection.make({ serverName: "a", address, connector, retry: Schedule.stop }))
      yield* settle
      expect(lines).toMatchObject([{
        level: "INFO",
        message:
          `The persistent connection to "a" is closed: its retry policy gave up after the server had closed the connection: 1000 done`,
        annotations: { event: "Closed", reason: "GaveUp" }
      }])
    }))

  it.scoped("D13: includes an abort as an error, even an abort with a regular end", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const connector = Connector.make({
        connect: (_: string, { abort }) => abort(new Goodbye({ text: "1000 done" })),
        closed: () => Effect.never
      })
      yield* captured(PersistentConnection.make({ serverName: "a", address: Effect.succeed("a"), connector }))
      yield* settle
      expect(lines).toMatchObject([{ level: "ERROR", annotations: { event: "Closed", reason: "Aborted" } }])
    }))

  it.scoped("does not include a close by the owner", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const { server, service } = yield* captured(makeFixture())
      yield* settle
      yield* service.closeWhenCurrentConnectionIsClosed
      server.line.drop()
      yield* settle
      expect(yield* service.isClosed).toBe(true)
      const [closed, scope] = yield* inScope(captured(makeFixture()))
      yield* settle
      yield* closed.service.close
      yield* Scope.close(scope, Exit.void)
      expect(lines).toEqual([])
    }))

  it.scoped("is complete when the scope has been left", () =>
    Effect.gen(function*() {
      const { captured, messages } = captureLog()
      const [{ server }, scope] = yield* inScope(captured(makeFixture()))
      yield* settle
      yield* server.abort(new Refused({ text: "no" }))
      yield* Scope.close(scope, Exit.void)
      expect(messages()).toEqual(["ERROR The persistent connection to \"test\" is closed: it was aborted with no"])
    }))

  it.scoped("names the server, and the event of a slow or failed handler", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const boom = Effect.die(new Error("bug"))
      const { server } = yield* captured(makeFixture({
        closeTimeout: "5 seconds",
        onEvent: ({ _tag }) => _tag === "Connected" ? boom : _tag === "Disconnected" ? Effect.never : Effect.void,
        retry: Schedule.forever.pipe(Schedule.mapEffect(() => boom))
      }))
      server.release = () => Effect.zipRight(Effect.sleep("6 seconds"), boom)
      yield* settle
      server.line.drop()
      yield* pass(10)
      const server_name = "test"
      expect(lines.map(({ annotations, message }) => [message, annotations])).toEqual([
        ["The onEvent handler of \"test\" failed on Connected", { server_name, event: "Connected" }],
        ["The retry policy of \"test\" failed", { server_name }],
        ["Closing a connection to \"test\" took longer than 5s; not waiting for it", { server_name }],
        ["A finalizer of a connection to \"test\" failed", { server_name }],
        [
          "The onEvent handler of \"test\" has held up the loop on Disconnected for 10s",
          { server_name, event: "Disconnected" }
        ]
      ])
    }))

  it.scoped("shows no credentials", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const boom = Effect.die(new Error(quotation))
      const { server } = yield* captured(makeFixture({
        onEvent: ({ _tag }) => _tag === "Connected" ? boom : Effect.void,
        retry: Schedule.forever.pipe(Schedule.mapEffect(() => boom))
      }))
      server.release = () => boom
      yield* settle
      server.line.drop()
      yield* settle
      expect(lines.map(({ message }) => message)).toEqual([
        "The onEvent handler of \"test\" failed on Connected",
        "The retry policy of \"test\" failed",
        "A finalizer of a connection to \"test\" failed"
      ])
      for (const { cause } of lines) {
        expect(Cause.pretty(cause, { renderErrorCause: true })).toBe("Error: cannot reach wss://a/")
      }
    }))

  const debugging = () => {
    const { captured, lines } = captureLog()
    return {
      lines,
      debugged: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        captured(Logger.withMinimumLogLevel(effect, LogLevel.Debug))
    }
  }

  it.scoped("does not include failed attempts, even at level DEBUG", () =>
    Effect.gen(function*() {
      const { debugged, lines } = debugging()
      const attempts = <Connection, E>(connector: Connector.Connector<string, Connection, E>) =>
        PersistentConnection.make({ serverName: "a", address: Effect.succeed("a"), connector })
      const refused = Connector.make({ connect: () => fails, closed: () => Effect.never })
      const accepted = Connector.make({ connect: () => Effect.sync(() => ({})), closed: () => Effect.never })
      yield* debugged(Effect.all([
        PersistentConnection.make({ serverName: "a", address: fails, connector: accepted }),
        attempts(refused),
        attempts(Connector.connectTimeout(refused, "5 seconds")),
        attempts(Connector.setup(accepted, () => fails)),
        attempts(Connector.healthCheck(accepted, { interval: "5 seconds", timeout: "1 second", probe: () => fails }))
      ]))
      yield* pass(60)
      expect(lines).toEqual([])
    }))

  it.scoped("does not include failed uses, which their callers get", () =>
    Effect.gen(function*() {
      const { debugged, lines } = debugging()
      const { service } = yield* makeFixture()
      yield* settle
      const failed = yield* debugged(Effect.flip(PersistentConnection.use(service, () => fails)))
      expect(failed).toEqual(new Refused({ text: quotation }))
      const late = Effect.zipRight(Effect.yieldNow(), fails)
      expect(yield* debugged(Effect.flip(PersistentConnection.use(service, () => late)))).toEqual(failed)
      expect(lines).toEqual([])
    }))

  it.scoped("includes unhandled failures in a use", () =>
    Effect.gen(function*() {
      const { debugged, lines } = debugging()
      const { service } = yield* makeFixture()
      yield* settle
      yield* debugged(
        PersistentConnection.use(service, () => Effect.zipRight(Effect.fork(refuse("unhandled")), Effect.yieldNow()))
      )
      yield* settle
      expect(lines.map(({ cause }) => Cause.pretty(cause))).toEqual([expect.stringContaining("unhandled")])
    }))
})
