import type * as Effect from "effect/Effect"
import { events } from "./events.js"
import { flap } from "./flap.js"
import { fleet } from "./fleet.js"
import { halfOpen } from "./halfOpen.js"
import type { Section } from "./harness/section.js"
import { herd } from "./herd.js"
import { hot } from "./hot.js"
import { memory } from "./memory.js"
import { reconnect } from "./reconnect.js"
import { size } from "./size.js"
import { throughput } from "./throughput.js"
import { waiters } from "./waiters.js"

/** All benchmarks, in the order of the report. */
export const benchmarks: Readonly<Record<string, Effect.Effect<Section>>> = {
  hot,
  throughput,
  memory,
  reconnect,
  herd,
  flap,
  "half-open": halfOpen,
  waiters,
  events,
  fleet,
  size
}
