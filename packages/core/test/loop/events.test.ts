import { describe, expect } from "@effect/vitest"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import {
  ask,
  askNow,
  describe as describeEvent,
  type Event,
  type Fixture,
  Line,
  makeFixture,
  on,
  pass,
  refuse,
  type Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

type BusEvent = ConnectionEvent.ConnectionEvent<Line, Refused, void>

const tags = ["AttemptingToConnect", "ObtainedAddress", "FailedToConnect", "Connected", "Disconnected"] as const

const takeAll = (queue: Queue.Dequeue<BusEvent>) =>
  Effect.map(Queue.takeAll(queue), (events) => Chunk.toReadonlyArray(events).map(describeEvent))

/** A server that leads to all five events: refused at 0, connected at 10, lost at 15 and connected again at 20. */
const everything = ({ server }: Fixture) =>
  Effect.gen(function*() {
    server.refuse("no")
    yield* pass(5)
    server.accept()
    yield* pass(10)
    server.line.drop()
    yield* pass(10)
  })

const allEvents = [
  "0 AttemptingToConnect",
  "0 ObtainedAddress a",
  "0 FailedToConnect no",
  "10 Connected 1",
  "15 Disconnected 1",
  "20 AttemptingToConnect",
  "20 ObtainedAddress a",
  "20 Connected 2"
]

describe("the handler", () => {
  it.scoped("E1: an event is on the bus before the handler is called", () =>
    Effect.gen(function*() {
      const sizes: Array<string> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          Effect.sync(() => {
            sizes.push(`${event._tag} ${Option.getOrThrow(queue.unsafeSize())}`)
          })
      })
      const queue = yield* fixture.service.subscribe
      yield* settle
      expect(sizes).toEqual(["AttemptingToConnect 1", "ObtainedAddress 2", "Connected 3"])
    }))

  it.scoped("E1: publishing never waits for a subscriber; a slow subscriber loses the oldest events", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ attemptTimeout: Duration.infinity })
      const queue = yield* fixture.service.subscribe
      fixture.server.connect = ({ number }) => refuse(`no ${number}`)
      yield* pass(1_000)
      expect(fixture.server.attempts).toHaveLength(101)
      const events = yield* takeAll(queue)
      expect(events).toHaveLength(64)
      expect(events.at(-1)).toBe("FailedToConnect no 101")
      expect(events.at(0)).toBe("FailedToConnect no 38")
    }))

  const stuckIn = (tag: Event["_tag"]) =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on(tag, () => sleep(100)) })
      yield* pass(50)
      expect(fixture.eventLog.at(-1)).toContain(tag)
      return fixture
    })

  it.scoped("E1: no look-up before the AttemptingToConnect handler ends", () =>
    Effect.gen(function*() {
      const { server } = yield* stuckIn("AttemptingToConnect")
      expect(server.attempts).toEqual([])
      yield* pass(50)
      expect(server.attempts).toEqual([100])
    }))

  it.scoped("E1: no connect before the ObtainedAddress handler ends", () =>
    Effect.gen(function*() {
      const { server } = yield* stuckIn("ObtainedAddress")
      expect(server.attempts).toEqual([0])
      expect(server.connects).toBe(0)
      yield* pass(50)
      expect(server.connects).toBe(1)
    }))

  it.scoped("E1: no next attempt before the FailedToConnect handler ends", () =>
    Effect.gen(function*() {
      const { server } = yield* makeFixture({ onEvent: on("FailedToConnect", () => sleep(100)) })
      server.refuse("no")
      yield* pass(99)
      expect(server.attempts).toEqual([0])
      yield* pass(1)
      expect(server.attempts).toEqual([0, 100])
    }))

  it.scoped("E1: no Disconnected before the Connected handler ends, even if the connection is lost during it", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture({ onEvent: on("Connected", () => sleep(100)) })
      yield* pass(5)
      server.line.drop()
      yield* pass(94)
      expect(eventLog.at(-1)).toBe("0 Connected 1")
      yield* pass(1)
      expect(eventLog.slice(3)).toEqual([
        "100 Disconnected 1",
        "100 AttemptingToConnect",
        "100 ObtainedAddress a",
        "100 Connected 2"
      ])
    }))

  it.scoped("E1: no Disconnected before the Connected handler ends, even if the owner closes during it", () =>
    Effect.gen(function*() {
      const { eventLog, service } = yield* makeFixture({ onEvent: on("Connected", () => sleep(100)) })
      yield* pass(5)
      yield* service.close
      expect(eventLog.at(-1)).toBe("0 Connected 1")
      yield* pass(94)
      expect(eventLog.at(-1)).toBe("0 Connected 1")
      yield* pass(1)
      expect(eventLog.at(-1)).toBe("100 Disconnected 1")
    }))

  it.scoped("D7a: the loop does not wait for a Connected handler that calls close: Disconnected may come before it ends", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          Effect.gen(function*() {
            if (event._tag === "Connected") {
              yield* fixture.service.close
              seen.push("closed")
              yield* sleep(5)
            }
            seen.push(event._tag)
          })
      })
      yield* pass(10)
      expect(seen).toEqual(["AttemptingToConnect", "ObtainedAddress", "Disconnected", "closed", "Connected"])
      expect(fixture.eventLog.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("D7a: the loop does not wait for a Connected handler that awaits closeFinished, which completes when closing has finished", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          Effect.gen(function*() {
            if (event._tag === "Connected") {
              yield* sleep(5)
              yield* fixture.service.closeFinished
              seen.push(`closed at ${(yield* Clock.currentTimeMillis) / 1_000}`)
              yield* sleep(5)
            }
            seen.push(event._tag)
          })
      })
      yield* settle
      fixture.server.release = () => sleep(6)
      yield* Effect.fork(fixture.service.close)
      yield* pass(20)
      expect(seen).toEqual(["AttemptingToConnect", "ObtainedAddress", "Disconnected", "closed at 6", "Connected"])
    }))

  it.scoped("E1: no new cycle before the Disconnected handler ends", () =>
    Effect.gen(function*() {
      const { eventLog, server } = yield* makeFixture({ onEvent: on("Disconnected", () => sleep(100)) })
      yield* pass(20)
      server.line.drop()
      yield* pass(99)
      expect(eventLog.at(-1)).toBe("20 Disconnected 1")
      yield* pass(1)
      expect(eventLog.slice(4)).toEqual(["120 AttemptingToConnect", "120 ObtainedAddress a", "120 Connected 2"])
    }))

  it.scoped("E1: handlers are called one after the other, in the order of the events", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const fixture = yield* makeFixture({
        onEvent: () =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              most = Math.max(most, ++running)
            }),
            () => sleep(1),
            () => Effect.sync(() => running--)
          )
      })
      yield* everything(fixture)
      expect(fixture.eventLog.map((entry) => entry.split(" ")[1])).toEqual(
        allEvents.map((entry) => entry.split(" ")[1])
      )
      expect(most).toBe(1)
    }))

  for (const tag of tags) {
    const bug = () => {
      throw new Error("bug")
    }
    const handlers: ReadonlyArray<readonly [string, () => Effect.Effect<unknown>]> = [
      ["throws", bug],
      ["dies", () => Effect.die(new Error("bug"))],
      ["dies after its first turn", () => Effect.zipRight(Effect.yieldNow(), Effect.die(new Error("bug")))],
      ["dies a second later", () => Effect.zipRight(sleep(1), Effect.die(new Error("bug")))],
      ["interrupts itself", () => Effect.interrupt]
    ]
    for (const [does, handle] of handlers) {
      it.scoped(`E4, D6: a handler of ${tag} that ${does} does not stop the cycle`, () =>
        Effect.gen(function*() {
          const fixture = yield* makeFixture({ onEvent: on(tag, handle) })
          yield* everything(fixture)
          yield* pass(5)
          expect(fixture.eventLog.map((entry) => entry.split(" ")[1])).toEqual(
            allEvents.map((entry) => entry.split(" ")[1])
          )
        }))
    }
  }

  it.scoped("D6: a defect of a handler is logged with the server name and the event, and counted", () =>
    Effect.gen(function*() {
      const logged: Array<Record<string, unknown>> = []
      const logger = Logger.make<unknown, void>(({ annotations, cause, logLevel, message }) => {
        logged.push({
          ...Object.fromEntries(HashMap.toEntries(annotations)),
          level: logLevel,
          message: String(message),
          cause: Cause.pretty(cause)
        })
      })
      const counter = Metric.tagged(
        Metric.counter("persistent_connection_handler_defects", {
          description: "Calls of onEvent that ended in a defect, by server_name",
          incremental: true
        }),
        "server_name",
        "leaky"
      )
      const before = (yield* Metric.value(counter)).count
      let calls = 0
      const fixture = yield* makeFixture({
        serverName: "leaky",
        onEvent: on("Connected", () => Effect.zipRight(sleep(calls++), Effect.die(new Error("bug"))))
      }).pipe(Effect.provide(Logger.add(logger)))
      yield* pass(10)
      fixture.server.line.drop()
      yield* pass(10)

      expect(logged).toHaveLength(2)
      for (const entry of logged) {
        expect(entry).toMatchObject({ server_name: "leaky", event: "Connected", level: LogLevel.Error })
        expect(entry["message"]).toContain("leaky")
        expect(entry["cause"]).toContain("bug")
      }
      expect((yield* Metric.value(counter)).count - before).toBe(2)
    }))
})

