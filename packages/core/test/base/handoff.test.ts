import { Handoff } from "#internal/base/handoff.js"
import { describe, expect } from "@effect/vitest"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { askNow, settle } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

/** A handoff, and a function that pulls one chunk from it; at the end, `pull` gives nothing. */
const makeHandoff = (handoff = new Handoff<string, string>()) =>
  Effect.map(Channel.toPull(handoff.channel), (pull) => ({
    handoff,
    pull: Effect.map(pull, Either.match({ onLeft: () => undefined, onRight: (chunk) => Chunk.join(chunk, "") }))
  }))

const give = (handoff: Handoff<string, string>, elements: string) => handoff.give(Chunk.fromIterable(elements))

/** Calls a function each time there is demand, until it has been called this many times. */
const onDemand = (handoff: Handoff<string, string>, times: number, f: () => void) =>
  askNow(Effect.repeatN(Effect.zipRight(handoff.demand, Effect.sync(f)), times - 1))

describe("the producer", () => {
  it.scoped("waits until the consumer pulls", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      const demand = yield* askNow(handoff.demand)
      expect(demand.isWaiting).toBe(true)
      yield* askNow(pull)
      expect(demand.exit).toEqual(Exit.void)
    }))

  it.scoped("need not wait while the consumer waits", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      yield* askNow(pull)
      expect((yield* askNow(handoff.demand)).exit).toEqual(Exit.void)
      expect((yield* askNow(handoff.demand)).exit).toEqual(Exit.void)
    }))

  it.scoped("waits again after each chunk, also when the consumer has taken it", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      const pulled = yield* askNow(pull)
      give(handoff, "a")
      const before = yield* askNow(handoff.demand)
      expect([before.isWaiting, pulled.answer]).toEqual([true, "a"])
      yield* settle
      expect(before.isWaiting, "the consumer has taken everything, but wants no more yet").toBe(true)
      yield* askNow(pull)
      expect(before.isWaiting).toBe(false)
    }))

  it.scoped("waits also when the consumer takes a chunk that was there before", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      give(handoff, "a")
      const demand = yield* askNow(handoff.demand)
      expect(yield* pull).toBe("a")
      yield* settle
      expect(demand.isWaiting).toBe(true)
    }))

  it.scoped("makes one chunk for each pull", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      let made = 0
      yield* onDemand(handoff, 3, () => give(handoff, `${++made}`))
      expect(made).toBe(0)
      expect([yield* pull, made]).toEqual(["1", 1])
      expect([yield* pull, made]).toEqual(["2", 2])
      yield* settle
      expect(made).toBe(2)
      expect([yield* pull, made]).toEqual(["3", 3])
    }))

  it.scoped("can be interrupted while it waits, and another one takes its place", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      const first = yield* askNow(handoff.demand)
      yield* Fiber.interrupt(first.fiber)
      const pulled = yield* askNow(pull)
      expect([first.failure, pulled.isWaiting]).toEqual(["interrupted", true])
      yield* onDemand(handoff, 1, () => give(handoff, "b"))
      expect(pulled.answer).toBe("b")
    }))

  it.scoped("is resumed through the given function", () =>
    Effect.gen(function*() {
      const resumed: Array<string> = []
      const { handoff, pull } = yield* makeHandoff(
        new Handoff(Infinity, (producer) => {
          resumed.push("before")
          producer(Exit.void)
        })
      )
      const demand = yield* askNow(handoff.demand)
      yield* askNow(pull)
      expect([resumed, demand.exit]).toEqual([["before"], Exit.void])
    }))
})

describe("a producer that may go ahead", () => {
  it.scoped("need not wait while there is nothing to take", () =>
    Effect.gen(function*() {
      const { handoff } = yield* makeHandoff()
      handoff.goAhead(true)
      expect((yield* askNow(handoff.demand)).exit).toEqual(Exit.void)
    }))

  it.scoped("goes on at once if it waits", () =>
    Effect.gen(function*() {
      const { handoff } = yield* makeHandoff()
      const demand = yield* askNow(handoff.demand)
      handoff.goAhead(true)
      yield* settle
      expect(demand.exit).toEqual(Exit.void)
    }))

  it.scoped("is one chunk ahead: it waits until the consumer has taken that", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      handoff.goAhead(true)
      let made = 0
      yield* onDemand(handoff, 3, () => give(handoff, `${++made}`))
      expect(made).toBe(1)
      expect(yield* pull).toBe("1")
      yield* settle
      expect(made).toBe(2)
      handoff.goAhead(true)
      yield* settle
      expect(made, "it is ahead already").toBe(2)
    }))

  it.scoped("waits again for the consumer when it may not go ahead any more", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      handoff.goAhead(true)
      let made = 0
      yield* onDemand(handoff, 3, () => give(handoff, `${++made}`))
      handoff.goAhead(false)
      expect(yield* pull).toBe("1")
      yield* settle
      handoff.goAhead(false)
      yield* settle
      expect(made).toBe(1)
      expect(yield* pull).toBe("2")
    }))
})

