import * as ConnectionState from "@persistent-connection/core/ConnectionState"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { describe, expect, it } from "vitest"
import * as Timeline from "../../src/live/timeline.js"

const common = { generation: 0, attempt: 1, address: Option.none(), lastCause: Option.none() }
const connecting = (since: number, more: object = {}) =>
  ConnectionState.Connecting({ ...common, since, deadline: Option.none(), ...more })
const connected = (since: number, generation: number) =>
  ConnectionState.Connected({ ...common, since, generation, connection: {}, isLast: false })
const waiting = (since: number, generation: number, lastCause: Cause.Cause<unknown>) =>
  ConnectionState.Waiting({
    ...common,
    since,
    generation,
    lastCause: Option.some(lastCause),
    nextAttemptAt: Option.some(since + 500)
  })

const spansOf = (...states: ReadonlyArray<readonly [Timeline.State, now: number]>) =>
  states.reduce<ReadonlyArray<Timeline.Span>>((spans, [state, now]) => Timeline.addState(spans, state, now), [])

describe("a timeline", () => {
  it("has a span for each phase, and says how it failed", () => {
    const spans = spansOf(
      [connecting(0), 0],
      [connecting(0, { address: Option.some("feed") }), 1],
      [waiting(10, 0, Cause.fail(new Error("refused"))), 11],
      [connecting(510), 510],
      [connected(520, 1), 521],
      [waiting(2_000, 1, Cause.empty), 2_000]
    )
    expect(spans.map(({ failure, from, phase, to }) => [phase, from, to, failure])).toEqual([
      ["Connecting", 0, 10, "Attempt 1 failed: refused"],
      ["Waiting", 10, 510, undefined],
      ["Connecting", 510, 520, undefined],
      ["Connected", 520, 2_000, "Connection 1 was closed"],
      ["Waiting", 2_000, undefined, undefined]
    ])
    expect(spans.at(-1)!.nextAttemptAt).toBe(2_500)
  })

  it("has a span for each connection that a refresh made", () => {
    const spans = spansOf([connected(100, 1), 100], [connected(100, 2), 4_000])
    expect(spans.map(({ from, generation, to }) => [generation, from, to])).toEqual([
      [1, 100, 4_000],
      [2, 4_000, undefined]
    ])
  })

  it("forgets what is over", () => {
    const spans = spansOf([connected(0, 1), 0], [waiting(1_000, 1, Cause.empty), 1_000], [connecting(2_000), 2_000])
    expect(Timeline.forget(spans, 1_500).map(({ phase }) => phase)).toEqual(["Waiting", "Connecting"])
  })
})

describe("a view", () => {
  const view = { from: 1_000, to: 3_000 }

  it("keeps a quarter for what is to come, and does not begin before the start", () => {
    expect(Timeline.viewAt(500, 20_000, 0)).toEqual({ from: 0, to: 20_000 })
    expect(Timeline.viewAt(40_000, 20_000, 0)).toEqual({ from: 25_000, to: 45_000 })
  })

  it("cuts spans to scale", () => {
    expect(Timeline.placed({ from: 0, to: 2_000 }, view, 9_000)).toEqual({ x: 0, width: 0.5 })
    expect(Timeline.placed({ from: 2_000, to: undefined }, view, 2_500)).toEqual({ x: 0.5, width: 0.25 })
    expect(Timeline.placed({ from: 0, to: 900 }, view, 9_000)).toBeUndefined()
  })

  it("has an axis with round times since the start", () => {
    expect(Timeline.ticks({ from: 10_300, to: 30_300 }, 300, 10)).toEqual([
      10_300,
      12_300,
      14_300,
      16_300,
      18_300,
      20_300,
      22_300,
      24_300,
      26_300,
      28_300,
      30_300
    ])
    expect(Timeline.ticks({ from: 0, to: 20_000 }, 0, 4)).toEqual([0, 5_000, 10_000, 15_000, 20_000])
  })
})

describe("a time", () => {
  it("is short", () => {
    expect([-5, 40, 3_210, 59_400, 60_000, 125_000, Infinity].map(Timeline.formatTime))
      .toEqual(["0.0 s", "0.0 s", "3.2 s", "59 s", "1 min", "2 min 5 s", "no time limit"])
  })
})
