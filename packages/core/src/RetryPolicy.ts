/**
 * Retry policies: schedules for the `retry` option of a persistent connection. Any other `Schedule` works as well, and
 * all combinators of `Schedule` apply. The schedules of this module output the delay, and never end, except with
 * `giveUp` and `giveUpAfter`.
 *
 * In a persistent connection a delay runs from the moment at which the last attempt began (T1, T2). A connection that
 * lives for `minUptime` is a success, and restarts the schedule (D11, D14). Randomness comes from the `Random` service
 * only (T4).
 *
 * @example
 * ```ts
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Schedule from "effect/Schedule"
 *
 * const policy = RetryPolicy.production.retry
 *
 * // Gives up after 20 retries, at the 21st consecutive failure.
 * export const atMost20Retries = policy.pipe(Schedule.intersect(Schedule.recurs(20)))
 *
 * // Gives up when there has been no success for 10 minutes.
 * export const atMost10Minutes = policy.pipe(RetryPolicy.giveUpAfter("10 minutes"))
 *
 * // Retries once without a delay, and then backs off. Needs a `minUptime` of more than 0: otherwise every connection
 * // would restart the schedule, and a server that accepts and hangs up would get attempts without a delay, for ever.
 * export const firstRetryAtOnce = Schedule.recurs(1).pipe(Schedule.andThen(policy))
 * ```
 *
 * `classify` decides by the cause of a failure: retry, wait longer, or give up.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import * as Schedule from "effect/Schedule"
import * as internal from "./internal/connector/retryPolicy.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface ExponentialOptions {
  /**
   * The first delay; finite. With 0 every delay is 0: use this only in tests. To retry once without a delay, use
   * `Schedule.recurs(1).pipe(Schedule.andThen(policy))`.
   */
  readonly base: Duration.DurationInput
  /** The delay is multiplied by this number after each failure; 1 or more. Default: 2; with decorrelated jitter 3. */
  readonly factor?: number | undefined
  /**
   * The cap of the delay before jitter; `base` or more, and finite. If `jitter` is a number, a delay may exceed the cap
   * by that part of it. Default: 1 minute, or `base` if that is longer.
   */
  readonly maxDelay?: Duration.DurationInput | undefined
  /**
   * How the delay is drawn. Below, `delay` is `min(maxDelay, base * factor ** n)` after `n` failures. The first three
   * are the formulas that AWS has published under these names.
   *
   * - `"full"`, the default: uniform between 0 and `delay`. It spreads the clients of a server most.
   * - `"equal"`: uniform between half of `delay` and `delay`, so no delay is near 0.
   * - `"decorrelated"`: `min(maxDelay, d)`, where `d` is uniform between `base` and `factor` times the previous delay.
   *   The cap comes after the draw: once the delays are long, more than a third of the clients wait for exactly
   *   `maxDelay`. If clients fail together, prefer one of the others.
   * - a number `p` from 0 to 1: uniform over `delay` ± `p` times `delay`, as in gRPC.
   * - `"none"`: `delay` itself.
   */
  readonly jitter?: "full" | "equal" | "decorrelated" | "none" | number | undefined
}

/**
 * The default of a persistent connection: 10 seconds, randomised by ± 30 % (T3).
 *
 * @since 0.1.0
 * @category constructors
 */
export const standard: Schedule.Schedule<Duration.Duration> = internal.randomized("10 seconds")

