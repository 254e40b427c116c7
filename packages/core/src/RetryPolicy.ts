/**
 * When to try again: schedules for the `retry` option of a persistent connection. Any other `Schedule` will do as well,
 * and these can be combined like any other. Their output is the delay, and they know no end of their own.
 *
 * In a persistent connection a delay runs from the moment at which the last attempt began (T1, T2), and a success
 * restarts the schedule (D11). Chance comes from the `Random` service alone (T4).
 *
 * @example
 * ```ts
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Schedule from "effect/Schedule"
 *
 * const policy = RetryPolicy.exponential({ base: "500 millis", maxDelay: "30 seconds" })
 *
 * // Gives up after 20 retries, at the 21st failure in a row.
 * export const patient = policy.pipe(Schedule.intersect(Schedule.recurs(20)))
 *
 * // Gives up when nothing has worked for 10 minutes.
 * export const punctual = policy.pipe(RetryPolicy.giveUpAfter("10 minutes"))
 *
 * // Tries once more without any delay, and only then begins to wait. Needs `minUptime`: if every connection were a
 * // success, a peer that accepts and hangs up would never be called with any delay.
 * export const hasty = Schedule.recurs(1).pipe(Schedule.andThen(policy))
 * ```
 *
 * What a failure means is for `classify` to say.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import * as internal from "./internal/connector/retryPolicy.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface ExponentialOptions {
  /** The delay that the growth starts from; more than 0. */
  readonly base: Duration.DurationInput
  /** By how much the delay grows from attempt to attempt; 1 or more. Default: 2, and 3 for decorrelated jitter. */
  readonly factor?: number | undefined
  /** No delay is longer than this; `base` or more, and finite. Default: 1 minute, or `base` if that is longer. */
  readonly maxDelay?: Duration.DurationInput | undefined
  /**
   * What is drawn at random, where `delay` is `base * factor ** n` after `n` failures, but not more than `maxDelay`:
   *
   * - `"full"`, the default: anything from 0 to `delay`. Spreads the clients of a server most.
   * - `"equal"`: anything from half of `delay` to `delay`, so that there always is some rest.
   * - `"decorrelated"`: anything from `base` to `factor` times the delay drawn before, but not more than `maxDelay`.
   * - `"none"`: `delay` itself.
   */
  readonly jitter?: "full" | "equal" | "decorrelated" | "none" | undefined
}

/**
 * The default of a persistent connection: 10 seconds, randomised by ± 30 % (T3).
 *
 * @since 0.1.0
 * @category constructors
 */
export const standard: Schedule.Schedule<Duration.Duration> = internal.randomized("10 seconds")

/**
 * A new delay for every attempt, uniform over `delay` ± `fraction` of it (T3). `fraction` is a number from 0 to 1;
 * default: 0.3.
 *
 * Throws an `IllegalArgumentException` for a delay that is negative or infinite, and for another fraction.
 *
 * @since 0.1.0
 * @category constructors
 */
export const randomized: (
  delay: Duration.DurationInput,
  options?: { readonly fraction?: number | undefined }
) => Schedule.Schedule<Duration.Duration> = internal.randomized

/**
 * The same delay every time (T3); 0 retries at once. All clients of a server that goes away will return together, so
 * it is best left to tests and to a server with a single client.
 *
 * Throws an `IllegalArgumentException` for a delay that is negative or infinite.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fixed: (delay: Duration.DurationInput) => Schedule.Schedule<Duration.Duration> = internal.fixed

/**
 * A delay that grows with every failure in a row up to a cap. The jitter comes after the cap: clients that have all
 * arrived there are still spread.
 *
 * Throws an `IllegalArgumentException` that names the option if one makes no sense.
 *
 * @example
 * ```ts
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 *
 * // At most 1, 2, 4, 8, 16, 30, 30 … seconds
 * export const retry = RetryPolicy.exponential({ base: "1 second", maxDelay: "30 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const exponential: (options: ExponentialOptions) => Schedule.Schedule<Duration.Duration> = internal.exponential

/**
 * What a failure, or a loss, means for the next attempt; see `classify`.
 *
 * - `Follow`: the schedule says when it is.
 * - `GiveUp`: there is none (D11).
 * - `RetryAfter`: the server has named the time before which it does not want one.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryDecision =
  | { readonly _tag: "Follow" }
  | { readonly _tag: "GiveUp" }
  | { readonly _tag: "RetryAfter"; readonly time: Duration.Duration }

/**
 * The schedule says when the next attempt is made.
 *
 * @since 0.1.0
 * @category decisions
 */
