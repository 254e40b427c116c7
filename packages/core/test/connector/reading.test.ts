import { assert, describe, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** What arrives: numbers, and then the end. Each poll takes one. */
class Source implements Connector.Poll<number, "bad"> {
  readonly queue = Effect.runSync(Queue.unbounded<number>())
  private listener: (() => void) | undefined
  private end: Exit.Exit<never, Option.Option<"bad">> | undefined

  /** Needs a turn for each element. */
  get stream(): Stream.Stream<number, "bad"> {
    return Stream.tap(Stream.fromQueue(this.queue, { maxChunkSize: 1 }), () => Effect.yieldNow())
  }

  get isListenedTo(): boolean {
    return this.listener !== undefined
  }

  poll() {
    const number = Option.getOrUndefined(Chunk.head(Effect.runSync(Queue.takeUpTo(this.queue, 1))))
    if (number === -1) throw new Error("cannot poll")
    return number === undefined ? this.end : Chunk.of(number)
  }

  onArrival(listener: () => void) {
    this.listener = listener
    return () => this.listener = undefined
  }

  offer(...numbers: ReadonlyArray<number>): void {
    for (const number of numbers) this.queue.unsafeOffer(number)
    this.arrived()
  }

  finish(end: Exit.Exit<never, Option.Option<"bad">>): void {
    this.end = end
    this.arrived()
  }

  private arrived(): void {
    this.listener?.()
  }
}

/** A transport whose stream has a poll or not, and a log of the calls of its receiver. */
const make = (
  hasPoll: boolean,
  take: (numbers: string) => Effect.Effect<void, "full"> = () => Effect.void,
  adapt: (closed: Effect.Effect<void>) => Effect.Effect<void> = identity,
  onClosed = () => {}
) =>
  Effect.gen(function*() {
    const source = new Source()
    let end: (exit: Exit.Exit<void>) => void = () => {}
    const closed = Connector.callback<void, never>((resume) => {
      end = resume
      return () => {
        end = () => {}
        log.push("cancelled")
      }
    })
    const log: Array<string> = []
    const scope = yield* Scope.make()
    yield* Scope.extend(
      Connector.readInBackground(hasPoll ? Connector.withPoll(source.stream, source) : source.stream, adapt(closed), {
        take: (chunk: Chunk.Chunk<number>) => {
          const numbers = Chunk.join(Chunk.map(chunk, String), " ")
          log.push(numbers)
          return take(numbers)
        },
        onRead: (exit) => log.push(Exit.isSuccess(exit) ? "read" : `read: ${Cause.squash(exit.cause)}`),
        onClosed: () => {
          log.push("closed")
          onClosed()
        }
      }),
      scope
    )
    return { log, source, end: () => end(Exit.void), release: Scope.close(scope, Exit.void) }
  })

const settle = Effect.repeatN(Effect.yieldNow(), 20)

describe("readInBackground", () => {
  for (const hasPoll of [true, false]) {
    const name = hasPoll ? "with a poll" : "without a poll"

    it.effect(`takes what arrived before the end, and then reports the end: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log, source } = yield* make(hasPoll)
        yield* settle
        source.offer(0, 1, 2)
        end()
        yield* settle
        assert.strictEqual(log.pop(), "closed")
        assert.strictEqual(log.join(" "), "0 1 2")
      }))

    it.effect(`stops when the scope is closed, without a call of the receiver: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log, release, source } = yield* make(hasPoll)
        yield* settle
        yield* release
        source.offer(1)
        end()
        yield* settle
        assert.deepStrictEqual(log, ["cancelled"])
        assert.isFalse(source.isListenedTo)
      }))

    it.effect(`reports the end once if its callback resumes more than once: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log } = yield* make(hasPoll)
        yield* settle
        end()
        end()
        yield* settle
        end()
        yield* settle
        assert.deepStrictEqual(log, ["closed"])
      }))

    it.effect(`does not report an end that comes in the turn of the release: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log, release } = yield* make(hasPoll)
        yield* settle
        end()
        yield* release
        yield* settle
        assert.deepStrictEqual(log, ["cancelled"])
      }))

    for (
      const [kind, adapt] of Object.entries({ "a callback": identity<Effect.Effect<void>>, "a fiber": Effect.asVoid })
    ) {
      it.effect(`keeps what onClosed throws from the scheduler, ${kind}: ${name}`, () =>
        Effect.gen(function*() {
          const thrown: Array<unknown> = []
          const scheduler = Scheduler.make((task) =>
            queueMicrotask(() => {
              try {
                task()
              } catch (error) {
                thrown.push(error)
              }
            }), () => false)
          const { end, log } = yield* Effect.withScheduler(
            make(hasPoll, undefined, adapt, () => {
              throw new Error("cannot close")
            }),
            scheduler
          )
          yield* settle
          end()
          yield* settle
          assert.deepStrictEqual([log, thrown], [["closed"], []])
        }))
    }

    it.effect(`takes one chunk after the other, although take waits: ${name}`, () =>
      Effect.gen(function*() {
        const mayGoOn = yield* Deferred.make<void>()
        const { end, log, source } = yield* make(hasPoll, () => Deferred.await(mayGoOn))
        source.offer(1)
        yield* settle
        source.offer(2)
        yield* settle
        assert.deepStrictEqual(log, ["1"])
        end()
        yield* settle
        // The end does not wait for a receiver that waits.
        assert.deepStrictEqual(log, ["1", "closed"])
        yield* Deferred.succeed(mayGoOn, undefined)
        yield* settle
        assert.deepStrictEqual(log, ["1", "closed", "2"])
      }))

    it.effect(`interrupts a take that waits when the scope is closed: ${name}`, () =>
      Effect.gen(function*() {
        let interrupted = 0
        const { log, release, source } = yield* make(
          hasPoll,
          () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
        )
        source.offer(1)
        yield* settle
        yield* release
        yield* settle
        assert.strictEqual(interrupted, 1)
        assert.deepStrictEqual(log, ["1", "cancelled"])
      }))

    it.effect(`interrupts a take that has closed the scope in its first turn: ${name}`, () =>
      Effect.gen(function*() {
        let interrupted = 0
        let close: () => void = () => {}
        const { log, release, source } = yield* make(
          hasPoll,
          () =>
            Effect.zipRight(Effect.sync(() => close()), Effect.never).pipe(
              Effect.onInterrupt(() => Effect.sync(() => interrupted++))
            )
        )
        close = () => void Effect.runFork(release)
        source.offer(1)
        yield* settle
        assert.strictEqual(interrupted, 1)
        assert.deepStrictEqual(log, ["1", "cancelled"])
      }))

    const full = Effect.fail("full" as const)
    const failures = {
      "an exit": full,
      "an effect without a wait": Effect.zipRight(Effect.sync(() => {}), full),
      "an effect that waits": Effect.zipRight(Effect.yieldNow(), full)
    }
    for (const [kind, failed] of Object.entries(failures)) {
      it.effect(`ends the reading with the failure of take, ${kind}: ${name}`, () =>
        Effect.gen(function*() {
          const { log, source } = yield* make(hasPoll, (numbers) => numbers === "1" ? failed : Effect.void)
          source.offer(1, 2)
          yield* settle
          assert.deepStrictEqual(log, ["1", "read: full"])
        }))
    }

    it.effect(`waits for the end in a fiber if it is not a callback: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log, release, source } = yield* make(hasPoll, undefined, Effect.asVoid)
        yield* settle
        source.offer(1)
        end()
        yield* settle
        assert.deepStrictEqual(log.slice(-2), ["1", "closed"])
        const other = yield* make(hasPoll, undefined, Effect.asVoid)
        yield* settle
        yield* other.release
        yield* release
        assert.deepStrictEqual(other.log, ["cancelled"])
      }))
  }

  it.effect("with a poll, takes in the turn of the arrival, also if take is an effect", () =>
    Effect.gen(function*() {
      const { log, source } = yield* make(true, () => Effect.sync(() => {}))
      source.offer(...Array.from({ length: 20_000 }, () => 7))
      assert.strictEqual(log.length, 20_000)
    }))

  const ends: Array<[name: string, end: Exit.Exit<never, Option.Option<"bad">>, logged: string]> = [
    ["the regular end", Exit.fail(Option.none()), "read"],
    ["the error", Exit.fail(Option.some("bad")), "read: bad"],
    ["a defect", Exit.die("defect"), "read: defect"]
  ]
  for (const [name, end, logged] of ends) {
    it.effect(`ends the reading with ${name} of the poll, after what arrived before`, () =>
      Effect.gen(function*() {
        const { log, source } = yield* make(true)
        source.offer(1)
        source.finish(end)
        yield* settle
        assert.deepStrictEqual(log, ["1", logged])
        assert.isFalse(source.isListenedTo)
      }))
  }

  it.effect("ends the reading with what a poll or a take throws; the caller does not see it", () =>
    Effect.gen(function*() {
      const polled = yield* make(true)
      polled.source.offer(-1)
      const taken = yield* make(true, () => {
        throw new Error("cannot take")
      })
      taken.source.offer(1)
      yield* settle
      assert.deepStrictEqual(polled.log, ["read: Error: cannot poll"])
      assert.deepStrictEqual(taken.log, ["1", "read: Error: cannot take"])
    }))
})
