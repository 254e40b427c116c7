/** T5: times are measured in the clock's monotonic time. Changes of the wall clock have no effect. */
import { describe, expect } from "@effect/vitest"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { connected, makeDevices } from "../map/devices.js"
import { captureLog } from "../support/captureLog.js"
import {
  ask,
  askNow,
  type Line,
  makeFixture,
  on,
  type Options,
  pass,
  refuse,
  Server,
  settle,
  sleep,
  stateTag
} from "../support/Fixture.js"
import { settableClock } from "../support/settableClock.js"
import { it } from "../support/virtualTime.js"

const hour = 3_600

/** A clock whose wall time can be set, and a fixture that uses it. */
const makeSettableFixture = (options?: Options, prepare?: Parameters<typeof makeFixture>[1]) =>
  Effect.gen(function*() {
    const { clock, set } = yield* settableClock
    return { clock, set, fixture: yield* Effect.withClock(makeFixture(options, prepare), clock) }
  })

for (const [how, seconds] of [["back", -hour], ["forward", hour]] as const) {
  describe(`T5: a wall clock that is set ${how} by an hour`, () => {
    /** Sets the wall clock after some seconds, and checks that the event happens at the expected moment. */
    const happensAt = (
      name: string,
      { at, setAfter }: { readonly setAfter: number; readonly at: number },
      stage: Effect.Effect<
        { readonly set: (seconds: number) => void; readonly hasHappened: () => boolean },
        unknown,
        Scope.Scope
      >
    ) =>
      it.scoped(`does not change ${name}`, () =>
        Effect.gen(function*() {
          const { hasHappened, set } = yield* stage
          yield* pass(setAfter)
          set(seconds)
          yield* pass(at - setAfter - 0.001)
          expect(hasHappened(), `after ${at - 0.001} s`).toBe(false)
          yield* pass(0.001)
          expect(hasHappened(), `after ${at} s`).toBe(true)
        }))

    happensAt(
      "the time of the next attempt after a failure",
      { setAfter: 3, at: 10 },
      Effect.gen(function*() {
        const { set, fixture: { server } } = yield* makeSettableFixture({}, ({ server }) => server.refuse("no"))
        return { set, hasHappened: () => server.attempts.length > 1 }
      })
    )

    happensAt(
      "the time of the next attempt after the loss of an older connection (T2)",
      { setAfter: 3, at: 10 },
      Effect.gen(function*() {
        const { set, fixture: { server } } = yield* makeSettableFixture({}, ({ server }) => {
          server.closed = () => sleep(5)
        })
        return { set, hasHappened: () => server.attempts.length > 1 }
      })
    )

    // One connection lives slightly longer than 5 s and is a success; another lives slightly shorter.
    const uptime = seconds < 0 ? 6 : 4
    happensAt(
      "the uptime after which a connection counts as a success (D14)",
      { setAfter: 22, at: uptime > 5 ? 40 : 60 },
      Effect.gen(function*() {
        const { set, fixture: { server } } = yield* makeSettableFixture({
          retry: RetryPolicy.exponential({ base: "20 seconds", maxDelay: "1 hour", jitter: "none" })
        }, ({ server }) => {
          server.connect = ({ generation, number }) => generation + number === 2 ? refuse("no") : Effect.void
          server.closed = () => sleep(uptime)
        })
        return { set, hasHappened: () => server.attempts.length > 2 }
      })
    )

    happensAt(
      "the time of giving up",
      { setAfter: 25, at: 60 },
      Effect.gen(function*() {
        const { set, fixture } = yield* makeSettableFixture({
          retry: RetryPolicy.giveUpAfter(RetryPolicy.fixed("10 seconds"), "1 minute")
        }, ({ server }) => server.refuse("no"))
        return { set, hasHappened: () => Effect.runSync(fixture.service.isClosed) }
      })
    )

    happensAt(
      "the deadline of an attempt (D9)",
      { setAfter: 7, at: 30 },
      Effect.gen(function*() {
        const { set, fixture } = yield* makeSettableFixture({}, ({ server }) => {
          server.connect = () => Effect.never
        })
        return { set, hasHappened: () => fixture.eventLog.at(-1)!.endsWith("FailedToConnect timeout") }
      })
    )

    happensAt(
      "the warning of a slow handler",
      { setAfter: 3, at: 10 },
      Effect.gen(function*() {
        const { captured, messages } = captureLog()
        const { set } = yield* captured(
          makeSettableFixture({ onEvent: on("Connected", () => Effect.never) }, ({ server }) => {
            server.closed = () => Effect.void
          })
        )
        return { set, hasHappened: () => messages().some((line) => line.includes("held up the loop")) }
      })
    )

    happensAt(
      "the time that closing waits for a finalizer",
      { setAfter: 3, at: 5 },
      Effect.gen(function*() {
        const { set, fixture } = yield* makeSettableFixture({ closeTimeout: "5 seconds" }, ({ server }) => {
          server.release = () => Effect.never
        })
        yield* settle
        const closing = yield* ask(fixture.service.close)
        return { set, hasHappened: () => !closing.isWaiting }
      })
    )

    happensAt(
      "the drain time of closeGracefully",
      { setAfter: 3, at: 20 },
      Effect.gen(function*() {
        const { set, fixture: { service } } = yield* makeSettableFixture()
        yield* settle
        yield* askNow(PersistentConnection.use(service, () => Effect.never))
        const closing = yield* ask(PersistentConnection.closeGracefully(service, "20 seconds"))
        return { set, hasHappened: () => !closing.isWaiting }
      })
    )

    happensAt(
      "the drain time of a connection that has been replaced",
      { setAfter: 3, at: 30 },
      Effect.gen(function*() {
        const { set, fixture: { server, service } } = yield* makeSettableFixture()
        yield* settle
        yield* askNow(PersistentConnection.use(service, () => Effect.never))
        yield* PersistentConnection.refresh(service)
        return { set, hasHappened: () => server.released > 0 }
      })
    )

    happensAt(
      "the age at which a connection is refreshed",
      { setAfter: 10, at: 600 },
      Effect.gen(function*() {
        const { clock, set, fixture: { server, service } } = yield* makeSettableFixture()
        yield* settle
        const age = PersistentConnection.maxAge("10 minutes", { jitter: 0 })
        yield* ask(Effect.withClock(PersistentConnection.refreshWhen(service, age), clock))
        return { set, hasHappened: () => server.lines.length > 1 }
      })
    )

    happensAt(
      "the drainTimeout of a stream (S1)",
      { setAfter: 60.5, at: 61 },
      Effect.gen(function*() {
        const { clock, set, fixture: { service } } = yield* makeSettableFixture({}, ({ server }) => {
          server.closed = ({ number }) => number === 1 ? sleep(60) : Effect.never
        })
        const begun: Array<number> = []
        const run = Stream.runDrain(PersistentConnection.stream(service, ({ number }) => {
          begun.push(number)
          return Stream.never
        }))
        yield* ask(Effect.withClock(run, clock))
        return { set, hasHappened: () => begun.length > 1 }
      })
    )

    const checked = Effect.gen(function*() {
      const { clock, set } = yield* settableClock
      const pings: Array<number> = []
      const connector = Connector.healthCheck(new Server(() => 0).connector, {
        probe: (line: Line) => Effect.zipRight(Effect.sync(() => pings.push(line.number)), Effect.never),
        interval: "30 seconds",
        timeout: "10 seconds"
      })
      const service = yield* PersistentConnection.make({
        serverName: "checked",
        address: Effect.succeed("a"),
        connector
        // The random draw is the whole interval.
      }).pipe(Effect.withClock(clock), Effect.withRandom({ ...Random.make("any"), next: Effect.succeed(0) }))
      const line = yield* service.connected
      return { set, pings, isLost: () => connector.isClosed!(line) }
    })

    happensAt(
      "the interval of a health check",
      { setAfter: 7, at: 30 },
      Effect.map(checked, ({ pings, set }) => ({ set, hasHappened: () => pings.length > 0 }))
    )

    happensAt(
      "the timeout of a health check",
      { setAfter: 35, at: 50 },
      Effect.map(checked, ({ isLost, set }) => ({ set, hasHappened: isLost }))
    )

    happensAt(
      "the idle time of a ConnectionMap",
      { setAfter: 20, at: 60 },
      Effect.gen(function*() {
        const { clock, set } = yield* settableClock
        const { devices, options } = makeDevices()
        const map = yield* Effect.withClock(ConnectionMap.make({ options, idleTimeToLive: "1 minute" }), clock)
        yield* Effect.scoped(connected(map, "a"))
        return { set, hasHappened: () => devices.released.length > 0 }
      })
    )

    it.scoped("is used for timestamps from then on", () =>
      Effect.gen(function*() {
        const { set, fixture } = yield* makeSettableFixture({ attemptTimeout: "20 seconds" })
        const { server, service } = fixture
        yield* pass(3)
        set(seconds)
        expect(yield* service.state.get, "earlier timestamps do not change").toMatchObject({ since: 0 })
        server.line.drop()
        yield* settle
        expect(yield* service.state.get).toMatchObject({
          _tag: "Waiting",
          since: (3 + seconds) * 1_000,
          nextAttemptAt: Option.some((10 + seconds) * 1_000)
        })
        server.connect = () => Effect.never
        yield* pass(7)
        expect(yield* stateTag(fixture)).toBe("Connecting")
        expect(yield* service.state.get).toMatchObject({
          since: (10 + seconds) * 1_000,
          deadline: Option.some((30 + seconds) * 1_000)
        })
      }))
  })
}
