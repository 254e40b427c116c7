/** S1 and S2: how a stream moves from connection to connection. */
import { describe, expect } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { SuspendableClock } from "../connector/PingServer.js"
import { ask, askNow, inScope, type Line, pass, Refused, settle, sleep, stateTag } from "../support/Fixture.js"
import { it } from "../support/polled.js"
import { Consumer } from "./Feed.js"
import { type InboxFixture, makeInboxFixture } from "./Inbox.js"

const { closeGracefully, forEachConnection, refresh, stream, use } = PersistentConnection

const reset = Exit.fail(new Refused({ text: "reset" }))

/** Starts a consumer of the messages that works on each message for this many seconds. */
const consume = (fixture: InboxFixture, seconds = 0, options?: PersistentConnection.StreamOptions) =>
  Effect.gen(function*() {
    const consumer = new Consumer<string>()
    if (seconds > 0) consumer.work = () => sleep(seconds)
    const asked = yield* askNow(consumer.run(stream(fixture.service, fixture.inboxes.stream, options)))
    return { got: consumer.got, asked }
  })

/** A fixture that has been connected for a minute, so that the next connection follows a loss at once. */
const connectedForAMinute = Effect.zipLeft(makeInboxFixture(), pass(60))

describe("S1: a stream delivers all messages of a connection before those of the next one", () => {
  const ends: ReadonlyArray<readonly [string, (fixture: InboxFixture, line: Line) => Effect.Effect<unknown, unknown>]> =
    [
      ["closes regularly", ({ inboxes }, line) => Effect.sync(() => inboxes.end(line))],
      ["is reset", ({ inboxes }, line) => Effect.sync(() => inboxes.end(line, reset))],
      [
        "is replaced",
        ({ inboxes, service }, line) => Effect.zipLeft(refresh(service), Effect.sync(() => inboxes.end(line)))
      ]
    ]

  for (const [how, end] of ends) {
    it.scoped(`when the connection ${how}`, () =>
      Effect.gen(function*() {
        const fixture = yield* connectedForAMinute
        const { inboxes, server } = fixture
        const [first] = server.lines as [Line]
        const { asked, got } = yield* consume(fixture, 5)
        inboxes.send(first, "a", "b", "c", "d")
        yield* settle
        yield* end(fixture, first)
        yield* settle
        expect(server.lines, "the next connection is established at once").toHaveLength(2)
        inboxes.send(server.line, "e")
        yield* settle
        expect([got, first.released]).toEqual([["a"], 0])
        yield* pass(15)
        expect([got, first.released]).toEqual([["a", "b", "c", "d"], 1])
        yield* pass(5)
        expect([got, asked.isWaiting]).toEqual([["a", "b", "c", "d", "e"], true])
      }))
  }

  const lastOnes: ReadonlyArray<readonly [string, (fixture: InboxFixture) => Effect.Effect<unknown>, string]> = [
    ["the policy gives up", () => Effect.void, "GaveUp"],
    ["it is aborted", ({ server }) => server.abort(new Refused({ text: "banned" })), "Aborted"]
  ]

  for (const [how, prepare, reason] of lastOnes) {
    it.scoped(`if there is no next connection because ${how}; then it fails`, () =>
      Effect.gen(function*() {
        const fixture = yield* makeInboxFixture({ retry: Schedule.stop })
        const { inboxes, server } = fixture
        yield* settle
        const { asked, got } = yield* consume(fixture, 5)
        inboxes.send(server.line, "a", "b", "c")
        yield* settle
        yield* prepare(fixture)
        inboxes.end(server.line, reset)
        yield* pass(14)
        expect([got, asked.isWaiting]).toEqual([["a", "b", "c"], true])
        yield* pass(1)
        expect(asked.error).toBeInstanceOf(ConnectionClosed)
        expect((asked.error as ConnectionClosed<Refused>).reason._tag).toBe(reason)
        expect([server.line.released, yield* stateTag(fixture)]).toEqual([1, "Closed"])
      }))
  }

  it.scoped("also if the connection sends something and ends at once", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture({ retry: RetryPolicy.fixed("10 seconds") }, (line, inboxes) => {
        inboxes.send(line, `first of ${line.number}`, `last of ${line.number}`)
        if (line.number < 3) inboxes.end(line, reset)
      })
      const visited: Array<number> = []
      yield* ask(forEachConnection(fixture.service, ({ number }) => Effect.sync(() => visited.push(number))))
      const { asked, got } = yield* consume(fixture)
      yield* pass(30)
      expect(got).toEqual([1, 2, 3].flatMap((number) => [`first of ${number}`, `last of ${number}`]))
      expect(asked.isWaiting).toBe(true)
      expect(visited, "forEachConnection runs on each of them too").toEqual([1, 2, 3])
    }))

  it.scoped("also for connections that began and ended while the consumer was busy", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture({}, (line, inboxes) => inboxes.send(line, `${line.number}`))
      const { inboxes, server } = fixture
      yield* pass(60)
      const { got } = yield* consume(fixture, 1_000)
      for (let losses = 0; losses < 3; losses++) {
        inboxes.end(server.line)
        yield* pass(10)
      }
      expect(got).toEqual(["1"])
      expect(server.lines.map(({ released }) => released), "undelivered connections are not released").toEqual([
        1,
        0,
        0,
        0
      ])
      yield* pass(4_000)
      expect(got).toEqual(["1", "2", "3", "4"])
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1, 1, 0])
    }))

  it.scoped("and the work that feeds it continues until then, in the scope of the connection", () =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const { inboxes, server } = fixture
      const queue = yield* Queue.unbounded<string>()
      let hasWorked = false
      // A decoder that takes 2 seconds per message.
      server.connect = (_, line) =>
        Effect.gen(function*() {
          yield* inboxes.open(line)
          yield* Effect.addFinalizer(() => Effect.sync(() => hasWorked = true))
          yield* Effect.forkScoped(
            Stream.runForEach(inboxes.stream(line), (message) =>
              Effect.zipRight(sleep(2), Queue.offer(queue, `${message}!`)))
              .pipe(Effect.ignore)
          )
        })
      inboxes.end(server.line)
      yield* settle
      const { server: { line } } = fixture
      const got: Array<string> = []
      yield* askNow(Stream.runForEach(
        stream(fixture.service, () => Stream.fromQueue(queue), { drainTimeout: "3 seconds" }),
        (message) => Effect.sync(() => got.push(message))
      ))
      inboxes.send(line, "a", "b", "c")
      yield* pass(1)
      inboxes.end(line, reset)
      yield* pass(7.999)
      expect([got, hasWorked]).toEqual([["a!", "b!", "c!"], false])
      yield* pass(0.001)
      expect([hasWorked, line.released]).toEqual([true, 1])
    }))
})

