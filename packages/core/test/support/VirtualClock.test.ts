import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as VirtualClock from "./VirtualClock.js"

const start = () => {
  const clock = VirtualClock.make()
  const log: Array<string> = []
  const say = (what: string) => Effect.sync(() => log.push(`${clock.now} ${what}`))
  return { clock, log, say }
}

describe("VirtualClock", () => {
  it("wakes sleepers in the order of their times, and at the same time in the order in which they went to sleep", () => {
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

  it("runs everything until it waits before the next timer of the same ms", () => {
    const { clock, log, say } = start()
    const child = Effect.yieldNow().pipe(Effect.andThen(say("child")), Effect.forkDaemon)
    clock.run(
      Effect.sleep(5).pipe(Effect.andThen(child), Effect.andThen(Effect.sleep(0)), Effect.andThen(say("slept")))
    )
    clock.run(Effect.andThen(Effect.sleep(5), say("other")))
    clock.advanceTo(5)
    expect(log).toEqual(["5 child", "5 other", "5 slept"])
  })

  it("does not run what it has started before it is told to, except the first turn", () => {
    const { clock, log, say } = start()
    clock.run(Effect.andThen(say("first"), Effect.andThen(Effect.yieldNow(), say("second"))))
    expect(log).toEqual(["0 first"])
    clock.flush()
    expect(log).toEqual(["0 first", "0 second"])
  })

  it("is the clock of what runs in it", () => {
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

  it("stops when time cannot go on", () => {
    const { clock } = start()
    clock.run(Effect.forever(Effect.sleep(0)))
    expect(() => clock.advanceTo(1)).toThrow("At 0 ms")
  })
})
