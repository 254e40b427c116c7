/** The result of a benchmark, as plain data. */
import type { Figure } from "../../measuring.js"
import { ratios, type Samples, spread } from "./samples.js"

export interface Table {
  readonly caption: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

export interface Bar {
  readonly name: string
  readonly value: number
  readonly low?: number
  readonly high?: number
}

interface Line {
  readonly name: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

interface ChartBase {
  /** The name of the file in `docs/images`, without `.svg`. */
  readonly file: string
  readonly title: string
}

/** Horizontal bars with a common scale. */
export interface Bars extends ChartBase {
  readonly kind: "bars"
  readonly unit: string
  readonly bars: ReadonlyArray<Bar>
}

/** Small panels, one below the other, with the same axes. */
export interface Panels extends ChartBase {
  readonly kind: "panels"
  readonly x: string
  readonly y: string
  readonly lines: ReadonlyArray<Line>
}

export type Chart = Bars | Panels

export interface Section {
  readonly title: string
  /** What the benchmark does and what its figures mean, as paragraphs of Markdown. */
  readonly text: ReadonlyArray<string>
  /** The figures that have a floor. */
  readonly figures: ReadonlyArray<Figure>
  readonly tables: ReadonlyArray<Table>
  readonly charts: ReadonlyArray<Chart>
}

/** The name of this library in tables and charts. */
export const us = "persistent-connection"

export const isOurs = (name: string): boolean => name.startsWith(us)

/** Three significant digits. */
export const short = (value: number): string => {
  if (!Number.isFinite(value)) return "–"
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)))
  return digits === 0 ? Math.round(value).toLocaleString("en-US") : value.toFixed(Math.min(digits, 3))
}

const between = ({ low, high }: { readonly low: number; readonly high: number }): string =>
  `${short(low)} – ${short(high)}`

/** A table of all contenders: the ratio to the baseline first, then the values. Medians, with quartiles. */
export const comparison = (caption: string, samples: Samples, baseline: string, unit: string): Table => ({
  caption,
  columns: ["", `ratio to ${baseline}`, "quartiles", unit, "quartiles"],
  rows: Object.entries(samples).map(([name, values]) => {
    const ratio = spread(ratios(samples, name, baseline))
    const value = spread(values)
    return [name, short(ratio.median), between(ratio), short(value.median), between(value)]
  })
})

export const barsOf = (file: string, title: string, unit: string, samples: Samples): Bars => ({
  kind: "bars",
  file,
  title,
  unit,
  bars: Object.entries(samples).map(([name, values]) => {
    const { high, low, median } = spread(values)
    return { name, value: median, low, high }
  })
})

/** The median ratio of a contender to the baseline, with its floor. */
export const ratioFigure = (
  what: string,
  samples: Samples,
  subject: string,
  baseline: string,
  floor: Figure["floor"]
): Figure => ({ what, value: spread(ratios(samples, subject, baseline)).median, unit: `x ${baseline}`, floor })