describe("S1: a slow consumer", () => {
  it.scoped("delays only its own switch to the next connection, not other consumers or the reconnection", () =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const { inboxes, server, service } = fixture
      const slow = new Consumer<string>()
      slow.work = () => sleep(100)
      // The first connection has three words for the slow consumer alone.
      const words = Stream.rechunk(Stream.make("a", "b", "c"), 1)
      yield* askNow(
        slow.run(
          stream(
            service,
            (line) => line.number === 1 ? Stream.concat(words, inboxes.stream(line)) : inboxes.stream(line)
          )
        )
      )
      yield* settle
      const fast = yield* consume(fixture)
      inboxes.send(server.line, "d")
      yield* settle
      inboxes.end(server.line)
      yield* settle
      expect(yield* service.connected).toBe(server.lines[1])
      inboxes.send(server.line, "e", "f")
      yield* pass(99)
      expect([slow.got, fast.got]).toEqual([["a"], ["d", "e", "f"]])
      yield* pass(200)
      expect(slow.got).toEqual(["a", "b", "c"])
    }))

  it.scoped("causes backpressure on the next connection: nothing is read from it", () =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const { inboxes, server, service } = fixture
      const begun: Array<number> = []
      const consumer = new Consumer<string>()
      consumer.work = () => sleep(100)
      yield* askNow(consumer.run(stream(service, (line) => {
        begun.push(line.number)
        return inboxes.stream(line)
      })))
      inboxes.send(server.line, "a", "b", "c")
      yield* settle
      inboxes.end(server.line)
      yield* pass(100)
      expect([begun, consumer.got]).toEqual([[1], ["a", "b"]])
      yield* pass(100)
      expect([begun, consumer.got]).toEqual([[1, 2], ["a", "b", "c"]])
    }))
})

