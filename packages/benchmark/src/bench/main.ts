/**
 * The benchmarks against other libraries.
 *
 *     npm run bench               # all; writes docs/benchmarks.md and docs/images/bench-*.svg
 *     npm run bench -- hot size   # some; only prints
 *
 * With BENCH_QUICK=1 the rounds are fewer, and the page is written to packages/benchmark/build.
 */
import { type ChildProcess, fork } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { benchmarks } from "./benchmarks.js"
import { draw } from "./harness/chart.js"
import { print } from "./harness/print.js"
import { pageOf, type Result } from "./harness/report.js"
import type { Section } from "./harness/section.js"
import { isQuick } from "./harness/settings.js"

const chosen = process.argv.slice(2)
const unknown = chosen.find((name) => benchmarks[name] === undefined)
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}". There are: ${Object.keys(benchmarks).join(", ")}.`)
  process.exit(1)
}

const run = async (name: string): Promise<Result> => {
  const begun = performance.now()
  const child: ChildProcess = fork(new URL("one.js", import.meta.url), [name], { execArgv: ["--expose-gc"] })
  const section = await new Promise<Section>((resolve, reject) => {
    child.on("message", (message: { readonly section: Section }) => resolve(message.section))
    child.on("exit", (code, signal) => reject(new Error(`The benchmark "${name}" ended with ${signal ?? code}.`)))
  })
  return { name, seconds: (performance.now() - begun) / 1_000, section }
}

const load = loadavg()[0]!
const results: Array<Result> = []
for (const name of chosen.length === 0 ? Object.keys(benchmarks) : chosen) {
  try {
    const result = await run(name)
    results.push(result)
    console.log(print(result))
  } catch (error) {
    // The others still run.
    console.error(error)
    process.exitCode = 1
  }
}

if ((chosen.length === 0 && process.exitCode === undefined) || isQuick) {
  const docs = new URL(isQuick ? "../../build/bench/" : "../../../../docs/", import.meta.url)
  const remarks = readFileSync(new URL("../../src/bench/remarks.md", import.meta.url), "utf8").trim()
  mkdirSync(new URL("images/", docs), { recursive: true })
  writeFileSync(new URL("benchmarks.md", docs), pageOf(results, new Date().toISOString().slice(0, 10), load, remarks))
  for (const chart of results.flatMap(({ section }) => section.charts)) {
    writeFileSync(new URL(`images/${chart.file}.svg`, docs), draw(chart))
  }
  console.log(`\nWritten: ${docs.pathname}benchmarks.md`)
}
process.exit()
