/** The event log, and the messages with their gaps. */
import { formatTime } from "../../src/live/timeline.js"
import { session, version } from "../app.js"
import type { Item } from "../session.js"
import { Section } from "./parts.js"

const shown = 80

export const EventLog = () => {
  void version.value
  const current = session.value
  if (current === undefined) return null
  const lines = current.log.slice(-shown).reverse()
  return (
    <Section title="Events" name="log" aside="newest first">
      <ol class="list" tabIndex={0} aria-label="The events, the newest first">
        {lines.map((line, index) => (
          <li key={current.log.length - index} class={line.kind}>
            <time>{((line.at - current.start) / 1_000).toFixed(2)}</time>
            <span>{line.text}</span>
          </li>
        ))}
      </ol>
    </Section>
  )
}

/** Messages that follow each other without a gap, or the gap between them. */
type Run =
  | { readonly _tag: "Run"; readonly first: number; readonly last: number; readonly missed: number }
  | Extract<Item, { readonly _tag: "Gap" }>

const runsOf = (items: ReadonlyArray<Item>): ReadonlyArray<Run> => {
  const runs: Array<Run> = []
  for (const item of items) {
    const last = runs.at(-1)
    if (item._tag === "Gap") runs.push(item)
    else if (last?._tag === "Run" && item.missed === 0) runs[runs.length - 1] = { ...last, last: item.number }
    else runs.push({ _tag: "Run", first: item.number, last: item.number, missed: item.missed })
  }
  return runs
}

export const Messages = () => {
  void version.value
  const current = session.value
  if (current === undefined) return null
  const runs = runsOf(current.items).slice(-shown).reverse()
  const missed = current.items.reduce((sum, item) => sum + (item._tag === "Message" ? item.missed : 0), 0)
  return (
    <Section title="Messages" name="messages" aside={<span data-testid="missed">{missed} missed</span>}>
      <ol class="list" tabIndex={0} aria-label="The messages, the newest first">
        {runs.map((run) =>
          run._tag === "Gap"
            ? (
              <li key={`gap ${run.to}`} class="failure" data-testid="gap">
                <time>gap</time>
                <span>
                  {formatTime(run.to - run.from)} without a subscription, ended by connection {run.generation}
                </span>
              </li>
            )
            : (
              <li key={run.first}>
                <time>{run.first === run.last ? `#${run.first}` : `#${run.first}–${run.last}`}</time>
                <span>
                  {run.last - run.first + 1} in order{run.missed > 0 && `, after ${run.missed} that are lost for ever`}
                </span>
              </li>
            )
        )}
      </ol>
    </Section>
  )
}
