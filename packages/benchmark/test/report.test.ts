import { describe, expect, it } from "@effect/vitest"
import { draw, ticks } from "../src/bench/harness/chart.js"
import { print } from "../src/bench/harness/print.js"
import { pageOf, type Result, versionOf } from "../src/bench/harness/report.js"
import { comparison, us } from "../src/bench/harness/section.js"

const bars = {
  kind: "bars",
  file: "bench-test",
  title: "Time <of> one",
  unit: "ms a call",
  bars: [{ name: us, value: 10, low: 5, high: 20 }, { name: "other", value: Infinity }]
} as const

const result: Result = {
  name: "test",
  seconds: 61,
  section: {
    title: "A test",
    text: ["What it does."],
    figures: [
      { what: "fast", value: 1, unit: "x other", floor: { atMost: 2 } },
      { what: "slow", value: 3, unit: "x other", floor: { atMost: 2 } }
    ],
    tables: [comparison("Times", { other: [1, 2, 4], [us]: [2, 6, 4] }, "other", "ms")],
    charts: [bars]
  }
}

describe("the page", () => {
  const page = pageOf([result], "2026-01-02", 0.5, "Remarks")

  it("names the command, the date and the versions", () => {
    expect(page).toContain("`npm run bench -- test`")
    expect(page).toContain("2026-01-02")
    expect(page).toContain(`ws ${versionOf("ws")}`)
    expect(versionOf("ws")).toMatch(/^8\./)
  })

  it("says which floors are met and which are missed", () => {
    expect(page).toContain("1 of 2 floors are met")
    expect(page).toContain("| fast | 1.00 x other | ≤ 2 | met |")
    expect(page).toContain("| test | slow | 3.00 x other | ≤ 2 |")
  })

  it("shows the ratio first, with medians and quartiles", () => {
    expect(page).toContain(`| ${us} | 2.00 | 1.00 – 3.00 | 4.00 | 2.00 – 6.00 |`)
    expect(print(result)).toContain("**missed**")
  })
})

describe("a chart", () => {
  it("draws bars to scale, with whiskers, the unit and an escaped title", () => {
    const svg = draw(bars)
    expect(svg).toContain("Time &lt;of&gt; one")
    expect(svg).toContain("ms a call")
    expect(svg).toContain("not in this time")
    // 10 of 20 is half of 520
    expect(svg).toContain("width=\"260\" height=\"16\" class=\"bar ours\"")
    expect(svg).not.toMatch(/<script|NaN|undefined|Infinity/)
  })

  it("draws panels with the same scale", () => {
    const points = (peak: number) => [[0, 0], [1, peak], [2, 0]] as const
    const svg = draw({
      kind: "panels",
      file: "bench-test",
      title: "Attempts",
      x: "s",
      y: "attempts a second",
      lines: [{ name: us, points: points(5) }, { name: "other", points: points(10) }]
    })
    expect(svg).toContain("peak 10.0")
    expect(svg).toContain("attempts a second")
    expect(svg).not.toMatch(/NaN|undefined/)
  })

  it("has round ticks", () => {
    expect(ticks(10)).toEqual([0, 2, 4, 6, 8, 10])
    expect(ticks(0.7).map((tick) => Number(tick.toFixed(3)))).toEqual([0, 0.2, 0.4, 0.6])
    expect(ticks(0)).toEqual([0])
  })
})
