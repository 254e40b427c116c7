import { describe, expect } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import type * as Connector from "@persistent-connection/core/Connector"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { it, pass } from "../support/virtualTime.js"

type Attempt = Connector.Attempt<unknown>

/** One persistent connection, as a look-up sees it. */
class Caller {
  private generation = 1
  private number = 0

  constructor(private readonly lookUp: (attempt: Attempt) => Effect.Effect<string>) {}

  /** The address of the next attempt: the first one, or the one after a failure. */
  get attempt(): Effect.Effect<string> {
    return this.next(false)
  }

  /** The same for a refresh after the server has announced its shutdown. */
  get drain(): Effect.Effect<string> {
    return this.next(true)
  }

  private next(elsewhere: boolean): Effect.Effect<string> {
    return Effect.suspend(() => {
      this.number++
      return this.lookUp({
        elsewhere,
        serverName: "prices",
        owner: this,
        generation: this.generation,
        number: this.number,
        lastCause: Option.none(),
        previousAddress: Option.none(),
        failedAttempts: Effect.succeed(this.number - 1),
        abort: Effect.fail,
        untimed: (effect) => effect
      })
    })
  }

  /** The last attempt succeeded. The next one follows a loss or a refresh. */
  get succeed(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.generation++
      this.number = 0
    })
  }

  attempts(count: number): Effect.Effect<Array<string>> {
    return Effect.replicateEffect(this.attempt, count)
  }
}

const seeded = (seed: number) => <A>(effect: Effect.Effect<A>): A =>
  Effect.runSync(Effect.withRandom(effect, Random.make(seed)))

const messageOfEmpty = (make: (addresses: Arr.NonEmptyReadonlyArray<string>) => unknown): string | undefined => {
  const none: ReadonlyArray<string> = []
  try {
    make(none as Arr.NonEmptyReadonlyArray<string>)
  } catch (error) {
    if (Cause.isIllegalArgumentException(error)) return error.message
  }
  return undefined
}

const changed = (make: (addresses: Arr.NonEmptyReadonlyArray<string>) => Addresses.LookUp<string>) => {
  const addresses: Arr.NonEmptyArray<string> = ["a"]
  const caller = new Caller(make(addresses))
  addresses[0] = "b"
  return caller.attempt
}