describe("the bus", () => {
  it.scoped("E2: a new subscriber receives the most recent event, and then all later ones", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const early = yield* fixture.service.subscribe
      fixture.server.refuse("no")
      yield* pass(5)
      const late = yield* fixture.service.subscribe
      fixture.server.accept()
      yield* pass(5)
      const later = yield* fixture.service.subscribe
      expect(yield* takeAll(late)).toEqual(["FailedToConnect no", "Connected 1"])
      expect(yield* takeAll(later)).toEqual(["Connected 1"])
      expect(yield* takeAll(early)).toEqual([
        "AttemptingToConnect",
        "ObtainedAddress",
        "FailedToConnect no",
        "Connected 1"
      ])
    }))

  it.scoped("E2: a late first subscriber receives the most recent event once", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(5)
      expect(yield* takeAll(yield* fixture.service.subscribe)).toEqual(["Connected 1"])
      expect(yield* takeAll(yield* fixture.service.subscribe)).toEqual(["Connected 1"])
      const stream = yield* askNow(Stream.runCollect(Stream.take(fixture.service.events, 2)))
      fixture.server.line.drop()
      yield* settle
      expect([...stream.answer!].map(describeEvent)).toEqual(["Connected 1", "Disconnected 1"])
    }))

  it.scoped("E2: a subscriber receives nothing before the first event", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      const queue = yield* service.subscribe
      yield* service.close
      yield* settle
      expect(yield* takeAll(queue)).toEqual([])
      expect([...(yield* Stream.runCollect(service.events))]).toEqual([])
    }))

  it.scoped("E2: the stream ends after the last event, also with a slow consumer", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { service } = fixture
      const collect = (delay: number) =>
        service.events.pipe(Stream.tap(() => sleep(delay)), Stream.map(describeEvent), Stream.runCollect)
      const fast = yield* ask(collect(0))
      const slow = yield* ask(collect(7))
      yield* pass(5)
      fixture.server.line.drop()
      yield* settle
      yield* service.close
      yield* settle
      const all = ["AttemptingToConnect", "ObtainedAddress", "Connected 1", "Disconnected 1"]
      expect([...fast.answer!]).toEqual(all)
      yield* pass(50)
      expect([...slow.answer!]).toEqual(all)
    }))

  it.scoped("E2: after a close the stream ends with Disconnected", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const events = yield* askNow(Stream.runCollect(Stream.map(service.events, describeEvent)))
      yield* service.close
      yield* settle
      expect([...events.answer!]).toEqual(["Connected 1", "Disconnected 1"])
    }))

  it.scoped("E2: a stream that runs after the close emits the last event and ends", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      yield* service.close
      yield* settle
      const events = yield* askNow(Stream.runCollect(Stream.map(service.events, describeEvent)))
      expect(events.isWaiting).toBe(false)
      expect([...events.answer!]).toEqual(["Disconnected 1"])
    }))

  it.scoped("E2: a subscription lasts as long as its scope", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      const scope = yield* Scope.make()
      const queue = yield* Scope.extend(service.subscribe, scope)
      yield* settle
      yield* Scope.close(scope, Exit.void)
      server.line.drop()
      yield* settle
      expect(yield* Queue.isShutdown(queue)).toBe(true)
      expect(server.lines.length).toBe(1)
    }))

  it.scoped("E3: the address is not part of an event on the bus, nor of its type", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      const queue = yield* service.subscribe
      yield* settle
      const events = yield* Queue.takeAll(queue)
      expect(Chunk.toReadonlyArray(events)).toEqual([
        { _tag: "AttemptingToConnect", generation: 1 },
        { _tag: "ObtainedAddress", address: undefined, attempt: 1 },
        { _tag: "Connected", connection: expect.any(Line), generation: 1 }
      ])
      expectTypeOf(queue).toEqualTypeOf<Queue.Dequeue<BusEvent>>()
    }))

  it.scoped("E4: a subscriber that fails affects no other subscriber", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { service } = fixture
      yield* ask(Stream.runForEach(service.events, () => Effect.die(new Error("bug"))))
      yield* ask(Stream.runForEach(service.events, () => Effect.interrupt))
      const hung = yield* ask(Stream.runForEach(service.events, () => Effect.never))
      const other = yield* ask(Stream.runCollect(Stream.map(Stream.take(service.events, 8), describeEvent)))
      yield* everything(fixture)
      expect(fixture.eventLog).toEqual(allEvents)
      expect([...other.answer!]).toEqual(
        allEvents.map((entry) => entry.slice(entry.indexOf(" ") + 1).replace(" a", ""))
      )
      expect(hung.isWaiting).toBe(true)
      yield* Fiber.interrupt(hung.fiber)
    }))

  it.scoped("E4: a subscriber that shuts down its queue affects neither the loop nor other subscribers", () =>
    Effect.gen(function*() {
      const { eventLog, server, service } = yield* makeFixture()
      const queue = yield* service.subscribe
      const other = yield* service.subscribe
      yield* settle
      yield* Queue.shutdown(queue)
      server.line.drop()
      yield* pass(10)
      expect(eventLog.at(-1)).toBe("10 Connected 2")
      expect((yield* takeAll(other)).at(-1)).toBe("Connected 2")
    }))

  it.effect("E5: FailedToConnect has log level ERROR, all others INFO", () =>
    Effect.sync(() => {
      const line = new Line(1, "a")
      const levels = [
        ConnectionEvent.AttemptingToConnect({ generation: 1 }),
        ConnectionEvent.ObtainedAddress({ address: "a", attempt: 1 }),
        ConnectionEvent.FailedToConnect({ cause: Cause.empty, attempt: 1 }),
        ConnectionEvent.Connected({ connection: line, generation: 1 }),
        ConnectionEvent.Disconnected({ cause: Cause.empty, generation: 1 })
      ].map((event) => [event._tag, ConnectionEvent.logLevel(event)])
      expect(levels).toEqual([
        ["AttemptingToConnect", LogLevel.Info],
        ["ObtainedAddress", LogLevel.Info],
        ["FailedToConnect", LogLevel.Error],
        ["Connected", LogLevel.Info],
        ["Disconnected", LogLevel.Info]
      ])
    }))
})
