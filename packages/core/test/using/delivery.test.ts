/** How a stream goes from connection to connection: S1 and S2. */
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
import { Machine } from "../connector/Ward.js"
import { ask, askNow, inScope, type Line, pass, Refused, settle, sleep, stateTag } from "../support/Life.js"
import { it } from "../support/virtualTime.js"
import { Consumer } from "./Feed.js"
import { beginTalking, type TalkingLife } from "./Inbox.js"

const { closeGracefully, forEachConnection, refresh, stream, use } = PersistentConnection

const reset = Exit.fail(new Refused({ text: "reset" }))

/** Begins to consume what the server says; the consumer works on each word for this many seconds. */
const consume = (life: TalkingLife, seconds = 0, options?: PersistentConnection.StreamOptions) =>
  Effect.gen(function*() {
    const consumer = new Consumer<string>()
    if (seconds > 0) consumer.work = () => sleep(seconds)
    const asked = yield* askNow(consumer.run(stream(life.service, life.inboxes.stream, options)))
    return { got: consumer.got, asked }
  })

/** A life that has been connected for a minute, so that a loss is followed by the next connection at once. */
const connectedForAMinute = Effect.zipLeft(beginTalking(), pass(60))

describe("S1: a stream delivers what a connection has received before anything of the next one", () => {
  const ends: ReadonlyArray<readonly [string, (life: TalkingLife, line: Line) => Effect.Effect<unknown, unknown>]> = [
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
        const life = yield* connectedForAMinute
        const { inboxes, server } = life
        const [first] = server.lines as [Line]
        const { asked, got } = yield* consume(life, 5)
        inboxes.say(first, "a", "b", "c", "d")
        yield* settle
        yield* end(life, first)
        yield* settle
        expect(server.lines, "the next connection has come at once").toHaveLength(2)
        inboxes.say(server.line, "e")
        yield* settle
        expect([got, first.released]).toEqual([["a"], 0])
        yield* pass(15)
        expect([got, first.released]).toEqual([["a", "b", "c", "d"], 1])
        yield* pass(5)
        expect([got, asked.isWaiting]).toEqual([["a", "b", "c", "d", "e"], true])
      }))
  }

  const lastOnes: ReadonlyArray<readonly [string, (life: TalkingLife) => Effect.Effect<unknown>, string]> = [
    ["the policy gives up", () => Effect.void, "GaveUp"],
    ["it is aborted", ({ server }) => server.abort(new Refused({ text: "banned" })), "Aborted"]
  ]

  for (const [how, prepare, reason] of lastOnes) {
    it.scoped(`when there is no next one, since ${how}, and fails after that`, () =>
      Effect.gen(function*() {
        const life = yield* beginTalking({ retry: Schedule.stop })
        const { inboxes, server } = life
        yield* settle
        const { asked, got } = yield* consume(life, 5)
        inboxes.say(server.line, "a", "b", "c")
        yield* settle
        yield* prepare(life)
        inboxes.end(server.line, reset)
        yield* pass(14)
        expect([got, asked.isWaiting]).toEqual([["a", "b", "c"], true])
        yield* pass(1)
        expect(asked.error).toBeInstanceOf(ConnectionClosed)
        expect((asked.error as ConnectionClosed<Refused>).reason._tag).toBe(reason)
        expect([server.line.released, yield* stateTag(life)]).toEqual([1, "Closed"])
      }))
  }

  it.scoped("also of one that says something and dies at once", () =>
    Effect.gen(function*() {
      const life = yield* beginTalking({ retry: RetryPolicy.fixed("10 seconds") }, (line, inboxes) => {
        inboxes.say(line, `first of ${line.number}`, `last of ${line.number}`)
        if (line.number < 3) inboxes.end(line, reset)
      })
      const visited: Array<number> = []
      yield* ask(forEachConnection(life.service, ({ number }) => Effect.sync(() => visited.push(number))))
      const { asked, got } = yield* consume(life)
      yield* pass(30)
      expect(got).toEqual([1, 2, 3].flatMap((number) => [`first of ${number}`, `last of ${number}`]))
      expect(asked.isWaiting).toBe(true)
      expect(visited, "forEachConnection sees each of them, too").toEqual([1, 2, 3])
    }))

  it.scoped("also of connections that came and went while the consumer was busy", () =>
    Effect.gen(function*() {
      const life = yield* beginTalking({}, (line, inboxes) => inboxes.say(line, `${line.number}`))
      const { inboxes, server } = life
      yield* pass(60)
      const { got } = yield* consume(life, 1_000)
      for (let losses = 0; losses < 3; losses++) {
        inboxes.end(server.line)
        yield* pass(10)
      }
      expect(got).toEqual(["1"])
      expect(server.lines.map(({ released }) => released), "those not delivered yet are kept").toEqual([1, 0, 0, 0])
      yield* pass(4_000)
      expect(got).toEqual(["1", "2", "3", "4"])
      expect(server.lines.map(({ released }) => released)).toEqual([1, 1, 1, 0])
    }))

  it.scoped("and the work that feeds it goes on until then, in the scope of the connection", () =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const { inboxes, server } = life
      const queue = yield* Queue.unbounded<string>()
      let hasWorked = false
      // A decoder, which needs 2 seconds for each word.
      server.connect = (_, line) =>
        Effect.gen(function*() {
          yield* inboxes.open(line)
          yield* Effect.addFinalizer(() => Effect.sync(() => hasWorked = true))
          yield* Effect.forkScoped(
            Stream.runForEach(inboxes.stream(line), (word) => Effect.zipRight(sleep(2), Queue.offer(queue, `${word}!`)))
              .pipe(Effect.ignore)
          )
        })
      inboxes.end(server.line)
      yield* settle
      const { server: { line } } = life
      const got: Array<string> = []
      yield* askNow(Stream.runForEach(
        stream(life.service, () => Stream.fromQueue(queue), { drainTimeout: "3 seconds" }),
        (word) => Effect.sync(() => got.push(word))
      ))
      inboxes.say(line, "a", "b", "c")
      yield* pass(1)
      inboxes.end(line, reset)
      yield* pass(7.999)
      expect([got, hasWorked]).toEqual([["a!", "b!", "c!"], false])
      yield* pass(0.001)
      expect([hasWorked, line.released]).toEqual([true, 1])
    }))
})

