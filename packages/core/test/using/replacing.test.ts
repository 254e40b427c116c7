import { describe, expect } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import { askNow, makeFixture, pass, refuse, Refused, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

describe("replacing connections under Addresses.failover", () => {
  const fleet = (options?: Addresses.FailoverOptions) => {
    const dialled: Array<string> = []
    const down = new Set<string>()
    let lose = () => {}
    const connector = Connector.make({
      connect: (host: string) =>
        Effect.suspend(() => {
          dialled.push(host)
          return down.has(host) ? refuse("down") : Effect.map(Deferred.make<void>(), (end) => ({ host, end }))
        }),
      closed: ({ end }) => {
        lose = () => Deferred.unsafeDone(end, Exit.void)
        return Deferred.await(end)
      }
    })
    const make = PersistentConnection.make({
      serverName: "fleet",
      address: Addresses.failover(["a", "b"], options),
      connector,
      retry: RetryPolicy.fixed("1 second")
    })
    return { dialled, down, make, lose: () => lose() }
  }

  it.scoped("moves to the next address when the attempt of a refresh has failed", () =>
    Effect.gen(function*() {
      const { dialled, down, make } = fleet()
      const service = yield* make
      yield* settle
      down.add("a")
      yield* askNow(PersistentConnection.refreshWhen(service, ({ host }) => host === "a" ? Effect.void : Effect.never))
      yield* pass(60)
      expect(dialled).toEqual(["a", "a", "b"])
    }))

  it.scoped("leaves the preferred address again if it is down at the time of the failback", () =>
    Effect.gen(function*() {
      const { dialled, down, make } = fleet({ failBackAfter: "1 minute" })
      down.add("a")
      const service = yield* make
      yield* pass(120)
      yield* askNow(PersistentConnection.refreshWhen(service, PersistentConnection.maxAge("2 minutes", { jitter: 0 })))
      yield* pass(30)
      expect(dialled).toEqual(["a", "b", "a", "b"])
    }))

  it.scoped("moves to another address when the server has announced its shutdown", () =>
    Effect.gen(function*() {
      const { dialled, make } = fleet()
      const service = yield* make
      yield* settle
      yield* askNow(
        PersistentConnection.refreshWhen(service, ({ host }) => host === "a" ? sleep(60) : Effect.never, {
          elsewhere: true
        })
      )
      yield* pass(120)
      expect(dialled).toEqual(["a", "b"])
      yield* PersistentConnection.refresh(service)
      expect(dialled).toEqual(["a", "b", "b"])
    }))

  it.scoped("moves to another address if the announced end comes before the refresh, and returns if no other works", () =>
    Effect.gen(function*() {
      const { dialled, down, lose, make } = fleet()
      const service = yield* make
      yield* settle
      down.add("b")
      yield* Effect.flip(PersistentConnection.refresh(service, { elsewhere: true }))
      yield* Effect.flip(PersistentConnection.refresh(service, { elsewhere: true }))
      expect(dialled).toEqual(["a", "b", "b"])
      lose()
      yield* pass(60)
      expect(dialled).toEqual(["a", "b", "b", "b", "a"])
      yield* PersistentConnection.refresh(service)
      expect(dialled).toEqual(["a", "b", "b", "b", "a", "a"])
    }))
})

describe("`elsewhere` of an attempt", () => {
  it.scoped("is true after the server has announced its shutdown, and at the first attempt after the loss", () =>
    Effect.gen(function*() {
      const seen: Array<boolean> = []
      const { server, service } = yield* makeFixture({}, ({ server }) => {
        server.lookUp = ({ elsewhere }) => Effect.sync(() => (seen.push(elsewhere), "a"))
      })
      yield* settle
      server.refuse("no")
      yield* Effect.flip(PersistentConnection.refresh(service))
      yield* Effect.flip(PersistentConnection.refresh(service, { elsewhere: true }))
      server.line.drop()
      yield* pass(10)
      server.accept()
      yield* pass(10)
      yield* PersistentConnection.refresh(service)
      expect(seen).toEqual([false, false, true, true, false, false])
    }))
})

describe("a refresh during a loss", () => {
  it.scoped("does not hide the loss: it is reported and counted, even if a handler delays the event (D5)", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture({
        serverName: "hidden loss",
        onEvent: (event) => event._tag === "Connected" && event.generation === 1 ? sleep(10) : Effect.void
      })
      yield* ConnectionMetrics.track(service)
      yield* settle
      const used = yield* askNow(PersistentConnection.use(service, () => Effect.never))
      server.line.drop(Exit.fail(new Refused({ text: "bye" })))
      yield* settle
      expect(used.error?._tag).toBe("ConnectionLost")
      const refreshing = yield* askNow(PersistentConnection.refresh(service))
      yield* pass(20)
      expect(eventLog).toContain("10 Disconnected 1 bye")
      expect(refreshing.exit).toEqual(Exit.void)
      const losses = Metric.tagged(ConnectionMetrics.losses, "server_name", "hidden loss")
      expect((yield* Metric.value(losses)).count).toBe(1)
    }))

  it.scoped("restarts the policy if the replaced connection had lived for minUptime", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.fixed("1 second").pipe(Schedule.intersect(Schedule.recurs(3)))
      const { server, service } = yield* makeFixture({ minUptime: "1 minute", retry }, ({ server }) =>
        server.refuse("no"))
      yield* settle
      yield* pass(1)
      yield* pass(1)
      server.accept()
      yield* pass(3600)
      yield* PersistentConnection.refresh(service)
      yield* pass(10)
      server.refuse("no")
      server.line.drop()
      yield* pass(1)
      expect(yield* service.isClosed).toBe(false)
    }))
})

describe("maxAge", () => {
  it.scoped("is the age of the connection, not the time since the call", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(50 * 60)
      yield* askNow(PersistentConnection.refreshWhen(service, PersistentConnection.maxAge("1 hour", { jitter: 0 })))
      yield* pass(9 * 60)
      expect(server.lines.length).toBe(1)
      yield* pass(60)
      expect(server.lines.length).toBe(2)
    }))

  it.scoped("T4, T5: is measured by the clock of the persistent connection, not by the clock of the caller", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      const own = yield* Effect.clock
      // The monotonic times of two clocks have different origins.
      const other: Clock.Clock = Object.create(own, {
        unsafeCurrentTimeNanos: { value: () => own.unsafeCurrentTimeNanos() + 3_600_000_000_000n }
      })
      const whenOld = PersistentConnection.maxAge("1 hour", { jitter: 0 })
      yield* askNow(Effect.withClock(PersistentConnection.refreshWhen(service, whenOld), other))
      yield* pass(59 * 60)
      expect(server.lines.length).toBe(1)
      yield* pass(60)
      expect(server.lines.length).toBe(2)
    }))
})

describe("refreshWhen", () => {
  it.scoped("replaces a connection at the earliest one second after it was established, even if each one requests it at once", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      yield* askNow(PersistentConnection.refreshWhen(service, () => Effect.void))
      for (let second = 0; second < 5; second++) yield* pass(1)
      expect(server.lines.length).toBe(6)
    }))
})