describe("S1: several consumers", () => {
  it.scoped("move independently, each with its own stream", () =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const { server, service } = fixture
      const begun: Array<string> = []
      const run = (name: string, drainTimeout: string) =>
        askNow(Stream.runDrain(stream(
          service,
          ({ number }) => {
            begun.push(`${name}${number}`)
            return Stream.never
          },
          { drainTimeout: `${drainTimeout} seconds` as "1 seconds" }
        )))
      yield* run("a", "1")
      yield* run("b", "3")
      const [first] = server.lines as [Line]
      first.drop()
      yield* pass(2.999)
      expect([begun, first.released]).toEqual([["a1", "b1", "a2"], 0])
      yield* pass(0.001)
      expect([begun, first.released]).toEqual([["a1", "b1", "a2", "b2"], 1])
    }))
})

describe("S1: the stream of a connection that does not end by itself", () => {
  /** The time from the loss to the start of the second stream, in seconds. */
  const switchesAfter = (
    options: PersistentConnection.StreamOptions | undefined,
    act: (queue: Queue.Queue<string>) => Effect.Effect<unknown> = () => Effect.void,
    work: (message: string) => Effect.Effect<unknown> = () => Effect.void,
    end: (fixture: InboxFixture) => Effect.Effect<unknown, unknown> = ({ server }) =>
      Effect.sync(() => server.line.drop())
  ) =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const queue = yield* Queue.unbounded<string>()
      let switched: number | undefined
      const clock = yield* Effect.clock
      const consumer = new Consumer<string>()
      consumer.work = work
      yield* askNow(consumer.run(stream(
        fixture.service,
        ({ number }) => {
          if (number === 2) switched = clock.unsafeCurrentTimeMillis()
          return number === 1 ? Stream.fromQueue(queue) : Stream.never
        },
        options
      )))
      yield* end(fixture)
      const lostAt = clock.unsafeCurrentTimeMillis()
      yield* Effect.fork(act(queue))
      yield* pass(1_000)
      return { after: switched === undefined ? undefined : (switched - lostAt) / 1_000, got: consumer.got }
    })

  it.scoped("is abandoned after `drainTimeout` without an element, by default 1 s", () =>
    Effect.gen(function*() {
      expect((yield* switchesAfter(undefined)).after).toBe(1)
      expect((yield* switchesAfter({ drainTimeout: "250 millis" })).after).toBe(0.25)
      expect((yield* switchesAfter({ drainTimeout: 0 })).after).toBe(0)
      expect((yield* switchesAfter({ drainTimeout: Infinity })).after).toBe(undefined)
    }))

  it.scoped("is also abandoned after a replacement, without waiting for the uses of the old connection", () =>
    Effect.gen(function*() {
      const replaced = yield* switchesAfter(
        undefined,
        undefined,
        undefined,
        ({ service }) => Effect.zipRight(ask(use(service, () => sleep(20))), refresh(service))
      )
      expect(replaced.after).toBe(1)
    }))

  it.scoped("continues as long as it emits elements", () =>
    Effect.gen(function*() {
      const messages = ["a", "b", "c"]
      const { after, got } = yield* switchesAfter(
        undefined,
        (queue) => Effect.forEach(messages, (message) => Effect.zipRight(sleep(0.9), Queue.offer(queue, message)))
      )
      expect(got).toEqual(messages)
      expect(after).toBeCloseTo(3 * 0.9 + 1, 6)
    }))

  it.scoped("is not abandoned while the consumer is busy: only the waiting time counts", () =>
    Effect.gen(function*() {
      const { after, got } = yield* switchesAfter(
        undefined,
        (queue) => Queue.offerAll(queue, ["a", "b"]),
        () => sleep(10)
      )
      expect(got).toEqual(["a", "b"])
      expect(after).toBe(21)
    }))

  it.scoped("is abandoned in the same way if its connection began and ended while the consumer was busy", () =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const { server, service } = fixture
      const begun: Array<string> = []
      const clock = yield* Effect.clock
      const run = Stream.runForEach(
        stream(service, ({ lost, number }) => {
          begun.push(`${clock.unsafeCurrentTimeMillis() / 1_000}: ${number}`)
          const messages = Stream.rechunk(Stream.range(1, 4), 1)
          return number === 1 ? Stream.concat(messages, Stream.execute(lost)) : Stream.never
        }),
        () => sleep(100)
      )
      yield* askNow(run)
      for (let losses = 0; losses < 2; losses++) {
        server.line.drop()
        yield* pass(10)
      }
      yield* pass(1_000)
      // The second stream starts with the last message of the first one, and is abandoned 1 s after all was taken.
      expect(begun).toEqual(["60: 1", "360: 2", "461: 3"])
    }))

  it.scoped("leaves no timer if it ends by itself", () =>
    Effect.gen(function*() {
      const fixture = yield* connectedForAMinute
      const clock = new SuspendableClock(yield* Effect.clock)
      const consumer = new Consumer<string>()
      yield* askNow(
        Effect.withClock(
          consumer.run(stream(fixture.service, fixture.inboxes.stream, { drainTimeout: "1 hour" })),
          clock
        )
      )
      const { server: { line } } = fixture
      line.drop()
      yield* settle
      expect(clock.sleepers).toBe(1)
      fixture.inboxes.end(line)
      yield* settle
      expect(clock.sleepers).toBe(0)
    }))

  it.scoped("rejects a negative drainTimeout", () =>
    Effect.gen(function*() {
      const { service } = yield* makeInboxFixture()
      expect(() => stream(service, () => Stream.never, { drainTimeout: -1 })).toThrow("drainTimeout must be")
    }))
})

