import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import type { Summary } from "../../Inspect.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { summary } from "../base/cause.js"
import { redact } from "../base/redact.js"
import { registry } from "../loop/registry.js"
import { loopOf } from "../loop/service.js"
import * as human from "./human.js"

/** @internal */
export const summarize = <Connection, E>(self: PersistentConnection<Connection, E>): Effect.Effect<Summary> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const { state, status } = loopOf(self)
    const { _tag, address, attempt, generation, lastCause, since } = state
    return {
      serverName: self.serverName,
      phase: _tag,
      since,
      forMillis: Math.max(now - since, 0),
      generation,
      attempt,
      nextAttemptAt: _tag === "Waiting" ? Option.getOrNull(state.nextAttemptAt) : null,
      waiting: status.waiting,
      address: Option.getOrNull(Option.map(address, redact)),
      // What it was closed for, if there was a cause, came last.
      lastCause: "reason" in state && "cause" in state.reason
        ? summary(state.reason.cause)
        : Option.getOrNull(Option.map(lastCause, summary))
    }
  })

const byServerName = Order.mapInput(Order.string, ({ serverName }: Summary) => serverName)

/** @internal */
export const all: Effect.Effect<ReadonlyArray<Summary>> = Effect.suspend(() =>
  Effect.map(Effect.forEach([...registry], summarize), Arr.sort(byServerName))
)

const columns: ReadonlyArray<readonly [title: string, cell: (summary: Summary) => string]> = [
  ["server", ({ serverName }) => serverName],
  ["phase", ({ phase }) => phase],
  ["for", ({ forMillis }) => human.duration(forMillis)],
  ["connection", ({ generation }) => `${generation}`],
  ["attempt", ({ attempt }) => `${attempt}`],
  [
    "next attempt",
    ({ forMillis, nextAttemptAt, since }) =>
      nextAttemptAt === null ? "-" : human.fromNow(nextAttemptAt - since - forMillis)
  ],
  ["waiting", ({ waiting }) => `${waiting}`],
  ["address", ({ address }) => address ?? "-"],
  ["last cause", ({ lastCause }) => lastCause ?? "-"]
]

const widest = 60

/** One line, and not too long. */
const fit = (text: string): string => {
  const characters = [...text.replace(/[\s\p{Cc}]+/gu, " ").trim()]
  return characters.length > widest ? `${characters.slice(0, widest - 1).join("")}…` : characters.join("")
}

/** @internal */
export const table = (summaries: ReadonlyArray<Summary>): string => {
  const rows = [
    columns.map(([title]) => title),
    ...summaries.map((summary) => columns.map(([, cell]) => fit(cell(summary))))
  ]
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => [...row[column]!].length)))
  return rows
    .map((row) => row.map((cell, column) => cell + " ".repeat(widths[column]! - [...cell].length)).join("  ").trimEnd())
    .join("\n")
}
