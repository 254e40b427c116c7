import { describe, it } from "@effect/vitest"
import { connect, handling, plain, step } from "./examples.js"
import { run } from "./lockstep.js"
import type { Command, Op, Scenario } from "./Scenario.js"

const advance = (ticks: number): Command => ({ type: "advance", ticks })
const op = (op: Op): Command => ({ type: "op", op })

/** Each as small as it can be: what the properties of this folder have found. */
const findings: Readonly<Record<string, readonly [scenario: Partial<Scenario>, commands: ReadonlyArray<Command>]>> = {
  "a handler that asks for the connection at once does not stop the loop (D7)": [
    { handlers: [{ ...handling, does: "connected" }] },
    [advance(5)]
  ],
  "nor does one that asks in a fiber of its own (D7)": [
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
  "a handler of Connected that asks for a connection after close does not keep it from Closed and Disconnected (D7, X3)":
    [
      { handlers: [handling, handling, { ...handling, pauses: 2, does: "connected" }] },
      [advance(3), op("close"), advance(5)]
    ],
  "connectedOrClosed, asked while closing, answers with the reason as it is in the end (X5)": [
    { connects: [{ ...connect, release: { ...handling, takes: 2 } }] },
    [advance(3), op("close"), op("connectedOrClosed"), op("abort"), advance(5)]
  ],
  "a finalizer that asks connectedOrClosed while closing has its answer at once (D7)": [
    { connects: [{ ...connect, release: { ...handling, does: "connectedOrClosed" } }] },
    [advance(3), op("close"), advance(5)]
  ],
  "no other attempt after closeWhen…, though the retry policy was still deciding when it was called (X4)": [
    { connects: [{ ...connect, life: 1 }, connect], policyTakes: 1 },
    [advance(3), op("closeWhen"), advance(5)]
  ],
  "a connection has lived until it was lost, not until its Connected handler has ended (minUptime)": [
    { connects: [{ ...connect, life: 1 }], handlers: [{ ...handling, takes: 3 }], minUptime: 3, retry: [1, 9] },
    [advance(40)]
  ],
  "a connect whose deadline has passed may wait for the next connection, while the policy is still deciding (D7c)": [
    {
      lookUps: [{ ...step, takes: 0 }],
      connects: [{ ...connect, pauses: 2, does: "connected", isUninterruptible: true }],
      attemptTimeout: 1,
      policyTakes: 1,
      retry: [5]
    },
    [advance(4)]
  ],
  "a child of a handler that waits lets that go, also for the end of a close (D7a)": [
    { handlers: [handling, handling, { ...handling, does: "close", forks: true, takes: 2 }] },
    [advance(3), advance(5)]
  ],
  "a success whose delay has passed takes no delay away from the first failure after it (D11)": [
    { connects: [{ ...connect, life: 5 }, { ...connect, ends: "fail" }], retry: [2, 4, 6] },
    [advance(30)]
  ],
  "an attempt that waits for the end of closing waits for itself (D7)": [
    { lookUps: [{ ...step, does: "closeFinished" }, step] },
    [advance(5)]
  ]
}

describe("what was found once", () => {
  it.each(Object.entries(findings))("%s", (_, [scenario, commands]) => {
    run({ ...plain, ...scenario }, commands, true)
  })
})
