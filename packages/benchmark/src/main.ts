/**
 * The costs of a persistent connection, as ratios to baselines that are measured side by side, and their floors.
 *
 *     npm run measure
 *     npm run measure -- heap size
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { calls } from "./calls.js"
import { heap } from "./heap.js"
import { type Figure, isMet } from "./measuring.js"
import { messages } from "./messages.js"
import { reconnect } from "./reconnect.js"
import { rpc } from "./rpc.js"
import { size } from "./size.js"
import { streams } from "./streams.js"

const all: Record<string, Effect.Effect<ReadonlyArray<Figure>>> = {
  heap,
  calls,
  streams,
  messages,
  reconnect,
  rpc,
  size
}

const print = (figure: Figure) => {
  const { floor, unit, value, what } = figure
  const bound = "atMost" in floor ? `at most ${floor.atMost}` : `at least ${floor.atLeast}`
  return Console.log(
    `${isMet(figure) ? "met   " : "MISSED"}  ${what.padEnd(56)} ${value.toFixed(2).padStart(6)} ${unit} (${bound})`
  )
}

const chosen = process.argv.slice(2)
const unknown = chosen.find((name) => all[name] === undefined)
if (unknown !== undefined) {
  console.error(`There is no measurement "${unknown}". There are: ${Object.keys(all).join(", ")}.`)
  process.exit(1)
}

await Effect.runPromise(Effect.forEach(
  chosen.length === 0 ? Object.keys(all) : chosen,
  (name) => Effect.flatMap(all[name]!, (figures) => Effect.forEach(figures, print)),
  { discard: true }
))
console.log("\nTimes depend on the load of the machine: repeat a missed one when nothing else runs.")
process.exit()