describe("S1: a peer that continues to send", () => {
  /** Sends a message every half second until it is asked to end the connection. */
  const makeSendingPeer = Effect.gen(function*() {
    const fixture = yield* makeInboxFixture()
    yield* pass(60)
    const { inboxes, server } = fixture
    const closed: Array<number> = []
    server.close = (line) =>
      Effect.sync(() => {
        closed.push(line.number)
        inboxes.send(line, "bye")
        inboxes.end(line)
      })
    const [first] = server.lines as [Line]
    yield* Effect.forkScoped(
      Effect.repeat(Effect.zipRight(Effect.sync(() => inboxes.send(first, "a")), sleep(0.5)), {
        while: () => !first.isLost
      })
    )
    return { ...fixture, closed, first }
  })

  it.scoped("is asked to end a replaced connection after its uses have finished, and is read until then", () =>
    Effect.gen(function*() {
      const fixture = yield* makeSendingPeer
      const { closed, first, inboxes, server, service } = fixture
      const { got } = yield* consume(fixture)
      yield* askNow(use(service, () => sleep(3)))
      yield* refresh(service)
      inboxes.send(server.line, "b")
      yield* pass(2.9)
      expect([closed, first.released, new Set(got)]).toEqual([[], 0, new Set(["a"])])
      yield* pass(0.2)
      expect([closed, first.released, got.slice(-2)]).toEqual([[1], 1, ["bye", "b"]])
      yield* pass(60)
      expect([closed, first.released]).toEqual([[1], 1])
    }))

  it.scoped("is asked to end a connection that is closed gracefully (S2)", () =>
    Effect.gen(function*() {
      const fixture = yield* makeSendingPeer
      const { asked, got } = yield* consume(fixture, 0.1)
      const closing = yield* askNow(closeGracefully(fixture.service, "1 minute"))
      yield* pass(1)
      expect([fixture.closed, got.at(-1), asked.exit, closing.exit]).toEqual([[1], "bye", Exit.void, Exit.void])
    }))

  it.scoped("is not asked to end a lost connection, or one without a stream", () =>
    Effect.gen(function*() {
      const fixture = yield* makeSendingPeer
      const { closed, first, inboxes, service } = fixture
      yield* ask(use(service, () => sleep(3)))
      yield* refresh(service)
      yield* pass(60)
      expect([closed, first.released]).toEqual([[], 1])
      const { got } = yield* consume(fixture, 1)
      inboxes.send(fixture.server.line, "a", "b")
      yield* settle
      inboxes.end(fixture.server.line, reset)
      yield* pass(60)
      expect([closed, got]).toEqual([[], ["a", "b"]])
    }))

  it.scoped("is not asked to end a connection that is closed at once (S2)", () =>
    Effect.gen(function*() {
      const fixture = yield* makeSendingPeer
      yield* consume(fixture, 1)
      yield* askNow(fixture.service.close)
      expect([fixture.closed, fixture.first.released]).toEqual([[], 1])
    }))

  it.scoped("may be slow or fail to end the connection: the stream then behaves as without the request", () =>
    Effect.gen(function*() {
      for (const close of [Effect.never, new Refused({ text: "broken pipe" }), Effect.die("bug")]) {
        yield* Effect.scoped(Effect.gen(function*() {
          const fixture = yield* makeInboxFixture()
          const { inboxes, server, service } = fixture
          yield* pass(60)
          server.close = () => close
          const [first] = server.lines as [Line]
          const { got } = yield* consume(fixture)
          yield* refresh(service)
          inboxes.send(first, "a")
          inboxes.send(server.line, "b")
          yield* pass(0.9)
          expect([got, first.released]).toEqual([["a"], 0])
          yield* pass(0.2)
          expect([got, first.released]).toEqual([["a", "b"], 1])
        }))
      }
    }))
})

