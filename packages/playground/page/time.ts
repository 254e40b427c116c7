/** The time of a session: real, or virtual and faster. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { VirtualClock } from "../src/live/virtualClock.js"

export interface Time {
  readonly now: () => number
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Lets this much real time pass, in ms. */
  readonly pass: (millis: number) => void
}

export const realTime: Time = { now: Date.now, run: Effect.runFork, pass: () => {} }

/** The part of a frame that the simulation may take, in ms. Beyond that it becomes slower than `speed`. */
const budget = 12

export const virtualTime = (speed: number): Time => {
  const clock = new VirtualClock()
  return {
    now: () => clock.unsafeCurrentTimeMillis(),
    run: (effect) => clock.run(effect),
    pass: (millis) => {
      const end = performance.now() + budget
      clock.advanceTo(clock.unsafeCurrentTimeMillis() + millis * speed, () => performance.now() < end)
    }
  }
}
