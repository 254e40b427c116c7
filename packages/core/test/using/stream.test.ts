import { describe, expect } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { askNow, type Line, makeFixture, pass, refuse, Refused, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { Consumer, Feed } from "./Feed.js"

const { stream } = PersistentConnection

/** A fixture with a consumer of its feed. */
const consumed = Effect.gen(function*() {
  const fixture = yield* makeFixture()
  yield* pass(60)
  const feed = new Feed<string>()
  const consumer = new Consumer<string>()
  const asked = yield* askNow(consumer.run(stream(fixture.service, feed.stream)))
  return { ...fixture, feed, consumer, asked }
})

describe("stream", () => {
  it.scoped("starts when there is a connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const asked = yield* askNow(Stream.runCollect(stream(service, (line) => Stream.make(line.number))))
      expect(asked.isWaiting).toBe(true)
      server.accept()
      yield* pass(10)
      expect(asked.answer).toEqual(Chunk.of(1))
    }))

  it.scoped("applies backpressure if the consumer is slow: it reads at most two chunks ahead", () =>
    Effect.gen(function*() {
      const { consumer, feed } = yield* consumed
      consumer.work = () => sleep(5)
      for (const element of "abcdefgh") {
        feed.last.send(element)
        yield* settle
      }
      // One chunk is in work, one or two are in flight.
      expect(consumer.got).toEqual(["a"])
      expect(feed.last.size).toBeGreaterThanOrEqual(5)
      yield* pass(100)
      expect(consumer.got.join("")).toBe("abcdefgh")
    }))

  it.scoped("ends when its stream ends on an open connection", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed } = yield* consumed
      feed.last.send("a")
      feed.last.end()
      yield* settle
      expect(consumer.got).toEqual(["a"])
      expect(asked.exit).toEqual(Exit.void)
      expect(feed.open).toBe(0)
    }))

  it.scoped("continues when its stream ends because of the loss of the connection, with or without an error", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed, server } = yield* consumed
      feed.last.send("a")
      feed.last.end()
      server.line.drop()
      yield* settle
      feed.last.send("b")
      feed.last.end(Exit.fail(new Refused({ text: "broken pipe" })))
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(10)
      feed.last.send("c")
      yield* settle
      expect(consumer.got).toEqual(["a", "b", "c"])
      expect(asked.isWaiting).toBe(true)
    }))

  it.scoped("continues after a loss also without isClosed", () =>
    Effect.gen(function*() {
      const connector = Connector.make({
        connect: () => Deferred.make<void, Refused>(),
        closed: (end: Deferred.Deferred<void, Refused>) => Deferred.await(end)
      })
      const service = yield* PersistentConnection.make({
        serverName: "blind",
        address: Effect.void,
        connector,
        retry: RetryPolicy.fixed(0)
      })
      let connections = 0
      const f = (end: Deferred.Deferred<void, Refused>) => {
        const number = ++connections
        if (number === 3) return Stream.make(number)
        const last = Effect.zipRight(
          Deferred.succeed(end, undefined),
          number === 1 ? Effect.void : refuse("broken pipe")
        )
        return Stream.concat(Stream.make(number), Stream.execute(last))
      }
      const asked = yield* askNow(Stream.runCollect(stream(service, f)))
      expect(asked.answer).toEqual(Chunk.make(1, 2, 3))
    }))

  it.scoped("fails when its stream fails on an open connection, after the earlier elements", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed } = yield* consumed
      feed.last.send("a")
      feed.last.end(Exit.fail(new Refused({ text: "no such topic" })))
      yield* settle
      expect(consumer.got).toEqual(["a"])
      expect(asked.failure).toBe("no such topic")
      expect(feed.open).toBe(0)
    }))

  it.scoped("fails with the defects of f and of its clean-up", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const run = (f: (line: Line) => Stream.Stream<number, Refused>) => askNow(Stream.runDrain(stream(service, f)))
      expect(
        (yield* run(() => {
          throw new Error("bug")
        })).failure
      ).toBe("bug!")
      expect((yield* run(() => Stream.die("bug"))).failure).toBe("bug!")
      expect((yield* run(() => Stream.fromEffect(Effect.interrupt))).failure).toBe("The code interrupted itself!")
      const cleanUp = yield* run(() => Stream.ensuring(Stream.never, Effect.die("clean-up")))
      server.line.drop()
      yield* pass(1)
      expect(cleanUp.failure).toBe("clean-up!")
    }))

  it.scoped("fails with a defect of f also on a lost connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(Stream.runDrain(stream(service, (line) =>
        Stream.fromEffect(Effect.zipRight(sleep(5), line.number === 1 ? Effect.die("bug") : Effect.never)), {
        drainTimeout: "1 minute"
      })))
      server.line.drop()
      yield* pass(5)
      expect(asked.failure).toBe("bug!")
    }))

  it.scoped("while waiting for a connection, ends when the owner closes, and fails after an abort", () =>
    Effect.gen(function*() {
      const closed = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const aborted = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      yield* settle
      const asked = yield* Effect.all(
        [closed, aborted].map(({ service }) => askNow(Stream.runDrain(stream(service, () => Stream.never))))
      )
      yield* closed.service.close
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      yield* settle
      expect(asked[0]!.exit).toEqual(Exit.void)
      expect((asked[1]!.error as ConnectionClosed).reason._tag).toBe("Aborted")
    }))

  it.scoped("ends early if the consumer stops, and ends the subscription", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const feed = new Feed<number>()
      const asked = yield* askNow(Stream.runCollect(Stream.take(stream(service, feed.stream), 2)))
      feed.last.send(1, 2, 3)
      yield* settle
      expect(asked.answer).toEqual(Chunk.make(1, 2))
      expect(feed.open).toBe(0)
    }))

  it.scoped("can be interrupted while waiting, while working, with a busy consumer, and with one chunk read ahead", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed } = yield* consumed
      yield* Fiber.interrupt(asked.fiber)
      expect(feed.open).toBe(0)

      const busy = yield* makeFixture()
      yield* settle
      consumer.work = () => Effect.never
      const other = yield* askNow(consumer.run(stream(busy.service, feed.stream)))
      for (const element of "abcd") {
        feed.last.send(element)
        yield* settle
      }
      yield* Fiber.interrupt(other.fiber)
      expect(feed.open).toBe(0)

      const waiting = yield* makeFixture({}, ({ server }) => server.refuse("no"))
      const third = yield* askNow(consumer.run(stream(waiting.service, feed.stream)))
      yield* Fiber.interrupt(third.fiber)
      expect([asked, other, third].map(({ failure }) => failure)).toEqual(["interrupted", "interrupted", "interrupted"])
    }))

  it.scoped("is not affected by the end of another persistent connection with the same name", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      const other = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(
        Stream.runDrain(
          stream(service, () => Stream.fromEffect(PersistentConnection.use(other.service, () => Effect.never)))
        )
      )
      yield* other.service.close
      yield* settle
      expect(asked.error).toBeInstanceOf(ConnectionClosed)
    }))

  it.scoped("loses no element if a pull times out and is repeated", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const feed = new Feed<number>()
      const pull = yield* Stream.toPull(stream(service, feed.stream))
      const first = yield* askNow(Effect.timeoutOption(pull, "1 second"))
      yield* pass(1)
      expect(first.answer).toMatchObject({ _tag: "None" })
      feed.last.send(1)
      yield* settle
      feed.last.send(2)
      expect(yield* pull).toEqual(Chunk.make(1))
      expect(yield* pull).toEqual(Chunk.make(2))
    }))
})
