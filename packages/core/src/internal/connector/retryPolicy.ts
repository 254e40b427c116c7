import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import type { ExponentialOptions, RetryDecision } from "../../RetryPolicy.js"
import * as Options from "../base/options.js"
import { now } from "../base/time.js"

/** @internal */
export const schedule = Options.kind("a Schedule", Schedule.isSchedule)

/**
 * A schedule that never ends: `next` maps its state to the next delay in ms and the next state.
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
  const millis = Duration.toMillis(Options.finite("delay", delay))
  return fromDelays(undefined, () => Effect.succeed([millis, undefined]))
}

/** Uniform over `delay` ± `part` of it. */
const proportional = (delay: number, part: number): Effect.Effect<number> =>
  Random.nextRange(delay * (1 - part), delay * (1 + part))

const randomizedReaders = { jitter: Options.optional(Options.part) }

/** @internal */
export const randomized = (
  delay: Duration.DurationInput,
  options?: { readonly jitter?: number | undefined }
): Schedule.Schedule<Duration.Duration> => {
  const millis = Duration.toMillis(Options.finite("delay", delay))
  const { jitter = 0.3 } = Options.read(options, randomizedReaders)
  return fromDelays(undefined, () => Effect.map(proportional(millis, jitter), (drawn) => [drawn, undefined]))
}

/** The jitters that are applied to the capped delay. */
const draws: Record<"full" | "equal" | "none", (delay: number) => Effect.Effect<number>> = {
  full: (delay) => Random.nextRange(0, delay),
  equal: (delay) => Random.nextRange(delay / 2, delay),
  none: Effect.succeed
}

const isFactor = (input: unknown): boolean => Number.isFinite(input) && Number(input) >= 1

/** @internal */
export const exponential = (options: ExponentialOptions): Schedule.Schedule<Duration.Duration> => {
  const jitters: ReadonlyArray<unknown> = [...Object.keys(draws), "decorrelated"]
  const isJitter = (input: unknown) => jitters.includes(input) || Options.isPart(input)
  const readers = {
    base: Options.finite,
    factor: Options.optional(Options.value("a number of 1 or more", isFactor)),
    maxDelay: Options.withDefault(Options.finite, "1 minute"),
    jitter: Options.optional(Options.value(`one of ${jitters.join(", ")}, or a number from 0 to 1`, isJitter))
  }
  const { jitter = "full", ...values } = Options.read(options, readers)
  const { factor = jitter === "decorrelated" ? 3 : 2 } = values
  const base = Duration.toMillis(values.base)
  const maxDelay = Math.max(Duration.toMillis(values.maxDelay), options.maxDelay === undefined ? base : 0)
  Options.value(`a duration of base (${base} ms) or more`, () => maxDelay >= base)("maxDelay", options.maxDelay)

  if (jitter === "decorrelated") {
    return fromDelays(base, (last) =>
      Effect.map(Random.nextRange(base, last * factor), (drawn) => {
        const delay = Math.min(maxDelay, drawn)
        return [delay, delay]
      }))
  }
  // The jitter comes after the cap: otherwise the cap would bring the spread clients together again.
  const draw = typeof jitter === "number" ? (delay: number) => proportional(delay, jitter) : draws[jitter]
  return fromDelays(base, (delay) => Effect.map(draw(delay), (drawn) => [drawn, Math.min(maxDelay, delay * factor)]))
}

/** @internal */
export const production = {
  // Equal jitter at a base of 2 s. Full jitter would need a longer base to be as gentle with a server that flaps.
  retry: /* @__PURE__ */ exponential({ base: "2 seconds", maxDelay: "30 seconds", jitter: "equal" }),
  minUptime: /* @__PURE__ */ Duration.seconds(5),
  reconnectJitter: /* @__PURE__ */ Duration.seconds(5)
}

/** @internal */
export const giveUpAfter = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>,
  time: Duration.DurationInput
): Schedule.Schedule<Out, In, R> => {
  const millis = Duration.toMillis(Options.duration("giveUpAfter", time))
  const initial = { since: undefined as number | undefined, state: schedule("self", self).initial }
  return Schedule.makeWithState(initial, (attemptBegunAt, input, { since, state }) =>
    Effect.gen(function*() {
      // Not `attemptBegunAt`, which `Schedule.elapsed` uses: after a loss, the attempt that opened the connection may
      // have begun long ago.
      const at = now(yield* Effect.clock)
      const [next, out, decision] = yield* self.step(attemptBegunAt, input, state)
      const begun = since ?? at
      return [{ since: begun, state: next }, out, at - begun >= millis ? ScheduleDecision.done : decision] as const
    }))
}

/** @internal */
export const follow: RetryDecision = { _tag: "Follow" }

/** @internal */
export const giveUp: RetryDecision = { _tag: "GiveUp" }

/** @internal */
export const retryAfter = (time: Duration.DurationInput): RetryDecision => ({
  _tag: "RetryAfter",
  time: Options.finite("retryAfter", time)
})

const isDecision = (input: unknown): boolean =>
  Predicate.isTagged(input, "Follow") ||
  Predicate.isTagged(input, "GiveUp") ||
  (Predicate.isTagged(input, "RetryAfter") && Predicate.hasProperty(input, "time") && Duration.isDuration(input.time))

/** @internal */
export const classify = <Out, In, R, E>(
  self: Schedule.Schedule<Out, In, R>,
  decide: (cause: Cause.Cause<E>) => RetryDecision
): Schedule.Schedule<Out, In & Cause.Cause<E>, R> => {
  Options.func("decide", decide)
  const asDecision = Options.kind("follow, giveUp or retryAfter(time)", isDecision)
  return Schedule.makeWithState(
    schedule("self", self).initial,
    (attemptBegunAt, cause: In & Cause.Cause<E>, state) =>
      Effect.gen(function*() {
        const decision = asDecision("The result of decide", decide(cause))
        // Counts from now: after a loss, the last attempt may have begun long ago.
        const from = decision._tag === "RetryAfter"
          ? now(yield* Effect.clock) + Duration.toMillis(decision.time)
          : attemptBegunAt
        const [next, out, intervals] = yield* self.step(from, cause, state)
        return [next, out, decision._tag === "GiveUp" ? ScheduleDecision.done : intervals] as const
      })
  )
}
