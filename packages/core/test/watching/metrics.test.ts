import { describe, expect } from "@effect/vitest"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { ask, begin, inScope, type Life, type Options, pass, refuse, settle, sleep } from "../support/Life.js"
import { partedClock } from "../support/partedClock.js"
import { it } from "../support/virtualTime.js"

/** Begins one that is tracked. */
const beginTracked = (options: Options, prepare?: (life: Life) => void) =>
  Effect.tap(begin(options, prepare), ({ service }) => ConnectionMetrics.track(service))

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

/** How many, and how many seconds in all. */
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
  it.scoped("count an attempt once, also if it is closed before the policy has decided what comes next", () =>
    Effect.gen(function*() {
      const serverName = "slow policy"
      const retry = Schedule.forever.pipe(Schedule.mapEffect(() => Effect.never))
      const { service } = yield* beginTracked({ serverName, retry }, ({ server }) => server.refuse("no"))
      yield* settle
      yield* service.close
      expect(yield* counts(serverName)).toEqual({ ...nothing, failure: 1 })
    }))

  it.scoped("count every attempt by how it ended, also those that are not reported again", () =>
    Effect.gen(function*() {
      const serverName = "attempts by outcome"
      const { server, service } = yield* beginTracked({ serverName })
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
    const within = `within ${Duration.format(attemptTimeout)}`

    it.scoped(`count an attempt as soon as it has begun, ${within}`, () =>
      Effect.gen(function*() {
        const serverName = `in the look-up ${within}`
        const { service } = yield* beginTracked({ serverName, attemptTimeout }, ({ server }) => {
          server.lookUp = () => Effect.never
        })
        yield* pass(5)
        yield* service.close
        expect(yield* counts(serverName)).toEqual({ ...nothing, interrupted: 1 })
      }))

    it.scoped(`count no attempt that has not begun, ${within}`, () =>
      Effect.gen(function*() {
        const serverName = `in the handler ${within}`
        const { service } = yield* beginTracked({ serverName, attemptTimeout, onEvent: () => Effect.never })
        yield* pass(5)
        yield* service.close
        expect(yield* counts(serverName)).toEqual(nothing)
      }))
  }

  it.scoped("count a loss with an error and one without, but no close", () =>
    Effect.gen(function*() {
      const serverName = "losses"
      const { server, service } = yield* beginTracked({ serverName })
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
      const { server } = yield* beginTracked({ serverName }, ({ server }) => {
        server.connect = (attempt) => refuse("never again").pipe(Effect.catchAll((error) => attempt.abort(error)))
      })
      yield* pass(100)
      expect(server.attempts).toHaveLength(1)
      expect(yield* counts(serverName)).toEqual({ ...nothing, interrupted: 1 })
      expect(yield* gauges(serverName)).toEqual(nowhere)
    }))

  it.scoped("count a refresh as a connection more and no loss", () =>
    Effect.gen(function*() {
      const serverName = "refresh"
      const { service } = yield* beginTracked({ serverName })
      yield* pass(10)
      yield* PersistentConnection.refresh(service)
      expect(yield* counts(serverName)).toEqual({ ...nothing, success: 2, connections: 2 })
      expect(yield* times(ConnectionMetrics.uptime, serverName)).toEqual([1, 10])
      expect(yield* times(ConnectionMetrics.timeToConnect, serverName)).toEqual([1, 0])
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1 })
    }))

  it.scoped("count the attempts of a refresh that do not lead to a connection", () =>
    Effect.gen(function*() {
      const serverName = "refresh in vain"
      const { server, service } = yield* beginTracked({ serverName, attemptTimeout: "10 seconds" })
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

  it.scoped("are there before anything has happened", () =>
    Effect.gen(function*() {
      const serverName = "not a thing yet"
      yield* beginTracked({ serverName })
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

  it.scoped("count what is wrong with handlers, tracked or not", () =>
    Effect.gen(function*() {
      const serverName = "bad handlers"
      let calls = 0
      yield* begin({
        serverName,
        slowHandlerThreshold: "1 second",
        onEvent: () => Effect.suspend(() => calls++ === 0 ? Effect.die(new Error("bug")) : sleep(2))
      })
      yield* pass(100)
      expect((yield* tagged(ConnectionMetrics.handlerDefects, ["server_name", serverName])).count).toBe(1)
      expect((yield* tagged(ConnectionMetrics.slowHandlers, ["server_name", serverName])).count).toBe(1)
    }))

  for (const every of [5, 11]) {
    it.scoped(`count a slow call of a handler once, even if the loop is hurried along every ${every} seconds`, () =>
      Effect.gen(function*() {
        const serverName = `slow handler, ${every}`
        const { server, service } = yield* begin({
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

  it.scoped("do not count a slow handler as long as the loop has nothing else to do", () =>
    Effect.gen(function*() {
      const serverName = "patient"
      const count = Effect.map(
        tagged(ConnectionMetrics.slowHandlers, ["server_name", serverName]),
        ({ count }) => count
      )
      const { server } = yield* begin({
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
      const { server, service } = yield* beginTracked({ serverName }, ({ server }) => {
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
    it.scoped(`T5: measure by the monotonic time, if the wall clock is set by ${seconds} s`, () =>
      Effect.gen(function*() {
        const serverName = `set by ${seconds}`
        const { clock, set } = yield* partedClock
        const { server } = yield* Effect.withClock(
          beginTracked({ serverName, attemptTimeout: Duration.infinity }, ({ server }) => {
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

  it.scoped("measure the time without a connection to the end, if there was no other", () =>
    Effect.gen(function*() {
      const serverName = "no end"
      const { server, service } = yield* beginTracked({ serverName })
      server.refuse("no")
      yield* pass(25)
      yield* service.close
      expect(yield* times(ConnectionMetrics.timeDisconnected, serverName)).toEqual([1, 25])
    }))

  it.scoped("measure a connection that was there already from its beginning", () =>
    Effect.gen(function*() {
      const serverName = "latecomer"
      const { server, service } = yield* begin({ serverName })
      yield* pass(30)
      yield* ConnectionMetrics.track(service)
      expect(yield* gauges(serverName)).toEqual({ ...nowhere, connected: 1 })
      yield* pass(10)
      server.line.drop()
      yield* settle
      expect(yield* times(ConnectionMetrics.uptime, serverName)).toEqual([1, 40])
      expect(yield* counts(serverName)).toEqual({ ...nothing, losses: 1, success: 1, connections: 1 })
    }))

  it.scoped("count an attempt that was under way already", () =>
    Effect.gen(function*() {
      const serverName = "latecomer to an attempt"
      const { service } = yield* begin({ serverName }, ({ server }) => {
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
  it.scoped("say in which phase it is", () =>
    Effect.gen(function*() {
      const serverName = "phases"
      const { server, service } = yield* beginTracked({ serverName }, ({ server }) => {
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

  it.scoped("add up those of one name, and are back at 0 when all of them have gone", () =>
    Effect.gen(function*() {
      const serverName = "twins"
      const [one, scopeOfOne] = yield* inScope(beginTracked({ serverName }))
      const [two, scopeOfTwo] = yield* inScope(beginTracked({ serverName }))
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

  it.scoped("count who waits, also those who stop waiting and those for whom there will be nothing", () =>
    Effect.gen(function*() {
      const serverName = "queue"
      const { server, service } = yield* beginTracked({ serverName })
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

  it.scoped("do not know one that is closed already", () =>
    Effect.gen(function*() {
      const serverName = "too late"
      const { service } = yield* begin({ serverName })
      yield* service.close
      yield* settle
      yield* ConnectionMetrics.track(service)
      expect(yield* gauges(serverName)).toEqual(nowhere)
      expect(yield* counts(serverName)).toEqual(nothing)
    }))
})

describe("the labels", () => {
  it.scoped("of the fiber come after the metric's own", () =>
    Effect.gen(function*() {
      const serverName = "labelled"
      const { service } = yield* begin({ serverName })
      yield* Effect.tagMetrics(ConnectionMetrics.track(service), "region", "eu")
      yield* settle
      const own: ReadonlyArray<[string, string]> = [["server_name", serverName], ["outcome", "success"]]
      expect((yield* tagged(ConnectionMetrics.attempts, ...own)).count).toBe(0)
      expect((yield* tagged(ConnectionMetrics.attempts, ...own, ["region", "eu"])).count).toBe(1)
    }))
})
