import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import { printableCause } from "../base/render.js"
import { millisUntil, now, sleepUntil } from "../base/time.js"

/** The delay if the schedule dies, in ms from the beginning of the attempt. It is the default of the original. */
const fallback = 10_000

/** @internal */
export interface RetrySettings<E, R> {
  readonly serverName: string
  readonly schedule: Schedule.Schedule<unknown, Cause.Cause<E>, R>
  readonly minUptime: Duration.Duration
  readonly reconnectJitter: Duration.Duration
}

/**
 * Steps a schedule. Its "now" is the moment at which an attempt began (T1, T2); `Schedule.driver` would take the moment
 * of the failure. All moments are in ms of monotonic time.
 *
 * @internal
 */
export class RetryDriver<E, R> {
  private state: unknown
  /** The number of consecutive attempts without a delay. */
  private attemptsWithoutDelay = 0

  constructor(private readonly settings: RetrySettings<E, R>, private readonly clock: Clock.Clock) {
    this.state = settings.schedule.initial
  }

  /** Decides when the next attempt is due after a failure; none if the schedule has ended. */
  afterFailure(attemptBegunAt: number, cause: Cause.Cause<E>): Effect.Effect<Option.Option<number>, never, R> {
    const { schedule, serverName } = this.settings
    return Effect.suspend(() => schedule.step(attemptBegunAt, cause, this.state)).pipe(
      Effect.map(([state, , decision]) => {
        this.state = state
        return ScheduleDecision.isDone(decision) ? Option.none() : Option.some(Intervals.start(decision.intervals))
      }),
      // D10: a policy that dies does not stop the loop either.
      Effect.catchAllCause((defect) =>
        Effect.logError(`The retry policy of "${serverName}" failed`, printableCause(defect)).pipe(
          Effect.annotateLogs("server_name", serverName),
          Effect.as(Option.some(attemptBegunAt + fallback))
        )
      )
    )
  }

  /** Restarts the schedule if a connection that lived for this time, in ms, was a success (D11, D14). */
  lived(uptime: number): void {
    if (uptime >= Duration.toMillis(this.settings.minUptime)) this.state = this.settings.schedule.initial
  }

  /** Decides, after `lived`, when the next attempt is due. The lost connection lived for `uptime`, in ms. */
  afterLoss(
    attemptBegunAt: number,
    uptime: number,
    cause: Cause.Cause<E>
  ): Effect.Effect<Option.Option<number>, never, R> {
    const stepped = Effect.map(this.afterFailure(attemptBegunAt, cause), (due) => {
      // D11: after a success, a step whose delay has passed does not count: the next failure gets the first delay.
      if (Option.exists(due, (at) => millisUntil(this.clock, at) === 0)) this.lived(uptime)
      return due
    })
    const jitter = Duration.toMillis(this.settings.reconnectJitter)
    return jitter === 0
      ? stepped
      : Effect.zipWith(
        stepped,
        Random.next,
        (due, part) => Option.map(due, (at) => Math.max(at, now(this.clock)) + part * jitter)
      )
  }

  /** Waits until an attempt is due. */
  until(at: number): Effect.Effect<void> {
    const isDue = millisUntil(this.clock, at) === 0
    this.attemptsWithoutDelay = isDue ? this.attemptsWithoutDelay + 1 : 0
    if (!isDue) return sleepUntil(this.clock, at)
    // D11: other fibers always get a turn. Timers get one every 256 attempts: Effect's scheduler yields to them after
    // 2,048 turns.
    return Effect.repeatN(Effect.yieldNow(), this.attemptsWithoutDelay % 256 === 255 ? 2_100 : 0)
  }
}
