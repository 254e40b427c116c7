/**
 * `npm run conformance -- FILE...`: replays traces of the original, by default the fixtures, and prints the
 * differences.
 */
import * as Cause from "effect/Cause"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { performance } from "node:perf_hooks"
import process from "node:process"
import { compare, format } from "./compare.js"
import { fixtures } from "./fixtures.js"
import { replay } from "./replay.js"
import * as Trace from "./Trace.js"

/** The differences of a trace as lines; empty if it conforms. */
const failure = (trace: Trace.Trace): string => {
  try {
    return compare(trace, replay(trace)).map(format).join("\n")
  } catch (error) {
    return `  ${describe(error)}`
  }
}

const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return Cause.isCause(error.cause) ? `${error.message}: ${Cause.pretty(error.cause)}` : error.message
}

const read = (file: string): ReturnType<typeof Trace.parse> => {
  try {
    const contents = Trace.parse(readFileSync(file, "utf8"))
    if (contents.traces.length + contents.invalid.length > 0) return contents
    return { traces: [], invalid: [{ line: 1, problem: "this file has no trace" }] }
  } catch (error) {
    return { traces: [], invalid: [{ line: 1, problem: `cannot be read: ${describe(error)}` }] }
  }
}

// npm runs scripts in the folder of the package, and passes the folder of the caller in INIT_CWD.
const from = process.env["npm_lifecycle_event"] === "conformance" ? process.env["INIT_CWD"] : undefined
const named = process.argv.slice(2).map((file) => resolve(from ?? ".", file))

let passed = 0
let failed = 0
let replayed = 0
let millis = 0

for (const file of named.length > 0 ? named : fixtures) {
  const { invalid, traces } = read(file)
  for (const { line, problem } of invalid) {
    failed++
    console.error(`INVALID ${file}:${line}: ${problem}`)
  }
  for (const trace of traces) {
    const start = performance.now()
    const problem = failure(trace)
    millis += performance.now() - start
    replayed++
    if (problem === "") {
      passed++
    } else {
      failed++
      console.log(`FAILED ${trace.name}\n${problem}`)
    }
  }
}

if (replayed > 0) {
  console.log(`${replayed} scenarios in ${Math.round(millis)} ms, ${Math.round(1_000 * replayed / millis)} a second`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
