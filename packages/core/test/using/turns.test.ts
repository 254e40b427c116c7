/** The turns of a stream: when it waits for a connection, how it starts on the next one, and what its end leaves. */
import { describe, expect } from "@effect/vitest"
import * as Inspect from "@persistent-connection/core/Inspect"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import {
  ask,
  askNow,
  type Fixture,
  type Line,
  makeFixture,
  on,
  pass,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { objectsReachableFrom } from "../support/size.js"
import { it } from "../support/virtualTime.js"
import { Consumer, Feed } from "./Feed.js"
import { makeInboxFixture } from "./Inbox.js"

const { closeGracefully, stream } = PersistentConnection

const reset = Exit.fail(new Refused({ text: "reset" }))

const waiting = ({ service }: Fixture) => Effect.map(Inspect.summarize(service), ({ waiting }) => waiting)

const drain = ({ service }: Fixture, options?: PersistentConnection.StreamOptions) =>
  askNow(Stream.runDrain(stream(service, () => Stream.never, options)))

describe("a stream counts as waiting for a connection", () => {
  it.scoped("while it has none: each stream by itself", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      yield* settle
      expect(yield* waiting(fixture)).toBe(0)
      const first = yield* drain(fixture)
      yield* drain(fixture)
      yield* drain(fixture)
      expect(yield* waiting(fixture)).toBe(3)
      yield* Fiber.interrupt(first.fiber)
      expect(yield* waiting(fixture)).toBe(2)
      fixture.server.accept()
      yield* pass(10)
      expect(yield* waiting(fixture)).toBe(0)
    }))

  it.scoped("after a loss, when the elements that were received before have been delivered", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const asked = yield* drain(fixture)
      expect(yield* waiting(fixture)).toBe(0)
      fixture.server.line.drop(reset)
      yield* pass(0.999)
      expect(yield* waiting(fixture)).toBe(0)
      yield* pass(0.001)
      expect(yield* waiting(fixture)).toBe(1)
      yield* pass(9)
      expect([yield* waiting(fixture), asked.isWaiting]).toEqual([0, true])
    }))

  it.scoped("no more after its end: by an interruption, by itself, or by the close", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const interrupted = yield* drain(fixture)
      yield* Fiber.interrupt(interrupted.fiber)
      yield* settle
      expect(yield* waiting(fixture)).toBe(0)
      const ended = yield* askNow(Stream.runDrain(stream(fixture.service, () => Stream.make(1))))
      expect([ended.exit, yield* waiting(fixture)]).toEqual([Exit.void, 0])
      const closed = yield* drain(fixture)
      yield* ask(closeGracefully(fixture.service, "1 minute"))
      yield* pass(60)
      expect([closed.exit, yield* waiting(fixture)]).toEqual([Exit.void, 0])
    }))

  it.scoped("no more after a close during the wait", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const asked = yield* drain(fixture)
      expect(yield* waiting(fixture)).toBe(1)
      yield* fixture.service.close
      yield* settle
      expect([asked.exit, yield* waiting(fixture)]).toEqual([Exit.void, 0])
    }))
})

describe("a stream that begins", () => {
  /** Pulls once, in this fiber: to run a stream takes a child. */
  const pullOnce = <A, E, R>(self: Stream.Stream<A, E, R>) => Effect.scoped(Effect.flatten(Stream.toPull(self)))

  it.scoped("D7c: in the attempt that it would wait for, dies with a readable message, and nothing else", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({}, ({ server }) => {
        server.lookUp = () =>
          Effect.as(Effect.orDie(Effect.suspend(() => pullOnce(stream(fixture.service, () => Stream.never)))), "a")
      })
      yield* settle
      const { lastCause } = yield* fixture.service.state.get
      const defects = Chunk.toReadonlyArray(Option.match(lastCause, { onNone: Chunk.empty, onSome: Cause.defects }))
      expect(defects.map((defect) => (defect as Error).message)).toEqual([
        "The connection to \"test\" waits for itself"
      ])
    }))

  it.scoped("in `closed`, delivers if there is a connection", () =>
    Effect.gen(function*() {
      const pulled: Array<Exit.Exit<Chunk.Chunk<string>, unknown>> = []
      const fixture: Fixture = yield* makeFixture({}, ({ server }) => {
        server.closed = () =>
          Effect.flatMap(
            Effect.exit(Effect.suspend(() => pullOnce(stream(fixture.service, () => Stream.make("a"))))),
            (exit) => {
              pulled.push(exit)
              return Effect.never
            }
          )
      })
      yield* settle
      expect(pulled).toEqual([Exit.succeed(Chunk.of("a"))])
    }))

  it.scoped("and is interrupted at once, leaves nothing", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const asked = yield* ask(Stream.runDrain(stream(fixture.service, () => Stream.never)))
      yield* Fiber.interrupt(asked.fiber)
      expect(asked.failure).toBe("interrupted")
      yield* fixture.service.close
      expect(fixture.server.released).toBe(1)
    }))
})

