import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Signal } from "./signal.js"
import { millisUntil, sleepUntil } from "./sleep.js"

/**
 * The time that an attempt has left (D9). It runs while the look-up or the connect runs, and stands still during
 * handlers, which are not the server's fault, and during `attempt.untimed`.
 *
 * @internal
 */
export class Deadline {
  private remaining: number
  /** When the time started to run; undefined while it stands still. */
  private runningSince: number | undefined
  private isOn = false
  private pauses = 0
  private readonly resumed = new Signal<void>()

  constructor(
    private readonly clock: Clock.Clock,
    timeout: Duration.Duration,
    private readonly onChange: (at: Option.Option<number>) => void
  ) {
    this.remaining = Duration.toMillis(timeout)
  }

  /** In ms of the clock; none while the time stands still, or if there is no limit. */
  get at(): Option.Option<number> {
    return this.runningSince !== undefined && this.isFinite
      ? Option.some(this.runningSince + this.remaining)
      : Option.none()
  }

  get isFinite(): boolean {
    return Number.isFinite(this.remaining)
  }

  /** Runs an effect against the deadline. */
  timed<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.adjust(true, this.pauses)),
      () => effect,
      () => Effect.sync(() => this.adjust(false, this.pauses))
    )
  }

  /** Runs an effect, inside a timed one, whose own time does not count. */
  readonly untimed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => this.adjust(this.isOn, this.pauses + 1)),
      () => effect,
      () => Effect.sync(() => this.adjust(this.isOn, this.pauses - 1))
    )

  /** Ends when the time is up. */
  get passed(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (Option.isNone(this.at)) return Effect.andThen(this.resumed.next, this.passed)
      return millisUntil(this.clock, this.at.value) === 0
        ? Effect.void
        : Effect.andThen(sleepUntil(this.clock, this.at.value), this.passed)
    })
  }

  private adjust(isOn: boolean, pauses: number): void {
    this.isOn = isOn
    this.pauses = pauses
    const shouldRun = isOn && pauses === 0
    if (shouldRun === (this.runningSince !== undefined)) return
    const now = this.clock.unsafeCurrentTimeMillis()
    if (this.runningSince !== undefined) this.remaining -= now - this.runningSince
    this.runningSince = shouldRun ? now : undefined
    this.onChange(this.at)
    if (shouldRun) this.resumed.notify(Exit.void)
  }
}
