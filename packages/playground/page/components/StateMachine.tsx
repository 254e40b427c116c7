/** The state machine, with the current state lit, and what the state says. */
import * as Timeline from "../../src/live/timeline.js"
import { now, session, version } from "../app.js"
import { Section } from "./parts.js"

const places = {
  Connecting: { x: 20, y: 20 },
  Connected: { x: 190, y: 20 },
  Waiting: { x: 105, y: 92 },
  Closing: { x: 275, y: 92 },
  Closed: { x: 400, y: 92 }
} as const

const width = 100
const height = 34

/** The transitions between different states, as paths from edge to edge. */
const arrows = [
  "M120 37 H185",
  "M220 54 L185 88",
  "M78 54 L118 88",
  "M138 92 L98 58",
  "M205 109 H270",
  "M262 54 L300 88",
  "M375 109 H395",
  "M40 54 V140 H325 V130"
]

export const StateMachine = () => {
  void version.value
  const current = session.value
  const span = current?.spans.at(-1)
  if (current === undefined || span === undefined) return null
  return (
    <Section title="State" name="state" aside={<span data-testid="status">Status: {current.status}</span>}>
      <div class="state-grid">
        <svg class="machine" viewBox="0 0 512 150" role="img" aria-label={`The state machine. Now: ${span.phase}`}>
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0 L8 4 L0 8 Z" />
            </marker>
          </defs>
          {arrows.map((path) => <path key={path} class="arrow" d={path} marker-end="url(#arrow)" />)}
          {Object.entries(places).map(([phase, { x, y }]) => (
            <g key={phase} class={phase === span.phase ? "node lit" : "node"} data-state={phase}>
              <rect x={x} y={y} width={width} height={height} rx={height / 2} />
              <text x={x + width / 2} y={y + 22}>{phase}</text>
            </g>
          ))}
        </svg>
        <Now span={span} />
        <Facts />
      </div>
    </Section>
  )
}

const Now = ({ span }: { readonly span: Timeline.Span }) => (
  <div class="now">
    <p class="phase" role="status" data-testid="phase">{span.phase}</p>
    <p class="countdown" data-testid="countdown">{sentence(span, now.value)}</p>
  </div>
)

const sentence = (span: Timeline.Span, now: number): string => {
  const time = Timeline.formatTime(now - span.from)
  switch (span.phase) {
    case "Connecting":
      return `attempt ${span.attempt}, for ${time}`
    case "Connected":
      return `connection ${span.generation}, for ${time}`
    case "Waiting":
      return span.nextAttemptAt === undefined
        ? "no other attempt"
        : span.nextAttemptAt === Infinity
        ? "until someone asks for it"
        : `next attempt in ${Timeline.formatTime(span.nextAttemptAt - now)}`
    case "Closing":
      return "the last connection is being closed"
    case "Closed":
      return "there will be no other connection"
  }
}

/** The summary of `Inspect`, for the first client. */
const Facts = () => {
  void version.value
  const summary = session.value?.summary
  if (summary === undefined) return null
  return (
    <dl class="facts">
      <dt>Connections</dt>
      <dd data-testid="generation">{summary.generation}</dd>
      <dt>Attempt</dt>
      <dd>{summary.attempt}</dd>
      <dt>Address</dt>
      <dd>{summary.address ?? "none yet"}</dd>
      <dt>Last cause</dt>
      <dd>{summary.lastCause ?? "none"}</dd>
    </dl>
  )
}
