import { registry } from "#internal/loop/registry.js"
import { beforeEach, describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as Inspect from "@persistent-connection/core/Inspect"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { inspect } from "node:util"
import { askNow, inScope, makeFixture, pass, Refused, settle, sleep } from "../support/Fixture.js"
import { settableClock } from "../support/settableClock.js"
import { it } from "../support/virtualTime.js"
import { threeConnections } from "./threeConnections.js"

// Other tests of this process may have left scopes open.
beforeEach(() => registry.clear())

describe("all", () => {
  it.scoped("lists every persistent connection whose scope is open, sorted by name, without credentials", () =>
    Effect.gen(function*() {
      const before = yield* Inspect.all
      expect(before).toEqual([])
      const [, scope] = yield* inScope(threeConnections)
      expect(yield* Inspect.all).toEqual([
        {
          serverName: "audit",
          phase: "Closed",
          since: 0,
          forMillis: 7_284_000,
          generation: 1,
          attempt: 1,
          nextAttemptAt: null,
          waiting: 0,
          address: "a",
          lastCause: "no longer supported"
        },
        {
          serverName: "orders",
          phase: "Connected",
          since: 7_264_000,
          forMillis: 20_000,
          generation: 2,
          attempt: 1,
          nextAttemptAt: null,
          waiting: 0,
          address: "orders.example.com:5672",
          lastCause: "a close without an error"
        },
        {
          serverName: "prices",
          phase: "Waiting",
          since: 7_200_000,
          forMillis: 84_000,
          generation: 0,
          attempt: 3,
          nextAttemptAt: 10_800_000,
          waiting: 2,
          address: "wss://prices.example.com/v1",
          lastCause: "connect ECONNREFUSED 10.0.0.7:443"
        }
      ])
      yield* Scope.close(scope, Exit.void)
      expect(yield* Inspect.all).toEqual([])
    }))

  it.scoped("survives a round trip through JSON", () =>
    Effect.gen(function*() {
      yield* threeConnections
      const all = yield* Inspect.all
      expect(JSON.parse(JSON.stringify(all))).toEqual(all)
    }))

  it.scoped("lists persistent connections with equal names in order of creation", () =>
    Effect.gen(function*() {
      yield* makeFixture({ serverName: "twin" })
      yield* pass(1)
      yield* makeFixture({ serverName: "twin" })
      yield* makeFixture({ serverName: "first" })
      expect((yield* Inspect.all).map(({ serverName, since }) => `${serverName} ${since}`)).toEqual([
        "first 1000",
        "twin 0",
        "twin 1000"
      ])
    }))
})

describe("summarize", () => {
  it.scoped("returns the entry of `all`", () =>
    Effect.gen(function*() {
      const { prices } = yield* threeConnections
      expect(yield* Inspect.summarize(prices.service)).toEqual((yield* Inspect.all)[2])
    }))

  it.scoped("counts the time from the beginning of the phase, over the changes within it", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => {
        server.lookUp = () => Effect.as(sleep(3), "a")
        server.connect = () => sleep(3)
      })
      const forMillis = Effect.map(Inspect.summarize(service), ({ forMillis }) => forMillis)
      yield* pass(5)
      expect([yield* forMillis, server.connects]).toEqual([5_000, 1])
      yield* pass(11)
      yield* service.closeWhenCurrentConnectionIsClosed
      yield* pass(10)
      expect(yield* forMillis).toBe(20_000)
    }))

  it.scoped("T5: counts the time from the beginning of a phase that has the timestamp of the phase before", () =>
    Effect.gen(function*() {
      const { clock, set } = yield* settableClock
      const { service } = yield* Effect.withClock(
        makeFixture({}, ({ server }) => {
          server.connect = () => sleep(5)
        }),
        clock
      )
      yield* pass(4)
      set(-5)
      yield* pass(3)
      expect(yield* Inspect.summarize(service)).toMatchObject({ phase: "Connected", since: 0, forMillis: 2_000 })
    }))

  it.scoped("counts the time from a refresh: that begins a phase with the same name", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      yield* PersistentConnection.refresh(service)
      yield* pass(10)
      expect(yield* Inspect.summarize(service)).toMatchObject({
        phase: "Connected",
        since: 60_000,
        forMillis: 10_000,
        generation: 2
      })
      expect(server.lines).toHaveLength(2)
    }))

  it.scoped("has the cause of an abort instead of an earlier failure", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      yield* settle
      server.connect = (attempt) => attempt.abort(new Refused({ text: "no longer supported" }))
      yield* pass(10)
      expect(yield* Inspect.summarize(service)).toMatchObject({ phase: "Closed", lastCause: "no longer supported" })
    }))
})

describe("printing a persistent connection", () => {
  const printed = (service: object) => [String(service), JSON.stringify(service), inspect(service, { depth: 9 })]

  it.scoped("shows no credentials of the address, of the last cause, or of the reason", () =>
    Effect.gen(function*() {
      const url = "wss://me:hush@prices.example.com/v1?token=hush"
      const { server, service } = yield* makeFixture({ serverName: "prices" })
      server.lookUp = () => Effect.succeed(url)
      server.refuse(`no ${url}`)
      yield* settle
      for (const form of printed(service)) {
        expect(form).not.toContain("hush")
        expect(form).toContain("wss://prices.example.com/v1")
        expect(form).toContain("Waiting")
      }
      server.connect = (attempt) => attempt.abort(new Refused({ text: `never ${url}` }))
      yield* pass(10)
      for (const form of printed(service)) {
        expect(form).not.toContain("hush")
        expect(form).toContain("Aborted")
      }
    }))

  class FeedError extends Data.TaggedError("FeedError")<{ readonly url: string }> {}

  it.scoped("shows no credentials that an error holds", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture({}, ({ server }) => {
        server.connect = () => Effect.die(new FeedError({ url: "wss://me:hush@a" }))
      })
      yield* settle
      for (const form of printed(service)) {
        expect(form).toContain("FeedError")
        expect(form).not.toContain("hush")
      }
    }))

  it.scoped("does not show the connection", () =>
    Effect.gen(function*() {
      const connection = { password: "hush", self: {} }
      connection.self = connection
      const service = yield* PersistentConnection.make({
        serverName: "a",
        address: Effect.succeed("a"),
        connector: Connector.make({
          connect: () =>
            Effect.acquireRelease(
              Effect.succeed(connection),
              () => Effect.sleep("1 second")
            ),
          closed: () => Effect.never
        })
      })
      yield* settle
      for (const form of printed(service)) {
        expect(form).toContain("Connected")
        expect(form).not.toContain("hush")
      }
      yield* askNow(service.close)
      for (const form of printed(service)) {
        expect(form).toContain("Closing")
        expect(form).not.toContain("hush")
      }
      yield* pass(1)
    }))
})
