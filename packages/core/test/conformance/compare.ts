/** Compares a trace with its replay. */
import { isDeepStrictEqual } from "node:util"
import type { Replayed } from "./replay.js"
import type { Trace } from "./Trace.js"

/** One difference: its place, the entry of the trace and the entry of the replay. A missing entry is undefined. */
export interface Difference {
  readonly where: string
  readonly expected: unknown
  readonly got: unknown
}

/** The maximum number of differences per lane: usually the later ones are consequences of the first. */
const shown = 3

/** Compares the lanes and the end of the run. Returns an empty array if the replay conforms. */
export const compare = (trace: Trace, replayed: Replayed): ReadonlyArray<Difference> => {
  const differences: Array<Difference> = []
  const add = (where: string, expected: unknown, got: unknown) => {
    if (isDeepStrictEqual(expected, got)) return
    differences.push({ where, expected, got })
  }

  const unexpected = Object.keys(replayed.lanes).filter((lane) =>
    !lane.startsWith("op:") && !Object.hasOwn(trace.lanes, lane) && !trace.dropped.includes(lane)
  )
  for (const lane of [...Object.keys(trace.lanes), ...unexpected]) {
    const expected = trace.lanes[lane] ?? []
    const got = replayed.lanes[lane] ?? []
    const before = differences.length
    for (let index = 0; index < Math.max(expected.length, got.length) && differences.length < before + shown; index++) {
      add(`${lane}[${index}]`, expected[index], got[index])
    }
  }

  if (trace.compareUntil === null && trace.pending !== null) {
    const compared = replayed.pending.filter((id) => Object.hasOwn(trace.lanes, `op:${id}`))
    add("pending", [...trace.pending].sort(), compared.sort())
  }
  if (trace.compareUntil === null && trace.final !== null) add("final", trace.final, replayed.final)
  return differences
}

/** A difference as readable lines. */
export const format = ({ expected, got, where }: Difference): string =>
  `  ${where}\n    expected ${json(expected)}\n    got      ${json(got)}`

const json = (value: unknown): string => value === undefined ? "nothing" : JSON.stringify(value)
