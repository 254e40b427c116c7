import { describe, expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { compare, format } from "./compare.js"
import { fixtures } from "./fixtures.js"
import { broken } from "./invariants.js"
import { replay } from "./replay.js"
import { type Entry, parse, type Trace } from "./Trace.js"

/** Traces that a correct implementation does not have to match, each with the reason. */
const unfair: Readonly<Record<string, string>> = {}

const files = fixtures.map((file) => parse(readFileSync(file, "utf8")))
const traces = files.flatMap((file) => file.traces)
const named = (name: string): Trace => {
  const trace = traces.find((each) => each.name === name)
  if (trace === undefined) throw new Error(`There is no trace ${name}`)
  return trace
}

const differences = (trace: Trace): ReadonlyArray<string> => compare(trace, replay(trace)).map(format)

describe("the traces of the original", () => {
  const fair = traces.filter(({ name }) => !Object.hasOwn(unfair, name))

  it.each(fair.map((trace) => [trace.name, trace] as const))("%s", (_, trace) => {
    expect(differences(trace)).toEqual([])
  })

  it("are complete", () => {
    expect(files.map((file) => file.invalid)).toEqual([[], [], []])
    expect(new Set(traces.map(({ name }) => name)).size).toBe(388)
    expect(Object.keys(unfair).filter((name) => traces.every((trace) => trace.name !== name))).toEqual([])
  })
})

describe("the whole run", () => {
  it.each(traces.map((trace) => [trace.name, trace] as const))("%s breaks no invariant", (_, trace) => {
    expect(broken(trace.scenario, replay({ ...trace, compareUntil: null }))).toEqual([])
  })
})

describe("the comparison", () => {
  const trace = named("user_closes_conn_then_close")
  const entry: Entry = { t: 0, ev: "bus", kind: "disconnected" }

  for (const [lane, entries] of Object.entries(trace.lanes)) {
    const withEntries = (changed: ReadonlyArray<Entry>): Trace => ({
      ...trace,
      lanes: { ...trace.lanes, [lane]: changed }
    })

    it(`detects every missing, moved, duplicated or changed entry in ${lane}`, () => {
      for (const [index, { t }] of entries.entries()) {
        const changed = (...replacement: ReadonlyArray<Entry>) => [
          ...entries.slice(0, index),
          ...replacement,
          ...entries.slice(index + 1)
        ]
        const original = entries[index]!
        expect(differences(withEntries(changed()))).not.toEqual([])
        expect(differences(withEntries(changed({ ...original, t: t + 1 })))).not.toEqual([])
        expect(differences(withEntries(changed(original, original)))).not.toEqual([])
        expect(differences(withEntries(changed({ ...original, ev: "other" })))).not.toEqual([])
      }
      expect(differences(withEntries([...entries, entry]))).not.toEqual([])
    })
  }

  it("detects a missing lane and a lane that should be empty", () => {
    const { bus1: _, ...others } = trace.lanes
    expect(differences({ ...trace, lanes: others })).not.toEqual([])
    expect(differences({ ...trace, lanes: others, dropped: ["bus1"] })).toEqual([])
    expect(differences({ ...trace, lanes: { ...trace.lanes, bus2: [entry] } })).not.toEqual([])
  })

  it("detects a different end of the run", () => {
    const final = trace.final!
    expect(differences({ ...trace, pending: ["0.0"] })).not.toEqual([])
    expect(differences({ ...trace, pending: null })).toEqual([])
    expect(differences({ ...trace, final: { ...final, is_closed: false } })).not.toEqual([])
    expect(differences({ ...trace, final: { ...final, close_finished: false } })).not.toEqual([])
    expect(differences({ ...trace, final: { ...final, current_connection: { conn: 1 } } })).not.toEqual([])
    expect(differences({ ...trace, final: { ...final, attempts: 1 } })).not.toEqual([])
    expect(differences({ ...trace, final: null })).toEqual([])
  })

  it("stops before the time given by compareUntil", () => {
    const lanes = Object.fromEntries(
      Object.entries(trace.lanes).map(([lane, entries]) => [lane, entries.filter(({ t }) => t < 2_200)])
    )
    expect(differences({ ...trace, lanes, compareUntil: 2_200 })).toEqual([])
    expect(differences({ ...trace, lanes, compareUntil: 2_201 })).not.toEqual([])
  })
})

describe("the reader", () => {
  const line = JSON.stringify({ ...named("zero_life"), scenario: { random_state: "non_random", retry_delay: 1 } })

  it("names each line that is not a trace, and the problem", () => {
    const read = parse([line, "", "{", line.replace("retry_delay", "retry_delays"), line].join("\n"))
    expect(read.traces).toHaveLength(2)
    expect(read.invalid.map((each) => each.line)).toEqual([3, 4])
    expect(read.invalid[1]!.problem).toContain("scenario.retry_delays")
  })
})
