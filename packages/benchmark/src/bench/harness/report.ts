/** The Markdown of the results. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { cpus } from "node:os"
import { dirname, join } from "node:path"
import { type Figure, isMet } from "../../measuring.js"
import { type Section, short, type Table } from "./section.js"

export interface Result {
  readonly name: string
  readonly seconds: number
  readonly section: Section
}

const escape = (cell: string): string => cell.replaceAll("|", "\\|")

const rowOf = (cells: ReadonlyArray<string>): string => `| ${cells.map(escape).join(" | ")} |`

const tableOf = ({ caption, columns, rows }: Table): string =>
  [
    `**${caption}**`,
    "",
    rowOf(columns),
    rowOf(columns.map((_, index) => index === 0 ? "---" : "---:")),
    ...rows.map(rowOf)
  ].join("\n")

const bound = ({ floor }: Figure): string => "atMost" in floor ? `≤ ${floor.atMost}` : `≥ ${floor.atLeast}`

export const floorsOf = (figures: ReadonlyArray<Figure>): Table => ({
  caption: "Floors",
  columns: ["", "measured", "floor", ""],
  rows: figures.map((figure) => [
    figure.what,
    `${short(figure.value)} ${figure.unit}`,
    bound(figure),
    isMet(figure) ? "met" : "**missed**"
  ])
})

const sectionOf = ({ name, section }: Result): string =>
  [
    `## ${section.title}`,
    `\`npm run bench -- ${name}\``,
    ...section.text,
    ...section.charts.map(({ file, title }) => `![${title}](images/${file}.svg)`),
    ...(section.figures.length === 0 ? [] : [tableOf(floorsOf(section.figures))]),
    ...section.tables.map(tableOf)
  ].join("\n\n")

const require = createRequire(import.meta.url)

/** The version of an installed package. Not every package exports its `package.json`. */
export const versionOf = (name: string): string => {
  let folder = dirname(require.resolve(name))
  for (;;) {
    try {
      const content = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>
      if (content["name"] === name) return String(content["version"])
    } catch {
      // Not in this folder
    }
    if (dirname(folder) === folder) return "unknown"
    folder = dirname(folder)
  }
}

const packages = [
  "effect",
  "@effect/platform",
  "@effect/rpc",
  "ws",
  "reconnecting-websocket",
  "partysocket",
  "websocket-ts",
  "graphql-ws",
  "socket.io-client",
  "phoenix",
  "ioredis",
  "redis"
]

const machine = (): string =>
  `${cpus().length} × ${
    cpus()[0]?.model ?? "unknown CPU"
  }, ${process.platform} ${process.arch}, Node.js ${process.version}`

/** The whole page. `remarks` are paragraphs that people have written about the results. */
export const pageOf = (results: ReadonlyArray<Result>, date: string, load: number, remarks: string): string => {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0)
  const missed = results.flatMap(({ name, section }) =>
    section.figures.filter((figure) => !isMet(figure)).map((figure) => [
      name,
      figure.what,
      `${short(figure.value)} ${figure.unit}`,
      bound(figure)
    ])
  )
  const figures = results.flatMap(({ section }) => section.figures)
  return [
    "# Benchmarks",
    "This page is written by `npm run bench`. Do not edit it: edit the texts in `packages/benchmark/src/bench`.",
    `Measured on ${date}, on ${machine()}. The run took ${Math.round(seconds / 60)} minutes. The load of the machine ` +
    `was ${load.toFixed(1)} at the beginning, before the benchmarks added their own.`,
    `The packages, as published on npm: ${packages.map((name) => `${name} ${versionOf(name)}`).join(", ")}.`,
    "Every benchmark runs in a process of its own, against servers in further processes. In each round every " +
    "contender runs once, and each round begins with a different contender; a first round warms up and does not " +
    "count. A ratio compares two values of the same round, so a steady load of the machine cancels out. Tables show " +
    "medians over the rounds, and the quartiles.",
    `Each benchmark has floors. A missed floor does not fail the command. ${figures.length - missed.length} of ` +
    `${figures.length} floors are met.`,
    ...(missed.length === 0
      ? []
      : [tableOf({ caption: "Missed floors", columns: ["benchmark", "figure", "measured", "floor"], rows: missed })]),
    remarks,
    ...results.map(sectionOf)
  ].join("\n\n") + "\n"
}
