import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Signal } from "./signal.js"
import { millisUntil, now, sleepUntil } from "./time.js"

/**
 * A time limit that can be paused (D9). It runs between `start` and `stop`, except while an `untimed` effect runs.
 *
 * @internal
 */
export class Deadline {
  private remaining: number
  /** When the time began to run; undefined while it is paused. */
  private runningSince: number | undefined
  /** It begins with a pause, which `start` ends. */
  private pauses = 1
  private readonly resumed = new Signal<void>()

  constructor(
    private readonly clock: Clock.Clock,
    timeout: Duration.Duration,
    private readonly onChange: (at: Option.Option<number>) => void
  ) {
    this.remaining = Duration.toMillis(timeout)
  }

  get isFinite(): boolean {
    return Number.isFinite(this.remaining)
  }

  start(): void {
    this.change(-1)
  }

  stop(): void {
    this.change(1)
  }

  /** Runs an effect whose time does not count. */
  readonly untimed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => this.change(1)),
      () => effect,
      () => Effect.sync(() => this.change(-1))
    )

  /** Completes when the time is up. */
  get passed(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (Option.isNone(this.at)) return Effect.zipRight(this.resumed.next, this.passed)
      return millisUntil(this.clock, this.at.value) === 0
        ? Effect.void
        : Effect.zipRight(sleepUntil(this.clock, this.at.value), this.passed)
    })
  }

  /** When the time is up, in monotonic ms; none while the deadline is paused or if there is no limit. */
  private get at(): Option.Option<number> {
    return this.runningSince !== undefined && this.isFinite
      ? Option.some(this.runningSince + this.remaining)
      : Option.none()
  }

  private change(pauses: 1 | -1): void {
    this.pauses += pauses
    const runs = this.pauses === 0
    if (runs === (this.runningSince !== undefined)) return
    const time = now(this.clock)
    if (this.runningSince !== undefined) this.remaining -= time - this.runningSince
    this.runningSince = runs ? time : undefined
    this.onChange(this.at)
    if (runs) this.resumed.notify(Exit.void)
  }
}
