/** The history of one client, from its states: a row of spans without a break. Pure. */
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import * as Option from "effect/Option"

export type State = ConnectionState<unknown, unknown>

export interface Span {
  readonly phase: State["_tag"]
  readonly from: number
  /** None while it lasts. */
  readonly to: number | undefined
  /** The number of the connection; of `Connecting`, the one that it tries to open. */
  readonly generation: number
  readonly attempt: number
  /** When the next attempt is due, while waiting. */
  readonly nextAttemptAt: number | undefined
  /** How it ended: why the attempt failed or the connection was lost. */
  readonly failure: string | undefined
}

/** Adds a state, which was seen at the time `now`. */
export const addState = (spans: ReadonlyArray<Span>, state: State, now: number): ReadonlyArray<Span> => {
  const last = spans.at(-1)
  if (last === undefined) return [toSpan(state, state.since)]
  if (last.phase === state._tag && last.generation === toSpan(state, 0).generation) {
    // The same phase: an attempt whose look-up has answered, or a delay that was shortened.
    return [...spans.slice(0, -1), { ...toSpan(state, last.from), failure: last.failure }]
  }
  // Clocks may be a little apart, and a refresh does not begin a phase.
  const at = Math.max(last.from, state.since > last.from ? state.since : now)
  return [...spans.slice(0, -1), { ...last, to: at, failure: failureOf(last, state) }, toSpan(state, at)]
}

const toSpan = (state: State, from: number): Span => ({
  phase: state._tag,
  from,
  to: undefined,
  generation: state._tag === "Connecting" ? state.generation + 1 : state.generation,
  attempt: state.attempt,
  nextAttemptAt: state._tag === "Waiting" ? Option.getOrUndefined(state.nextAttemptAt) : undefined,
  failure: undefined
})

const failureOf = (last: Span, next: State): string | undefined => {
  if (next._tag !== "Waiting" || Option.isNone(next.lastCause)) return undefined
  const cause = next.lastCause.value
  return ConnectionEvent.message(
    last.phase === "Connecting"
      ? ConnectionEvent.FailedToConnect({ cause, attempt: next.attempt })
      : ConnectionEvent.Disconnected({ cause, generation: next.generation })
  )
}

/** Removes what ended before this time. */
export const forget = (spans: ReadonlyArray<Span>, before: number): ReadonlyArray<Span> => {
  const first = spans.findIndex((span) => span.to === undefined || span.to >= before)
  return first <= 0 ? spans : spans.slice(first)
}

/** The part of a span within a view, as fractions of its width. None if it is outside. */
export const placed = (
  span: { readonly from: number; readonly to: number | undefined },
  view: View,
  now: number
): { readonly x: number; readonly width: number } | undefined => {
  const from = Math.max(span.from, view.from)
  const to = Math.min(span.to ?? now, view.to)
  if (to < view.from || from > view.to || to < from) return undefined
  return { x: toX(from, view), width: (to - from) / (view.to - view.from) }
}

/** The times that a drawing shows. */
export interface View {
  readonly from: number
  readonly to: number
}

export const toX = (at: number, view: View): number => (at - view.from) / (view.to - view.from)

/** A view of this length, with the last quarter for what is to come. */
export const viewAt = (now: number, length: number, start: number): View => {
  const from = Math.max(start, now - length * 0.75)
  return { from, to: from + length }
}

/** Round times for the axis of a view, at most about this many. */
export const ticks = (view: View, start: number, most: number): ReadonlyArray<number> => {
  const step = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000]
    .find((step) => (view.to - view.from) / step <= most) ?? 120_000
  const first = Math.ceil((view.from - start) / step)
  const count = Math.floor((view.to - start) / step) - first + 1
  return Array.from({ length: Math.max(0, count) }, (_, index) => start + (first + index) * step)
}

/** A time for people: `0.4 s`, `12 s`, `2 min 5 s`. */
export const formatTime = (millis: number): string => {
  if (millis === Infinity) return "no time limit"
  const seconds = Math.max(0, millis) / 1_000
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  const rest = Math.floor(seconds % 60)
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`
}