describe("the consumer", () => {
  it.scoped("gets everything that was given since its last pull, in order, as one chunk", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      give(handoff, "ab")
      give(handoff, "c")
      expect(yield* pull).toBe("abc")
      give(handoff, "d")
      expect(yield* pull).toBe("d")
    }))

  it.scoped("loses the oldest elements beyond the capacity", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff(new Handoff(3))
      give(handoff, "abc")
      expect(yield* pull).toBe("abc")
      give(handoff, "ab")
      give(handoff, "cd")
      give(handoff, "e")
      expect(yield* pull).toBe("cde")
      give(handoff, "abcdefg")
      expect(yield* pull).toBe("efg")
    }))

  it.scoped("loses nothing if its pull is interrupted, before or after an element has come", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      const first = yield* askNow(pull)
      yield* Fiber.interrupt(first.fiber)
      expect(first.failure).toBe("interrupted")
      give(handoff, "a")
      expect(yield* pull).toBe("a")

      const second = yield* askNow(pull)
      yield* Fiber.interrupt(second.fiber)
      const third = yield* askNow(pull)
      expect(third.isWaiting).toBe(true)
      give(handoff, "b")
      // In the turn in which the element wakes the consumer.
      yield* Fiber.interrupt(third.fiber)
      expect(third.answer ?? (yield* pull)).toBe("b")
    }))

  it.scoped("is not woken by an empty chunk, and its wait does not begin again", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      let waits = 0
      handoff.onWait = () => waits++
      const pulled = yield* askNow(pull)
      give(handoff, "")
      expect(handoff.isAwaited).toBe(true)
      yield* settle
      expect([waits, handoff.isAwaited, pulled.isWaiting]).toEqual([1, true, true])
    }))

  it.scoped("says when it begins to wait, unless the producer gives something at once", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff(new Handoff(Infinity, () => give(handoff, "b")))
      let waits = 0
      handoff.onWait = () => waits++
      give(handoff, "a")
      expect([yield* pull, waits]).toEqual(["a", 0])
      yield* askNow(handoff.demand)
      expect([yield* pull, waits, handoff.isAwaited]).toEqual(["b", 0, false])
      yield* askNow(pull)
      expect([waits, handoff.isAwaited]).toEqual([1, true])
      give(handoff, "c")
      expect(handoff.isAwaited).toBe(false)
    }))
})

describe("the end", () => {
  it.scoped("comes after the elements, and does not count as a wait", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      let waits = 0
      handoff.onWait = () => waits++
      const demand = yield* askNow(handoff.demand)
      give(handoff, "a")
      handoff.finish(Exit.void)
      expect(yield* pull).toBe("a")
      expect(yield* pull).toBeUndefined()
      expect([waits, handoff.isAwaited, demand.isWaiting]).toEqual([0, false, true])
    }))

  it.scoped("wakes a consumer that waits", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff()
      const pulled = yield* askNow(pull)
      handoff.finish(Exit.fail("reset"))
      yield* settle
      expect(pulled.error).toBe("reset")
    }))

  it.scoped("may come in the pull that resumes the producer", () =>
    Effect.gen(function*() {
      const { handoff, pull } = yield* makeHandoff(
        new Handoff(Infinity, () => {
          give(handoff, "a")
          handoff.finish(Exit.void)
        })
      )
      yield* askNow(handoff.demand)
      expect([yield* pull, yield* pull]).toEqual(["a", undefined])
    }))

  it.scoped("is the first one", () =>
    Effect.gen(function*() {
      const handoff = new Handoff<string, string>()
      handoff.finish(Exit.fail("reset"))
      handoff.finish(Exit.void)
      const run = yield* askNow(Stream.runDrain(Stream.fromChannel(handoff.channel)))
      expect(run.error).toBe("reset")
    }))
})
