/** The results in a terminal. */
import { floorsOf, type Result } from "./report.js"
import type { Table } from "./section.js"

const lines = ({ caption, columns, rows }: Table): ReadonlyArray<string> => {
  const all = [columns, ...rows]
  const widths = columns.map((_, index) => Math.max(...all.map((row) => row[index]!.length)))
  const line = (row: ReadonlyArray<string>) =>
    `  ${row.map((cell, index) => index === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[index]!)).join("  ")}`
  return ["", caption, ...all.map(line)]
}

export const print = ({ name, seconds, section }: Result): string =>
  [
    "",
    `== ${name}: ${section.title} (${Math.round(seconds)} s)`,
    ...(section.figures.length === 0 ? [] : lines(floorsOf(section.figures))),
    ...section.tables.flatMap(lines)
  ].join("\n")
