import { describe, expect } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import {
  askNow,
  type Fixture,
  type Line,
  makeFixture,
  pass,
  refuse,
  type Refused,
  Server,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const { closeGracefully, forEachConnection, reconnectNow, refresh, stream, use, reconnectOn } = PersistentConnection

/** A fixture whose connections can be probed. */
const probed = (probe: (line: Line) => Effect.Effect<unknown, Refused>) =>
  Effect.gen(function*() {
    const probes: Array<number> = []
    const { connect, closed, isClosed } = new Server(() => 0).connector
    const connector = Connector.make({
      connect,
      closed,
      isClosed,
      probe: (line: Line) =>
        Effect.suspend(() => {
          probes.push(line.number)
          return probe(line)
        })
    })
    const fixture = yield* makeFixture({ connector, retry: RetryPolicy.fixed("1 hour") })
    return { ...fixture, probes }
  })

const line = ({ service }: Pick<Fixture, "service">) => Effect.map(service.currentConnection, Option.getOrThrow)

describe("reconnectNow with a probe", () => {
  it.scoped("keeps a connection whose peer answers, and waits for the answer", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => sleep(2))
      yield* settle
      const asked = yield* askNow(reconnectNow(fixture.service, { whenConnected: "probe" }))
      yield* pass(1)
      expect(asked.isWaiting).toBe(true)
      yield* pass(1)
      expect(asked.exit).toEqual(Exit.void)
      expect((yield* line(fixture)).number).toBe(1)
      expect(fixture.probes).toEqual([1])
    }))

  it.scoped("if the probe fails, the connection is lost with that cause", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => Effect.zipRight(sleep(2), refuse("no pong")))
      yield* settle
      const used = yield* askNow(use(fixture.service, () => Effect.never))
      const asked = yield* askNow(reconnectNow(fixture.service, { whenConnected: "probe" }))
      yield* pass(2)
      expect(asked.exit).toEqual(Exit.void)
      expect((used.error as ConnectionLost<Refused>).message).toBe("Connection 1 to \"test\" was lost: no pong")
      expect(fixture.eventLog.at(-1)).toBe("2 Disconnected 1 no pong")
      yield* reconnectNow(fixture.service)
      yield* settle
      expect(fixture.eventLog.at(-1)).toBe("2 Connected 2")
    }))

  it.scoped("a probe that dies or interrupts itself counts as failed", () =>
    Effect.gen(function*() {
      const dies = yield* probed(() => Effect.die("bug"))
      const throws = yield* probed(() => {
        throw new Error("thrown")
      })
      const interrupts = yield* probed(() => Effect.interrupt)
      yield* settle
      for (const { service } of [dies, throws, interrupts]) yield* reconnectNow(service, { whenConnected: "probe" })
      yield* settle
      expect([dies, throws, interrupts].map(({ eventLog }) => eventLog.at(-1))).toEqual([
        "0 Disconnected 1 bug!",
        "0 Disconnected 1 thrown!",
        "0 Disconnected 1 The code interrupted itself!"
      ])
    }))

  it.scoped("without a `probe` of the connector it does nothing", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      expect((yield* askNow(reconnectNow(fixture.service, { whenConnected: "probe" }))).exit).toEqual(Exit.void)
      expect((yield* line(fixture)).number).toBe(1)
    }))

  it.scoped("without a connection it makes the next attempt", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => Effect.void)
      yield* pass(5)
      ;(yield* line(fixture)).drop()
      yield* settle
      yield* reconnectNow(fixture.service, { whenConnected: "probe" })
      yield* settle
      expect(fixture.eventLog.at(-1)).toBe("5 Connected 2")
      expect(fixture.probes).toEqual([])
    }))

  it.scoped("the loss of the connection ends the probe", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => Effect.zipRight(sleep(5), refuse("too late")))
      yield* settle
      const asked = yield* askNow(reconnectNow(fixture.service, { whenConnected: "probe" }))
      ;(yield* line(fixture)).drop()
      yield* settle
      expect(asked.exit).toEqual(Exit.void)
      expect(fixture.eventLog.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("a probe of a replaced or closing connection has no effect", () =>
    Effect.gen(function*() {
      const replaced = yield* probed(() => Effect.zipRight(sleep(5), refuse("no pong")))
      const closing = yield* probed(() => Effect.zipRight(sleep(5), refuse("no pong")))
      yield* settle
      const asked = [
        yield* askNow(reconnectNow(replaced.service, { whenConnected: "probe" })),
        yield* askNow(reconnectNow(closing.service, { whenConnected: "probe" }))
      ]
      const used = yield* askNow(use(closing.service, () => sleep(20)))
      yield* refresh(replaced.service)
      yield* askNow(closeGracefully(closing.service, "1 hour"))
      expect(asked.map(({ exit }) => exit)).toEqual([Exit.void, Exit.void])
      yield* pass(60)
      expect(replaced.eventLog.at(-1)).toBe("0 Connected 2")
      expect(used.exit).toEqual(Exit.void)
      expect((yield* closing.service.state.get)._tag).toBe("Closed")
    }))

  it.scoped("its caller can be interrupted without an effect on the connection", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => Effect.never)
      yield* settle
      const asked = yield* askNow(reconnectNow(fixture.service, { whenConnected: "probe" }))
      yield* Fiber.interrupt(asked.fiber)
      yield* settle
      expect(fixture.eventLog.at(-1)).toBe("0 Connected 1")
    }))

  it.scoped("works inside a use, forEachConnection and a stream, which end with the connection", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => refuse("no pong"))
      yield* settle
      const probe = Effect.zipRight(reconnectNow(fixture.service, { whenConnected: "probe" }), Effect.never)
      const used = yield* askNow(use(fixture.service, () => probe))
      expect(used.error).toBeInstanceOf(ConnectionLost)

      const once = () => {
        const runs: Array<number> = []
        return { runs, run: Effect.suspend(() => runs.push(runs.length) === 1 ? probe : Effect.never) }
      }
      const following = once()
      yield* reconnectNow(fixture.service)
      yield* settle
      yield* askNow(forEachConnection(fixture.service, () => following.run))
      yield* reconnectNow(fixture.service)
      yield* settle
      expect(following.runs).toEqual([0, 1])
      const streaming = once()
      yield* askNow(Stream.runDrain(stream(fixture.service, () => Stream.fromEffect(streaming.run))))
      yield* reconnectNow(fixture.service)
      // The stream has nothing more to deliver, and ends after drainTimeout (S1).
      yield* pass(1)
      expect(streaming.runs).toEqual([0, 1])
    }))

  it.scoped("D7: works inside a handler, the look-up, connect and a release", () =>
    Effect.gen(function*() {
      let fixture: Fixture | undefined
      const act = Effect.suspend(() => reconnectNow(fixture!.service, { whenConnected: "probe" }))
      const { connect, closed } = new Server(() => 0).connector
      let calls = 0
      fixture = yield* makeFixture({
        connector: Connector.make({
          connect: (address: string, attempt) => Effect.zipRight(act, connect(address, attempt)),
          closed,
          probe: () => calls++ % 2 === 0 ? refuse("no pong") : Effect.void
        }),
        retry: RetryPolicy.fixed("10 seconds"),
        onEvent: () => act
      }, ({ server }) => {
        server.lookUp = () => Effect.as(act, "a")
        server.release = () => act
      })
      yield* pass(100)
      expect(fixture.eventLog.filter((entry) => entry.includes("Disconnected")).length).toBeGreaterThan(0)
      expect(fixture.eventLog.filter((entry) => entry.includes("Connected")).length).toBeGreaterThan(1)
      expect((yield* askNow(fixture.service.close)).exit).toEqual(Exit.void)
    }))
})

