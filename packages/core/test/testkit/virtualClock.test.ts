import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { inVirtualTime } from "../../src/internal/virtualClock.js"

const now = Clock.currentTimeMillis

describe("inVirtualTime", () => {
  it("a year passes at one stroke, and nothing of it outside", () => {
    const year = inVirtualTime(Effect.zipRight(Effect.sleep("365 days"), now))
    expect(Effect.runSync(year)).toBe(365 * 24 * 60 * 60 * 1_000)
    expect(Effect.runSync(Effect.zipRight(year, now))).toBeGreaterThan(1_000_000_000_000)
    expect(Effect.runSync(inVirtualTime(Effect.zipRight(Effect.sleep(7), Clock.currentTimeNanos)))).toBe(7_000_000n)
  })

  it("who sleeps is woken in the order of the times, and at the same time in that of going to sleep", () => {
    const log: Array<string> = []
    const sleeper = (millis: number, name: string) =>
      Effect.zipRight(Effect.sleep(millis), Effect.map(now, (now) => log.push(`${now} ${name}`)))
    Effect.runSync(inVirtualTime(
      Effect.all([sleeper(20, "a"), sleeper(10, "b"), sleeper(20, "c"), sleeper(10, "d"), sleeper(0, "e")], {
        concurrency: "unbounded"
      })
    ))
    expect(log).toEqual(["0 e", "10 b", "10 d", "20 a", "20 c"])
  })

  it("ends as the effect ends, whoever still sleeps", () => {
    const failing = Effect.zipRight(Effect.forkDaemon(Effect.sleep("1 hour")), Effect.fail("no"))
    expect(Effect.runSyncExit(inVirtualTime(failing))).toEqual(Exit.fail("no"))
  })

  it("forgets who has been interrupted, and who would sleep for ever", () => {
    const program = Effect.gen(function*() {
      yield* Effect.fork(Effect.sleep(Duration.infinity))
      yield* Fiber.interrupt(yield* Effect.fork(Effect.sleep("2 hours")))
      yield* Effect.timeoutOption(Effect.never, "1 hour")
      return yield* now
    })
    expect(Effect.runSync(inVirtualTime(program))).toBe(3_600_000)
  })

  it("has the services of the outside", () => {
    class Name extends Context.Tag("Name")<Name, string>() {}
    expect(Effect.runSync(inVirtualTime(Effect.zipRight(Effect.sleep(1), Name)).pipe(Effect.provideService(Name, "x"))))
      .toBe("x")
  })

  it("a fiber that has much to do is not taken for one that waits", () => {
    expect(
      Effect.runSync(
        inVirtualTime(Effect.iterate(0, { while: (n) => n < 100_000, body: (n) => Effect.succeed(n + 1) }))
      )
    )
      .toBe(100_000)
  })

  it("says so when it can never end, and releases what it has", () => {
    let released = 0
    const scoped = <A>(effect: Effect.Effect<A>) =>
      Effect.scoped(Effect.zipRight(Effect.addFinalizer(() => Effect.sync(() => released++)), effect))
    const waiting = inVirtualTime(scoped(Effect.flatMap(Deferred.make<void>(), Deferred.await)))
    expect(() => Effect.runSync(waiting)).toThrow("Everything waits for something that never comes")
    const spinning = inVirtualTime(scoped(Effect.zipRight(Effect.sleep(5), Effect.forever(Effect.yieldNow()))))
    expect(Effect.runSyncExit(spinning)).toEqual(
      Exit.die(new Cause.RuntimeException("At 5 ms there is no end to the work"))
    )
    expect(released).toBe(2)
  })
})