describe("A1: a new connection", () => {
  it.scoped("is the result of the attempt, and is reported, even if the first turn of a stream closes", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const { server, service } = fixture
      yield* settle
      yield* askNow(Stream.runDrain(stream(service, () => Stream.fromEffect(service.close))))
      const caller = yield* askNow(service.connectedOrFailedToConnect)
      server.accept()
      yield* pass(10)
      expect(caller.answer).toBe(server.line)
      expect(fixture.eventLog.slice(-2)).toEqual(["10 Connected 1", "10 Disconnected 1"])
    }))

  it.scoped("is handled by `onEvent` before a stream begins on it", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const { server, service } = yield* makeFixture({
        onEvent: on("Connected", () => Effect.sync(() => order.push("onEvent")))
      }, ({ server }) => server.refuse("no"))
      yield* askNow(Stream.runDrain(stream(service, () => {
        order.push("stream")
        return Stream.never
      })))
      server.accept()
      yield* pass(10)
      expect(order).toEqual(["onEvent", "stream"])
    }))
})

describe("many streams that wait for a connection", () => {
  it.scoped("begin on it in the order in which they began to wait, without those that were interrupted", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const begun: Array<number> = []
      const run = (number: number) =>
        askNow(Stream.runDrain(stream(service, () => {
          begun.push(number)
          return Stream.never
        })))
      const asked = yield* Effect.forEach([0, 1, 2, 3, 4], run)
      yield* Fiber.interrupt(asked[1]!.fiber)
      yield* Fiber.interrupt(asked[4]!.fiber)
      server.accept()
      yield* pass(10)
      expect(begun).toEqual([0, 2, 3])
    }))
})

describe("S1: a stream on the next connection", () => {
  it.scoped("reads no element before the consumer wants it, as on the first connection", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* pass(60)
      const feed = new Feed<string>()
      const consumer = new Consumer<string>()
      consumer.work = () => sleep(5)
      yield* askNow(consumer.run(stream(fixture.service, feed.stream)))
      const unread = Effect.gen(function*() {
        for (const element of "abcd") {
          feed.last.send(element)
          yield* settle
        }
        const { size } = feed.last
        yield* pass(20)
        return size
      })
      const first = yield* unread
      feed.last.end()
      fixture.server.line.drop()
      yield* pass(1)
      expect(feed.subscriptions).toHaveLength(2)
      expect([yield* unread, first]).toEqual([3, 3])
      expect(consumer.got.join("")).toBe("abcdabcd")
    }))

  it.scoped("delivers what came on a connection that ended while the stream before it had not ended", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture()
      const { inboxes, server, service } = fixture
      yield* pass(60)
      const consumer = new Consumer<string>()
      consumer.work = () => sleep(5)
      yield* askNow(consumer.run(stream(service, (line) =>
        // The first stream never ends.
        line.number === 1 ? Stream.concat(Stream.make("first"), Stream.never) : inboxes.stream(line))))
      server.line.drop()
      yield* settle
      inboxes.send(server.line, "second")
      inboxes.end(server.line)
      yield* pass(10)
      inboxes.send(server.line, "third")
      yield* pass(60)
      expect(consumer.got).toEqual(["first", "second", "third"])
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1, 0])
    }))

  it.scoped("begins after `drainTimeout`, even if the stream before gives only chunks without elements", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const begun: Array<number> = []
      yield* askNow(Stream.runDrain(stream(service, ({ number }) => {
        begun.push(number)
        return Stream.filter(Stream.repeatEffect(Effect.as(sleep(0.5), number)), () => false)
      })))
      server.line.drop()
      yield* pass(0.999)
      expect(begun).toEqual([1])
      yield* pass(0.001)
      expect(begun).toEqual([1, 2])
    }))
})

describe("the end of a stream", () => {
  it.scoped("waits until the stream of the connection has cleaned up", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(Stream.runDrain(stream(service, () => Stream.ensuring(Stream.never, sleep(5)))))
      const interrupting = yield* askNow(Fiber.interrupt(asked.fiber))
      yield* pass(4.999)
      expect(interrupting.isWaiting).toBe(true)
      yield* pass(0.001)
      expect(interrupting.isWaiting).toBe(false)
    }))

  it.scoped("lets the connections be released that it has not delivered", () =>
    Effect.gen(function*() {
      const { inboxes, server, service } = yield* makeInboxFixture({}, (line, inboxes) => inboxes.send(line, "a"))
      yield* pass(60)
      const consumer = new Consumer<string>()
      consumer.work = () => Effect.never
      const asked = yield* askNow(consumer.run(stream(service, inboxes.stream)))
      for (let losses = 0; losses < 3; losses++) {
        inboxes.end(server.line)
        yield* pass(10)
      }
      expect(server.lines.map(({ released }) => released)).toEqual([1, 0, 0, 0])
      yield* Fiber.interrupt(asked.fiber)
      yield* settle
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1, 1, 0])
    }))

  it.scoped("leaves nothing in the persistent connection", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      const { service } = fixture
      yield* settle
      const once = Effect.flatMap(drain(fixture), ({ fiber }) => Fiber.interrupt(fiber))
      yield* once
      const before = objectsReachableFrom(service)
      yield* once
      yield* once
      expect(objectsReachableFrom(service)).toBe(before)
    }))

  it.scoped("comes if the stream closes in its first turn and does not end by itself", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture()
      yield* settle
      const { server, service } = fixture
      const f = (_: Line) => Stream.concat(Stream.fromEffect(service.close), Stream.never)
      const asked = yield* askNow(Stream.runDrain(stream(service, f, { drainTimeout: Infinity })))
      expect([asked.exit, server.released]).toEqual([Exit.void, 1])
    }))
})
