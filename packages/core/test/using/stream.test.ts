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
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { askNow, begin, hasEnded, inScope, type Line, pass, refuse, Refused, settle, sleep } from "../support/Life.js"
import { it } from "../support/virtualTime.js"
import { Consumer, Feed } from "./Feed.js"

const { refresh, resumableStream, stream } = PersistentConnection

/** A life of which somebody consumes the feed. */
const consumed = Effect.gen(function*() {
  const life = yield* begin()
  yield* pass(60)
  const feed = new Feed<string>()
  const consumer = new Consumer<string>()
  const asked = yield* askNow(consumer.run(stream(life.service, feed.stream)))
  return { ...life, feed, consumer, asked }
})

describe("stream", () => {
  it.scoped("is the stream of f on the current connection, continued on the next", () =>
    Effect.gen(function*() {
      const { consumer, feed, server } = yield* consumed
      feed.last.send("a", "b")
      yield* settle
      feed.last.send("c")
      yield* settle
      server.line.drop()
      yield* settle
      feed.last.send("d")
      yield* settle
      expect(consumer.got).toEqual(["a", "b", "c", "d"])
      expect(feed.subscriptions.map(({ line }) => line.number)).toEqual([1, 2])
      expect(feed.open).toBe(1)
    }))

  it.scoped("begins when there is a connection", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin({}, ({ server }) => server.refuse("no"))
      const asked = yield* askNow(Stream.runCollect(stream(service, (line) => Stream.make(line.number))))
      expect(asked.isWaiting).toBe(true)
      server.accept()
      yield* pass(10)
      expect(asked.answer).toEqual(Chunk.of(1))
    }))

  it.scoped("subscribes on the new connection at once when the old one is replaced", () =>
    Effect.gen(function*() {
      const { consumer, feed, service } = yield* consumed
      feed.last.send("a")
      yield* settle
      yield* refresh(service)
      yield* settle
      feed.last.send("b")
      yield* settle
      expect(consumer.got).toEqual(["a", "b"])
      expect([feed.subscriptions.length, feed.open]).toEqual([2, 1])
    }))

  it.scoped("delivers what came before the loss, and only then what comes after it", () =>
    Effect.gen(function*() {
      const { consumer, feed, server } = yield* consumed
      consumer.work = () => sleep(5)
      feed.last.send("a")
      yield* settle
      feed.last.send("b")
      yield* settle
      server.line.drop()
      yield* settle
      feed.last.send("c")
      yield* pass(30)
      expect(consumer.got).toEqual(["a", "b", "c"])
    }))

  it.scoped("slows the connection's stream down when the consumer is slow, at most two chunks ahead", () =>
    Effect.gen(function*() {
      const { consumer, feed } = yield* consumed
      consumer.work = () => sleep(5)
      for (const element of "abcdefgh") {
        feed.last.send(element)
        yield* settle
      }
      // One is at work, one or two are on their way.
      expect(consumer.got).toEqual(["a"])
      expect(feed.last.size).toBeGreaterThanOrEqual(5)
      yield* pass(100)
      expect(consumer.got.join("")).toBe("abcdefgh")
    }))

  it.scoped("subscribes on the next connection even if the consumer is busy", () =>
    Effect.gen(function*() {
      const { consumer, feed, server } = yield* consumed
      consumer.work = () => sleep(1_000)
      feed.last.send("a")
      yield* settle
      feed.last.send("b")
      yield* settle
      for (let i = 0; i < 3; i++) {
        server.line.drop()
        yield* pass(10)
      }
      expect(feed.subscriptions.map(({ isOver, line }) => [line.number, isOver])).toEqual([
        [1, true],
        [2, true],
        [3, true],
        [4, false]
      ])
      feed.last.send("c")
      yield* pass(5_000)
      expect(consumer.got).toEqual(["a", "b", "c"])
    }))

  it.scoped("ends when a stream ends on a connection that is alive", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed } = yield* consumed
      feed.last.send("a")
      feed.last.end()
      yield* settle
      expect(consumer.got).toEqual(["a"])
      expect(asked.exit).toEqual(Exit.void)
      expect(feed.open).toBe(0)
    }))

  it.scoped("goes on when a stream ends because its connection has, with or without an error", () =>
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

  it.scoped("does so without isClosed, too", () =>
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

  it.scoped("fails when a stream fails on a connection that is alive, after what came before", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed } = yield* consumed
      feed.last.send("a")
      feed.last.end(Exit.fail(new Refused({ text: "no such topic" })))
      yield* settle
      expect(consumer.got).toEqual(["a"])
      expect(asked.failure).toBe("no such topic")
      expect(feed.open).toBe(0)
    }))

  it.scoped("keeps the defects of f, and those of its clean-up", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const run = (f: (line: Line) => Stream.Stream<number, Refused>) => askNow(Stream.runDrain(stream(service, f)))
      expect(
        (yield* run(() => {
          throw new Error("bug")
        })).failure
      ).toBe("bug!")
      expect((yield* run(() => Stream.die("bug"))).failure).toBe("bug!")
      expect((yield* run(() => Stream.fromEffect(Effect.interrupt))).failure).toBe("It was interrupted from within!")
      const cleanUp = yield* run(() => Stream.ensuring(Stream.never, Effect.die("clean-up")))
      server.line.drop()
      yield* settle
      expect(cleanUp.failure).toBe("clean-up!")
    }))

  it.scoped("ends early when the consumer has enough, and ends the subscription", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* settle
      const feed = new Feed<number>()
      const asked = yield* askNow(Stream.runCollect(Stream.take(stream(service, feed.stream), 2)))
      feed.last.send(1, 2, 3)
      yield* settle
      expect(asked.answer).toEqual(Chunk.make(1, 2))
      expect(feed.open).toBe(0)
    }))

  it.scoped("is interrupted wherever it is: waiting, at work, with a consumer that is busy, with one chunk ahead", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed } = yield* consumed
      yield* Fiber.interrupt(asked.fiber)
      expect(feed.open).toBe(0)

      const busy = yield* begin()
      yield* settle
      consumer.work = () => Effect.never
      const other = yield* askNow(consumer.run(stream(busy.service, feed.stream)))
      for (const element of "abcd") {
        feed.last.send(element)
        yield* settle
      }
      yield* Fiber.interrupt(other.fiber)
      expect(feed.open).toBe(0)

      const waiting = yield* begin({}, ({ server }) => server.refuse("no"))
      const third = yield* askNow(consumer.run(stream(waiting.service, feed.stream)))
      yield* Fiber.interrupt(third.fiber)
      expect([asked, other, third].map(({ failure }) => failure)).toEqual(["interrupted", "interrupted", "interrupted"])
    }))

  it.scoped("ends, after what has been received, when the owner closes; fails if aborted or given up", () =>
    Effect.gen(function*() {
      const { asked, consumer, feed, service } = yield* consumed
      consumer.work = () => sleep(5)
      feed.last.send("a")
      yield* settle
      feed.last.send("b")
      yield* settle
      yield* service.close
      yield* settle
      expect([asked.isWaiting, feed.open]).toEqual([true, 0])
      yield* pass(10)
      expect(asked.exit).toEqual(Exit.void)
      expect(consumer.got).toEqual(["a", "b"])

      const aborted = yield* begin()
      yield* settle
      const second = yield* askNow(Stream.runDrain(stream(aborted.service, feed.stream)))
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      aborted.server.line.drop()
      yield* settle
      expect(second.error).toBeInstanceOf(ConnectionClosed)
    }))

  it.scoped("is not ended by the end of another persistent connection of the same name", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      const other = yield* begin()
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

  it.scoped("can be run by several consumers, each with a subscription of its own", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const feed = new Feed<string>()
      const all = stream(service, feed.stream)
      const consumers = [new Consumer<string>(), new Consumer<string>()] as const
      yield* askNow(consumers[0].run(all))
      yield* askNow(consumers[1].run(all))
      server.line.drop()
      yield* settle
      feed.subscriptions[2]!.send("x")
      feed.subscriptions[3]!.send("y")
      yield* settle
      expect(consumers.map(({ got }) => got)).toEqual([["x"], ["y"]])
    }))

  it.scoped("loses nothing to a pull that times out and comes again", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* settle
      const feed = new Feed<number>()
      const pull = yield* Stream.toPull(stream(service, feed.stream))
      const first = yield* askNow(Effect.timeoutOption(pull, "1 second"))
      yield* pass(1)
      expect(first.answer).toMatchObject({ _tag: "None" })
      feed.last.send(1)
      yield* settle
      feed.last.send(2)
      yield* settle
      expect(yield* pull).toEqual(Chunk.make(1, 2))
    }))

  it.scoped("D8: has ended everything when the scope of the persistent connection has been left", () =>
    Effect.gen(function*() {
      const [{ service }, scope] = yield* inScope(begin())
      yield* settle
      const feed = new Feed<string>()
      const asked = yield* askNow(Stream.runDrain(stream(service, feed.stream)))
      expect(yield* hasEnded(scope)).toBe(true)
      expect([asked.exit, feed.open]).toEqual([Exit.void, 0])
    }))
})