describe("reconnectOn", () => {
  it.scoped("calls reconnectNow at every signal", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour") }, ({ server }) =>
        server.refuse("no"))
      yield* settle
      const signals = yield* Queue.unbounded<string>()
      yield* askNow(service.pipe(reconnectOn(Stream.fromQueue(signals))))
      yield* pass(5)
      yield* Queue.offer(signals, "online")
      yield* settle
      expect(server.attempts).toEqual([0, 5])
      server.accept()
      yield* pass(5)
      yield* Queue.offer(signals, "visible")
      yield* settle
      expect(server.attempts).toEqual([0, 5, 10])
      yield* Queue.offer(signals, "visible")
      yield* settle
      expect(server.attempts).toEqual([0, 5, 10])
    }))

  it.scoped("makes the next attempt at once if the policy was still deciding about it", () =>
    Effect.gen(function*() {
      const slow = Schedule.addDelayEffect(Schedule.forever, () => Effect.as(sleep(5), "1 hour"))
      const { server, service } = yield* makeFixture({ retry: slow }, ({ server }) => server.refuse("no"))
      yield* pass(1)
      yield* reconnectNow(service)
      yield* pass(9)
      expect(server.attempts).toEqual([0, 5])
    }))

  it.scoped("probes while connected, if configured, one probe at a time", () =>
    Effect.gen(function*() {
      const fixture = yield* probed(() => sleep(5))
      const signals = yield* Queue.unbounded<string>()
      yield* askNow(reconnectOn(fixture.service, Stream.fromQueue(signals), { whenConnected: "probe" }))
      yield* Queue.offerAll(signals, ["focus", "focus"])
      yield* pass(4)
      expect(fixture.probes).toEqual([1])
      yield* pass(1)
      expect(fixture.probes).toEqual([1, 1])
      yield* pass(5)
    }))

  it.scoped("runs until the signals end, and fails if the signals fail", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      expect((yield* askNow(reconnectOn(service, Stream.make(1, 2)))).exit).toEqual(Exit.void)
      expect((yield* askNow(reconnectOn(service, Stream.fail("no signal")))).failure).toBe("no signal")
    }))

  it.scoped("ends when the persistent connection has closed, and does not reopen it", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      let unsubscribed = 0
      const signals = yield* Queue.unbounded<string>()
      const asked = yield* askNow(
        reconnectOn(service, Stream.ensuring(Stream.fromQueue(signals), Effect.sync(() => unsubscribed++)))
      )
      yield* service.close
      yield* Queue.offer(signals, "online")
      yield* settle
      expect(asked.exit).toEqual(Exit.void)
      expect([unsubscribed, server.attempts.length]).toEqual([1, 1])
      expect((yield* askNow(reconnectOn(service, Stream.never))).exit).toEqual(Exit.void)
    }))
})
