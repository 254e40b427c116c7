import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as TestClock from "effect/TestClock"
import { Outbox } from "../../src/internal/outbox.js"

class Destination {
  full = false
  problem: string | undefined
  onWaiting: Effect.Effect<void> = Effect.void
  readonly sent: Array<string> = []
  readonly settings = { sendTimeout: Duration.seconds(30) }
  readonly isFull = () => this.full
  readonly obstacle = () => this.problem
  readonly onRefused = (cause: unknown) => `refused: ${String(cause)}`
  readonly onSendTimeout = () => "too late"
  readonly outbox = new Outbox<string, string>(this)

  write(message: string): void {
    if (message === "bad") throw "no"
    this.sent.push(message)
    if (message === "filling") this.full = true
  }

  /** Sends messages while the destination is full. */
  wait(...messages: ReadonlyArray<string>) {
    this.full = true
    return Effect.zipLeft(
      Effect.forEach(messages, (message) => Effect.fork(this.outbox.send(message))),
      steps
    )
  }
}

const steps = Effect.repeatN(Effect.yieldNow(), 9)

const ends = (fibers: ReadonlyArray<Fiber.RuntimeFiber<void, string>>) =>
  Effect.map(steps, () => fibers.map((fiber) => fiber.unsafePoll()))

describe("an outbox", () => {
  it.effect("sends at once if the destination is not full", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      yield* destination.outbox.send("a")
      assert.deepStrictEqual([destination.sent, destination.outbox.isIdle], [["a"], true])
    }))

  it("that nobody has waited for has nothing to flush and nothing to fail", () => {
    const { outbox } = new Destination()
    assert.isFalse(outbox.flush())
    outbox.fail("lost")
  })

  it.effect("sends in the order of the calls, also if the destination is full no more", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      const fibers = yield* destination.wait("a", "b")
      assert.deepStrictEqual([destination.sent, destination.outbox.isIdle], [[], false])
      assert.isFalse(destination.outbox.flush())
      destination.full = false
      fibers.push(yield* Effect.fork(destination.outbox.send("c")))
      yield* steps
      assert.deepStrictEqual(destination.sent, [])
      assert.isTrue(destination.outbox.flush())
      assert.deepStrictEqual([destination.sent, destination.outbox.isIdle], [["a", "b", "c"], true])
      assert.deepStrictEqual(yield* ends(fibers), [Exit.void, Exit.void, Exit.void])
      assert.isFalse(destination.outbox.flush())
      yield* destination.outbox.send("d")
      assert.deepStrictEqual(destination.sent, ["a", "b", "c", "d"])
    }))

  it.effect("stops as soon as the destination is full again", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      const fibers = yield* destination.wait("filling", "b")
      destination.full = false
      assert.isTrue(destination.outbox.flush())
      assert.deepStrictEqual([destination.sent, yield* ends(fibers)], [["filling"], [Exit.void, null]])
    }))

  it.effect("lets every message wait as long as the timeout, and drops it then", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      const fibers = yield* destination.wait("a")
      yield* TestClock.adjust("29999 millis")
      assert.deepStrictEqual(yield* ends(fibers), [null])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* ends(fibers), [Exit.fail("too late")])
      destination.full = false
      assert.isTrue(destination.outbox.isIdle)
      assert.isFalse(destination.outbox.flush())
      assert.deepStrictEqual(destination.sent, [])
    }))

  it.effect("drops a message whose call is interrupted", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      const fibers = yield* destination.wait("a", "b")
      yield* Fiber.interrupt(fibers[0]!)
      destination.full = false
      destination.outbox.flush()
      assert.deepStrictEqual([destination.sent, yield* Fiber.join(fibers[1]!)], [["b"], undefined])
    }))

  it.effect("fails what cannot be sent or is refused, at once or in its turn", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      assert.strictEqual(yield* Effect.flip(destination.outbox.send("bad")), "refused: no")
      const fibers = yield* destination.wait("bad", "good")
      destination.full = false
      assert.isTrue(destination.outbox.flush())
      assert.deepStrictEqual(yield* ends(fibers), [Exit.fail("refused: no"), Exit.void])
      const others = yield* destination.wait("later")
      destination.full = false
      destination.problem = "closing"
      assert.isTrue(destination.outbox.flush())
      assert.deepStrictEqual(yield* ends(others), [Exit.fail("closing")])
      assert.strictEqual(yield* Effect.flip(destination.outbox.send("a")), "closing")
      assert.deepStrictEqual(destination.sent, ["good"])
    }))

  it.effect("fails all messages that wait", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      const fibers = yield* destination.wait("a", "b")
      destination.outbox.fail("lost")
      assert.isTrue(destination.outbox.isIdle)
      assert.deepStrictEqual(yield* ends(fibers), [Exit.fail("lost"), Exit.fail("lost")])
      destination.full = false
      yield* destination.outbox.send("c")
      assert.deepStrictEqual(destination.sent, ["c"])
    }))

  it.effect("runs `onWaiting` for every message that waits, and may be flushed by it", () =>
    Effect.gen(function*() {
      const destination = new Destination()
      let waits = 0
      destination.onWaiting = Effect.sync(() => {
        waits++
        destination.full = false
        destination.outbox.flush()
      })
      const fibers = [...yield* destination.wait("a"), ...yield* destination.wait("b")]
      assert.deepStrictEqual([waits, yield* ends(fibers)], [2, [Exit.void, Exit.void]])
      yield* destination.outbox.send("c")
      assert.deepStrictEqual([waits, destination.sent], [2, ["a", "b", "c"]])
    }))

  it.effect("gives success if and only if the message is sent, however late it is flushed", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      for (let turns = 0; turns < 20; turns++) {
        const destination = new Destination()
        const alarm = Deferred.unsafeMake<void>(FiberId.none)
        const clock: Clock.Clock = { ...Clock.make(), sleep: () => Deferred.await(alarm) }
        const [fiber] = yield* Effect.withClock(destination.wait("a"), clock)
        Deferred.unsafeDone(alarm, Exit.void)
        for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow()
        const isOver = fiber!.unsafePoll() !== null
        destination.full = false
        destination.outbox.flush()
        const exit = yield* Fiber.await(fiber!)
        assert.deepStrictEqual(exit, destination.sent.length === 1 ? Exit.void : Exit.fail("too late"))
        seen.push(isOver ? "over" : exit._tag)
      }
      // Both sides of the race have occurred.
      assert.includeMembers(seen, ["Success", "over"])
    }))
})
