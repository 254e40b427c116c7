import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import { readFileSync } from "node:fs"
import type { Line, Refused } from "../support/Fixture.js"

export type AnyState = ConnectionState<Line, Refused>

/** The rows of the table in the documentation of `ConnectionState`. */
export const documented: ReadonlyArray<string> = [
  ...readFileSync(new URL("../../src/ConnectionState.ts", import.meta.url), "utf8")
    .matchAll(/^ \* \| `([*\w]+)` +\| `(\w+)` +\|/gm)
].map(([, from, to]) => `${from} → ${to}`)

/** The transitions of a history, starting with its first state. */
export const transitions = (states: ReadonlyArray<AnyState>): ReadonlyArray<string> =>
  states.map((state, index) => `${states[index - 1]?._tag ?? "*"} → ${state._tag}`)