describe("Addresses", () => {
  it.effect("constant: always returns the same address", () =>
    Effect.gen(function*() {
      expect(yield* Addresses.constant("a")).toBe("a")
    }))

  const { failover, roundRobin, shuffled } = Addresses

  it.each(Object.entries({ failover, roundRobin, shuffled }))("%s throws at once for an empty array", (_name, make) => {
    expect(messageOfEmpty(make)).toBe("addresses must be an array that is not empty, but is of type array")
  })

  describe("roundRobin", () => {
    it.effect("returns the next address for every attempt, after a failure and after a loss", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.roundRobin(["a", "b", "c"]))
        expect(yield* caller.attempts(2)).toEqual(["a", "b"])
        yield* caller.succeed
        expect(yield* caller.attempts(5)).toEqual(["c", "a", "b", "c", "a"])
      }))

    it.effect("returns an address that is listed twice two times per round", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.roundRobin(["a", "a", "b"]))
        expect(yield* caller.attempts(6)).toEqual(["a", "a", "b", "a", "a", "b"])
      }))

    it.effect("starts from the first address for each persistent connection that shares it", () =>
      Effect.gen(function*() {
        const lookUp = Addresses.roundRobin(["a", "b", "c"])
        const one = new Caller(lookUp)
        const other = new Caller(lookUp)
        expect(yield* one.attempts(2)).toEqual(["a", "b"])
        expect(yield* other.attempts(2)).toEqual(["a", "b"])
        expect(yield* one.attempt).toBe("c")
        expect(yield* other.attempt).toBe("c")
      }))

    it.effect("is not affected by later changes of the array", () =>
      Effect.gen(function*() {
        expect(yield* changed(Addresses.roundRobin)).toBe("a")
      }))
  })

  describe("shuffled", () => {
    const lists = FastCheck.uniqueArray(FastCheck.string(), { minLength: 2, maxLength: 8 })

    it.prop("returns every address once per round, and none twice in succession", [lists, FastCheck.integer()], ([
      list,
      seed
    ]) => {
      const [first, ...others] = list
      const caller = new Caller(Addresses.shuffled([first!, ...others]))
      const given = seeded(seed)(caller.attempts(list.length * 5))
      for (let round = 0; round < 5; round++) {
        const members = given.slice(round * list.length, (round + 1) * list.length)
        expect([...members].sort()).toEqual([...list].sort())
      }
      given.forEach((address, index) => expect(address).not.toBe(given[index - 1]))
    })

    it("draws all permitted orders equally often", () => {
      const counts = new Map<string, number>()
      const given = seeded(1)(new Caller(Addresses.shuffled(["a", "b", "c"])).attempts(3 * 10_000))
      for (let index = 3; index < given.length; index += 3) {
        // The positions in the previous round. 2, the last one, cannot come first.
        const last = given.slice(index - 3, index)
        const order = given.slice(index, index + 3).map((address) => last.indexOf(address)).join("")
        counts.set(order, (counts.get(order) ?? 0) + 1)
      }
      expect([...counts.keys()].sort()).toEqual(["012", "021", "102", "120"])
      // 2,500 each; the standard deviation is 43.
      for (const count of counts.values()) expect(Math.abs(count - 2500)).toBeLessThan(175)
    })

    it("draws a new order for each round", () => {
      const given = seeded(1)(new Caller(Addresses.shuffled(["a", "b", "c", "d", "e"])).attempts(500))
      const rounds = Array.from({ length: 100 }, (_, round) => given.slice(round * 5, round * 5 + 5).join(""))
      expect(new Set(rounds).size).toBeGreaterThan(50)
    })

    it("T4: is deterministic for a given seed", () => {
      const [one, same, other] = [1, 1, 2].map((seed) =>
        seeded(seed)(new Caller(Addresses.shuffled(["a", "b", "c"])).attempts(30))
      )
      expect(one).toEqual(same)
      expect(one).not.toEqual(other)
    })

    it("repeats a single address", () => {
      expect(seeded(1)(new Caller(Addresses.shuffled(["a"])).attempts(3))).toEqual(["a", "a", "a"])
    })

    it("treats addresses with equal content as one", () => {
      const lookUp = Addresses.shuffled([{ host: "a" }, { host: "b" }, { host: "a" }])
      const given = seeded(1)(new Caller((attempt) => Effect.map(lookUp(attempt), ({ host }) => host)).attempts(20))
      given.forEach((address, index) => expect(address).not.toBe(given[index - 1]))
    })

    it.effect("draws a separate order for each persistent connection that shares it", () =>
      Effect.gen(function*() {
        const lookUp = Addresses.shuffled(["a", "b", "c", "d", "e"])
        const firsts = yield* Effect.forEach(Array.from({ length: 50 }), () => new Caller(lookUp).attempt)
        expect(new Set(firsts).size).toBe(5)
      }).pipe(Effect.withRandom(Random.make(1))))

    it.effect("is not affected by later changes of the array", () =>
      Effect.gen(function*() {
        expect(yield* changed(Addresses.shuffled)).toBe("a")
      }))
  })

  describe("failover", () => {
    it.effect("keeps the working address, also after a loss", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b", "c"]))
        expect(yield* caller.attempts(2)).toEqual(["a", "b"])
        yield* caller.succeed
        expect(yield* caller.attempt).toBe("b")
        yield* caller.succeed
        yield* pass(31_536_000)
        expect(yield* caller.attempt).toBe("b")
      }))

    it.effect("moves to the next address after a failed attempt, and from the last to the first", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b", "c"]))
        expect(yield* caller.attempts(5)).toEqual(["a", "b", "c", "a", "b"])
      }))

    it.effect("fails back to the first address when `failBackAfter` has passed, not before", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b"], { failBackAfter: "10 minutes" }))
        yield* caller.attempt
        yield* pass(60)
        expect(yield* caller.attempt).toBe("b")
        yield* caller.succeed
        yield* pass(540)
        yield* pass(59)
        expect(yield* caller.attempt).toBe("b")
        yield* caller.succeed
        yield* pass(1)
        expect(yield* caller.attempt).toBe("a")
      }))

    it.effect("leaves the first address if it still fails, and then waits for the full `failBackAfter` again", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b"], { failBackAfter: "10 minutes" }))
        yield* caller.attempts(2)
        yield* caller.succeed
        yield* pass(600)
        expect(yield* caller.attempts(2)).toEqual(["a", "b"])
        yield* caller.succeed
        yield* pass(540)
        expect(yield* caller.attempt).toBe("b")
        yield* caller.succeed
        yield* pass(60)
        expect(yield* caller.attempt).toBe("a")
      }))

    it.effect("tries every address while all fail, even with a short `failBackAfter`", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b", "c"], { failBackAfter: 0 }))
        const visited: Array<string> = []
        for (let attempt = 0; attempt < 6; attempt++) {
          visited.push(yield* caller.attempt)
          yield* pass(60)
        }
        expect(visited).toEqual(["a", "b", "c", "a", "b", "c"])
      }))

    it.effect("starts with the first address, even if its first call follows a failure", () =>
      Effect.gen(function*() {
        const lookUp = Addresses.failover(["a", "b"])
        let asked = 0
        const caller = new Caller((attempt) => ++asked === 1 ? Effect.succeed("elsewhere") : lookUp(attempt))
        expect(yield* caller.attempts(3)).toEqual(["elsewhere", "a", "b"])
      }))

    it.effect("keeps a single address", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a"], { failBackAfter: "1 minute" }))
        expect(yield* caller.attempts(3)).toEqual(["a", "a", "a"])
      }))

    it.effect("keeps separate positions for persistent connections that share it", () =>
      Effect.gen(function*() {
        const lookUp = Addresses.failover(["a", "b"])
        const one = new Caller(lookUp)
        const other = new Caller(lookUp)
        expect(yield* one.attempts(2)).toEqual(["a", "b"])
        expect(yield* other.attempt).toBe("a")
        yield* one.succeed
        expect(yield* one.attempt).toBe("b")
      }))

    it.effect("moves to another address when the server has announced its shutdown, and stays there", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b", "c"]))
        expect(yield* caller.attempt).toBe("a")
        yield* caller.succeed
        expect(yield* caller.drain).toBe("b")
        yield* caller.succeed
        expect(yield* caller.attempt).toBe("b")
        yield* caller.succeed
        expect(yield* caller.drain).toBe("c")
        yield* caller.succeed
        expect(yield* caller.drain).toBe("a")
      }))

    it.effect("keeps the address for a refresh without such an announcement", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b"]))
        yield* caller.attempts(2)
        for (let refresh = 0; refresh < 3; refresh++) {
          yield* caller.succeed
          expect(yield* caller.attempt).toBe("b")
        }
      }))

    it.effect("tries all addresses except the announced one while the others fail", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b", "c"]))
        yield* caller.attempts(2)
        yield* caller.succeed
        expect(yield* Effect.replicateEffect(caller.drain, 4)).toEqual(["c", "a", "c", "a"])
        const two = new Caller(Addresses.failover(["a", "b"]))
        yield* two.attempt
        yield* two.succeed
        expect(yield* Effect.replicateEffect(two.drain, 3)).toEqual(["b", "b", "b"])
        // The connection has been lost since, so any address is allowed.
        expect(yield* two.attempt).toBe("a")
      }))

    it.effect("knows which address is shutting down, even if a refresh has failed before the announcement", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b"]))
        yield* caller.attempt
        yield* caller.succeed
        expect(yield* caller.attempts(2)).toEqual(["a", "b"])
        expect(yield* caller.drain).toBe("b")
      }))

    it.effect("keeps a single address, and treats duplicates as one", () =>
      Effect.gen(function*() {
        for (const addresses of [["a"], ["a", "a"]] as const) {
          const caller = new Caller(Addresses.failover(addresses))
          yield* caller.attempt
          yield* caller.succeed
          expect(yield* caller.drain).toBe("a")
        }
        const caller = new Caller(Addresses.failover(["a", "a", "b"]))
        yield* caller.attempt
        yield* caller.succeed
        expect(yield* caller.drain).toBe("b")
      }))

    it.effect("counts `failBackAfter` from the announcement of the shutdown", () =>
      Effect.gen(function*() {
        const caller = new Caller(Addresses.failover(["a", "b"], { failBackAfter: "10 minutes" }))
        yield* caller.attempt
        yield* pass(3600)
        yield* caller.succeed
        expect(yield* caller.drain).toBe("b")
        yield* caller.succeed
        yield* pass(540)
        expect(yield* caller.attempt).toBe("b")
        yield* caller.succeed
        yield* pass(60)
        expect(yield* caller.attempt).toBe("a")
      }))

    it("T5: measures `failBackAfter` in monotonic time", () => {
      let minutes = 0
      const clock: Clock.Clock = {
        ...Clock.make(),
        // The wall clock is set back repeatedly.
        unsafeCurrentTimeMillis: () => 1e12 - minutes * 60_000,
        unsafeCurrentTimeNanos: () => BigInt(minutes) * 60_000_000_000n
      }
      const caller = new Caller(Addresses.failover(["a", "b"], { failBackAfter: "10 minutes" }))
      const next = () => Effect.runSync(Effect.withClock(caller.attempt, clock))
      expect([next(), next()]).toEqual(["a", "b"])
      Effect.runSync(caller.succeed)
      minutes = 10
      expect(next()).toBe("a")
    })

    it.each<[string, Addresses.FailoverOptions]>([
      ["failBackAfter must be a duration of 0 or more, but is -1", { failBackAfter: -1 }],
      ["failoverWhen must be a function, but is of type boolean", { failoverWhen: true as never }],
      ["options must be an object of options, but is of type number", 5 as never]
    ])("throws at once: %s", (message, options) => {
      expect(() => Addresses.failover(["a"], options)).toThrow(message)
    })

    it.effect("is not affected by later changes of the array", () =>
      Effect.gen(function*() {
        expect(yield* changed(Addresses.failover)).toBe("a")
      }))
  })
})
