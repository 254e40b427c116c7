/** The invariants of every run, also after the time given by compareUntil. */
import type { Replayed } from "./replay.js"
import type { Entry, Scenario } from "./Trace.js"

/** The broken invariants of a run, as texts. */
export const broken = (scenario: Scenario, { final, lanes, pending }: Replayed): ReadonlyArray<string> => {
  const loop = lanes["loop"] ?? []
  const ops = Object.entries(lanes).filter(([lane]) => lane.startsWith("op:")).map(([, entries]) => entries)
  const called = (op: string) => ops.filter((entries) => entries[0]?.["op"] === op)
  const closedAt = Math.min(...called("close").map((entries) => entries[0]!.t))
  const neverCloses = scenario.connect.some(({ close_never }) => close_never === true)
  const problems: Array<string> = []
  const check = (holds: boolean, rule: string) => {
    if (!holds) problems.push(rule)
  }

  check(JSON.stringify(seen(lanes["bus1"])) === JSON.stringify(seen(loop)), "E1: bus and handler see the same events")
  check(oneAtATime(loop), "E1: nothing happens while a handler runs")
  check(
    called("close").every(([call]) => neverCloses || !pending.includes(String(call!["id"]))),
    "X1, D7, D10: a close completes"
  )
  check(
    !final.is_closed || neverCloses || final.close_finished,
    "X1, D10: a closed persistent connection finishes closing"
  )
  check(
    called("connected").every(([, result]) => result === undefined || result.t <= closedAt),
    "D3: connected does not return after a close"
  )
  check(
    loop.every(({ ev, kind, t }) => t <= closedAt || ev === "on_event_done" || kind === "disconnected"),
    "D1: after a close there is no look-up, no connect, and no event but Disconnected"
  )
  const bornClosed = ({ n }: Entry) =>
    scenario.connect[Math.min(Number(n), scenario.connect.length - 1)]?.born_closed === true
  const opened = loop.filter((entry) => entry.ev === "connect_done" && "conn" in entry && !bornClosed(entry))
  check(
    oneConnection(opened, lanes, final.close_finished),
    "D4: a connection has ended before the next, or before closed"
  )
  return problems
}

/** The events of a lane, without the fields that only handlers get. */
const seen = (entries: ReadonlyArray<Entry> = []) =>
  entries.filter(({ ev }) => ev === "bus" || ev === "on_event")
    .map(({ conn, error, exn, kind, t }) => ({ conn, error, exn, kind, t }))

const oneAtATime = (loop: ReadonlyArray<Entry>): boolean =>
  loop.every(({ ev }, index) => ev === "on_event_done" || loop[index - 1]?.ev !== "on_event")

const oneConnection = (opened: ReadonlyArray<Entry>, lanes: Replayed["lanes"], isOver: boolean): boolean =>
  opened.every(({ conn }, index) => {
    const endedAt = lanes[`conn${conn}`]?.[0]?.t
    const next = opened[index + 1]?.t
    return endedAt === undefined ? next === undefined && !isOver : next === undefined || endedAt <= next
  })
