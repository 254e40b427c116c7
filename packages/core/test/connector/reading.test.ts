import { assert, describe, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** A transport whose stream has a pull or not, and a log of the calls of its receiver. */
const make = (hasPull: boolean) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<number>()
    const stream = Stream.fromQueue(queue)
    const pull = Effect.map(Queue.take(queue), Chunk.of).pipe(
      Effect.filterOrFail(Chunk.some((number) => number >= 0), () => Option.some("bad" as const))
    )
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
      Connector.readInBackground(hasPull ? Connector.withPull<number, "bad">(stream, pull) : stream, closed, {
        take: (chunk: Chunk.Chunk<number>) => Effect.sync(() => log.push(Chunk.join(Chunk.map(chunk, String), " "))),
        onRead: (exit) => log.push(Exit.isSuccess(exit) ? "read" : `read: ${String(Exit.causeOption(exit))}`),
        onClosed: () => log.push("closed")
      }),
      scope
    )
    return { log, queue, end: () => end(Exit.void), release: Scope.close(scope, Exit.void) }
  })

const settle = Effect.repeatN(Effect.yieldNow(), 20)

describe("readInBackground", () => {
  for (const hasPull of [true, false]) {
    const name = hasPull ? "with a pull" : "without a pull"

    it.effect(`takes what arrived before the end, and then reports the end: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log, queue } = yield* make(hasPull)
        yield* settle
        for (let number = 0; number < 3; number++) queue.unsafeOffer(number)
        end()
        yield* settle
        assert.strictEqual(log.pop(), "closed")
        assert.strictEqual(log.join(" "), "0 1 2")
      }))

    it.effect(`stops when the scope is closed, without a call of the receiver: ${name}`, () =>
      Effect.gen(function*() {
        const { end, log, queue, release } = yield* make(hasPull)
        yield* settle
        const releasing = yield* Effect.fork(release)
        yield* Fiber.join(releasing)
        queue.unsafeOffer(1)
        end()
        yield* settle
        assert.deepStrictEqual(log, ["cancelled"])
      }))
  }

  it.effect("ends the reading with the failure of the pull", () =>
    Effect.gen(function*() {
      const { log, queue } = yield* make(true)
      queue.unsafeOffer(-1)
      yield* settle
      assert.strictEqual(log.length, 1)
      assert.include(log[0], "bad")
    }))
})