describe("S1: undelivered ended connections", () => {
  /** Connections that end one after the other while a consumer is busy with the first one. */
  const piledUp = (maxUndelivered?: number) =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture(
        { maxUndelivered, retry: RetryPolicy.fixed("1 second") },
        (line, inboxes) => inboxes.send(line, `${line.number}a`, `${line.number}b`, `${line.number}c`)
      )
      yield* settle
      const consumed = yield* consume(fixture, 1_000)
      for (let losses = 0; losses < 12; losses++) {
        if ((yield* stateTag(fixture)) === "Connected") fixture.inboxes.end(fixture.server.line)
        yield* pass(1)
      }
      return { ...fixture, ...consumed }
    })

  for (const [given, bound] of [[undefined, 8], [1, 1], [3, 3]] as const) {
    it.scoped(`are at most ${bound}${given === undefined ? " by default" : ""}: beyond that the next attempt waits`, () =>
      Effect.gen(function*() {
        const fixture = yield* piledUp(given)
        const { got, server } = fixture
        expect([server.lines.length, server.attempts.length]).toEqual([bound, bound])
        expect(yield* stateTag(fixture)).toBe("Connecting")
        yield* pass(1_980)
        expect(server.lines).toHaveLength(bound)
        yield* pass(1_020)
        // The consumer has taken all elements of the first connection, so there is room for another one.
        expect(got.slice(0, 4)).toEqual(["1a", "1b", "1c", "2a"])
        expect(server.lines).toHaveLength(bound + 1)
      }))
  }

  it.scoped("stay within the limit if they end at once and are replaced without a delay", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture({ maxUndelivered: 2, retry: RetryPolicy.fixed(0) }, (line, inboxes) => {
        inboxes.send(line, "hello", "and", "goodbye")
        inboxes.end(line)
      })
      yield* consume(fixture, 10)
      yield* pass(9)
      expect(fixture.server.lines).toHaveLength(2)
    }))

  it.scoped("also delay the attempt of a refresh", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture({ maxUndelivered: 1 }, (line, inboxes) =>
        inboxes.send(line, `${line.number}`))
      const { inboxes, server, service } = fixture
      yield* pass(60)
      yield* consume(fixture, 100)
      const first = server.line
      inboxes.send(first, "x", "y", "z")
      yield* refresh(service)
      inboxes.end(first)
      yield* settle
      const refreshing = yield* askNow(refresh(service))
      yield* pass(99)
      expect([refreshing.isWaiting, server.lines.length]).toEqual([true, 2])
      yield* pass(201)
      expect([refreshing.isWaiting, server.lines.length]).toEqual([false, 3])
    }))

  it.scoped("T1: do not shorten the delay after the attempt that had to wait", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture({ maxUndelivered: 1 }, (line, inboxes) => {
        inboxes.send(line, "a", "b", "c")
        inboxes.end(line)
      })
      yield* consume(fixture, 55)
      fixture.server.refuse("no")
      yield* pass(135)
      // It waits while the consumer works on "a" and "b".
      expect(fixture.server.attempts).toEqual([0, 110, 120, 130])
    }))

  it.scoped("do not delay a close", () =>
    Effect.gen(function*() {
      const fixture = yield* piledUp(1)
      expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(fixture.server.lines.map(({ released }) => released)).toEqual([1])
    }))

  it.scoped("do not exist without a stream", () =>
    Effect.gen(function*() {
      const fixture = yield* makeInboxFixture(
        { maxUndelivered: 1, retry: RetryPolicy.fixed("1 second") },
        (line, inboxes) => inboxes.end(line)
      )
      yield* pass(20)
      expect(fixture.server.lines).toHaveLength(21)
    }))
})

