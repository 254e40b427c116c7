/** The history of the first client, drawn to scale: the server, the connection, the messages. */
import { signal } from "@preact/signals"
import type { Action, Step, WorldState } from "../../src/live/scenario.js"
import * as Model from "../../src/live/timeline.js"
import { isPaused, now, session, version } from "../app.js"
import type { Era, Item } from "../session.js"
import { Choice, Section, useWidth } from "./parts.js"

const lengths = ["20 s", "1 min", "2 min"] as const
const length = signal<typeof lengths[number]>("20 s")
const millis = { "20 s": 20_000, "1 min": 60_000, "2 min": 120_000 }

/** The view of all drawings that share the time axis. */
export const currentView = (): Model.View | undefined => {
  const start = session.value?.start
  return start === undefined ? undefined : Model.viewAt(now.value, millis[length.value], start)
}

const lane = { server: 26, client: 66, messages: 142, axis: 186 }
const total = 206

export const Timeline = () => {
  void version.value
  const [ref, width] = useWidth()
  const current = session.value
  const view = currentView()
  return (
    <Section
      title="Timeline"
      name="timeline"
      aside={
        <>
          <Choice label="Scale" value={length.value} values={lengths} onChange={(chosen) => length.value = chosen} />
          <button type="button" aria-pressed={isPaused.value} onClick={() => isPaused.value = !isPaused.value}>
            Pause
          </button>
        </>
      }
    >
      <div ref={ref} class="drawing">
        {current !== undefined && view !== undefined && width > 0 && (
          <svg width={width} height={total} role="img" aria-label={describe(current.spans)}>
            <Axis view={view} width={width} start={current.start} />
            <text class="lane-name" x={0} y={lane.server - 8}>Server</text>
            {current.eras.map((era) => <EraBar key={era.from} era={era} view={view} width={width} />)}
            {current.steps.map((step, index) => (
              <StepMark key={index} step={step} start={current.start} view={view} width={width} />
            ))}
            <text class="lane-name" x={0} y={lane.client - 8}>Client</text>
            {current.spans.map((span) => <SpanBar key={span.from} span={span} view={view} width={width} />)}
            <text class="lane-name" x={0} y={lane.messages - 8}>Messages</text>
            {current.items.map((item) => (
              <ItemMark
                key={item._tag === "Gap" ? `gap ${item.to}` : item.number}
                item={item}
                view={view}
                width={width}
              />
            ))}
            <line
              class="now-line"
              x1={Model.toX(now.value, view) * width}
              x2={Model.toX(now.value, view) * width}
              y1={14}
              y2={lane.axis - 4}
            />
          </svg>
        )}
      </div>
      <p class="legend">
        <span class="key connected">connected</span>
        <span class="key attempt">attempt</span>
        <span class="key waiting">waiting</span>
        <span class="key loss">failure or loss</span>
        <span class="key gap">gap</span>
      </p>
    </Section>
  )
}

interface Place {
  readonly view: Model.View
  readonly width: number
}

const Axis = ({ start, view, width }: Place & { readonly start: number }) => (
  <g class="axis">
    <line x1={0} x2={width} y1={lane.axis} y2={lane.axis} />
    {Model.ticks(view, start, width / 64).map((at) => {
      const x = Model.toX(at, view) * width
      return (
        <g key={at}>
          <line x1={x} x2={x} y1={14} y2={lane.axis} class="grid" />
          <text x={Math.min(width - 14, Math.max(10, x))} y={lane.axis + 15}>
            {`${Math.round((at - start) / 1_000)} s`}
          </text>
        </g>
      )
    })}
  </g>
)

const EraBar = ({ era, view, width }: Place & { readonly era: Era }) => {
  const place = Model.placed(era, view, now.value)
  if (place === undefined) return null
  const text = describeWorld(era.world)
  const isFine = text === "up"
  return (
    <g class={isFine ? "era" : "era bad"}>
      <rect x={place.x * width} y={lane.server} width={place.width * width} height={14} />
      {place.width * width > text.length * 6.5 + 8 && <text x={place.x * width + 5} y={lane.server + 11}>{text}</text>}
    </g>
  )
}

const moments: Partial<Record<Action["tag"], string>> = {
  silence: "silent",
  announce: "restart announced",
  close: "closed"
}

