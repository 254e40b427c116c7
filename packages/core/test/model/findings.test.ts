import { describe, it } from "@effect/vitest"
import { connect, handling, plain, step } from "./examples.js"
import { run } from "./lockstep.js"
import type { Command, Op, Scenario } from "./Scenario.js"

const advance = (ticks: number): Command => ({ type: "advance", ticks })
const op = (op: Op): Command => ({ type: "op", op })

/** Minimal cases of the bugs that the properties of this folder have found. */
const findings: Readonly<Record<string, readonly [scenario: Partial<Scenario>, commands: ReadonlyArray<Command>]>> = {
  "a handler that calls connected at once does not stop the loop (D7)": [
    { handlers: [{ ...handling, does: "connected" }] },
    [advance(5)]
  ],
  "a handler that calls connected in a forked fiber does not stop the loop (D7)": [
    { handlers: [{ ...handling, does: "connected", forks: true }] },
    [advance(5)]
  ],
  "no look-up begins after a finalizer has called close (X1)": [
    {
      lookUps: [{ ...step, takes: 0 }],
      connects: [{ ...connect, takes: 0, release: { ...handling, does: "close", forks: true } }]
    },
    [advance(3), op("lose"), advance(5)]
  ],
  "a Connected handler that calls connected after close does not prevent Closed and Disconnected (D7, X3)": [
    { handlers: [handling, handling, { ...handling, pauses: 2, does: "connected" }] },
    [advance(3), op("close"), advance(5)]
  ],
  "connectedOrClosed, called during a close, fails with the final reason (X5)": [
    { connects: [{ ...connect, release: { ...handling, takes: 2 } }] },
    [advance(3), op("close"), op("connectedOrClosed"), op("abort"), advance(5)]
  ],
  "a finalizer that calls connectedOrClosed during a close gets the result at once (D7)": [
    { connects: [{ ...connect, release: { ...handling, does: "connectedOrClosed" } }] },
    [advance(3), op("close"), advance(5)]
  ],
  "no further attempt after closeWhen…, even if the retry policy was still deciding at the call (X4)": [
    { connects: [{ ...connect, life: 1 }, connect], policyTakes: 1 },
    [advance(3), op("closeWhen"), advance(5)]
  ],
  "the uptime of a connection ends with its loss, not with the end of its Connected handler (minUptime)": [
    { connects: [{ ...connect, life: 1 }], handlers: [{ ...handling, takes: 3 }], minUptime: 3, retry: [1, 9] },
    [advance(40)]
  ],
  "a connect whose deadline has passed may wait for the next connection while the policy is still deciding (D7c)": [
    {
      lookUps: [{ ...step, takes: 0 }],
      connects: [{ ...connect, pauses: 2, does: "connected", isUninterruptible: true }],
      attemptTimeout: 1,
      policyTakes: 1,
      retry: [5]
    },
    [advance(4)]
  ],
  "the loop does not wait for a handler whose child waits for the end of a close (D7a)": [
    { handlers: [handling, handling, { ...handling, does: "close", forks: true, takes: 2 }] },
    [advance(3), advance(5)]
  ],
  "the loss of a long-lived connection whose delay has passed consumes no delay of the next failures (D11)": [
    { connects: [{ ...connect, life: 5 }, { ...connect, ends: "fail" }], retry: [2, 4, 6] },
    [advance(30)]
  ],
  "an attempt that awaits closeFinished waits for itself (D7)": [
    { lookUps: [{ ...step, does: "closeFinished" }, step] },
    [advance(5)]
  ]
}

describe("fixed bugs", () => {
  it.each(Object.entries(findings))("%s", (_, [scenario, commands]) => {
    run({ ...plain, ...scenario }, commands, true)
  })
})
