import { inVirtualTime, VirtualClock } from "#internal/testing/virtualClock.js"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

const now = Clock.currentTimeMillis

describe("inVirtualTime", () => {
  it("a year passes at once, and the outer clock does not move", () => {
    const year = inVirtualTime(Effect.zipRight(Effect.sleep("365 days"), now))
    expect(Effect.runSync(year)).toBe(365 * 24 * 60 * 60 * 1_000)
    expect(Effect.runSync(Effect.zipRight(year, now))).toBeGreaterThan(1_000_000_000_000)
    expect(Effect.runSync(inVirtualTime(Effect.zipRight(Effect.sleep(7), Clock.currentTimeNanos)))).toBe(7_000_000n)
  })

  it("wakes sleeping fibers by due time, then in the order in which they went to sleep", () => {
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

  it("ends with the effect, even if other fibers still sleep", () => {
    const failing = Effect.zipRight(Effect.forkDaemon(Effect.sleep("1 hour")), Effect.fail("no"))
    expect(Effect.runSyncExit(inVirtualTime(failing))).toEqual(Exit.fail("no"))
  })

  it("does not wait for interrupted or infinite sleeps", () => {
    const program = Effect.gen(function*() {
      yield* Effect.fork(Effect.sleep(Duration.infinity))
      yield* Fiber.interrupt(yield* Effect.fork(Effect.sleep("2 hours")))
      yield* Effect.timeoutOption(Effect.never, "1 hour")
      return yield* now
    })
    expect(Effect.runSync(inVirtualTime(program))).toBe(3_600_000)
  })

  it("has the services of the caller", () => {
    class Name extends Context.Tag("Name")<Name, string>() {}
    expect(Effect.runSync(inVirtualTime(Effect.zipRight(Effect.sleep(1), Name)).pipe(Effect.provideService(Name, "x"))))
      .toBe("x")
  })

  it("a fiber that yields often does not count as waiting", () => {
    expect(
      Effect.runSync(
        inVirtualTime(Effect.iterate(0, { while: (n) => n < 100_000, body: (n) => Effect.succeed(n + 1) }))
      )
    )
      .toBe(100_000)
  })

  it("dies with a message if the program can never end, and releases its resources", () => {
    let released = 0
    const scoped = <A>(effect: Effect.Effect<A>) =>
      Effect.scoped(Effect.zipRight(Effect.addFinalizer(() => Effect.sync(() => released++)), effect))
    const waiting = inVirtualTime(scoped(Effect.flatMap(Deferred.make<void>(), Deferred.await)))
    expect(() => Effect.runSync(waiting)).toThrow("The program waits forever: no fiber can run, and no timer is left")
    const spinning = inVirtualTime(scoped(Effect.zipRight(Effect.sleep(5), Effect.forever(Effect.yieldNow()))))
    expect(Effect.runSyncExit(spinning)).toEqual(
      Exit.die(new Cause.RuntimeException("At 5 ms the program runs in an endless loop"))
    )
    expect(released).toBe(2)
  })
})

const start = () => {
  const clock = new VirtualClock()
  const log: Array<string> = []
  const say = (what: string) => Effect.sync(() => log.push(`${clock.now} ${what}`))
  return { clock, log, say }
}

describe("VirtualClock", () => {
  it("wakes sleeping fibers by due time, then in the order in which they went to sleep", () => {
    const { clock, log, say } = start()
    for (const millis of [20, 10, 20, 10]) {
      const name = `${millis}.${log.length}`
      log.push(name)
      clock.run(Effect.andThen(Effect.sleep(millis), say(name)))
    }
    log.length = 0
    clock.advanceTo(19)
    expect(log).toEqual(["10 10.1", "10 10.3"])
    clock.advanceTo(20)
    expect(log.slice(2)).toEqual(["20 20.0", "20 20.2"])
  })

  it("runs all fibers until they wait before the next timer of the same ms", () => {
    const { clock, log, say } = start()
    const child = Effect.yieldNow().pipe(Effect.andThen(say("child")), Effect.forkDaemon)
    clock.run(
      Effect.sleep(5).pipe(Effect.andThen(child), Effect.andThen(Effect.sleep(0)), Effect.andThen(say("slept")))
    )
    clock.run(Effect.andThen(Effect.sleep(5), say("other")))
    clock.advanceTo(5)
    expect(log).toEqual(["5 child", "5 other", "5 slept"])
  })

  it("runs only the first turn of a fiber until the clock is flushed", () => {
    const { clock, log, say } = start()
    clock.run(Effect.andThen(say("first"), Effect.andThen(Effect.yieldNow(), say("second"))))
    expect(log).toEqual(["0 first"])
    clock.flush()
    expect(log).toEqual(["0 first", "0 second"])
  })

  it("is the clock of the fibers that it runs", () => {
    const { clock } = start()
    clock.advanceTo(7)
    const fiber = clock.run(Effect.all([Clock.currentTimeMillis, Clock.currentTimeNanos]))
    expect(fiber.unsafePoll()).toMatchObject({ value: [7, 7_000_000n] })
  })

  it("forgets interrupted and infinite sleeps", () => {
    const { clock, log, say } = start()
    const fiber = clock.run(Effect.andThen(Effect.sleep(5), say("awake")))
    clock.run(Effect.andThen(Effect.sleep(Duration.infinity), say("awake")))
    clock.run(Fiber.interrupt(fiber))
    clock.advanceTo(1_000_000)
    expect(log).toEqual([])
  })

  it("throws on an endless loop", () => {
    const { clock } = start()
    clock.run(Effect.forever(Effect.sleep(0)))
    expect(() => clock.advanceTo(1)).toThrow("At 0 ms")
  })
})
