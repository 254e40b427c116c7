/** Draws charts as SVG, legible on light and on dark backgrounds. */
import { type Bars, type Chart, isOurs, type Panels, short } from "./section.js"

const width = 860
const style = `
    text { fill: #222; font-size: 13px }
    .title { font-weight: 600; font-size: 15px }
    .small { fill: #555; font-size: 11px }
    .ours { font-weight: 600 }
    .axis { stroke: #999; stroke-width: 1 }
    .grid { stroke: #ddd; stroke-width: 1 }
    .bar { fill: #b9bec7 } .bar.ours { fill: #2e9e57 }
    .area { fill: #b9bec7; stroke: #7b828e; stroke-width: 1 } .area.ours { fill: #8fd3a8; stroke: #2e9e57 }
    .whisker { stroke: #444; stroke-width: 1.5; fill: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #eee } .small { fill: #bbb } .axis { stroke: #888 } .grid { stroke: #3a3a3a }
      .bar { fill: #5d6470 } .bar.ours { fill: #3fae69 }
      .area { fill: #4a505b; stroke: #9aa1ad } .area.ours { fill: #23643d; stroke: #5fd08a }
      .whisker { stroke: #ddd }
    }
  `

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")

const at = (value: number): string => String(Math.round(value * 10) / 10)

const text = (x: number, y: number, content: string, kind = "", anchor = "start"): string =>
  `<text x="${at(x)}" y="${at(y)}" class="${kind}" text-anchor="${anchor}">${escape(content)}</text>`

const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
  `<path d="M${at(x1)} ${at(y1)} L${at(x2)} ${at(y2)}" class="${kind}"/>`

/** Round values from 0 to the maximum: steps of 1, 2 or 5 times a power of ten. */
export const ticks = (maximum: number, count = 5): ReadonlyArray<number> => {
  if (!(maximum > 0)) return [0]
  const rough = maximum / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].find((part) => part * power >= rough * 0.999)! * power
  return Array.from({ length: Math.floor(maximum / step + 1e-9) + 1 }, (_, index) => index * step)
}

const svg = (height: number, title: string, content: ReadonlyArray<string>): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title" ` +
  `font-family="system-ui, sans-serif">\n  <title id="title">${escape(title)}</title>\n  <style>${style}</style>\n  ` +
  `${content.join("\n  ")}\n</svg>\n`

const ours = (name: string): string => isOurs(name) ? " ours" : ""

const drawBars = ({ bars, title, unit }: Bars): string => {
  const left = 250
  const right = width - 90
  const top = 50
  const rowHeight = 26
  const bottom = top + bars.length * rowHeight
  const maximum = Math.max(...bars.map(({ high, value }) => Math.max(value, high ?? 0)).filter(Number.isFinite))
  const x = (value: number) => left + (right - left) * Math.min(1, value / maximum)
  return svg(bottom + 55, title, [
    text(20, 26, title, "title"),
    ...ticks(maximum).flatMap((tick) => [
      line(x(tick), top - 6, x(tick), bottom, "grid"),
      text(x(tick), bottom + 18, short(tick), "small", "middle")
    ]),
    text((left + right) / 2, bottom + 40, unit, "small", "middle"),
    ...bars.flatMap(({ high, low, name, value }, index) => {
      const y = top + index * rowHeight
      const middle = y + rowHeight / 2 - 3
      const label = text(left - 10, middle + 4, name, ours(name).trim(), "end")
      if (!Number.isFinite(value)) return [label, text(left + 6, middle + 4, "not in this time", "small")]
      const end = Math.max(x(value), high === undefined ? 0 : x(high))
      return [
        label,
        `<rect x="${left}" y="${at(middle - 8)}" width="${at(Math.max(1, x(value) - left))}" height="16" ` +
        `class="bar${ours(name)}"/>`,
        ...(low === undefined || high === undefined ? [] : [line(x(low), middle, x(high), middle, "whisker")]),
        text(end + 6, middle + 4, short(value), "small")
      ]
    }),
    line(left, top - 6, left, bottom, "axis")
  ])
}

const drawPanels = ({ lines, title, x: xTitle, y: yTitle }: Panels): string => {
  const left = 90
  const right = width - 30
  const panelHeight = 88
  const gap = 34
  const top = 50
  const last = top + lines.length * (panelHeight + gap) - gap
  const all = lines.flatMap(({ points }) => points)
  const xMaximum = Math.max(...all.map(([x]) => x))
  const yMaximum = Math.max(...all.map(([, y]) => y))
  const x = (value: number) => left + (right - left) * value / xMaximum
  return svg(last + 50, title, [
    text(20, 26, `${title}: ${yTitle}`, "title"),
    ...lines.flatMap(({ name, points }, index) => {
      const bottom = top + index * (panelHeight + gap) + panelHeight
      const y = (value: number) => bottom - (panelHeight - 14) * value / yMaximum
      const peak = Math.max(...points.map(([, value]) => value))
      const path = points.map(([px, py]) => `L${at(x(px))} ${at(y(py))}`).join(" ")
      return [
        ...ticks(yMaximum, 3).flatMap((tick) => [
          line(left, y(tick), right, y(tick), "grid"),
          text(left - 6, y(tick) + 4, short(tick), "small", "end")
        ]),
        `<path d="M${left} ${at(bottom)} ${path} L${at(x(points.at(-1)![0]))} ${at(bottom)} Z" class="area${
          ours(name)
        }"/>`,
        text(right, bottom - panelHeight + 8, `${name}, peak ${short(peak)}`, ours(name).trim(), "end"),
        ...ticks(xMaximum, 10).map((tick) => text(x(tick), bottom + 14, short(tick), "small", "middle")),
        line(left, bottom, right, bottom, "axis")
      ]
    }),
    text((left + right) / 2, last + 34, xTitle, "small", "middle")
  ])
}

export const draw = (chart: Chart): string => chart.kind === "bars" ? drawBars(chart) : drawPanels(chart)
