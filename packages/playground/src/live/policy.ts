/** The retry policy of the settings: its options, and the window from which it draws each delay. */
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import type { Settings } from "./scenario.js"

export interface RetryOptions {
  readonly retry: Schedule.Schedule<Duration.Duration>
  readonly minUptime: Duration.DurationInput
  readonly reconnectJitter: Duration.DurationInput
}

export const retryOptions = (settings: Settings): RetryOptions => {
  const { base, delay, factor, jitter, maxDelay, minUptime, policy, reconnectJitter } = settings
  switch (policy) {
    case "production":
      return RetryPolicy.production
    case "standard":
      return { retry: RetryPolicy.standard, ...timesOf(settings) }
    case "exponential":
      return { retry: RetryPolicy.exponential({ base, factor, maxDelay, jitter }), minUptime, reconnectJitter }
    case "fixed":
      return { retry: RetryPolicy.fixed(delay), minUptime, reconnectJitter }
    case "immediate":
      return { retry: RetryPolicy.fixed(0), minUptime, reconnectJitter }
  }
}

/** `minUptime` and `reconnectJitter` in ms. */
export const timesOf = ({ minUptime, policy, reconnectJitter }: Settings) => {
  switch (policy) {
    case "production":
      return { minUptime: 5_000, reconnectJitter: 5_000 }
    case "standard":
      return { minUptime: 5_000, reconnectJitter: 0 }
    default:
      return { minUptime, reconnectJitter }
  }
}

/** The delays between which a policy draws uniformly. */
export type Window = readonly [least: number, most: number]

/**
 * The window of a delay after this number of delays since the last success. Only decorrelated jitter depends on the
 * previous delay.
 */
export const delayWindow = (settings: Settings, delays: number, previousDelay: number): Window => {
  switch (settings.policy) {
    case "production": {
      const full = Math.min(30_000, 2_000 * 2 ** delays)
      return [full / 2, full]
    }
    case "standard":
      return [7_000, 13_000]
    case "exponential":
      return exponentialWindow(settings, delays, previousDelay)
    case "fixed":
      return [settings.delay, settings.delay]
    case "immediate":
      return [0, 0]
  }
}

const exponentialWindow = (settings: Settings, delays: number, previousDelay: number): Window => {
  const { base, factor, jitter, maxDelay } = settings
  const full = Math.min(maxDelay, base * factor ** delays)
  switch (jitter) {
    case "full":
      return [0, full]
    case "equal":
      return [full / 2, full]
    case "none":
      return [full, full]
    case "decorrelated":
      return [base, Math.min(maxDelay, Math.max(base, previousDelay) * factor)]
  }
}
