/** When the clients of a fleet make their attempts: the policies of this library, and the formulas of the others. */
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"

/** A client. All times are in ms; `Infinity` means that it has given up. */
export interface FleetClient {
  /** When the next attempt is made after the loss of a connection that had lived for long. */
  readonly afterLoss: (now: number) => number
  /** When the next attempt is made after one that has just failed. */
  readonly afterFailure: (now: number) => number
}

export interface Policy {
  readonly name: string
  readonly client: (seed: string) => FleetClient
}

interface Settings {
  readonly retry: Schedule.Schedule<unknown>
  readonly reconnectJitter?: Duration.DurationInput
}

/** The real schedule, stepped as a persistent connection does. */
export const ofLibrary = (name: string, { reconnectJitter = 0, retry }: Settings): Policy => ({
  name,
  client: (seed) => {
    const random = Random.make(seed)
    const jitter = Duration.toMillis(reconnectJitter)
    let state: unknown = retry.initial
    const step = (attemptBegunAt: number): number => {
      const stepped = retry.step(attemptBegunAt, Cause.empty, state)
      const [next, , decision] = Effect.runSync(Effect.withRandom(stepped, random))
      state = next
      return ScheduleDecision.isDone(decision) ? Infinity : Intervals.start(decision.intervals)
    }
    return {
      afterLoss: (now) => {
        // The attempt that opened the connection began long ago, so its delay has passed, and the schedule restarts.
        step(-1e9)
        state = retry.initial
        return jitter === 0 ? now : now + Effect.runSync(random.next) * jitter
      },
      afterFailure: step
    }
  }
})

/** A formula: the delay of the nth attempt after a loss, from 0 on. */
const ofFormula = (name: string, draw: () => (attempt: number) => number): Policy => ({
  name,
  client: () => {
    const delay = draw()
    let attempt = 0
    return {
      afterLoss: (now) => {
        attempt = 0
        return now + delay(attempt++)
      },
      afterFailure: (now) => now + delay(attempt++)
    }
  }
})

const phoenixDelays = [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000]

export const production = ofLibrary("persistent-connection, production", RetryPolicy.production)

export const policies: ReadonlyArray<Policy> = [
  production,
  ofLibrary("persistent-connection, default", { retry: RetryPolicy.standard }),
  ofLibrary("persistent-connection, full jitter", {
    retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "30 seconds" }),
    reconnectJitter: "5 seconds"
  }),
  ofFormula("reconnecting-websocket", () => {
    const first = 1_000 + Math.random() * 4_000
    return (attempt) => Math.min(10_000, first * 1.3 ** attempt)
  }),
  ofFormula("socket.io-client", () => (attempt) => {
    const delay = 1_000 * 2 ** Math.min(attempt, 10)
    return Math.min(5_000, delay * (1 + (Math.random() - 0.5)))
  }),
  ofFormula(
    "graphql-ws",
    () => (attempt) => attempt < 5 ? 1_000 * 2 ** attempt + 300 + Math.random() * 2_700 : Infinity
  ),
  ofFormula("phoenix", () => (attempt) => phoenixDelays[attempt] ?? 5_000),
  ofFormula("@effect/rpc", () => (attempt) => Math.min(5_000, 500 * 1.5 ** attempt)),
  ofFormula("by hand: exponential, no jitter", () => (attempt) => Math.min(30_000, 1_000 * 2 ** attempt)),
  ofFormula("by hand: every second", () => () => 1_000)
]