const StepMark = ({ start, step, view, width }: Place & { readonly step: Step; readonly start: number }) => {
  const name = moments[step.action.tag]
  const at = start + step.at
  if (name === undefined || at < view.from) return null
  const x = Model.toX(at, view) * width
  return (
    <g class="moment">
      <path d={`M${x} ${lane.server} v14`} />
      <text x={x + 5} y={lane.server + 11}>{name}</text>
    </g>
  )
}

const describeWorld = ({ dropAfter, latency, online, server }: WorldState): string =>
  [
    online ? server : "offline",
    ...latency > 0 ? ["slow"] : [],
    ...dropAfter > 0 ? [`drops after ${dropAfter / 1_000} s`] : []
  ].join(", ")

const middle = lane.client + 24

const SpanBar = ({ span, view, width }: Place & { readonly span: Model.Span }) => {
  const place = Model.placed(span, view, now.value)
  if (place === undefined) return null
  const x = place.x * width
  const right = x + place.width * width
  return (
    <g>
      <title>{titleOf(span)}</title>
      {span.phase === "Connected" && (
        <>
          <rect class="connected" x={x} y={lane.client} width={Math.max(2, right - x)} height={48} />
          {right - x > 34 && <text class="on-accent" x={x + 8} y={middle + 5}>{`#${span.generation}`}</text>}
        </>
      )}
      {span.phase === "Connecting" && (
        <rect class="attempt" x={x} y={middle - 12} width={Math.max(3, right - x)} height={24} />
      )}
      {span.phase === "Closing" && (
        <rect class="closing" x={x} y={middle - 12} width={Math.max(3, right - x)} height={24} />
      )}
      {span.phase === "Waiting" && <Wait span={span} x={x} right={right} view={view} width={width} />}
      {span.failure !== undefined && span.to !== undefined && span.to >= view.from && (
        <Loss x={right} isLoss={span.phase === "Connected"} />
      )}
    </g>
  )
}

const Loss = ({ isLoss, x }: { readonly x: number; readonly isLoss: boolean }) =>
  isLoss
    ? <line class="loss" x1={x} x2={x} y1={lane.client - 4} y2={lane.client + 52} />
    : <path class="loss" d={`M${x - 4} ${middle - 22} l8 8 m0 -8 l-8 8`} />

const Wait = (
  { right, span, view, width, x }: Place & { readonly span: Model.Span; readonly x: number; readonly right: number }
) => {
  const due = span.nextAttemptAt
  const isNext = span.to === undefined && due !== undefined && due !== Infinity
  const dueX = isNext ? Math.min(width - 6, Model.toX(due, view) * width) : 0
  return (
    <g class="waiting">
      <line x1={x} x2={right} y1={middle} y2={middle} />
      {isNext && (
        <>
          <line class="ahead" x1={right} x2={dueX} y1={middle} y2={middle} />
          <circle cx={dueX} cy={middle} r={5} />
          <text x={Math.min(right + 6, width - 138)} y={middle - 12}>
            {`next attempt in ${Model.formatTime(due - now.value)}`}
          </text>
        </>
      )}
    </g>
  )
}

const titleOf = (span: Model.Span): string => {
  const what = span.phase === "Connecting"
    ? `Attempt ${span.attempt}`
    : span.phase === "Connected"
    ? `Connection ${span.generation}`
    : span.phase
  const time = span.to === undefined ? "" : `, ${Model.formatTime(span.to - span.from)}`
  return `${what}${time}${span.failure === undefined ? "" : `. ${span.failure}`}`
}

const ItemMark = ({ item, view, width }: Place & { readonly item: Item }) => {
  if (item._tag === "Message") {
    if (item.at < view.from) return null
    const x = Model.toX(item.at, view) * width
    return (
      <g>
        <line class="message" x1={x} x2={x} y1={lane.messages} y2={lane.messages + 16} />
        {item.missed > 0 && <text class="missed" x={x + 4} y={lane.messages + 30}>{`${item.missed} missed`}</text>}
      </g>
    )
  }
  const place = Model.placed(item, view, now.value)
  return place === undefined
    ? null
    : <rect class="gap" x={place.x * width} y={lane.messages} width={place.width * width} height={16} />
}

/** What a screen reader says of the drawing. */
const describe = (spans: ReadonlyArray<Model.Span>): string => {
  const connections = spans.filter(({ phase }) => phase === "Connected").length
  const failed = spans.filter(({ failure, phase }) => phase === "Connecting" && failure !== undefined).length
  return `The last minutes: ${connections} connections, ${failed} failed attempts`
}
