/** Runs one benchmark, in a process of its own, and sends its result to the parent process. */
import * as Effect from "effect/Effect"
import { benchmarks } from "./benchmarks.js"

const section = await Effect.runPromise(benchmarks[process.argv[2]!]!)
process.send!({ section }, () => process.exit())
process.on("disconnect", () => process.exit())