describe("S1: a slow consumer", () => {
  it.scoped("delays its own switch to the next connection, not that of others, nor the reconnection", () =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const { inboxes, server, service } = life
      const slow = yield* consume(life, 100)
      // Two consumers of one inbox: what the slow one does not take, the fast one gets.
      inboxes.say(server.line, "a", "b", "c")
      yield* settle
      const fast = yield* consume(life)
      inboxes.say(server.line, "d")
      yield* settle
      inboxes.end(server.line)
      yield* settle
      expect(yield* service.connected).toBe(server.lines[1])
      inboxes.say(server.line, "e", "f")
      yield* pass(99)
      expect([slow.got, fast.got]).toEqual([["a"], ["d", "e", "f"]])
      yield* pass(200)
      expect(slow.got).toEqual(["a", "b", "c"])
    }))

  it.scoped("holds the server of the next connection back meanwhile: nothing is read from that", () =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const { inboxes, server, service } = life
      const begun: Array<number> = []
      const consumer = new Consumer<string>()
      consumer.work = () => sleep(100)
      yield* askNow(consumer.run(stream(service, (line) => {
        begun.push(line.number)
        return inboxes.stream(line)
      })))
      inboxes.say(server.line, "a", "b", "c")
      yield* settle
      inboxes.end(server.line)
      yield* pass(100)
      expect([begun, consumer.got]).toEqual([[1], ["a", "b"]])
      yield* pass(100)
      expect([begun, consumer.got]).toEqual([[1, 2], ["a", "b", "c"]])
    }))
})

