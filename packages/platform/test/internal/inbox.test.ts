import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { objectsReachableFrom } from "../../../core/test/support/size.js"
import { Inbox } from "../../src/internal/inbox.js"

const make = (
  settings: { readonly receiveHighWaterMark?: number; readonly receiveLimit?: number },
  canPause = true
) => {
  const calls: Array<string> = []
  const inbox = new Inbox<string, string>({
    canPause,
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    settings: { receiveHighWaterMark: 1e9, receiveLimit: 1e9, ...settings }
  })
  return { inbox, calls }
}

type TestInbox = Inbox<string, string>

/** A message that counts as this number of bytes. */
const bytes = (size: number) => "x".repeat(size - 64)

const steps = Effect.repeatN(Effect.yieldNow(), 19)

// These fail instead of waiting.
const one = (inbox: TestInbox) => Effect.runSync(Effect.flip(Effect.flip(inbox.one(() => Exit.fail("no more")))))
const oneError = (inbox: TestInbox) => Effect.runSync(Effect.flip(inbox.one(() => Exit.fail("no more"))))
const stream = (inbox: TestInbox) => Stream.fromChannel(inbox.all)
const lengthOf = (inbox: TestInbox) =>
  (inbox as unknown as { readonly elements: ReadonlyArray<string> }).elements.length
const chunk = (inbox: TestInbox) =>
  Effect.runSync(Effect.map(Stream.runHead(Stream.chunks(stream(inbox))), Option.map(Chunk.toReadonlyArray)))

describe("the sender of an inbox", () => {
  it("is paused above the high-water mark, once, and resumed at half of it, once", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 400 })
    for (const size of [200, 100, 100]) inbox.offer(bytes(size))
    assert.deepStrictEqual([calls, inbox.isPaused], [[], false])
    inbox.offer(bytes(64))
    inbox.offer(bytes(100))
    assert.deepStrictEqual([calls, inbox.isPaused], [["pause"], true])
    one(inbox)
    one(inbox)
    // 264 bytes wait.
    assert.deepStrictEqual([calls, inbox.isPaused], [["pause"], true])
    one(inbox)
    one(inbox)
    one(inbox)
    assert.deepStrictEqual([calls, inbox.isPaused], [["pause", "resume"], false])
  })

  it("is resumed at exactly half of the high-water mark", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 200 })
    inbox.offer(bytes(101))
    inbox.offer(bytes(100))
    one(inbox)
    assert.deepStrictEqual(calls, ["pause", "resume"])
  })

  it("is resumed by a chunk, after which nothing counts as waiting", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 200 })
    inbox.offer(bytes(100))
    inbox.offer(bytes(101))
    chunk(inbox)
    assert.deepStrictEqual(calls, ["pause", "resume"])
    inbox.offer(bytes(200))
    assert.deepStrictEqual(calls, ["pause", "resume"])
    inbox.offer(bytes(64))
    assert.deepStrictEqual(calls, ["pause", "resume", "pause"])
  })

  it("that cannot be paused is not paused", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 100 }, false)
    for (let index = 0; index < 5; index++) inbox.offer(bytes(100))
    chunk(inbox)
    inbox.close()
    assert.deepStrictEqual(calls, [])
  })

  it("is resumed by a close, once, and not paused again", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 100 })
    inbox.letIn()
    assert.deepStrictEqual(calls, [])
    const other = make({ receiveHighWaterMark: 100 })
    other.inbox.offer(bytes(101))
    other.inbox.close()
    other.inbox.close()
    assert.deepStrictEqual(other.calls, ["pause", "resume"])
    const letIn = make({ receiveHighWaterMark: 100 })
    letIn.inbox.letIn()
    letIn.inbox.offer(bytes(101))
    assert.deepStrictEqual(letIn.calls, [])
  })

  it.each([true, false])("is not paused after a close without a limit (can be paused: %s)", (canPause) => {
    const { calls, inbox } = make({ receiveHighWaterMark: 100, receiveLimit: Infinity }, canPause)
    inbox.letIn()
    for (let index = 0; index < 5; index++) assert.isTrue(inbox.offer(bytes(100)))
    assert.deepStrictEqual(calls, [])
  })
})

describe("the limit of an inbox", () => {
  const offers = (inbox: TestInbox, ...sizes: ReadonlyArray<number>) => sizes.map((size) => inbox.offer(bytes(size)))

  it("may be reached and exceeded by one message, but not by a second one", () => {
    const { inbox } = make({ receiveLimit: 200 }, false)
    assert.deepStrictEqual(offers(inbox, 100, 100, 64, 64), [true, true, true, false])
    assert.strictEqual(inbox.received, 4)
    one(inbox)
    // 164 bytes wait.
    assert.deepStrictEqual(offers(inbox, 64, 64), [true, false])
    assert.deepStrictEqual(chunk(inbox), Option.some([bytes(100), "", ""]))
    assert.deepStrictEqual(offers(inbox, 201, 64), [true, false])
  })

  it("does not apply to a sender that can be paused, also after the pause", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 100, receiveLimit: 100 })
    assert.deepStrictEqual(offers(inbox, 100, 100, 100, 100), [true, true, true, true])
    assert.deepStrictEqual(calls, ["pause"])
  })

  it("applies to what comes after the sender has been resumed for good", () => {
    const { inbox } = make({ receiveLimit: 200 })
    offers(inbox, 100, 100, 100)
    inbox.letIn()
    offers(inbox, 100)
    // Counts from the first call.
    inbox.letIn()
    assert.deepStrictEqual(offers(inbox, 100, 64, 64), [true, true, false])
  })

  it("stays as it is for a sender that cannot be paused", () => {
    const { inbox } = make({ receiveLimit: 200 }, false)
    offers(inbox, 100)
    inbox.letIn()
    assert.deepStrictEqual(offers(inbox, 100, 64, 64), [true, true, false])
  })
})

