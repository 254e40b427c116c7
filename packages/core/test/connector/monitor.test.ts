/** `Connector.monitor`: the probes of a transport that ends its connections itself. */
import { describe, expect } from "@effect/vitest"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import { askNow, describeCause, inScope, pass, refuse, type Refused, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { fixedRandom, SuspendableClock } from "./PingServer.js"

/** Monitors the connection "c": it is probed every 30 seconds, with a timeout of 10 seconds. */
const makeMonitor = (probe: () => Effect.Effect<unknown, Refused>) =>
  Effect.gen(function*() {
    const clock = new SuspendableClock(yield* Effect.clock)
    const probes: Array<string> = []
    const failures: Array<string> = []
    const monitor = Connector.monitor({
      probe: (connection: string) =>
        Effect.suspend(() => {
          probes.push(`${clock.unsafeCurrentTimeMillis() / 1_000} ${connection}`)
          return probe()
        }),
      interval: "30 seconds",
      timeout: "10 seconds",
      missedProbes: 1,
      onFailure: (connection, cause) => failures.push(`${connection} ${describeCause(cause)}`)
    })
    const begin = Effect.withRandom(monitor("c", "monitored"), fixedRandom(0))
    const [{ ask }, scope] = yield* inScope(Effect.withClock(begin, clock))
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    return { ask, clock, failures, probes, scope }
  })

describe("monitor", () => {
  it.scoped("probes the connection at each interval, and on demand", () =>
    Effect.gen(function*() {
      const { ask, failures, probes } = yield* makeMonitor(() => sleep(1))
      yield* pass(61)
      expect(probes).toEqual(["30 c", "61 c"])
      const asked = yield* Effect.all([askNow(ask), askNow(ask)])
      yield* pass(1)
      expect(asked.map(({ exit }) => exit)).toEqual([Exit.void, Exit.void])
      expect([probes.length, failures]).toEqual([2, []])
    }))

  it.scoped("calls `onFailure` once, when there is no answer", () =>
    Effect.gen(function*() {
      const { ask, clock, failures, probes } = yield* makeMonitor(() => Effect.never)
      yield* pass(39.999)
      expect([failures, clock.sleepers]).toEqual([[], 1])
      yield* pass(0.001)
      expect(failures).toEqual(["c timeout"])
      yield* pass(100)
      expect([failures.length, probes.length, clock.sleepers]).toEqual([1, 1, 0])
      expect((yield* askNow(ask)).error).toBeInstanceOf(Cause.TimeoutException)
    }))

  it.scoped("calls `onFailure` with the failure of a probe, and `ask` fails with it", () =>
    Effect.gen(function*() {
      const { ask, failures } = yield* makeMonitor(() => refuse("gone"))
      expect((yield* askNow(ask)).failure).toBe("gone")
      expect(failures).toEqual(["c gone"])
    }))

  it.scoped("ends with its scope, which waits until the probe has ended", () =>
    Effect.gen(function*() {
      const { clock, failures, probes, scope } = yield* makeMonitor(() =>
        Effect.onInterrupt(Effect.never, () => sleep(3))
      )
      yield* pass(35)
      const closing = yield* askNow(Scope.close(scope, Exit.void))
      yield* pass(2.999)
      expect(closing.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(closing.isWaiting).toBe(false)
      yield* pass(100)
      expect([probes, failures, clock.sleepers]).toEqual([["30 c"], [], 0])
    }))

  it.scoped("leaves no timer if its scope is closed at once", () =>
    Effect.gen(function*() {
      const clock = new SuspendableClock(yield* Effect.clock)
      const monitor = Connector.monitor({
        probe: () => Effect.void,
        interval: "30 seconds",
        timeout: "10 seconds",
        onFailure: () => {}
      })
      yield* Effect.scoped(Effect.withClock(monitor("c", "monitored"), clock))
      yield* settle
      expect(clock.sleepers).toBe(0)
    }))

  it.scoped("measures the round trip, with the labels of the fiber that begins it", () =>
    Effect.gen(function*() {
      const { ask } = yield* makeMonitor(() => sleep(1)).pipe(Effect.tagMetrics("region", "here"))
      yield* askNow(ask)
      yield* pass(1)
      const metric = Metric.tagged(ConnectionMetrics.roundTripTime, "server_name", "monitored")
      expect(yield* Metric.value(Metric.tagged(metric, "region", "here"))).toMatchObject({ count: 1, sum: 1 })
    }))
})
