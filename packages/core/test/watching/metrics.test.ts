import { describe, expect } from "@effect/vitest"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import {
  ask,
  type Fixture,
  inScope,
  makeFixture,
  type Options,
  pass,
  refuse,
  settle,
  sleep
} from "../support/Fixture.js"
import { settableClock } from "../support/settableClock.js"
import { it } from "../support/virtualTime.js"

/** Makes a fixture with metrics. */
const makeTrackedFixture = (options: Options, prepare?: (fixture: Fixture) => void) =>
  Effect.tap(makeFixture(options, prepare), ({ service }) => ConnectionMetrics.track(service))

const tagged = <Type, In, Out>(metric: Metric.Metric<Type, In, Out>, ...tags: ReadonlyArray<[string, string]>) =>
  Metric.value(tags.reduce((metric, [key, value]) => Metric.tagged(metric, key, value), metric))

const counts = (serverName: string) =>
  Effect.gen(function*() {
    const count = (metric: Metric.Metric.Counter<number>, ...tags: ReadonlyArray<[string, string]>) =>
      Effect.map(tagged(metric, ["server_name", serverName], ...tags), ({ count }) => count)
    const outcome = (outcome: ConnectionMetrics.AttemptOutcome) =>
      count(ConnectionMetrics.attempts, ["outcome", outcome])
    return {
      success: yield* outcome("success"),
      failure: yield* outcome("failure"),
      timeout: yield* outcome("timeout"),
      defect: yield* outcome("defect"),
      interrupted: yield* outcome("interrupted"),
      connections: yield* count(ConnectionMetrics.connections),
      losses: yield* count(ConnectionMetrics.losses)
    }
  })

const nothing = { success: 0, failure: 0, timeout: 0, defect: 0, interrupted: 0, connections: 0, losses: 0 }

/** The count and the sum in seconds. */
const times = (metric: Metric.Metric.Histogram<number>, serverName: string) =>
  Effect.map(tagged(metric, ["server_name", serverName]), ({ count, sum }) => [count, sum])

const gauges = (serverName: string) =>
  Effect.gen(function*() {
    const phase = (phase: ConnectionMetrics.Phase) =>
      Effect.map(
        tagged(ConnectionMetrics.state, ["server_name", serverName], ["phase", phase]),
        ({ value }) => value
      )
    return {
      connecting: yield* phase("connecting"),
      connected: yield* phase("connected"),
      waiting: yield* phase("waiting"),
      closing: yield* phase("closing")
    }
  })

const nowhere = { connecting: 0, connected: 0, waiting: 0, closing: 0 }

const waiting = (serverName: string) =>
  Effect.map(tagged(ConnectionMetrics.waiting, ["server_name", serverName]), ({ value }) => value)