describe("S1: several consumers", () => {
  it.scoped("each go from connection to connection by themselves, with streams of their own", () =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const { server, service } = life
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

describe("S1: a connection's stream that does not end by itself", () => {
  /** The seconds since the loss at which the second stream begins. */
  const switchesAfter = (
    options: PersistentConnection.StreamOptions | undefined,
    act: (queue: Queue.Queue<string>) => Effect.Effect<unknown> = () => Effect.void,
    work: (word: string) => Effect.Effect<unknown> = () => Effect.void,
    end: (life: TalkingLife) => Effect.Effect<unknown, unknown> = ({ server }) => Effect.sync(() => server.line.drop())
  ) =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const queue = yield* Queue.unbounded<string>()
      let switched: number | undefined
      const clock = yield* Effect.clock
      const consumer = new Consumer<string>()
      consumer.work = work
      yield* askNow(consumer.run(stream(
        life.service,
        ({ number }) => {
          if (number === 2) switched = clock.unsafeCurrentTimeMillis()
          return number === 1 ? Stream.fromQueue(queue) : Stream.never
        },
        options
      )))
      yield* end(life)
      const lostAt = clock.unsafeCurrentTimeMillis()
      yield* Effect.fork(act(queue))
      yield* pass(1_000)
      return { after: switched === undefined ? undefined : (switched - lostAt) / 1_000, got: consumer.got }
    })

  it.scoped("is left when it has given nothing for `drainTimeout`, 1 s unless set, to the ms", () =>
    Effect.gen(function*() {
      expect((yield* switchesAfter(undefined)).after).toBe(1)
      expect((yield* switchesAfter({ drainTimeout: "250 millis" })).after).toBe(0.25)
      expect((yield* switchesAfter({ drainTimeout: 0 })).after).toBe(0)
      expect((yield* switchesAfter({ drainTimeout: Infinity })).after).toBe(undefined)
    }))

  it.scoped("also after the connection has been replaced, and without waiting for the uses of that", () =>
    Effect.gen(function*() {
      const replaced = yield* switchesAfter(
        undefined,
        undefined,
        undefined,
        ({ service }) => Effect.zipRight(ask(use(service, () => sleep(20))), refresh(service))
      )
      expect(replaced.after).toBe(1)
    }))

  it.scoped("goes on as long as it gives something", () =>
    Effect.gen(function*() {
      const words = ["a", "b", "c"]
      const { after, got } = yield* switchesAfter(
        undefined,
        (queue) => Effect.forEach(words, (word) => Effect.zipRight(sleep(0.9), Queue.offer(queue, word)))
      )
      expect(got).toEqual(words)
      expect(after).toBeCloseTo(3 * 0.9 + 1, 6)
    }))

  it.scoped("is not left while the consumer is busy: only the time counts in which it waits", () =>
    Effect.gen(function*() {
      const { after, got } = yield* switchesAfter(
        undefined,
        (queue) => Queue.offerAll(queue, ["a", "b"]),
        () => sleep(10)
      )
      expect(got).toEqual(["a", "b"])
      expect(after).toBe(21)
    }))

  it.scoped("is left in the same way if its connection came and went while the consumer was busy", () =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const { server, service } = life
      const begun: Array<string> = []
      const clock = yield* Effect.clock
      const run = Stream.runForEach(
        stream(service, ({ lost, number }) => {
          begun.push(`${clock.unsafeCurrentTimeMillis() / 1_000}: ${number}`)
          const words = Stream.rechunk(Stream.range(1, 4), 1)
          return number === 1 ? Stream.concat(words, Stream.execute(lost)) : Stream.never
        }),
        () => sleep(100)
      )
      yield* askNow(run)
      for (let losses = 0; losses < 2; losses++) {
        server.line.drop()
        yield* pass(10)
      }
      yield* pass(1_000)
      // The second is begun when the last word of the first is on its way, and left a second after all has been taken.
      expect(begun).toEqual(["60: 1", "360: 2", "461: 3"])
    }))

  it.scoped("leaves no timer behind if it does end by itself", () =>
    Effect.gen(function*() {
      const life = yield* connectedForAMinute
      const clock = new Machine(yield* Effect.clock)
      const consumer = new Consumer<string>()
      yield* askNow(
        Effect.withClock(consumer.run(stream(life.service, life.inboxes.stream, { drainTimeout: "1 hour" })), clock)
      )
      const { server: { line } } = life
      line.drop()
      yield* settle
      expect(clock.sleepers).toBe(1)
      life.inboxes.end(line)
      yield* settle
      expect(clock.sleepers).toBe(0)
    }))

  it.scoped("takes no negative time", () =>
    Effect.gen(function*() {
      const { service } = yield* beginTalking()
      expect(() => stream(service, () => Stream.never, { drainTimeout: -1 })).toThrow("drainTimeout must be")
    }))
})

