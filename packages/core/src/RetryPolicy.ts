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
 * import * as Cause from "effect/Cause"
 * import * as Data from "effect/Data"
 * import * as Option from "effect/Option"
 * import * as Schedule from "effect/Schedule"
 *
 * class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}
 *
 * const policy = RetryPolicy.exponential({ base: "500 millis", cap: "30 seconds" })
 *
 * // Gives up after 20 failures in a row.
 * export const patient = policy.pipe(Schedule.intersect(Schedule.recurs(20)))
 *
 * // Gives up when nothing has worked for 10 minutes.
 * export const punctual = policy.pipe(Schedule.upTo("10 minutes"))
 *
 * // Gives up at once when the server says that it will never let us in.
 * export const realistic = policy.pipe(
 *   Schedule.whileInput((cause: Cause.Cause<FeedError>) =>
 *     Option.match(Cause.failureOption(cause), { onNone: () => true, onSome: (error) => error.status !== 403 })
 *   )
 * )
 *
 * // Tries once more without any delay, and only then begins to wait.
 * export const hasty = Schedule.recurs(1).pipe(Schedule.andThen(policy))
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import * as internal from "./internal/retryPolicy.js"

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
  readonly cap?: Duration.DurationInput | undefined
  /**
   * What is drawn at random, where `delay` is `base * factor ** n` after `n` failures, but not more than `cap`:
   *
   * - `"full"`, the default: anything from 0 to `delay`. Spreads the clients of a server most.
   * - `"equal"`: anything from half of `delay` to `delay`, so that there always is some rest.
   * - `"decorrelated"`: anything from `base` to `factor` times the delay drawn before, but not more than `cap`.
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
 * export const retry = RetryPolicy.exponential({ base: "1 second", cap: "30 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const exponential: (options: ExponentialOptions) => Schedule.Schedule<Duration.Duration> = internal.exponential