describe("the counters", () => {
  it.scoped("count a failed attempt once, even if a close comes before the policy has decided", () =>
    Effect.gen(function*() {
      const serverName = "slow policy"
      const retry = Schedule.forever.pipe(Schedule.mapEffect(() => Effect.never))
      const { service } = yield* makeTrackedFixture({ serverName, retry }, ({ server }) => server.refuse("no"))
      yield* settle
      yield* service.close
      expect(yield* counts(serverName)).toEqual({ ...nothing, failure: 1 })
    }))

  it.scoped("count every attempt by its outcome, also failures without an event", () =>
    Effect.gen(function*() {
      const serverName = "attempts by outcome"
      const { server, service } = yield* makeTrackedFixture({ serverName })
      server.refuse("no")
      yield* pass(0)
      expect(yield* counts(serverName)).toEqual({ ...nothing, failure: 1 })
      yield* pass(10)
      expect(yield* counts(serverName)).toEqual({ ...nothing, failure: 2 })
      server.connect = () => Effect.die(new Error("bug"))
      yield* pass(10)
      expect(yield* counts(serverName)).toEqual({ ...nothing, failure: 2, defect: 1 })
      server.lookUp = () => Effect.never
      yield* pass(39)
      expect(yield* counts(serverName)).toEqual({ ...nothing, failure: 2, defect: 1 })
      server.lookUp = () => Effect.succeed("b")
      server.accept()
      yield* pass(1)
      expect(yield* counts(serverName)).toEqual({
        ...nothing,
        failure: 2,
        defect: 1,
        timeout: 1,
        success: 1,
        connections: 1
      })
      server.connect = () => Effect.never
      server.line.drop()
      yield* pass(10)
      yield* service.close
      expect(yield* counts(serverName)).toEqual({
        success: 1,
        failure: 2,
        timeout: 1,
        defect: 1,
        interrupted: 1,
        connections: 1,
        losses: 1
      })
    }))

  for (const attemptTimeout of [Duration.seconds(30), Duration.infinity]) {
    const deadline = `with a deadline of ${Duration.format(attemptTimeout)}`

    it.scoped(`count an attempt from its beginning, ${deadline}`, () =>
      Effect.gen(function*() {
        const serverName = `in the look-up ${deadline}`
        const { service } = yield* makeTrackedFixture({ serverName, attemptTimeout }, ({ server }) => {
          server.lookUp = () => Effect.never
        })
        yield* pass(5)
        yield* service.close
        expect(yield* counts(serverName)).toEqual({ ...nothing, interrupted: 1 })
      }))

    it.scoped(`do not count an attempt before its beginning, ${deadline}`, () =>
      Effect.gen(function*() {
        const serverName = `in the handler ${deadline}`
        const { service } = yield* makeTrackedFixture({ serverName, attemptTimeout, onEvent: () => Effect.never })
        yield* pass(5)
        yield* service.close
        expect(yield* counts(serverName)).toEqual(nothing)
      }))
  }

  it.scoped("count a loss with or without an error, but not a close", () =>
    Effect.gen(function*() {
      const serverName = "losses"
      const { server, service } = yield* makeTrackedFixture({ serverName })
      yield* pass(10)
      server.line.drop()
      yield* pass(10)
      server.line.drop(yield* Effect.exit(refuse("reset")))
      yield* pass(10)
      yield* service.close
      yield* settle
      expect(yield* counts(serverName)).toEqual({ ...nothing, success: 3, connections: 3, losses: 2 })
    }))

  it.scoped("count an abort as an interruption, and nothing after it", () =>
    Effect.gen(function*() {
      const serverName = "abort"
      const { server } = yield* makeTrackedFixture({ serverName }, ({ server }) => {
        server.connect = (attempt) => refuse("never again").pipe(Effect.catchAll((error) => attempt.abort(error)))
      })
      yield* pass(100)
      expect(server.attempts).toHaveLength(1)
      expect(yield* counts(serverName)).toEqual({ ...nothing, interrupted: 1 })
      expect(yield* gauges(serverName)).toEqual(nowhere)
    }))

  it.scoped("count a refresh as a connection, not as a loss", () =>
    Effect.gen(function*() {
      const serverName = "refresh"
      const { service } = yield* makeTrackedFixture({ serverName })
      yield* pass(10)
      yield* PersistentConnection.refresh(service)
      expect(yield* counts(serverName)).toEqual({ ...nothing, success: 2, connections: 2 })
      expect(yield* times(ConnectionMetrics.uptime, serverName)).toEqual([1, 10])
      expect(yield* times(ConnectionMetrics.timeToConnect, serverName)).toEqual([1, 0])
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1 })
    }))

  it.scoped("count the failed attempts of a refresh", () =>
    Effect.gen(function*() {
      const serverName = "refresh in vain"
      const { server, service } = yield* makeTrackedFixture({ serverName, attemptTimeout: "10 seconds" })
      yield* pass(10)
      server.connect = () => refuse("busy")
      expect(Exit.isFailure(yield* Effect.exit(PersistentConnection.refresh(service)))).toBe(true)
      expect(yield* counts(serverName)).toEqual({ ...nothing, success: 1, failure: 1, connections: 1 })
      server.connect = () => Effect.never
      const waiting = yield* Effect.fork(PersistentConnection.refresh(service))
      yield* pass(10)
      expect(Exit.isFailure(yield* waiting.await)).toBe(true)
      expect(yield* counts(serverName)).toEqual({ ...nothing, success: 1, failure: 1, timeout: 1, connections: 1 })
      yield* Effect.fork(PersistentConnection.refresh(service))
      yield* pass(1)
      server.line.drop()
      yield* pass(1)
      const lost = { ...nothing, success: 1, failure: 1, timeout: 1, interrupted: 1, connections: 1, losses: 1 }
      expect(yield* counts(serverName)).toEqual(lost)
      expect(yield* times(ConnectionMetrics.timeToConnect, serverName)).toEqual([1, 0])
    }))

  it.scoped("exist before the first event", () =>
    Effect.gen(function*() {
      const serverName = "not a thing yet"
      yield* makeTrackedFixture({ serverName })
      const names = (yield* Metric.snapshot)
        .filter(({ metricKey }) => metricKey.tags.some(({ value }) => value === serverName))
        .map(({ metricKey }) => metricKey.name)
      expect([...new Set(names)].sort()).toEqual([
        "persistent_connection_attempts",
        "persistent_connection_connections",
        "persistent_connection_handler_defects",
        "persistent_connection_losses",
        "persistent_connection_slow_handlers",
        "persistent_connection_state",
        "persistent_connection_time_disconnected_seconds",
        "persistent_connection_time_to_connect_seconds",
        "persistent_connection_uptime_seconds",
        "persistent_connection_waiting"
      ])
      expect(names.filter((name) => name === "persistent_connection_attempts")).toHaveLength(5)
      expect(names.filter((name) => name === "persistent_connection_state")).toHaveLength(4)
    }))

  it.scoped("count defects and slow calls of handlers, also without tracking", () =>
    Effect.gen(function*() {
      const serverName = "bad handlers"
      let calls = 0
      yield* makeFixture({
        serverName,
        slowHandlerThreshold: "1 second",
        onEvent: () => Effect.suspend(() => calls++ === 0 ? Effect.die(new Error("bug")) : sleep(2))
      })
      yield* pass(100)
      expect((yield* tagged(ConnectionMetrics.handlerDefects, ["server_name", serverName])).count).toBe(1)
      expect((yield* tagged(ConnectionMetrics.slowHandlers, ["server_name", serverName])).count).toBe(1)
    }))

  for (const every of [5, 11]) {
    it.scoped(`count a slow handler call once, even with a reconnectNow every ${every} seconds`, () =>
      Effect.gen(function*() {
        const serverName = `slow handler, ${every}`
        const { server, service } = yield* makeFixture({
          serverName,
          slowHandlerThreshold: "10 seconds",
          onEvent: ({ _tag }) => _tag === "Disconnected" ? sleep(70) : Effect.void
        })
        yield* settle
        server.line.drop()
        yield* settle
        for (let at = 0; at < 60; at += every) {
          yield* pass(every)
          yield* PersistentConnection.reconnectNow(service)
        }
        expect((yield* tagged(ConnectionMetrics.slowHandlers, ["server_name", serverName])).count).toBe(1)
      }))
  }

  it.scoped("do not count a slow handler while the loop has no other work", () =>
    Effect.gen(function*() {
      const serverName = "patient"
      const count = Effect.map(
        tagged(ConnectionMetrics.slowHandlers, ["server_name", serverName]),
        ({ count }) => count
      )
      const { server } = yield* makeFixture({
        serverName,
        slowHandlerThreshold: "10 seconds",
        onEvent: ({ _tag }) => _tag === "Connected" ? sleep(100) : Effect.void
      })
      yield* pass(50)
      server.line.drop()
      yield* pass(9)
      expect(yield* count).toBe(0)
      yield* pass(1)
      expect(yield* count).toBe(1)
    }))
})

