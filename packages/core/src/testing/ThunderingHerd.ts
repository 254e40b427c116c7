/**
 * Checks that the clients of a server do not all reconnect at the same time. It simulates clients that lose their
 * connections at one moment, with real persistent connections and your policy, and measures how the attempts spread. It
 * runs in virtual time: an hour of 200 clients takes less than a second. It needs no test framework.
 *
 * @example
 * ```ts
 * import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Effect from "effect/Effect"
 *
 * // Run this in a test. It fails with a `Stampede` if any 100 ms have more attempts than 10 % of the clients.
 * export const test = ThunderingHerd.simulate(RetryPolicy.production).pipe(
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
 * The simulated history: all clients connect at once and stay connected for `uptime`. Then all connections are lost at
 * the same moment, and every attempt fails for the time `outage`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scenario<E = never, R = never> {
  /** How many clients there are. Default: 200. */
  readonly clients?: number | undefined
  /** The scenario is simulated once for each seed. Default: 1, 2 and 3. */
  readonly seeds?: Arr.NonEmptyReadonlyArray<number | string> | undefined
  /** As for `PersistentConnection.make`, with the same default. */
  readonly retry?: Schedule.Schedule<unknown, Cause.Cause<AttemptFailure<E>>, R> | undefined
  /** As for `PersistentConnection.make`, with the same default. */
  readonly reconnectJitter?: Duration.DurationInput | undefined
  /** As for `PersistentConnection.make`, with the same default. */
  readonly minUptime?: Duration.DurationInput | undefined
  /** How long the connections live before they are lost. Default: 1 hour. */
  readonly uptime?: Duration.DurationInput | undefined
  /** How long every attempt fails after the loss. Default: 0, the server is up again at once. */
  readonly outage?: Duration.DurationInput | undefined
  /** The cause with which attempts fail during the outage. Default: a defect. */
  readonly failure?: Cause.Cause<E> | undefined
}

/**
 * The result for one seed. All times are in ms since the loss, in ascending order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  readonly seed: number | string
  /** The times of all attempts after the loss. */
  readonly attempts: ReadonlyArray<number>
  /** The times of all successful attempts: one for each client, unless its policy gave up. */
  readonly reconnects: ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Simulation {
  readonly clients: number
  /** One run for each seed. */
  readonly runs: ReadonlyArray<Run>
}

/**
 * The window with the most attempts, over all runs. It begins `from` ms after the loss, in the run with this seed.
 * `share` is `attempts` divided by the number of clients: 1 means one attempt for each client. It can be more than 1,
 * if clients make several attempts in the window.
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
 * A peak above the limit that was given to `check`.
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
 * There were more attempts within one window than `check` allows.
 *
 * @since 0.1.0
 * @category errors
 */
export class Stampede extends /* @__PURE__ */ Data.TaggedError("Stampede")<Excess> {
  /**
   * One line: how many attempts there were, when, and how many are allowed.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return internal.describe(this)
  }
}

/**
 * Simulates the clients. The same scenario always gives the same result. Nothing is logged. It takes about 1 ms for
 * each client and 0.2 ms for each further attempt, and no time of the `Clock`.
 *
 * Dies with an `IllegalArgumentException` if an option is wrong, and with a `RuntimeException` if the attempts never
 * end because the policy has no delay during an outage.
 *
 * @since 0.1.0
 * @category constructors
 */
export const simulate: <E = never, R = never>(scenario: Scenario<E, R>) => Effect.Effect<Simulation, never, R> =
  internal.simulate

/**
 * Finds the window of this length with the most attempts, at any beginning.
 *
 * @since 0.1.0
 * @category getters
 */
export const peak: {
  (window: Duration.DurationInput): (self: Simulation) => Peak
  (self: Simulation, window: Duration.DurationInput): Peak
} = /* @__PURE__ */ dual(2, internal.peak)

/**
 * Fails with a `Stampede` if some window of this length has more attempts than `atMost` times the number of clients:
 * 0.1 is 10 %. Dies with an `IllegalArgumentException` if an option is wrong.
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
} = /* @__PURE__ */ dual(
  2,
  (self: Simulation, options: { readonly window: Duration.DurationInput; readonly atMost: number }) =>
    Effect.mapError(internal.check(self, options), (excess) => new Stampede(excess))
)
