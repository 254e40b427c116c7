/** Aligned, coloured lines. */
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const codes = { dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const

type Colour = keyof typeof codes

const isColoured = process.env["NO_COLOR"] === undefined &&
  (process.stdout.isTTY || process.env["FORCE_COLOR"] !== undefined)

const paint = (colour: Colour, text: string): string => isColoured ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text

/** Makes a printer for lines of three columns: the seconds since the start, a label and a text. */
export const makePrinter = Effect.map(
  Clock.currentTimeMillis,
  (start) => (colour: Colour, label: string, text = "") =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const seconds = ((now - start) / 1000).toFixed(2).padStart(6)
      return Console.log(`${paint("dim", `${seconds} s`)}  ${paint(colour, label.padEnd(12))}  ${text}`)
    })
)

export type Printer = Effect.Effect.Success<typeof makePrinter>

/** Aligned rows of a name and a value. */
export const table = (rows: ReadonlyArray<readonly [string, string]>): string => {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${paint("cyan", value)}`).join("\n")
}

/** A state as a few words. */
export const describeState = (state: ConnectionState<unknown, unknown>): string => {
  switch (state._tag) {
    case "Connecting":
      return `${state._tag}, attempt ${state.attempt}`
    case "Waiting":
      return Option.match(state.nextAttemptAt, {
        onNone: () => state._tag,
        onSome: (at) => {
          const delay = Math.round(at - state.since)
          return `${state._tag}, next attempt ${delay > 0 ? `in ${delay} ms` : "at once"}`
        }
      })
    default:
      return state._tag
  }
}