export const follow: RetryDecision = internal.follow

/**
 * There is no next attempt: the persistent connection closes, with this cause as its reason (D11). Everyone who waits is
 * told, but in `connected`, which does not answer any more (A3).
 *
 * @since 0.1.0
 * @category decisions
 */
export const giveUp: RetryDecision = internal.giveUp

/**
 * The next attempt is not made before this time has passed, counted from now, the moment of the failure, and not from
 * the beginning of the attempt. The delay of the schedule begins when it has: it is not shortened, and its jitter keeps
 * apart the clients that were all told the same.
 *
 * It is believed whatever it is: take `Duration.min` of it and of the longest time you would wait. Throws an
 * `IllegalArgumentException` for a time that is negative or infinite.
 *
 * @since 0.1.0
 * @category decisions
 */
export const retryAfter: (time: Duration.DurationInput) => RetryDecision = internal.retryAfter

/**
 * Gives up when nothing has worked for so long: at the first failure that comes so much later than the failure or loss
 * with which it began, or at the first of all if the time is 0. A success restarts it (D11).
 *
 * `Schedule.upTo` is not the same: it counts from the beginning of the attempt that led to the connection which was lost,
 * and gives up at the first failure after a connection that has lived for long. So do all that build on
 * `Schedule.elapsed`.
 *
 * Throws an `IllegalArgumentException` for a negative time.
 *
 * @since 0.1.0
 * @category combinators
 */
export const giveUpAfter: {
  (time: Duration.DurationInput): <Out, In, R>(self: Schedule.Schedule<Out, In, R>) => Schedule.Schedule<Out, In, R>
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, time: Duration.DurationInput): Schedule.Schedule<Out, In, R>
} = internal.giveUpAfter

/**
 * Sorts the causes of failures and losses into classes: those that are final, those after which the server wants to be
 * left alone for a time, and all others. The cause is that of a look-up, of a connect, or of the end of a connection: a
 * typed error, a defect, or empty if the peer closed the connection without an error.
 *
 * For causes that ask for another address see `Addresses.failover`. A function that throws is logged, and the next
 * attempt is made after 10 s (D10).
 *
 * @example
 * ```ts
 * import type { AttemptFailure } from "@persistent-connection/core/Connector"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Cause from "effect/Cause"
 * import * as Data from "effect/Data"
 * import * as Duration from "effect/Duration"
 * import * as Option from "effect/Option"
 *
 * class Unauthorized extends Data.TaggedError("Unauthorized")<{}> {}
 * class Busy extends Data.TaggedError("Busy")<{ readonly retryAfter: Duration.Duration }> {}
 * class Unreachable extends Data.TaggedError("Unreachable")<{ readonly host: string }> {}
 *
 * type FeedError = Unauthorized | Busy | Unreachable
 *
 * export const retry = RetryPolicy.exponential({ base: "1 second", maxDelay: "1 minute" }).pipe(
 *   RetryPolicy.classify((cause: Cause.Cause<AttemptFailure<FeedError>>) => {
 *     const error = Option.getOrUndefined(Cause.failureOption(cause))
 *     switch (error?._tag) {
 *       case "Unauthorized":
 *         return RetryPolicy.giveUp
 *       case "Busy":
 *         return RetryPolicy.retryAfter(Duration.min(error.retryAfter, "10 minutes"))
 *       default:
 *         return RetryPolicy.follow
 *     }
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const classify: {
  <E>(decide: (cause: Cause.Cause<E>) => RetryDecision): <Out, In, R>(
    self: Schedule.Schedule<Out, In, R>
  ) => Schedule.Schedule<Out, In & Cause.Cause<E>, R>
  <Out, E, R>(
    self: Schedule.Schedule<Out, Cause.Cause<E>, R>,
    decide: (cause: Cause.Cause<E>) => RetryDecision
  ): Schedule.Schedule<Out, Cause.Cause<E>, R>
} = internal.classify
