/** Streams with a poll. The rules of delivery are tested in `delivery.test.ts`. */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import { askNow, makeFixture, pass, settle } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { Consumer } from "./Feed.js"

/** Numbers that arrive, one for each poll. */
class Source implements Connector.Poll<number, "bad"> {
  readonly waiting: Array<number> = []
  readonly listeners = new Set<() => void>()
  end: Exit.Exit<never, Option.Option<"bad">> | undefined
  polls = 0

  readonly stream: Stream.Stream<number, "bad"> = Connector.withPoll<number, "bad">(
    Stream.dieMessage("This stream must not be run"),
    this
  )

  poll() {
    this.polls++
    const next = this.waiting.shift()
    if (next === -1) throw new Error("cannot poll")
    return next === undefined ? this.end : Chunk.of(next)
  }

  onArrival(listener: () => void) {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  send(...numbers: ReadonlyArray<number>): void {
    this.waiting.push(...numbers)
    this.listeners.forEach((listener) => listener())
  }
}

const consumed = (f: (source: Source) => Stream.Stream<number, "bad"> = ({ stream }) => stream) =>
  Effect.gen(function*() {
    const source = new Source()
    const fixture = yield* makeFixture()
    const consumer = new Consumer<number>()
    const asked = yield* askNow(consumer.run(PersistentConnection.stream(fixture.service, () => f(source))))
    yield* settle
    return { ...fixture, source, consumer, asked }
  })

describe("a stream with a poll", () => {
  it.scoped("is polled only while the consumer waits", () =>
    Effect.gen(function*() {
      const { consumer, source } = yield* consumed()
      consumer.work = () => Effect.sleep("1 second")
      expect([source.polls, source.listeners.size]).toEqual([1, 1])
      source.send(1, 2, 3)
      // The consumer has taken an element in this turn.
      expect([source.polls, source.waiting]).toEqual([2, [2, 3]])
      yield* settle
      expect([source.polls, consumer.got]).toEqual([2, [1]])
      yield* pass(1)
      expect([source.polls, consumer.got]).toEqual([3, [1, 2]])
      source.send(4)
      expect(source.polls).toBe(3)
      yield* pass(2)
      expect([source.waiting, consumer.got]).toEqual([[], [1, 2, 3, 4]])
    }))

  it.scoped("is not polled before the consumer wants something, also if something arrives earlier", () =>
    Effect.gen(function*() {
      const other = new Source()
      const sources = [other]
      const { consumer, server, source } = yield* consumed((first) => (sources.pop() === other ? first : other).stream)
      consumer.work = () => Effect.sleep("10 seconds")
      yield* pass(60)
      source.send(1)
      source.end = Exit.fail(Option.none())
      server.line.drop()
      yield* pass(5)
      expect([source.listeners.size, other.listeners.size]).toEqual([0, 1])
      other.send(2)
      expect(other.polls).toBe(0)
      yield* pass(5)
      expect([other.polls, consumer.got]).toEqual([1, [1, 2]])
    }))

  it.scoped("takes no fiber while it is read, unlike a stream that is run", () =>
    Effect.gen(function*() {
      const fibers: Array<number> = []
      for (const stream of [undefined, Stream.never]) {
        const supervisor = yield* Supervisor.track
        yield* Effect.supervised(consumed((source) => stream ?? source.stream), supervisor)
        fibers.push((yield* supervisor.value).length)
      }
      expect(fibers[1]).toBe(fibers[0]! + 1)
    }))

  it.scoped("ends the whole stream at its own end, and is not listened to any more", () =>
    Effect.gen(function*() {
      const ends = [[Option.none<"bad">(), Exit.void], [Option.some("bad" as const), Exit.fail("bad")]] as const
      for (const [end, exit] of ends) {
        const { asked, consumer, source } = yield* consumed()
        source.end = Exit.fail(end)
        source.send(1)
        yield* settle
        expect([consumer.got, asked.exit, source.listeners.size]).toEqual([[1], exit, 0])
      }
    }))

  it.scoped("ends the stream with the defect of a poll that throws", () =>
    Effect.gen(function*() {
      const { asked, consumer, source } = yield* consumed()
      source.send(1, -1, 2)
      yield* settle
      expect([consumer.got, asked.exit, source.listeners.size]).toEqual([[1], Exit.die(new Error("cannot poll")), 0])
    }))

  it.scoped("gives nothing after its turn, which ends when it has given nothing for `drainTimeout`", () =>
    Effect.gen(function*() {
      const other = new Source()
      const sources = [other]
      const { consumer, server, source } = yield* consumed((first) => (sources.pop() === other ? first : other).stream)
      yield* pass(60)
      server.line.drop()
      yield* settle
      source.send(1)
      other.send(3)
      yield* pass(0.999)
      expect([consumer.got, source.listeners.size]).toEqual([[1], 1])
      yield* pass(0.001)
      expect([consumer.got, source.listeners.size]).toEqual([[1, 3], 0])
      source.send(2)
      yield* settle
      expect([consumer.got, source.waiting]).toEqual([[1, 3], [2]])
    }))

  it.scoped("is given up by an interrupted consumer, which takes nothing more", () =>
    Effect.gen(function*() {
      const source = new Source()
      const { service } = yield* makeFixture()
      const fiber = yield* Effect.fork(Stream.runDrain(PersistentConnection.stream(service, () => source.stream)))
      yield* settle
      expect(source.listeners.size).toBe(1)
      yield* Fiber.interrupt(fiber)
      expect(source.listeners.size).toBe(0)
      source.send(1)
      expect(source.waiting).toEqual([1])
    }))

  it.scoped("is not begun if the function that makes it closes the persistent connection", () =>
    Effect.gen(function*() {
      const source = new Source()
      const { service } = yield* makeFixture()
      const asked = yield* askNow(Stream.runDrain(PersistentConnection.stream(service, () => {
        Effect.runFork(service.close)
        return source.stream
      })))
      yield* pass(1)
      expect([asked.exit, source.listeners.size]).toEqual([Exit.void, 0])
    }))
})
