/**
 * Do the clients of a server stampede? A simulation of a fleet that is cut off at one moment and comes back: with the
 * real persistent connection and a policy of yours, in virtual time, so that an hour of two hundred clients takes less
 * than a second, and a check of how they spread. It knows no test framework.
 *
 * @example
 * ```ts
 * import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Effect from "effect/Effect"
 *
 * // To be run as a test: fails with a `Stampede` if more than 10 % of the clients come within 100 ms.
 * export const test = ThunderingHerd.simulate({
 *   retry: RetryPolicy.exponential({ base: "500 millis", maxDelay: "30 seconds" }),
 *   reconnectJitter: "5 seconds"
 * }).pipe(
 *   Effect.flatMap(ThunderingHerd.check({ window: "100 millis", atMost: 0.1 }))
 * )
 * ```
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Schedule from "effect/Schedule"
import type { AttemptFailure } from "../Connector.js"
import * as internal from "../internal/testing/thunderingHerd.js"

/**
 * What happens to the fleet: all clients connect at once and stay connected for `uptime`; then all lose their
 * connections at the same moment, and the server is away for `outage`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scenario<E = never, R = never> {
  /** How many clients there are. Default: 200. */
  readonly clients?: number | undefined
  /** The whole is simulated once for each, with other chances. Default: 1, 2 and 3. */
  readonly seeds?: Arr.NonEmptyReadonlyArray<number | string> | undefined
  /** As for `PersistentConnection.make`. */
  readonly retry?: Schedule.Schedule<unknown, Cause.Cause<AttemptFailure<E>>, R> | undefined
  /** As for `PersistentConnection.make`. */
  readonly reconnectJitter?: Duration.DurationInput | undefined
  /** As for `PersistentConnection.make`. */
  readonly minUptime?: Duration.DurationInput | undefined
  /** How long the connections live before they are lost. Default: 1 hour. */
  readonly uptime?: Duration.DurationInput | undefined
  /** For how long after the loss every attempt fails. Default: 0, the server is up again at once. */
  readonly outage?: Duration.DurationInput | undefined
  /** What the attempts fail with meanwhile. Default: a defect. */
  readonly failure?: Cause.Cause<E> | undefined
}

/**
 * What came of it for one seed. All times are in ms since the loss, in ascending order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  readonly seed: number | string
  /** When the clients tried to connect: all attempts after the loss. */
  readonly attempts: ReadonlyArray<number>
  /** When they succeeded: one time for each client, unless its policy gave up. */
  readonly reconnects: ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Simulation {
  readonly clients: number
  /** One for each seed. */
  readonly runs: ReadonlyArray<Run>
}

/**
 * The window into which most attempts fell, over all runs: `attempts` of them, from `from` ms after the loss on, in the
 * run with this seed. `share` is what they are in proportion to the number of clients, not of all attempts, so that a
 * fleet which comes all together, again and again, does not look better with each time: 1 means one attempt for each
 * client, and it can be more.
 *
 * @since 0.1.0
 * @category models
 */
export interface Peak {
  readonly seed: number | string
  readonly from: number
  readonly attempts: number
  readonly share: number
}

/**
 * A peak above the limit.
 *
 * @since 0.1.0
 * @category models
 */
export interface Excess extends Peak {
  readonly clients: number
  readonly window: Duration.Duration
  readonly atMost: number
}

/**
 * More clients than allowed have tried to connect within one window.
 *
 * @since 0.1.0
 * @category errors
 */
export class Stampede extends Data.TaggedError("Stampede")<Excess> {
  /**
   * One line for a person: how many, when, and how many are allowed.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return internal.describe(this)
  }
}

/**
 * Simulates the fleet. It takes as long as the work in it, about 1 ms for a client and 0.2 ms for each further
 * attempt, and no time of the `Clock`. The same scenario gives the same result each time. Nothing of it is logged.
 *
 * Dies with an `IllegalArgumentException` if an option makes no sense, and with a `RuntimeException` if the attempts
 * come to no end because there is an outage and the policy has no delay.
 *
 * @since 0.1.0
 * @category constructors
 */
export const simulate: <E = never, R = never>(scenario: Scenario<E, R>) => Effect.Effect<Simulation, never, R> =
  internal.simulate

/**
 * How bad it was: the fullest window of this length, wherever it begins.
 *
 * @since 0.1.0
 * @category getters
 */
export const peak: {
  (window: Duration.DurationInput): (self: Simulation) => Peak
  (self: Simulation, window: Duration.DurationInput): Peak
} = internal.peak

/**
 * Fails with a `Stampede` if there is a window of this length into which more attempts fall than `atMost` times the
 * number of clients: 0.1 is 10 %.
 *
 * @since 0.1.0
 * @category checks
 */
export const check: {
  (options: {
    readonly window: Duration.DurationInput
    readonly atMost: number
  }): (self: Simulation) => Effect.Effect<void, Stampede>
  (
    self: Simulation,
    options: { readonly window: Duration.DurationInput; readonly atMost: number }
  ): Effect.Effect<void, Stampede>
} = dual(
  2,
  (self: Simulation, options: { readonly window: Duration.DurationInput; readonly atMost: number }) =>
    Effect.mapError(internal.check(self, options), (excess) => new Stampede(excess))
)
