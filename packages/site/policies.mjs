// Writes the table of retry policies into docs/policy.md: simulated fleets of clients, in virtual time. With --check it
// only says whether the table is up to date.
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../../scripts/workspace.mjs"

const clients = 1_000
const outage = 60_000

const policies = [
  ["`make` without options", {}],
  ["`fixed(\"10 seconds\")`, no jitter", { retry: RetryPolicy.fixed("10 seconds") }],
  ["one client's", {
    retry: RetryPolicy.exponential({ base: "500 millis", maxDelay: "5 seconds", jitter: "equal" })
  }],
  ["interactive", {
    retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "10 seconds" }),
    reconnectJitter: "1 second"
  }],
  ["`production`", RetryPolicy.production],
  ["large fleet", {
    retry: RetryPolicy.exponential({ base: "5 seconds", maxDelay: "2 minutes" }),
    reconnectJitter: "1 minute"
  }]
]

const seconds = (millis) => `${(millis / 1_000).toFixed(1)} s`
const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`

const row = ([name, policy]) =>
  Effect.gen(function*() {
    const kicked = yield* ThunderingHerd.simulate({ ...policy, clients, seeds: [1] })
    const down = yield* ThunderingHerd.simulate({ ...policy, clients, seeds: [1], outage })
    const share = (simulation) => percent(ThunderingHerd.peak(simulation, "100 millis").share)
    const median = (times) => times[Math.floor(times.length / 2)]
    const back = kicked.runs[0].reconnects
    const late = down.runs[0].reconnects
    return [
      name,
      share(kicked),
      seconds(median(back)),
      seconds(back.at(-1)),
      share(down),
      (down.runs[0].attempts.length / clients).toFixed(1),
      seconds(median(late) - outage),
      seconds(late.at(-1) - outage)
    ]
  })

const rows = await Effect.runPromise(Effect.forEach(policies, row))
const header = [
  "policy",
  "restart: peak",
  "half are back",
  "all are back",
  "outage: peak",
  "attempts per client",
  "half are back",
  "all are back"
]
const widths = header.map((title, column) => Math.max(title.length, ...rows.map((cells) => cells[column].length)))
const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`
const table = [line(header), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join(
  "\n"
)

console.log(table)
const file = join(root, "docs/policy.md")
const page = readFileSync(file, "utf8")
const updated = page.replace(
  /(<!-- figures -->\n\n)[^]*?\n*(<!-- end -->)/,
  (_, begin, end) => `${begin}${table}\n\n${end}`
)
if (process.argv.includes("--check") && page !== updated) {
  console.error("docs/policy.md is out of date: run `npm run docs:policies`")
  process.exit(1)
}
writeFileSync(file, updated)