describe("the histograms", () => {
  it.scoped("measure connecting, uptime and the time without a connection in seconds", () =>
    Effect.gen(function*() {
      const serverName = "a history"
      const { server, service } = yield* makeTrackedFixture({ serverName }, ({ server }) => {
        server.connect = () => sleep(2)
      })
      const measured = Effect.all({
        connecting: times(ConnectionMetrics.timeToConnect, serverName),
        up: times(ConnectionMetrics.uptime, serverName),
        down: times(ConnectionMetrics.timeDisconnected, serverName)
      })
      yield* pass(1)
      expect(yield* measured).toEqual({ connecting: [0, 0], up: [0, 0], down: [0, 0] })
      yield* pass(1)
      expect(yield* measured).toEqual({ connecting: [1, 2], up: [0, 0], down: [1, 2] })
      yield* pass(5)
      server.line.drop()
      server.refuse("no")
      yield* settle
      // Lost at 7, refused at 10, connected at 22.
      expect(yield* measured).toEqual({ connecting: [1, 2], up: [1, 5], down: [1, 2] })
      yield* pass(3)
      server.connect = () => sleep(2)
      yield* pass(12)
      expect(yield* measured).toEqual({ connecting: [2, 4], up: [1, 5], down: [2, 17] })
      yield* pass(8)
      yield* service.close
      yield* pass(100)
      expect(yield* measured).toEqual({ connecting: [2, 4], up: [2, 13], down: [2, 17] })
    }))

  for (const seconds of [-3_600, 3_600]) {
    it.scoped(`T5: use monotonic time if the wall clock is set by ${seconds} s`, () =>
      Effect.gen(function*() {
        const serverName = `set by ${seconds}`
        const { clock, set } = yield* settableClock
        const { server } = yield* Effect.withClock(
          makeTrackedFixture({ serverName, attemptTimeout: Duration.infinity }, ({ server }) => {
            server.connect = () => sleep(8)
          }),
          clock
        )
        yield* pass(4)
        set(seconds)
        yield* pass(26)
        set(seconds)
        yield* pass(30)
        server.line.drop()
        yield* settle
        expect(yield* times(ConnectionMetrics.timeToConnect, serverName)).toEqual([1, 8])
        expect(yield* times(ConnectionMetrics.timeDisconnected, serverName)).toEqual([1, 8])
        expect(yield* times(ConnectionMetrics.uptime, serverName)).toEqual([1, 52])
      }))
  }

  it.scoped("measure the time without a connection until the close if there was no other connection", () =>
    Effect.gen(function*() {
      const serverName = "no end"
      const { server, service } = yield* makeTrackedFixture({ serverName })
      server.refuse("no")
      yield* pass(25)
      yield* service.close
      expect(yield* times(ConnectionMetrics.timeDisconnected, serverName)).toEqual([1, 25])
    }))

  it.scoped("measure an existing connection from its beginning", () =>
    Effect.gen(function*() {
      const serverName = "latecomer"
      const { server, service } = yield* makeFixture({ serverName })
      yield* pass(30)
      yield* ConnectionMetrics.track(service)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1 })
      yield* pass(10)
      server.line.drop()
      yield* settle
      expect(yield* times(ConnectionMetrics.uptime, serverName)).toEqual([1, 40])
      expect(yield* counts(serverName)).toEqual({ ...nothing, losses: 1, success: 1, connections: 1 })
    }))

  it.scoped("count a running attempt", () =>
    Effect.gen(function*() {
      const serverName = "latecomer to an attempt"
      const { service } = yield* makeFixture({ serverName }, ({ server }) => {
        server.connect = () => sleep(20)
      })
      yield* pass(5)
      yield* ConnectionMetrics.track(service)
      yield* pass(5)
      yield* service.close
      expect(yield* counts(serverName)).toEqual({ ...nothing, interrupted: 1 })
      expect(yield* times(ConnectionMetrics.timeDisconnected, serverName)).toEqual([1, 10])
    }))
})

