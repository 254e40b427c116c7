import type * as Effect from "effect/Effect"
import type { Section } from "./harness/section.js"
import { throughput } from "./throughput.js"

/** All benchmarks, in the order of the report. */
export const benchmarks: Readonly<Record<string, Effect.Effect<Section>>> = {
  throughput
}