describe("S2: closing", () => {
  const threeWords = Effect.gen(function*() {
    const [fixture, scope] = yield* inScope(makeInboxFixture())
    yield* pass(60)
    const consumed = yield* consume(fixture, 5)
    fixture.inboxes.send(fixture.server.line, "a", "b", "c", "d", "e")
    yield* settle
    return { ...fixture, ...consumed, fixture, scope }
  })

  it.scoped("by the owner ends delivery at once; only elements in flight to the consumer still arrive", () =>
    Effect.gen(function*() {
      const { asked, got, server, service } = yield* threeWords
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
      expect(server.released).toBe(1)
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abc?$/)
    }))

  it.scoped("by leaving the scope does the same (D8)", () =>
    Effect.gen(function*() {
      const { asked, got, scope, server } = yield* threeWords
      expect((yield* askNow(Scope.close(scope, Exit.void))).isWaiting).toBe(false)
      expect(server.released).toBe(1)
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abc?$/)
    }))

  it.scoped("also ends the delivery of connections that ended before", () =>
    Effect.gen(function*() {
      const { asked, got, inboxes, server, service } = yield* threeWords
      inboxes.end(server.line)
      yield* settle
      inboxes.send(server.line, "f")
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
      expect(server.released).toBe(2)
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abc?$/)
    }))

  it.scoped("gracefully lets a stream deliver the received elements, and lets uses finish", () =>
    Effect.gen(function*() {
      const { asked, got, inboxes, server, service } = yield* threeWords
      const closing = yield* askNow(closeGracefully(service, "1 minute"))
      expect([server.released, closing.isWaiting]).toEqual([0, true])
      inboxes.end(server.line)
      yield* pass(24)
      expect([got.join(""), asked.isWaiting]).toEqual(["abcde", true])
      yield* pass(1)
      expect([asked.exit, closing.exit, server.released]).toEqual([Exit.void, Exit.void, 1])
    }))

  it.scoped("gracefully abandons a stream that does not end by itself after `drainTimeout` without an element", () =>
    Effect.gen(function*() {
      const { asked, got, service } = yield* threeWords
      const closing = yield* askNow(closeGracefully(service, "1 minute"))
      yield* pass(25.999)
      expect([got.join(""), asked.isWaiting, closing.isWaiting]).toEqual(["abcde", true, true])
      yield* pass(0.001)
      expect([asked.exit, closing.exit]).toEqual([Exit.void, Exit.void])
    }))

  it.scoped("gracefully ends delivery after the drain time", () =>
    Effect.gen(function*() {
      const { asked, got, server, service } = yield* threeWords
      const closing = yield* askNow(closeGracefully(service, "7 seconds"))
      yield* pass(6.999)
      expect([server.released, closing.isWaiting]).toEqual([0, true])
      yield* pass(0.001)
      expect([server.released, closing.isWaiting]).toEqual([1, false])
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abcd?$/)
    }))
})