describe("S1: a peer that goes on talking", () => {
  /** It says a word every half second, until it is asked to end the connection. */
  const beginChatting = Effect.gen(function*() {
    const life = yield* beginTalking()
    yield* pass(60)
    const { inboxes, server } = life
    const closed: Array<number> = []
    server.close = (line) =>
      Effect.sync(() => {
        closed.push(line.number)
        inboxes.say(line, "bye")
        inboxes.end(line)
      })
    const [first] = server.lines as [Line]
    yield* Effect.forkScoped(
      Effect.repeat(Effect.zipRight(Effect.sync(() => inboxes.say(first, "a")), sleep(0.5)), {
        while: () => !first.isLost
      })
    )
    return { ...life, closed, first }
  })

  it.scoped("is asked to end a connection that was replaced, when its uses have finished, and heard until it does", () =>
    Effect.gen(function*() {
      const life = yield* beginChatting
      const { closed, first, inboxes, server, service } = life
      const { got } = yield* consume(life)
      yield* askNow(use(service, () => sleep(3)))
      yield* refresh(service)
      inboxes.say(server.line, "b")
      yield* pass(2.9)
      expect([closed, first.released, new Set(got)]).toEqual([[], 0, new Set(["a"])])
      yield* pass(0.2)
      expect([closed, first.released, got.slice(-2)]).toEqual([[1], 1, ["bye", "b"]])
      yield* pass(60)
      expect([closed, first.released]).toEqual([[1], 1])
    }))

  it.scoped("is asked to end a connection that is closed gracefully (S2)", () =>
    Effect.gen(function*() {
      const life = yield* beginChatting
      const { asked, got } = yield* consume(life, 0.1)
      const closing = yield* askNow(closeGracefully(life.service, "1 minute"))
      yield* pass(1)
      expect([life.closed, got.at(-1), asked.exit, closing.exit]).toEqual([[1], "bye", Exit.void, Exit.void])
    }))

  it.scoped("is not asked to end a connection that was lost, nor one that no stream follows", () =>
    Effect.gen(function*() {
      const life = yield* beginChatting
      const { closed, first, inboxes, service } = life
      yield* ask(use(service, () => sleep(3)))
      yield* refresh(service)
      yield* pass(60)
      expect([closed, first.released]).toEqual([[], 1])
      const { got } = yield* consume(life, 1)
      inboxes.say(life.server.line, "a", "b")
      yield* settle
      inboxes.end(life.server.line, reset)
      yield* pass(60)
      expect([closed, got]).toEqual([[], ["a", "b"]])
    }))

  it.scoped("is not asked to end a connection that is closed at once (S2): that is released", () =>
    Effect.gen(function*() {
      const life = yield* beginChatting
      yield* consume(life, 1)
      yield* askNow(life.service.close)
      expect([life.closed, life.first.released]).toEqual([[], 1])
    }))

  it.scoped("may be slow to end it, or fail to: the stream goes on as it would without asking", () =>
    Effect.gen(function*() {
      for (const close of [Effect.never, new Refused({ text: "broken pipe" }), Effect.die("bug")]) {
        yield* Effect.scoped(Effect.gen(function*() {
          const life = yield* beginTalking()
          const { inboxes, server, service } = life
          yield* pass(60)
          server.close = () => close
          const [first] = server.lines as [Line]
          const { got } = yield* consume(life)
          yield* refresh(service)
          inboxes.say(first, "a")
          inboxes.say(server.line, "b")
          yield* pass(0.9)
          expect([got, first.released]).toEqual([["a"], 0])
          yield* pass(0.2)
          expect([got, first.released]).toEqual([["a", "b"], 1])
        }))
      }
    }))
})

