import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { cases, isLong, turn } from "../support/proof.js"
import { examples } from "./examples.js"
import type { Subject } from "./Subject.js"
import { type Options, perform, type TestCase, type UserAction } from "./testCase.js"
import { World } from "./World.js"

/** Each disturbance is tried at every step. Its second action follows in the next turn. */
const disturbances: ReadonlyArray<ReadonlyArray<UserAction["does"]>> = [
  ["close"],
  ["leave"],
  ["abort"],
  ["closeWhen"],
  ["lose"],
  ["interrupt"],
  // The caller of close is interrupted, and closing continues.
  ["close", "interrupt"],
  ["leave", "close"],
  ["abort", "leave"],
  ["refresh", "closeGracefully"]
]

/** Runs the test case once, and returns its number of steps. */
const count = (testCase: TestCase, steps: "tasks" | "ops"): number => perform(testCase, { streams: false }).world[steps]

const disturb = (subject: Subject, actions: ReadonlyArray<UserAction["does"]>) => {
  const [first, ...others] = actions
  if (first === undefined) return
  subject.doAction(first, `${first} between`)
  subject.world.after(0, () => disturb(subject, others))
}

/** Throws an error that names the step and the broken invariant. */
const performWith = (testCase: TestCase, step: number, options: Options) => {
  try {
    perform(testCase, { streams: false, ...options })
  } catch (error) {
    throw new Error(`at step ${step}`, { cause: error })
  }
}

describe.each(Object.entries(examples))("while %s", (_, testCase) => {
  it.each(disturbances.map((actions) => [actions] as const))(
    "%j before any task breaks no invariant",
    async (actions) => {
      const total = count(testCase, "tasks")
      expect(total).toBeGreaterThan(40)
      // The short form tries different tasks for each disturbance.
      const stride = isLong ? 1 : 8
      for (let step = disturbances.indexOf(actions) % stride; step < total; step += stride, await turn()) {
        let subject: Subject
        performWith(testCase, step, {
          onReady: (ready) => {
            subject = ready
          },
          beforeTask: (task) => {
            if (task === step) disturb(subject, actions)
          }
        })
      }
    }
  )

  it.each(disturbances.map((actions) => [actions] as const))(
    "%j between two ops of a fiber breaks no invariant",
    async (actions) => {
      const total = count(testCase, "ops")
      expect(total).toBeGreaterThan(1_000)
      // Not at every op, but at different ops for each disturbance.
      const stride = Math.max(1, Math.floor(total / cases(4, 250)))
      for (let step = disturbances.indexOf(actions) % stride; step < total; step += stride, await turn()) {
        let subject: Subject
        performWith(testCase, step, {
          onReady: (ready) => {
            subject = ready
          },
          preempts: (op) => {
            if (op !== step) return false
            subject.world.next(() => disturb(subject, actions))
            return true
          }
        })
      }
    }
  )
})

describe("during make", () => {
  it("an interruption between two ops leaves nothing behind", async () => {
    const make = (interruptAt: number) => {
      let fiber: Fiber.RuntimeFiber<unknown> | undefined
      let open = 0
      const world = new World({
        preempts: (op) => {
          if (op === interruptAt) world.next(() => fiber?.unsafeInterruptAsFork(fiber.id()))
          return op === interruptAt
        }
      })
      const connector = Connector.make({
        connect: () => Effect.acquireRelease(Effect.sync(() => ({ number: ++open })), () => Effect.sync(() => open--)),
        closed: () => Effect.never
      })
      const made = PersistentConnection.make({ serverName: "interrupted", address: Effect.succeed("a"), connector })
      fiber = world.run(world.watched(Effect.scoped(Effect.zipRight(made, Effect.sleep("1 second")))))
      world.advance(500)
      if (fiber.unsafePoll() === null) fiber.unsafeInterruptAsFork(fiber.id())
      world.advance(0)
      expect([fiber.unsafePoll()?._tag, open, world.fibers.size, world.timers]).toEqual(["Failure", 0, 0, 0])
      return world.ops
    }
    const total = make(-1)
    expect(total).toBeGreaterThan(100)
    for (let op = 0; op < total; op++, await turn()) make(op)
  })
})
