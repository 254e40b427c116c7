/** S3: how a stream resumes on the next connection. */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { askNow, type Line, makeFixture, pass, refuse, Refused, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/polled.js"
import { Consumer, Feed } from "./Feed.js"

const { refresh, resumableStream, use } = PersistentConnection

describe("S3: resumableStream", () => {
  const resumedFrom = () => {
    const feed = new Feed<number>()
    const cursors: Array<number | undefined> = []
    const consumer = new Consumer<PersistentConnection.Resumed<number>>()
    const run = (service: PersistentConnection.PersistentConnection<Line, Refused>) =>
      consumer.run(resumableStream(service, {
        subscribe: (line, cursor: Option.Option<number>) => {
          cursors.push(cursor._tag === "Some" ? cursor.value : undefined)
          return line.isLost ? refuse("broken pipe") : feed.subscribe(line)
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
      const { server, service } = yield* makeFixture()
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

  it.scoped("keeps the cursor if a later chunk has no elements", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const cursors: Array<Option.Option<number>> = []
      yield* askNow(Stream.runDrain(resumableStream(service, {
        subscribe: (_, cursor: Option.Option<number>) => {
          cursors.push(cursor)
          const elements = Stream.filter(Stream.rechunk(Stream.make(1, 2, 3), 1), (n) => n < 3)
          return Effect.succeed(Stream.concat(elements, Stream.never))
        },
        cursor: (n) => n
      })))
      server.line.drop()
      yield* pass(10)
      expect(cursors).toEqual([Option.none(), Option.some(2)])
    }))

  it.scoped("emits no gap marker before the first subscription is established, and one after each later subscription", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const { feed, got, run } = resumedFrom()
      yield* askNow(run(service))
      feed.last.end()
      server.line.drop()
      yield* settle
      expect(got()).toEqual(["gap 2: 60-60"])
      yield* pass(60)
      yield* refresh(service)
      // The subscription on the replaced connection has no end: it is abandoned after drainTimeout (S1).
      yield* pass(1)
      expect(got()).toEqual(["gap 2: 60-60", "gap 3: 120-121"])
      expect(feed.open).toBe(1)
    }))

  it.scoped("emits no gap marker for connections that end before the first subscription is established", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
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

  it.scoped("emits the gap marker after the subscription is established, so a re-read at the marker misses nothing", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      let isEstablished = false
      const seen: Array<boolean> = []
      const all = resumableStream(service, {
        subscribe: (line) =>
          Effect.zipRight(
            sleep(3),
            Effect.sync(() => {
              isEstablished = true
              return Stream.concat(Stream.make(line.number), Stream.never)
            })
          ),
        cursor: (n) => n
      })
      yield* askNow(Stream.runForEach(all, (element) =>
        Effect.sync(() => {
          if (element._tag === "Gap") seen.push(isEstablished)
        })))
      yield* pass(3)
      isEstablished = false
      server.line.drop()
      yield* pass(3)
      expect(seen).toEqual([])
      yield* pass(1)
      expect(seen).toEqual([true])
    }))

  it.scoped("delivers the elements received before the loss, and starts the gap at the loss", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
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

  it.scoped("extends the gap over subscriptions that fail", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
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
      // The first subscription is abandoned after drainTimeout, at 61. The second one never succeeds, and is abandoned
      // at 76.
      expect(got()).toEqual(["gap 3: 60-96"])
    }))

  it.scoped("emits a marker after each subscription on an ended connection that has undelivered elements", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const consumer = new Consumer<PersistentConnection.Resumed<number>>()
      consumer.work = () => sleep(100)
      yield* askNow(consumer.run(resumableStream(service, {
        subscribe: ({ lost, number }) =>
          Effect.succeed(
            number === 1
              ? Stream.concat(Stream.rechunk(Stream.range(1, 4), 1), Stream.execute(lost))
              : Stream.concat(Stream.make(number * 10), Stream.never)
          ),
        cursor: (n) => n
      })))
      for (let losses = 0; losses < 2; losses++) {
        server.line.drop()
        yield* pass(10)
      }
      yield* pass(1_000)
      const got = consumer.got.map((element) =>
        element._tag === "Element" ? element.value : `gap ${element.generation}`
      )
      expect(got).toEqual([1, 2, 3, 4, "gap 2", 20, "gap 3", 30])
    }))

  it.scoped("emits a gap marker also if the first subscription was on a replaced connection", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* pass(60)
      const { consumer, feed, got } = resumedFrom()
      yield* askNow(consumer.run(resumableStream(service, {
        subscribe: (line) => Effect.zipRight(sleep(line.number === 1 ? 0.5 : 0), feed.subscribe(line)),
        cursor: (n: number) => n
      })))
      yield* refresh(service)
      yield* pass(0.5)
      feed.last.send(1)
      // Its subscription has no end, and is abandoned after drainTimeout.
      yield* pass(5)
      feed.last.send(2)
      yield* settle
      expect(got()).toEqual([1, "gap 2: 60.5-61.5", 2])
    }))

  it.scoped("emits one marker for everything that a busy consumer has missed", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const { consumer, cursors, feed, got, run } = resumedFrom()
      consumer.work = () => sleep(1_000)
      yield* askNow(run(service))
      feed.last.send(1)
      yield* settle
      feed.last.send(2)
      yield* settle
      feed.last.end()
      for (let i = 0; i < 3; i++) {
        server.line.drop()
        yield* pass(10)
      }
      expect([cursors, got()]).toEqual([[undefined], [1]])
      yield* pass(2_000)
      expect(cursors).toEqual([undefined, 2, 2, 2])
      feed.last.send(3)
      yield* pass(5_000)
      expect(got()).toEqual([1, 2, "gap 4: 60-1060", 3])
    }))

  it.scoped("fails if the subscription fails on an open connection, and continues if the connection is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
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

  it.scoped("treats a failed subscription on a dead connection as its loss, also without `isClosed`", () =>
    Effect.gen(function*() {
      const connector = Connector.make({
        connect: () => Deferred.make<void, Refused>(),
        closed: (end: Deferred.Deferred<void, Refused>) => Deferred.await(end)
      })
      const service = yield* PersistentConnection.make({ serverName: "blind", address: Effect.void, connector })
      yield* pass(60)
      let subscriptions = 0
      const asked = yield* askNow(Stream.runDrain(resumableStream(service, {
        subscribe: (end) =>
          ++subscriptions === 1
            ? Effect.zipRight(Deferred.fail(end, new Refused({ text: "reset" })), refuse("broken pipe"))
            : Effect.succeed(Stream.make(1)),
        cursor: (n) => n
      })))
      expect([asked.exit, subscriptions]).toEqual([Exit.void, 2])
    }))

  describe("a subscription that a live server refuses", () => {
    /** The server refuses the topic on the first connection, and optionally on later ones. */
    const refused = (whenRefused: "fail" | "reconnect" | undefined, acceptsFrom = 2) =>
      Effect.gen(function*() {
        const fixture = yield* makeFixture()
        yield* pass(60)
        const asked = yield* askNow(Stream.runDrain(resumableStream(fixture.service, {
          subscribe: ({ number }) =>
            number < acceptsFrom
              ? refuse("no such topic")
              : Effect.succeed(Stream.concat(Stream.make(1), Stream.never)),
          cursor: (n) => n,
          whenRefused
        })))
        return { ...fixture, asked }
      })

    for (const whenRefused of [undefined, "fail"] as const) {
      it.scoped(`fails the stream with \`whenRefused\` ${whenRefused}, and does not affect the connection`, () =>
        Effect.gen(function*() {
          const { asked, eventLog } = yield* refused(whenRefused)
          expect(asked.failure).toBe("no such topic")
          expect(eventLog.at(-1)).toBe("0 Connected 1")
        }))
    }

    it.scoped("counts as the loss of the connection with `whenRefused` \"reconnect\", and is retried on the next one", () =>
      Effect.gen(function*() {
        const { asked, eventLog, server } = yield* refused("reconnect", 3)
        expect(eventLog.slice(3, 4)).toEqual(["60 Disconnected 1 no such topic!"])
        expect(server.lines[0]!.released).toBe(1)
        yield* pass(60)
        expect(eventLog.at(-1)).toBe("70 Connected 3")
        expect(asked.isWaiting).toBe(true)
      }))

    it.scoped("is not a loss with `whenRefused` \"reconnect\" on a replaced connection: its uses are drained", () =>
      Effect.gen(function*() {
        const { service } = yield* makeFixture()
        yield* settle
        const used = yield* askNow(use(service, () => Effect.as(sleep(20), "done")))
        yield* askNow(Stream.runDrain(resumableStream(service, {
          subscribe: ({ number }) =>
            number === 1 ? Effect.zipRight(sleep(0.5), refuse("no")) : Effect.succeed(Stream.never),
          cursor: (n: number) => n,
          whenRefused: "reconnect"
        })))
        yield* refresh(service)
        yield* pass(20)
        expect(used.answer).toBe("done")
      }))

    it.scoped("D13: with `whenRefused` \"reconnect\", does not hide the cause of a loss", () =>
      Effect.gen(function*() {
        const { eventLog, service } = yield* makeFixture()
        yield* settle
        yield* askNow(Stream.runDrain(resumableStream(service, {
          subscribe: (line) => {
            line.drop(Exit.fail(new Refused({ text: "kicked" })))
            return Effect.as(refuse("broken pipe"), Stream.never)
          },
          cursor: (n: number) => n,
          whenRefused: "reconnect"
        })))
        expect(eventLog.at(-1)).toBe("0 Disconnected 1 kicked")
      }))

    it.scoped("with `whenRefused` \"reconnect\", does not hide a defect", () =>
      Effect.gen(function*() {
        const { eventLog, service } = yield* makeFixture()
        yield* pass(60)
        const asked = yield* askNow(Stream.runDrain(resumableStream(service, {
          subscribe: (): Effect.Effect<Stream.Stream<number>> => Effect.die("bug"),
          cursor: (n) => n,
          whenRefused: "reconnect"
        })))
        expect([asked.failure, eventLog.at(-1)]).toEqual(["bug!", "0 Connected 1"])
      }))
  })

  it.scoped("fails with the defect of a cursor that throws", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const asked = yield* askNow(Stream.runDrain(resumableStream(service, {
        subscribe: () => Effect.succeed(Stream.make(1)),
        cursor: () => {
          throw new Error("no cursor")
        }
      })))
      expect(asked.failure).toBe("no cursor!")
    }))

  it.scoped("starts from the beginning in each run", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
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
