/** The attempts a second of all clients, against the policy's ideal; and the clients, one dot each. */
import { useLayoutEffect, useRef } from "preact/hooks"
import * as Rates from "../../src/live/rates.js"
import { fleetFrom } from "../../src/live/scenario.js"
import type { State } from "../../src/live/timeline.js"
import { mode, now, session, version } from "../app.js"
import { Section, useWidth } from "./parts.js"
import { currentView } from "./Timeline.js"

const bin = 500
const height = 120

export const Attempts = () => {
  void version.value
  const [ref, width] = useWidth()
  const current = session.value
  const view = currentView()
  if (current === undefined || view === undefined) return null
  // The bins stay where they are while the view moves.
  const from = current.start + Math.floor((view.from - current.start) / bin) * bin
  const bins = { from, to: view.to }
  const perSecond = (counts: ReadonlyArray<number>) => counts.map((count) => count * (1_000 / bin))
  const real = perSecond(Rates.count(current.attempts, bins, bin))
  const ideal = perSecond(Rates.expected(current.expectations, bins, bin))
  const top = Math.max(4, ...real, ...ideal)
  const x = (index: number) => ((from + index * bin - view.from) / (view.to - view.from)) * width
  const y = (rate: number) => height - (rate / top) * (height - 16)
  const nowX = ((now.value - view.from) / (view.to - view.from)) * width
  const peak = Math.max(0, ...real)
  const label = `Peak ${format(peak)}/s, ideal ${format(Math.max(0, ...ideal))}/s`
  return (
    <Section title="Reconnecting attempts a second" name="rates" aside={<span data-testid="peak">{label}</span>}>
      <div ref={ref} class="drawing">
        {width > 0 && (
          <svg width={width} height={height + 4} role="img" aria-label={label}>
            <line class="base" x1={0} x2={width} y1={height} y2={height} />
            <text class="scale" x={0} y={12}>{`${format(top)}/s`}</text>
            {real.map((rate, index) =>
              rate > 0 && (
                <rect
                  key={from + index * bin}
                  class="rate"
                  x={x(index) + 0.5}
                  y={y(rate)}
                  width={Math.max(1, x(1) - x(0) - 1)}
                  height={height - y(rate)}
                />
              )
            )}
            <path
              class="ideal"
              d={ideal.map((rate, index) => `${index === 0 ? "M" : "L"}${x(index)} ${y(rate)} H${x(index + 1)}`).join(
                " "
              )}
            />
            <line class="now-line" x1={nowX} x2={nowX} y1={8} y2={height} />
          </svg>
        )}
      </div>
      <p class="legend">
        <span class="key rate">attempts</span>
        <span class="key ideal">ideal: uniform draws over the policy's window</span>
      </p>
    </Section>
  )
}

const format = (rate: number): string => rate < 10 ? String(Math.round(rate * 10) / 10) : String(Math.round(rate))

const phases = ["Connected", "Connecting", "Waiting", "Closing", "Closed"] as const

export const Fleet = () => {
  void version.value
  const [ref, width] = useWidth()
  const canvas = useRef<HTMLCanvasElement>(null)
  const all = session.value?.phases ?? []
  const size = all.length > 120 ? 10 : 16
  const columns = Math.max(1, Math.floor(width / size))
  const rows = Math.ceil(all.length / columns)
  useLayoutEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, all, columns, size)
  })
  if (all.length < 2) return null
  const counts = phases.map((phase) => [phase, all.filter((other) => other === phase).length] as const)
  const label = counts.filter(([, count]) => count > 0).map(([phase, count]) => `${count} ${phase}`).join(", ")
  return (
    <Section title={`${all.length} clients`} name="fleet" aside={<span data-testid="fleet">{label}</span>}>
      <div ref={ref} class="drawing">
        <canvas
          ref={canvas}
          style={{ width: `${columns * size}px`, height: `${rows * size}px` }}
          role="img"
          aria-label={label}
        />
      </div>
      {mode.value === "real" && all.length >= fleetFrom && (
        <p class="note">
          A browser opens at most 255 WebSockets, so the clients from number {fleetFrom} on run in the server's process.
        </p>
      )}
    </Section>
  )
}

/** Connected: a filled square. Connecting: a small one. Waiting: an outline. */
const draw = (
  canvas: HTMLCanvasElement,
  all: ReadonlyArray<State["_tag"]>,
  columns: number,
  size: number
): void => {
  const ratio = devicePixelRatio
  canvas.width = columns * size * ratio
  canvas.height = Math.ceil(all.length / columns) * size * ratio
  const context = canvas.getContext("2d")
  if (context === null) return
  const style = getComputedStyle(canvas)
  const [accent, ink, line] = ["--accent", "--ink", "--faint"].map((name) => style.getPropertyValue(name))
  context.scale(ratio, ratio)
  all.forEach((phase, index) => {
    const x = (index % columns) * size
    const y = Math.floor(index / columns) * size
    const inner = size - 3
    context.fillStyle = context.strokeStyle = (phase === "Connected" ? accent : phase === "Connecting" ? ink : line) ??
      ""
    if (phase === "Connected") context.fillRect(x, y, inner, inner)
    else if (phase === "Connecting") context.fillRect(x + 2, y + 2, inner - 4, inner - 4)
    else context.strokeRect(x + 0.5, y + 0.5, inner - 1, inner - 1)
  })
}
