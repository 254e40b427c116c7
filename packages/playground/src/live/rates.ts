/** The attempts a second of all clients, and what they would be if every delay were drawn ideally. Pure. */
import * as Option from "effect/Option"
import { delayWindow, timesOf } from "./policy.js"
import type { Settings } from "./scenario.js"
import type { State, View } from "./timeline.js"

/** An attempt that is expected between two times, at each with the same probability. */
export interface Expectation {
  readonly from: number
  readonly to: number
}

/** What this module needs of a state. */
export interface Phase {
  readonly tag: State["_tag"]
  readonly since: number
  /** While waiting; `Infinity` if no attempt is planned. */
  readonly nextAttemptAt: number
}

export const phaseOf = (state: State): Phase => ({
  tag: state._tag,
  since: state.since,
  nextAttemptAt: state._tag === "Waiting" ? Option.getOrElse(state.nextAttemptAt, () => Infinity) : Infinity
})

/** What is known about the delays of one client. */
export interface Delays {
  readonly tag: State["_tag"]
  readonly attemptBegunAt: number
  readonly connectedAt: number | undefined
  /** The delays since the last success. */
  readonly count: number
  readonly previous: number
}

export const noDelays: Delays = {
  tag: "Closed",
  attemptBegunAt: 0,
  connectedAt: undefined,
  count: 0,
  previous: 0
}

/** Follows the states of a client. Tells when an attempt that had a delay begins, and when the next one is expected. */
export const follow = (
  delays: Delays,
  { nextAttemptAt, since, tag }: Phase,
  settings: Settings
): { readonly delays: Delays; readonly attempt?: number; readonly expectation?: Expectation } => {
  if (tag === delays.tag && tag !== "Connected") return { delays }
  const next: Delays = { ...delays, tag }
  switch (tag) {
    case "Connecting":
      return {
        delays: { ...next, attemptBegunAt: since, connectedAt: undefined },
        ...delays.tag === "Waiting" ? { attempt: since } : {}
      }
    case "Connected":
      return { delays: { ...next, connectedAt: since } }
    case "Waiting": {
      const { minUptime, reconnectJitter } = timesOf(settings)
      const { attemptBegunAt, connectedAt } = delays
      const succeeded = connectedAt !== undefined && since - connectedAt >= minUptime
      const count = succeeded ? 0 : delays.count
      const [least, most] = delayWindow(settings, count, count === 0 ? 0 : delays.previous)
      const spread = connectedAt === undefined ? 0 : reconnectJitter
      return {
        delays: { ...next, count: count + 1, previous: nextAttemptAt - attemptBegunAt },
        // A delay runs from the beginning of the last attempt.
        expectation: {
          from: Math.max(since, attemptBegunAt + least),
          to: Math.max(since, attemptBegunAt + most) + spread
        }
      }
    }
    default:
      return { delays: next }
  }
}

/** The number of attempts in each bin of a view. The times are in ascending order. */
export const count = (times: ReadonlyArray<number>, view: View, bin: number): ReadonlyArray<number> => {
  const bins = emptyBins(view, bin)
  for (let index = times.length - 1; index >= 0; index--) {
    const place = Math.floor((times[index]! - view.from) / bin)
    if (place < 0) break
    if (place < bins.length) bins[place]!++
  }
  return bins
}

/** The expected number of attempts in each bin of a view. */
export const expected = (
  expectations: ReadonlyArray<Expectation>,
  view: View,
  bin: number
): ReadonlyArray<number> => {
  const bins = emptyBins(view, bin)
  for (const { from, to } of expectations) {
    const first = Math.floor((from - view.from) / bin)
    const last = Math.floor((to - view.from) / bin)
    for (let place = Math.max(0, first); place <= Math.min(last, bins.length - 1); place++) {
      const begin = view.from + place * bin
      bins[place]! += to === from ? 1 : (Math.min(to, begin + bin) - Math.max(from, begin)) / (to - from)
    }
  }
  return bins
}

const emptyBins = (view: View, bin: number): Array<number> =>
  Array.from({ length: Math.ceil((view.to - view.from) / bin) }, () => 0)
