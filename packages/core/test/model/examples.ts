/** Example histories that cover all kinds of transitions. The proofs disturb them at every step. */
import type { Connect, Handling, Scenario, Step } from "./Scenario.js"
import type { TestCase } from "./testCase.js"

export const handling: Handling = { pauses: 0, does: undefined, forks: false, takes: 0, dies: false }

export const step: Step = {
  pauses: 0,
  does: undefined,
  forks: false,
  takes: 1,
  ends: "succeed",
  text: "a",
  isUninterruptible: false
}

export const connect: Connect = { ...step, opensFirst: false, life: undefined, loss: "clean", release: handling }

/** Look-ups and connects succeed after 1 tick each. The first retry follows 1 tick after the start of the attempt. */
export const plain: Scenario = {
  lookUps: [step],
  connects: [connect],
  handlers: [handling],
  retry: [1],
  policyTakes: 0,
  attemptTimeout: Infinity,
  minUptime: 0,
  knowsDeath: true
}

const waiters = [
  { at: 0, does: "connected" },
  { at: 1, does: "connectedOrClosed" },
  { at: 1, does: "connectedOrFailedToConnect" },
  { at: 4, does: "closeFinished" },
  { at: 5, does: "connected" }
] as const

const slowRelease: Handling = { ...handling, takes: 1 }

export const examples: Readonly<Record<string, TestCase>> = {
  "it fails, connects, loses the connection and connects again": {
    scenario: {
      ...plain,
      lookUps: [step, step, { ...step, text: "b" }],
      connects: [
        { ...connect, ends: "fail", opensFirst: true },
        { ...connect, life: 1, loss: "fail", release: slowRelease },
        { ...connect, release: slowRelease }
      ],
      handlers: [handling, handling, handling, { ...handling, takes: 1 }],
      policyTakes: 1
    },
    actions: waiters,
    until: 12
  },
  "it misses the deadline, cannot be interrupted, and succeeds too late": {
    scenario: {
      ...plain,
      connects: [
        { ...connect, takes: 3, isUninterruptible: true, release: slowRelease },
        { ...connect, opensFirst: true, release: slowRelease }
      ],
      attemptTimeout: 2
    },
    actions: waiters,
    until: 8
  },
  "handlers and finalizers ask for the connection themselves": {
    scenario: {
      ...plain,
      connects: [{ ...connect, life: 0, release: { ...handling, does: "connectedOrClosed" } }, connect],
      handlers: [
        { ...handling, does: "connected" },
        { ...handling, takes: 1 },
        { ...handling, takes: 1, does: "connectedOrFailedToConnect" },
        { ...handling, dies: true }
      ]
    },
    actions: waiters,
    until: 8
  },
  "the connection is replaced while it is used": {
    scenario: {
      ...plain,
      connects: [{ ...connect, ends: "fail" }, { ...connect, release: slowRelease }],
      handlers: [handling, { ...handling, takes: 1 }]
    },
    actions: [
      ...waiters,
      { at: 7, does: "use" },
      { at: 7, does: "refresh" },
      { at: 8, does: "probe" }
    ],
    until: 14
  }
}
