// Mutates the sources, or only the files that are named, and prints the tables of docs/mutation.md: the scores, and the
// mutants that no test has noticed. Reasons come from docs/mutation.md. A file that is not run keeps its last results.
import { Stryker } from "@stryker-mutator/core"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { root } from "./workspace.mjs"

const core = "packages/core/src"
const platform = "packages/platform/src/internal"
const all = (folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`)
const some = (folder, ...names) => names.map((name) => `${folder}/${name}.ts`)

const groups = {
  heart: all(`${core}/internal/loop`),
  streams: [...all(`${core}/internal/using`), ...some(`${core}/internal/base`, "eventBus", "handoff", "signal")],
  policies: [`${core}/RetryPolicy.ts`, ...some(`${core}/internal/connector`, "addresses", "retryPolicy")],
  "health checks": some(`${core}/internal/connector`, "background", "healthCheck", "prober", "verdict"),
  map: all(`${core}/internal/map`),
  connections: [
    ...some(platform, "closing", "inbox", "lifeline", "outbox", "refusal", "tcpConnection", "webSocketConnection"),
    ...all(`${platform}/framing`)
  ]
}

const scratch = join(root, "build/mutation")
const store = join(scratch, "results.json")
const page = join(root, "docs/mutation.md")
mkdirSync(scratch, { recursive: true })

/** The results of each file. */
const results = existsSync(store) ? JSON.parse(readFileSync(store, "utf8")) : {}

const named = process.argv.slice(2).map((file) => relative(root, resolve(file)))
const files = named.length > 0 ? named : Object.values(groups).flat()
for (const name of ["core", "platform"]) {
  const own = files.filter((file) => file.startsWith(`packages/${name}/`))
  if (own.length === 0) continue
  process.env.MUTATED = name
  const mutants = (await new Stryker({ mutate: own }).runMutationTest()).filter(({ status }) => status !== "Ignored")
  for (const file of own) {
    results[file] = mutants.filter(({ fileName }) => relative(root, fileName) === file).map(
      ({ location, mutatorName, replacement, status }) => ({ location, mutatorName, replacement, status })
    )
  }
  writeFileSync(store, JSON.stringify(results))
}

/** Code in a cell of a table. */
const code = (text) => {
  const line = text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|")
  const short = line.length > 70 ? `${line.slice(0, 69)}…` : line
  return short.includes("`") ? `\`\` ${short} \`\`` : `\`${short}\``
}

const between = (lines, { start, end }) =>
  start.line === end.line
    ? lines[start.line - 1].slice(start.column - 1, end.column - 1)
    : [lines[start.line - 1].slice(start.column - 1), ...lines.slice(start.line, end.line - 1), lines[end.line - 1]]
      .join("\n")

/** The reasons on the page, by file and mutant; the same mutant may be there more than once. */
const reasons = new Map()
for (const row of existsSync(page) ? readFileSync(page, "utf8").split("\n") : []) {
  const [, file, mutant, reason] = /^\| `(.+?)`:\d+ \| (.+ → .+?) \| (.*?) *\|$/.exec(row) ?? []
  if (file === undefined) continue
  const key = `${file} ${mutant.trim()}`
  reasons.set(key, [...reasons.get(key) ?? [], reason])
}

const scores = []
const survivors = []
const total = { mutants: 0, Killed: 0, Timeout: 0, equivalent: 0, open: 0 }
for (const [group, files] of Object.entries(groups)) {
  const count = { mutants: 0, Killed: 0, Timeout: 0, equivalent: 0, open: 0 }
  for (const file of files) {
    const lines = readFileSync(join(root, file), "utf8").split("\n")
    for (const { location, replacement, status } of results[file] ?? []) {
      count.mutants++
      if (status in count) {
        count[status]++
        continue
      }
      const name = file.replace(/^packages\/(\w+)\/src\/(internal\/)?/, "$1/")
      const mutant = `${code(between(lines, location))} → ${code(replacement)}`
      const reason = reasons.get(`${name} ${mutant}`)?.shift() ?? ""
      count[reason === "" || reason.startsWith("Not tested") ? "open" : "equivalent"]++
      survivors.push(`| \`${name}\`:${location.start.line} | ${mutant} | ${reason} |`)
    }
  }
  scores.push([group, count])
  for (const key in total) total[key] += count[key]
}

console.log("\n| group | mutants | killed | timed out | equivalent | survived | score |")
console.log("| --- | --: | --: | --: | --: | --: | --: |")
for (const [group, { mutants, Killed, Timeout, equivalent, open }] of [...scores, ["all", total]]) {
  const score = mutants === 0 ? "" : `${(100 * (Killed + Timeout) / (mutants - equivalent)).toFixed(1)} %`
  console.log(`| ${group} | ${mutants} | ${Killed} | ${Timeout} | ${equivalent} | ${open} | ${score} |`)
}
console.log("\n| where | mutant | reason |\n| --- | --- | --- |")
for (const row of survivors) console.log(row)