describe("resumableStream", () => {
  const resumedFrom = () => {
    const feed = new Feed<number>()
    const cursors: Array<number | undefined> = []
    const consumer = new Consumer<PersistentConnection.Resumed<number>>()
    const run = (service: PersistentConnection.PersistentConnection<Line, Refused>) =>
      consumer.run(resumableStream(service, {
        subscribe: (line, cursor: Option.Option<number>) => {
          cursors.push(cursor._tag === "Some" ? cursor.value : undefined)
          return feed.subscribe(line)
        },
        cursor: (n) => n
      }))
    const got = () =>
      consumer.got.map((element) =>
        element._tag === "Element"
          ? element.value
          : `gap ${element.generation}: ${element.lostAt / 1000}-${element.restoredAt / 1000}`
      )
    return { feed, cursors, consumer, run, got }
  }

  it.scoped("resumes from the last cursor, with a gap marker before the first element of the new subscription", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { cursors, feed, got, run } = resumedFrom()
      yield* askNow(run(service))
      feed.last.send(1, 2, 3)
      yield* settle
      server.refuse("no")
      yield* pass(5)
      server.line.drop()
      yield* settle
      server.accept()
      yield* pass(10)
      feed.last.send(4)
      yield* settle
      expect(cursors).toEqual([undefined, 3])
      expect(got()).toEqual([1, 2, 3, "gap 2: 65-75", 4])
    }))

  it.scoped("gives no gap marker before the first subscription stands, and one after each later one", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { feed, got, run } = resumedFrom()
      yield* askNow(run(service))
      server.line.drop()
      yield* settle
      expect(got()).toEqual(["gap 2: 60-60"])
      yield* pass(60)
      yield* refresh(service)
      yield* settle
      expect(got()).toEqual(["gap 2: 60-60", "gap 3: 120-120"])
      expect(feed.open).toBe(1)
    }))

  it.scoped("gives none for connections that end before the first subscription stands", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { consumer, got } = resumedFrom()
      yield* askNow(consumer.run(resumableStream(service, {
        subscribe: (line) => Effect.as(sleep(5), Stream.concat(Stream.make(line.number), Stream.never)),
        cursor: (n) => n
      })))
      yield* pass(3)
      server.line.drop()
      yield* pass(3)
      server.line.drop()
      yield* pass(60)
      expect(got()).toEqual([3])
    }))

  it.scoped("gives the gap marker after the subscription stands: what a re-read at the marker misses, comes after it", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      let stands = false
      const seen: Array<boolean> = []
      const all = resumableStream(service, {
        subscribe: (line) =>
          Effect.zipRight(
            sleep(3),
            Effect.sync(() => {
              stands = true
              return Stream.concat(Stream.make(line.number), Stream.never)
            })
          ),
        cursor: (n) => n
      })
      yield* askNow(Stream.runForEach(all, (element) =>
        Effect.sync(() => {
          if (element._tag === "Gap") seen.push(stands)
        })))
      yield* pass(3)
      stands = false
      server.line.drop()
      yield* pass(2)
      expect(seen).toEqual([])
      yield* pass(1)
      expect(seen).toEqual([true])
    }))

  it.scoped("delivers what was received before the loss, and counts the gap from the loss", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { consumer, cursors, feed, got, run } = resumedFrom()
      consumer.work = () => sleep(2)
      yield* askNow(run(service))
      for (const n of [1, 2, 3, 4]) {
        feed.last.send(n)
        yield* settle
      }
      server.refuse("no")
      server.line.drop()
      yield* pass(20)
      expect(got()).toEqual([1, 2, 3, 4])
      server.accept()
      yield* pass(10)
      expect(cursors).toEqual([undefined, 4])
      expect(got()).toEqual([1, 2, 3, 4, "gap 2: 60-90"])
    }))

  it.scoped("stretches the gap over subscriptions that do not come to stand", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { consumer, got } = resumedFrom()
      let delay = 0
      yield* askNow(consumer.run(resumableStream(service, {
        subscribe: () => Effect.as(sleep(delay), Stream.never),
        cursor: (n: number) => n
      })))
      delay = 20
      server.line.drop()
      yield* pass(15)
      server.line.drop()
      yield* pass(25)
      expect(got()).toEqual(["gap 3: 60-95"])
    }))

  it.scoped("gives a busy consumer one marker for the whole of what it has missed", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { consumer, cursors, feed, got, run } = resumedFrom()
      consumer.work = () => sleep(1_000)
      yield* askNow(run(service))
      feed.last.send(1)
      yield* settle
      feed.last.send(2)
      yield* settle
      for (let i = 0; i < 3; i++) {
        server.line.drop()
        yield* pass(10)
      }
      expect(cursors).toEqual([undefined, 2, 2, 2])
      feed.last.send(3)
      yield* pass(5_000)
      expect(got()).toEqual([1, 2, "gap 4: 60-80", 3])
    }))

  it.scoped("fails when subscribing fails on a connection that is alive, and goes on if it is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const run = (subscribe: (line: Line) => Effect.Effect<Stream.Stream<number>, Refused>) =>
        askNow(Stream.runDrain(resumableStream(service, { subscribe, cursor: (n) => n })))
      expect((yield* run(() => refuse("no such topic"))).failure).toBe("no such topic")
      expect(
        (yield* run(() => {
          throw new Error("bug")
        })).failure
      ).toBe("bug!")
      const asked = yield* run((line) =>
        line === server.lines[0]
          ? Effect.zipRight(Effect.sync(() => line.drop()), refuse("broken pipe"))
          : Effect.succeed(Stream.make(1))
      )
      expect(asked.exit).toEqual(Exit.void)
    }))

  it.scoped("fails with the defect of a cursor that throws", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* settle
      const asked = yield* askNow(Stream.runDrain(resumableStream(service, {
        subscribe: () => Effect.succeed(Stream.make(1)),
        cursor: () => {
          throw new Error("no cursor")
        }
      })))
      expect(asked.failure).toBe("no cursor!")
    }))

  it.scoped("begins anew each time that it is run", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* settle
      const { cursors, feed, run } = resumedFrom()
      const first = yield* askNow(run(service))
      feed.last.send(1)
      yield* settle
      yield* Fiber.interrupt(first.fiber)
      yield* askNow(run(service))
      expect(cursors).toEqual([undefined, undefined])
    }))
})