/**
 * Options of `PersistentConnection.make` for a client in production. Spread them into your options.
 *
 * - `retry`: exponential backoff with delays of 2, 4, 8, 16, 30, 30 … seconds, each reduced at random by up to 50 %
 *   (equal jitter).
 * - `minUptime`: 5 s. A server that accepts and hangs up gets at most 5 connections in 30 s from each client.
 * - `reconnectJitter`: 5 s. When a server restarts, its clients come back spread evenly over 5 s. Use a longer time if
 *   5 s is too short for your number of clients: `ThunderingHerd` simulates it.
 *
 * It never gives up. To give up, apply `classify` or `giveUpAfter` to `production.retry`.
 *
 * @example
 * ```ts
 * import type { Connector } from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Effect from "effect/Effect"
 *
 * declare const connector: Connector<string, object>
 *
 * export const feed = PersistentConnection.make({
 *   serverName: "feed",
 *   address: Effect.succeed("feed.example.com"),
 *   connector,
 *   ...RetryPolicy.production
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const production: {
  readonly retry: Schedule.Schedule<Duration.Duration>
  readonly minUptime: Duration.Duration
  readonly reconnectJitter: Duration.Duration
} = internal.production

/**
 * Draws a new delay for every attempt, uniform over `delay` ± `jitter` times `delay` (T3). `jitter` is a number from 0
 * to 1; default: 0.3.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const randomized: (
  delay: Duration.DurationInput,
  options?: { readonly jitter?: number | undefined }
) => Schedule.Schedule<Duration.Duration> = internal.randomized

/**
 * The same delay every time (T3); 0 retries at once. It has no jitter, so all clients of a server that fails reconnect
 * together: use it for tests, or for a server with a single client.
 *
 * Throws an `IllegalArgumentException` for a delay that is negative or infinite.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fixed: (delay: Duration.DurationInput) => Schedule.Schedule<Duration.Duration> = internal.fixed

/**
 * Exponential backoff with jitter: the delay grows with every consecutive failure, up to the cap `maxDelay`. The
 * jitter, except decorrelated jitter, is applied after the cap, so it also spreads clients that have reached the cap.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @example
 * ```ts
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 *
 * // At most 1, 2, 4, 8, 16, 30, 30 … seconds
 * export const retry = RetryPolicy.exponential({ base: "1 second", maxDelay: "30 seconds" })
 *
 * // The backoff of gRPC: 1, 1.6, 2.56 … 120, 120 … seconds, each ± 20 %. `Connector.connectTimeout` shows the
 * // timeout of gRPC.
 * export const grpc = RetryPolicy.exponential({ base: "1 second", factor: 1.6, maxDelay: "2 minutes", jitter: 0.2 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const exponential: (options: ExponentialOptions) => Schedule.Schedule<Duration.Duration> = internal.exponential

/**
 * The decision of `classify` about the next attempt:
 *
 * - `Follow`: the schedule decides when the next attempt is made.
 * - `GiveUp`: there is no next attempt (D11).
 * - `RetryAfter`: the next attempt is not made before the time that the server has named.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryDecision =
  | { readonly _tag: "Follow" }
  | { readonly _tag: "GiveUp" }
  | { readonly _tag: "RetryAfter"; readonly time: Duration.Duration }

/**
 * The schedule decides when the next attempt is made.
 *
 * @since 0.1.0
 * @category decisions
 */
export const follow: RetryDecision = internal.follow

/**
 * There is no next attempt: the persistent connection closes, with this cause as its reason (D11). Waiting callers fail
 * with `ConnectionClosed`, with two exceptions: `connected` never answers (A3), and callers of
 * `connectedOrFailedToConnect` that wait for the failed attempt get its failure.
 *
 * @since 0.1.0
 * @category decisions
 */
export const giveUp: RetryDecision = internal.giveUp

/**
 * The next attempt is made after this time, counted from the failure or loss, plus the full delay of the schedule. The
 * jitter of that delay spreads clients that got the same time from the server.
 *
 * The time has no upper limit: set one with `Duration.min`. Throws an `IllegalArgumentException` for a time that is
 * negative or infinite.
 *
 * @since 0.1.0
 * @category decisions
 */
export const retryAfter: (time: Duration.DurationInput) => RetryDecision = internal.retryAfter

/**
 * Gives up when attempts have failed, or connections were lost, for `time` without a success. The time begins with the
 * first failure or loss after a success, except the loss of a connection that outlived its delay (D11). The first
 * failure or loss at least `time` later is the last one; with 0, the one that begins the time. Time is monotonic (T5).
 *
 * Do not use `Schedule.upTo`, or anything else that builds on `Schedule.elapsed`: it counts from the beginning of the
 * attempt that opened the lost connection, so it gives up at the first failure after a long-lived connection.
 *
 * Throws an `IllegalArgumentException` for a negative time.
 *
 * @since 0.1.0
 * @category combinators
 */
export const giveUpAfter: {
  (time: Duration.DurationInput): <Out, In, R>(self: Schedule.Schedule<Out, In, R>) => Schedule.Schedule<Out, In, R>
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, time: Duration.DurationInput): Schedule.Schedule<Out, In, R>
} = /* @__PURE__ */ dual((args) => Schedule.isSchedule(args[0]), internal.giveUpAfter)

/**
 * Decides by the cause of a failure or loss whether to retry as the schedule says (`follow`), to wait longer, for a
 * time that the server has named (`retryAfter`), or to give up (`giveUp`). The cause comes from a look-up, a connect,
 * or the end of a connection: a typed error, a defect, or empty if the peer closed the connection without an error.
 *
 * To choose another address by the cause, see `Addresses.failover`. If `decide` throws, or returns anything but a
 * decision, that is logged as an error, and the next attempt is made 10 s after the last one began (D10).
 *
 * Throws an `IllegalArgumentException` if `decide` is not a function.
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
 * export const retry = RetryPolicy.production.retry.pipe(
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
} = /* @__PURE__ */ dual((args) => Schedule.isSchedule(args[0]), internal.classify)
