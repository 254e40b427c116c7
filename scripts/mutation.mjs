// Mutates the sources, or only the files that are named, and prints the tables of docs/mutation.md: the scores, and the
// mutants that no test has noticed. Reasons come from docs/mutation.md. A file that is not run keeps its last results.
// With `--survivors`, only what no test has noticed so far is mutated.
import { Stryker } from "@stryker-mutator/core"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { root } from "./workspace.mjs"

const core = "packages/core/src"
const platform = "packages/platform/src/internal"
const rpc = "packages/rpc/src/internal"
const all = (folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`)
const some = (folder, ...names) => names.map((name) => `${folder}/${name}.ts`)

const groups = {
  heart: all(`${core}/internal/loop`),
  streams: [
    ...all(`${core}/internal/using`),
    ...some(`${core}/internal/base`, "callback", "eventBus", "handoff", "signal")
  ],
  policies: [`${core}/RetryPolicy.ts`, ...some(`${core}/internal/connector`, "addresses", "retryPolicy")],
  "health checks": some(`${core}/internal/connector`, "background", "healthCheck", "prober", "verdict"),
  map: all(`${core}/internal/map`),
  "connections, framing": [
    ...some(`${core}/internal`, "base/poll", "connector/reading"),
    ...some(platform, "backlog", "closeCode", "closing", "inbox", "lifeline", "outbox", "refusal", "within"),
    ...some(platform, "persistentSocket", "tcpConnection", "tcpConnector", "webSocketConnection", "webSocketConnector"),
    ...all(`${platform}/framing`)
  ],
  rpc: all(rpc)
}

/** The text at a place of a file. */
const between = (lines, { start, end }) =>
  lines.slice(start.line - 1, end.line).map((line, index, { length }) =>
    line.slice(index === 0 ? start.column - 1 : 0, index === length - 1 ? end.column - 1 : undefined)
  ).join("\n")

const scratch = join(root, "build/mutation")
const store = join(scratch, "results.json")
const page = join(root, "docs/mutation.md")
mkdirSync(scratch, { recursive: true })

/** The mutants of each file. */
const results = existsSync(store) ? JSON.parse(readFileSync(store, "utf8")) : {}
const isNoticed = ({ status }) => status === "Killed" || status === "Timeout"
const id = ({ code, mutatorName, replacement }) => JSON.stringify([code, mutatorName, replacement])

const args = process.argv.slice(2)
const again = args.includes("--survivors")
const named = args.filter((arg) => !arg.startsWith("--")).map((file) => relative(root, resolve(file)))
const files = named.length > 0 ? named : Object.values(groups).flat()

/** The lines of each place of a file where there is this code. */
const rangesOf = (file, text, code) =>
  text.split(code).slice(0, -1).map((before, index, all) => {
    const line = all.slice(0, index + 1).join(code).split("\n").length
    return `${file}:${line}-${line + code.split("\n").length - 1}`
  })

/** What Stryker is to mutate of a file: all of it, or where there are mutants that no test has noticed. */
const parts = (file) => {
  if (!again) return [file]
  const text = readFileSync(join(root, file), "utf8")
  return (results[file] ?? []).filter((mutant) => !isNoticed(mutant)).flatMap(({ code }) => rangesOf(file, text, code))
}

/** What has become of a mutant; nothing if its code is gone. Code may be at several places: each is taken once. */
const retested = (mutant, tested) => {
  if (isNoticed(mutant)) return [mutant]
  const same = tested.filter((other) => id(other) === id(mutant))
  const [found] = [...same.filter((other) => !isNoticed(other)), ...same]
  if (found !== undefined) tested.splice(tested.indexOf(found), 1)
  return found === undefined ? [] : [found]
}

for (const name of ["core", "platform", "rpc"]) {
  const own = files.filter((file) => file.startsWith(`packages/${name}/`))
  const mutate = [...new Set(own.flatMap(parts))]
  if (mutate.length === 0) continue
  const lines = new Map(own.map((file) => [file, readFileSync(join(root, file), "utf8").split("\n")]))
  process.env.MUTATED = name
  const mutants = await new Stryker({ mutate }).runMutationTest()
  for (const file of own) {
    const tested = mutants
      .filter(({ fileName, status }) => relative(root, fileName) === file && status !== "Ignored")
      .map(({ location, mutatorName, replacement, status }) => (
        { location, mutatorName, replacement, status, code: between(lines.get(file), location) }
      ))
    results[file] = again ? (results[file] ?? []).flatMap((mutant) => retested(mutant, tested)) : tested
  }
  writeFileSync(store, JSON.stringify(results))
}

/** Code in a cell of a table. */
const code = (text) => {
  const line = text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|")
  const short = line.length > 70 ? `${line.slice(0, 69)}…` : line
  return short.includes("`") ? `\`\` ${short} \`\`` : `\`${short}\``
}

/** The reasons on the page, by file and mutant; the same mutant may be there more than once. */
const reasons = new Map()
for (const row of existsSync(page) ? readFileSync(page, "utf8").split("\n") : []) {
  const [, file, mutant, reason] = /^\| `(.+?)`:\d+ \| (.+ → .+?) \| (.*?) *\|$/.exec(row) ?? []
  if (file === undefined) continue
  const key = `${file} ${mutant.trim()}`
  reasons.set(key, [...reasons.get(key) ?? [], reason])
}

const zero = () => ({ mutants: 0, Killed: 0, Timeout: 0, equivalent: 0, open: 0 })
const total = zero()
/** The counts of each group and each file. */
const scores = [["all", total]]
const survivors = []
for (const [group, files] of Object.entries(groups)) {
  const sum = zero()
  scores.push([group, sum])
  for (const file of files.filter((file) => file in results)) {
    const name = file.replace(/^packages\/(\w+)\/src\/(internal\/)?/, "$1/")
    const count = zero()
    scores.push([`\`${name}\``, count])
    for (const { code: original, location, replacement, status } of results[file] ?? []) {
      count.mutants++
      if (status in count) {
        count[status]++
        continue
      }
      const mutant = `${code(original)} → ${code(replacement)}`
      const reason = reasons.get(`${name} ${mutant}`)?.shift() ?? ""
      count[reason === "" || reason.startsWith("Not tested") ? "open" : "equivalent"]++
      survivors.push(`| \`${name}\`:${location.start.line} | ${mutant} | ${reason} |`)
    }
    for (const key in count) {
      sum[key] += count[key]
      total[key] += count[key]
    }
  }
}

console.log("\n| group or file | mutants | killed | timed out | equivalent | survived | score |")
console.log("| --- | --: | --: | --: | --: | --: | --: |")
for (const [name, { mutants, Killed, Timeout, equivalent, open }] of scores.filter(([, { mutants }]) => mutants > 0)) {
  const score = mutants === equivalent ? "" : `${(100 * (Killed + Timeout) / (mutants - equivalent)).toFixed(1)} %`
  console.log(`| ${name} | ${mutants} | ${Killed} | ${Timeout} | ${equivalent} | ${open} | ${score} |`)
}
console.log("\n| where | mutant | reason |\n| --- | --- | --- |")
for (const row of survivors) console.log(row)
