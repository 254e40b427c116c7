import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import type { ExponentialOptions, RetryDecision } from "../../RetryPolicy.js"
import * as Options from "../base/options.js"

/**
 * A schedule without an end, made of a function from its state to the next delay in ms and the next state.
 */
const fromDelays = <S>(
  initial: S,
  next: (state: S) => Effect.Effect<readonly [delay: number, state: S]>
): Schedule.Schedule<Duration.Duration> =>
  Schedule.makeWithState(initial, (now, _input: unknown, state: S) =>
    Effect.map(next(state), ([millis, state]) => {
      const delay = Duration.millis(millis)
      const interval = ScheduleInterval.after(now + Duration.toMillis(delay))
      return [state, delay, ScheduleDecision.continueWith(interval)] as const
    }))

/** @internal */
export const fixed = (delay: Duration.DurationInput): Schedule.Schedule<Duration.Duration> => {
  const millis = Options.finiteMillis("delay", delay)
  return fromDelays(undefined, () => Effect.succeed([millis, undefined]))
}

/** @internal */
export const randomized = (
  delay: Duration.DurationInput,
  options?: { readonly fraction?: number | undefined }
): Schedule.Schedule<Duration.Duration> => {
  const millis = Options.finiteMillis("delay", delay)
  const fraction = options?.fraction ?? 0.3
  Options.check(fraction >= 0 && fraction <= 1, "fraction", "a number between 0 and 1", fraction)
  const draw = Random.nextRange(millis * (1 - fraction), millis * (1 + fraction))
  return fromDelays(undefined, () => Effect.map(draw, (millis) => [millis, undefined]))
}

/** What is left to chance of a delay that has been computed, and capped. */
const draws: Record<"full" | "equal" | "none", (delay: number) => Effect.Effect<number>> = {
  full: (delay) => Random.nextRange(0, delay),
  equal: (delay) => Random.nextRange(delay / 2, delay),
  none: Effect.succeed
}

const jitters = [...Object.keys(draws), "decorrelated"]

/** @internal */
export const exponential = (options: ExponentialOptions): Schedule.Schedule<Duration.Duration> => {
  const { jitter = "full" } = options
  Options.check(jitters.includes(jitter), "jitter", `one of ${jitters.join(", ")}`, jitter)
  const base = Options.finiteMillis("base", options.base)
  Options.check(base > 0, "base", "a duration of more than 0", options.base)
  const maxDelay = options.maxDelay === undefined
    ? Math.max(base, 60_000)
    : Options.finiteMillis("maxDelay", options.maxDelay)
  Options.check(maxDelay >= base, "maxDelay", `a duration of base (${base} ms) or more`, options.maxDelay)
  const { factor = jitter === "decorrelated" ? 3 : 2 } = options
  Options.check(factor >= 1 && Number.isFinite(factor), "factor", "a number of 1 or more", factor)
  // Every delay is drawn from a range that ends at the maxDelay or before it, and none is cut off there: the maxDelay would
  // bring together what the jitter has spread. What is kept from step to step never exceeds the maxDelay either.
  const grow = (delay: number) => Math.min(maxDelay, delay * factor)
  return jitter === "decorrelated"
    ? fromDelays(base, (last) => Effect.map(Random.nextRange(base, grow(last)), (drawn) => [drawn, drawn]))
    : fromDelays(base, (delay) => Effect.map(draws[jitter](delay), (drawn) => [drawn, grow(delay)]))
}

/** @internal */
export const giveUpAfter = dual<
  (time: Duration.DurationInput) => <Out, In, R>(self: Schedule.Schedule<Out, In, R>) => Schedule.Schedule<Out, In, R>,
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, time: Duration.DurationInput) => Schedule.Schedule<Out, In, R>
>(2, (self, time) => {
  const millis = Duration.toMillis(Options.duration("giveUpAfter", time))
  const initial = { since: undefined as number | undefined, state: self.initial }
  return Schedule.makeWithState(initial, (attemptBegunAt, input, { since, state }) =>
    Effect.gen(function*() {
      // Not since the attempt began, from which `Schedule.elapsed` counts: that of a connection which is lost now may
      // have begun long ago.
      const now = yield* Clock.currentTimeMillis
      const [next, out, decision] = yield* self.step(attemptBegunAt, input, state)
      const begun = since ?? now
      return [{ since: begun, state: next }, out, now - begun >= millis ? ScheduleDecision.done : decision] as const
    }))
})

/** @internal */
export const follow: RetryDecision = { _tag: "Follow" }

/** @internal */
export const giveUp: RetryDecision = { _tag: "GiveUp" }

/** @internal */
export const retryAfter = (time: Duration.DurationInput): RetryDecision => ({
  _tag: "RetryAfter",
  time: Duration.millis(Options.finiteMillis("retryAfter", time))
})

/** @internal */
export const classify = dual<
  <E>(
    decide: (cause: Cause.Cause<E>) => RetryDecision
  ) => <Out, In, R>(
    self: Schedule.Schedule<Out, In, R>
  ) => Schedule.Schedule<Out, In & Cause.Cause<E>, R>,
  <Out, In, R, E>(
    self: Schedule.Schedule<Out, In, R>,
    decide: (cause: Cause.Cause<E>) => RetryDecision
  ) => Schedule.Schedule<Out, In & Cause.Cause<E>, R>
>(
  2,
  <Out, In, R, E>(self: Schedule.Schedule<Out, In, R>, decide: (cause: Cause.Cause<E>) => RetryDecision) =>
    Schedule.makeWithState(self.initial, (attemptBegunAt, cause: In & Cause.Cause<E>, state) =>
      Effect.gen(function*() {
        const decision = decide(cause)
        // A server speaks now, however long ago the attempt, or that of a connection which is lost now, began.
        const from = decision._tag === "RetryAfter"
          ? (yield* Clock.currentTimeMillis) + Duration.toMillis(decision.time)
          : attemptBegunAt
        const [next, out, intervals] = yield* self.step(from, cause, state)
        return [next, out, decision._tag === "GiveUp" ? ScheduleDecision.done : intervals] as const
      }))
)
