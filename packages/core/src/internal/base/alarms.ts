import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type AnyFiber, type BareFork, bareFork, interrupt } from "./effect3.js"
import { millisUntil, sleepUntil } from "./time.js"

/** @internal */
export interface Alarm {
  /** In ms of monotonic time. */
  readonly at: number
  /** Must not throw. */
  readonly ring: () => void
}

/**
 * Calls functions at moments of a clock. One fiber sleeps for all alarms: a fiber with a timer for each alarm would
 * take 3 kB.
 *
 * @internal
 */
export class Alarms {
  /** Sorted by their moments: the next alarm is the last one. */
  private readonly alarms: Array<Alarm> = []
  private sleeper: AnyFiber | undefined
  private sleepsUntil = Infinity

  private constructor(private readonly clock: Clock.Clock, private readonly fork: BareFork) {}

  set(alarm: Alarm): void {
    this.alarms.splice(this.indexOf(alarm.at), 0, alarm)
    if (alarm.at < this.sleepsUntil) this.sleep()
  }

  cancel(alarm: Alarm): void {
    let index = this.indexOf(alarm.at)
    while (index < this.alarms.length && this.alarms[index] !== alarm) index++
    this.alarms.splice(index, 1)
    // Without alarms, the sleeper must not keep the process alive. With later alarms, it wakes up once without effect.
    if (this.alarms.length === 0) this.wake()
  }

  /** The index of the first alarm that is not later. */
  private indexOf(at: number): number {
    let low = 0
    let high = this.alarms.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.alarms[middle]!.at > at) low = middle + 1
      else high = middle
    }
    return low
  }

  private wake(): void {
    const { sleeper } = this
    this.sleeper = undefined
    this.sleepsUntil = Infinity
    if (sleeper !== undefined) interrupt(sleeper)
  }

  private sleep(): void {
    this.wake()
    const next = this.alarms.at(-1)
    if (next === undefined) return
    this.sleepsUntil = next.at
    const isDue = millisUntil(this.clock, next.at) === 0
    const due = isDue ? Effect.yieldNow() : sleepUntil(this.clock, next.at)
    this.sleeper = this.fork(Effect.map(due, () => this.ring()))
  }

  private ring(): void {
    // The sleeper ends now. Alarms that are set meanwhile start no other sleeper.
    this.sleeper = undefined
    this.sleepsUntil = -Infinity
    for (let next = this.alarms.at(-1); next !== undefined && millisUntil(this.clock, next.at) === 0;) {
      this.alarms.pop()
      next.ring()
      next = this.alarms.at(-1)
    }
    this.sleep()
  }

  /** The alarms of the clock and the scheduler of this fiber. */
  static readonly current: Effect.Effect<Alarms> = Effect.zipWith(Effect.clock, bareFork, (clock, fork) => {
    const known = all.get(fork) ?? new WeakMap<Clock.Clock, Alarms>()
    all.set(fork, known)
    const alarms = known.get(clock) ?? new Alarms(clock, fork)
    known.set(clock, alarms)
    return alarms
  })
}

const all = new WeakMap<BareFork, WeakMap<Clock.Clock, Alarms>>()