describe("S1: ended connections that wait to be delivered", () => {
  /** Connections that end one after the other while a consumer is busy with the first of them. */
  const piledUp = (maxUndelivered?: number) =>
    Effect.gen(function*() {
      const life = yield* beginTalking(
        { maxUndelivered, retry: RetryPolicy.fixed("1 second") },
        (line, inboxes) => inboxes.say(line, `${line.number}a`, `${line.number}b`, `${line.number}c`)
      )
      yield* settle
      const consumed = yield* consume(life, 1_000)
      for (let losses = 0; losses < 12; losses++) {
        if ((yield* stateTag(life)) === "Connected") life.inboxes.end(life.server.line)
        yield* pass(1)
      }
      return { ...life, ...consumed }
    })

  for (const [given, bound] of [[undefined, 8], [1, 1], [3, 3]] as const) {
    it.scoped(`are ${bound} at most${given === undefined ? ", unless set" : ""}: beyond that the next attempt waits`, () =>
      Effect.gen(function*() {
        const life = yield* piledUp(given)
        const { got, server } = life
        expect([server.lines.length, server.attempts.length]).toEqual([bound, bound])
        expect(yield* stateTag(life)).toBe("Connecting")
        yield* pass(1_980)
        expect(server.lines).toHaveLength(bound)
        yield* pass(1_020)
        // The consumer has what it needs of the first connection, so there is room for another one.
        expect(got.slice(0, 4)).toEqual(["1a", "1b", "1c", "2a"])
        expect(server.lines).toHaveLength(bound + 1)
      }))
  }

  it.scoped("are no more if they end at once, and are replaced without a delay", () =>
    Effect.gen(function*() {
      const life = yield* beginTalking({ maxUndelivered: 2, retry: RetryPolicy.fixed(0) }, (line, inboxes) => {
        inboxes.say(line, "hello", "and", "goodbye")
        inboxes.end(line)
      })
      yield* consume(life, 10)
      yield* pass(9)
      expect(life.server.lines).toHaveLength(2)
    }))

  it.scoped("make the attempt of a refresh wait as well", () =>
    Effect.gen(function*() {
      const life = yield* beginTalking({ maxUndelivered: 1 }, (line, inboxes) => inboxes.say(line, `${line.number}`))
      const { inboxes, server, service } = life
      yield* pass(60)
      yield* consume(life, 100)
      const first = server.line
      inboxes.say(first, "x", "y", "z")
      yield* refresh(service)
      inboxes.end(first)
      yield* settle
      const refreshing = yield* askNow(refresh(service))
      yield* pass(99)
      expect([refreshing.isWaiting, server.lines.length]).toEqual([true, 2])
      yield* pass(201)
      expect([refreshing.isWaiting, server.lines.length]).toEqual([false, 3])
    }))

  it.scoped("T1: do not hasten the attempt after the one that has waited for them", () =>
    Effect.gen(function*() {
      const life = yield* beginTalking({ maxUndelivered: 1 }, (line, inboxes) => {
        inboxes.say(line, "a", "b", "c")
        inboxes.end(line)
      })
      yield* consume(life, 55)
      life.server.refuse("no")
      yield* pass(135)
      // It waits while "a" and "b" are worked on.
      expect(life.server.attempts).toEqual([0, 110, 120, 130])
    }))

  it.scoped("do not keep it from closing", () =>
    Effect.gen(function*() {
      const life = yield* piledUp(1)
      expect((yield* askNow(life.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(life)).toBe("Closed")
      expect(life.server.lines.map(({ released }) => released)).toEqual([1])
    }))

  it.scoped("are none where no stream follows the connections", () =>
    Effect.gen(function*() {
      const life = yield* beginTalking({ maxUndelivered: 1, retry: RetryPolicy.fixed("1 second") }, (line, inboxes) =>
        inboxes.end(line))
      yield* pass(20)
      expect(life.server.lines).toHaveLength(21)
    }))
})

describe("S2: closing", () => {
  const threeWords = Effect.gen(function*() {
    const [life, scope] = yield* inScope(beginTalking())
    yield* pass(60)
    const consumed = yield* consume(life, 5)
    life.inboxes.say(life.server.line, "a", "b", "c", "d", "e")
    yield* settle
    return { ...life, ...consumed, life, scope }
  })

  it.scoped("by the owner ends delivery at once; only what is on its way to the consumer still arrives", () =>
    Effect.gen(function*() {
      const { asked, got, server, service } = yield* threeWords
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
      expect(server.released).toBe(1)
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abc?$/)
    }))

  it.scoped("by leaving the scope does so, too (D8)", () =>
    Effect.gen(function*() {
      const { asked, got, scope, server } = yield* threeWords
      expect((yield* askNow(Scope.close(scope, Exit.void))).isWaiting).toBe(false)
      expect(server.released).toBe(1)
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abc?$/)
    }))

  it.scoped("also ends the delivery of connections that have ended before", () =>
    Effect.gen(function*() {
      const { asked, got, inboxes, server, service } = yield* threeWords
      inboxes.end(server.line)
      yield* settle
      inboxes.say(server.line, "f")
      expect((yield* askNow(service.close)).isWaiting).toBe(false)
      expect(server.released).toBe(2)
      yield* pass(60)
      expect(asked.exit).toEqual(Exit.void)
      expect(got.join("")).toMatch(/^abc?$/)
    }))

  it.scoped("gracefully lets a stream deliver what has arrived, as it lets uses finish", () =>
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

  it.scoped("gracefully leaves a stream that does not end by itself when it has given nothing for `drainTimeout`", () =>
    Effect.gen(function*() {
      const { asked, got, service } = yield* threeWords
      const closing = yield* askNow(closeGracefully(service, "1 minute"))
      yield* pass(25.999)
      expect([got.join(""), asked.isWaiting, closing.isWaiting]).toEqual(["abcde", true, true])
      yield* pass(0.001)
      expect([asked.exit, closing.exit]).toEqual([Exit.void, Exit.void])
    }))

  it.scoped("gracefully ends delivery when its time is over", () =>
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
