import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Signal } from "./signal.js"

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
    private readonly onChange: () => void
  ) {
    this.remaining = Duration.toMillis(timeout)
  }

  /** In ms of the clock; infinite while the time stands still. */
  get at(): number {
    return this.runningSince === undefined ? Infinity : this.runningSince + this.remaining
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
  untimed<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.adjust(this.isOn, this.pauses + 1)),
      () => effect,
      () => Effect.sync(() => this.adjust(this.isOn, this.pauses - 1))
    )
  }

  /** Ends when the time is up. */
  get passed(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.at === Infinity) return Effect.andThen(this.resumed.next, this.passed)
      const left = this.at - this.clock.unsafeCurrentTimeMillis()
      return left <= 0 ? Effect.void : Effect.andThen(this.clock.sleep(Duration.millis(left)), this.passed)
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
    this.onChange()
    if (shouldRun) this.resumed.notify(Exit.void)
  }
}