describe("the gauges", () => {
  it.scoped("show the phase", () =>
    Effect.gen(function*() {
      const serverName = "phases"
      const { server, service } = yield* makeTrackedFixture({ serverName }, ({ server }) => {
        server.connect = () => Effect.zipRight(sleep(1), refuse("no"))
        server.release = () => sleep(5)
      })
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connecting: 1 })
      yield* pass(1)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, waiting: 1 })
      server.accept()
      yield* pass(9)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1 })
      yield* ask(service.close)
      yield* pass(1)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, closing: 1 })
      yield* pass(4)
      expect(yield* gauges(serverName)).toEqual(nowhere)
    }))

  it.scoped("add up persistent connections with equal names, and return to 0 at the end", () =>
    Effect.gen(function*() {
      const serverName = "twins"
      const [one, scopeOfOne] = yield* inScope(makeTrackedFixture({ serverName }))
      const [two, scopeOfTwo] = yield* inScope(makeTrackedFixture({ serverName }))
      two.server.refuse("no")
      yield* ask(two.service.connected)
      yield* ask(two.service.connected)
      yield* settle
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1, waiting: 1 })
      expect(yield* waiting(serverName)).toBe(2)
      two.server.accept()
      yield* pass(10)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 2 })
      expect(yield* waiting(serverName)).toBe(0)
      one.server.line.drop()
      yield* pass(5)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 2 })

      yield* Scope.close(scopeOfOne, Exit.void)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1 })
      yield* Scope.close(scopeOfTwo, Exit.void)
      expect(yield* gauges(serverName)).toEqual(nowhere)
      expect(yield* counts(serverName)).toEqual({ ...nothing, success: 3, failure: 1, connections: 3, losses: 1 })
      expect(yield* times(ConnectionMetrics.uptime, serverName)).toEqual([3, 20])
    }))

  it.scoped("count waiting callers, also callers that stop waiting or that fail", () =>
    Effect.gen(function*() {
      const serverName = "queue"
      const { server, service } = yield* makeTrackedFixture({ serverName })
      server.refuse("no")
      const impatient = yield* ask(service.connected)
      yield* ask(service.connected)
      yield* ask(service.connectedOrClosed)
      yield* settle
      expect(yield* waiting(serverName)).toBe(3)
      impatient.fiber.unsafeInterruptAsFork(impatient.fiber.id())
      yield* settle
      expect(yield* waiting(serverName)).toBe(2)
      yield* service.close
      yield* settle
      expect(yield* waiting(serverName)).toBe(0)
    }))

  it.scoped("do not include a persistent connection that was already closed", () =>
    Effect.gen(function*() {
      const serverName = "too late"
      const { service } = yield* makeFixture({ serverName })
      yield* service.close
      yield* settle
      yield* ConnectionMetrics.track(service)
      expect(yield* gauges(serverName)).toEqual(nowhere)
      expect(yield* counts(serverName)).toEqual(nothing)
    }))
})

describe("the labels", () => {
  it.scoped("of the fiber follow the labels of the metric", () =>
    Effect.gen(function*() {
      const serverName = "labelled"
      const { service } = yield* makeFixture({ serverName })
      yield* Effect.tagMetrics(ConnectionMetrics.track(service), "region", "eu")
      yield* settle
      const own: ReadonlyArray<[string, string]> = [["server_name", serverName], ["outcome", "success"]]
      expect((yield* tagged(ConnectionMetrics.attempts, ...own)).count).toBe(0)
      expect((yield* tagged(ConnectionMetrics.attempts, ...own, ["region", "eu"])).count).toBe(1)
    }))
})