describe("the messages of an inbox", () => {
  it("are counted and dropped after a close", () => {
    const { inbox } = make({ receiveLimit: 100 }, false)
    inbox.offer("first")
    inbox.close()
    for (let index = 0; index < 5; index++) assert.isTrue(inbox.offer(bytes(100)))
    assert.deepStrictEqual([inbox.received, chunk(inbox)], [6, Option.some(["first"])])
  })

  it("are followed by the first end, for single messages, chunks and the next callers", () => {
    const { inbox } = make({})
    for (const message of ["a", "b", "c"]) inbox.offer(message)
    inbox.end(Exit.fail("lost"))
    inbox.end(Exit.void)
    inbox.offer("late")
    assert.strictEqual(one(inbox), "a")
    assert.deepStrictEqual(chunk(inbox), Option.some(["b", "c"]))
    assert.strictEqual(oneError(inbox), "lost")
    assert.strictEqual(Effect.runSync(Effect.flip(Stream.runDrain(stream(inbox)))), "lost")
  })

  it.each([
    [Exit.void, Option.none()],
    [Exit.fail("lost"), Option.some("lost")]
  ])("can be polled, and then their end: %s", (end, error) => {
    const { inbox } = make({})
    assert.isUndefined(inbox.poll())
    for (const message of ["a", "b", "c"]) inbox.offer(message)
    assert.strictEqual(one(inbox), "a")
    inbox.end(end)
    assert.deepStrictEqual(inbox.poll(), Chunk.make("b", "c"))
    assert.deepStrictEqual(inbox.poll(), Exit.fail(error))
  })

  it("may end regularly: chunks end, and a single message fails as its caller says", () => {
    const { inbox } = make({})
    inbox.offer("a")
    inbox.end(Exit.void)
    assert.deepStrictEqual(Effect.runSync(Stream.runCollect(stream(inbox))), Chunk.of("a"))
    assert.strictEqual(oneError(inbox), "no more")
  })

  it("are dropped by an end at once, which resumes the sender and is final", () => {
    const { calls, inbox } = make({ receiveHighWaterMark: 100 })
    inbox.offer(bytes(101))
    inbox.fail(Exit.fail("lost"))
    inbox.end(Exit.void)
    assert.deepStrictEqual([calls, oneError(inbox)], [["pause", "resume"], "lost"])
  })

  it("that come after an end at once are dropped", () => {
    const { inbox } = make({})
    inbox.fail(Exit.fail("lost"))
    inbox.offer("late")
    assert.strictEqual(oneError(inbox), "lost")
  })

  it.each([0, 3])("take no memory after they have been taken one by one while %d wait", (waiting) => {
    const { inbox } = make({})
    const sizes = Array.from({ length: 300 }, (_, index) => {
      inbox.offer(`message ${index}`)
      if (index >= waiting) assert.strictEqual(one(inbox), `message ${index - waiting}`)
      return lengthOf(inbox)
    })
    assert.isAtMost(Math.max(...sizes), 8)
  })

  it.effect("or their end are noticed at whatever point of the wait they come", () =>
    Effect.gen(function*() {
      for (let turns = 0; turns < 30; turns++) {
        for (const end of [false, true]) {
          const { inbox } = make({})
          const fiber = yield* Effect.fork(
            Effect.withMaxOpsBeforeYield(Effect.either(inbox.one(() => Exit.fail("no more"))), 11)
          )
          for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow()
          if (end) inbox.end(Exit.void)
          else inbox.offer("a")
          yield* Effect.repeatN(steps, 4)
          const expected = end ? Either.left("no more") : Either.right("a")
          assert.deepStrictEqual(fiber.unsafePoll(), Exit.succeed(expected), `after ${turns} turns`)
        }
      }
    }))

  it.effect("wake all who wait; each message goes to one of them", () =>
    Effect.gen(function*() {
      const { inbox } = make({})
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(inbox.one(() => Exit.fail("no more"))))
      const rest = yield* Effect.fork(Stream.runCollect(stream(inbox)))
      yield* steps
      inbox.offer("a")
      inbox.offer("b")
      yield* steps
      assert.deepStrictEqual(fibers.map((fiber) => fiber.unsafePoll()), [Exit.succeed("a"), Exit.succeed("b"), null])
      inbox.offer("c")
      yield* steps
      assert.deepStrictEqual(fibers[2]!.unsafePoll(), Exit.succeed("c"))
      assert.isNull(rest.unsafePoll())
      inbox.end(Exit.void)
      yield* steps
      assert.deepStrictEqual(rest.unsafePoll(), Exit.succeed(Chunk.empty()))
    }))

  it.effect("retain nobody who has been interrupted while waiting", () =>
    Effect.gen(function*() {
      const { inbox } = make({})
      const wait = Effect.flatMap(Effect.fork(inbox.one(() => Exit.fail("no more"))), (fiber) =>
        Effect.zipRight(Effect.yieldNow(), Fiber.interrupt(fiber)))
      yield* wait
      const before = objectsReachableFrom(inbox)
      yield* Effect.repeatN(wait, 20)
      assert.isBelow(objectsReachableFrom(inbox), before + 20)
    }))
})
