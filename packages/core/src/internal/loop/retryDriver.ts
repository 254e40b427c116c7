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
import { millisUntil, sleepUntil } from "../base/sleep.js"

/** What is waited, from the beginning of the attempt, if the schedule itself dies: the original's delay. */
const fallback = 10_000

/** @internal */
export interface RetrySettings<E, R> {
  readonly serverName: string
  readonly schedule: Schedule.Schedule<unknown, Cause.Cause<E>, R>
  readonly minUptime: Duration.Duration
  readonly reconnectJitter: Duration.Duration
}

/**
 * Steps a schedule with a "now" of one's own. `Schedule.driver` takes the moment of the failure and sleeps from there;
 * here the delay runs from the moment at which the attempt began (T1, T2).
 *
 * @internal
 */
export class RetryDriver<E, R> {
  private state: unknown
  /** How many attempts have followed each other without any delay. */
  private hotTurns = 0

  constructor(private readonly settings: RetrySettings<E, R>, private readonly clock: Clock.Clock) {
    this.state = settings.schedule.initial
  }

  /** When the next attempt is due after one that failed, in ms; none if the schedule has ended. */
  afterFailure(attemptBegunAt: number, cause: Cause.Cause<E>): Effect.Effect<Option.Option<number>, never, R> {
    const { schedule, serverName } = this.settings
    return Effect.suspend(() => schedule.step(attemptBegunAt, cause, this.state)).pipe(
      Effect.map(([state, , decision]) => {
        this.state = state
        return ScheduleDecision.isDone(decision) ? Option.none() : Option.some(Intervals.start(decision.intervals))
      }),
      // D10: not even a policy that dies stops the loop.
      Effect.catchAllCause((defect) =>
        Effect.logError(`The retry policy of "${serverName}" failed`, printableCause(defect)).pipe(
          Effect.annotateLogs("server_name", serverName),
          Effect.as(Option.some(attemptBegunAt + fallback))
        )
      )
    )
  }

  /** A connection that has lived so long, in ms, is over: if it was a success, that starts everything again (D11). */
  lived(uptime: number): void {
    if (uptime >= Duration.toMillis(this.settings.minUptime)) this.state = this.settings.schedule.initial
  }

  /** When the next attempt is due after the loss of a connection that has lived so long, in ms. */
  afterLoss(
    attemptBegunAt: number,
    uptime: number,
    cause: Cause.Cause<E>
  ): Effect.Effect<Option.Option<number>, never, R> {
    this.lived(uptime)
    const next = this.afterFailure(attemptBegunAt, cause)
    const reconnectJitter = Duration.toMillis(this.settings.reconnectJitter)
    // Clients that were cut off together must not come back together.
    return reconnectJitter === 0
      ? next
      : Effect.zipWith(next, Random.next, (at, part) => {
        const now = this.clock.unsafeCurrentTimeMillis()
        return Option.map(at, (at) => Math.max(at, now) + part * reconnectJitter)
      })
  }

  /** Waits until an attempt is due. */
  until(at: number): Effect.Effect<void> {
    const isDue = millisUntil(this.clock, at) === 0
    this.hotTurns = isDue ? this.hotTurns + 1 : 0
    if (!isDue) return sleepUntil(this.clock, at)
    // Even without any delay others get their turn (D11): fibers always; timers now and then, which takes as many yields
    // as Effect's scheduler lets pass before it lets go of the thread.
    return Effect.repeatN(Effect.yieldNow(), this.hotTurns % 64 === 63 ? 2_100 : 0)
  }
}
