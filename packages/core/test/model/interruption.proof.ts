import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { cases, isLong, turn } from "../support/proof.js"
import { examples } from "./examples.js"
import { type Act, type Options, perform, type Play } from "./play.js"
import type { Subject } from "./Subject.js"
import { World } from "./World.js"

/** Each at every step; the second one in the turn after it. */
const disturbances: ReadonlyArray<ReadonlyArray<Act["does"]>> = [
  ["close"],
  ["leave"],
  ["abort"],
  ["closeWhen"],
  ["lose"],
  ["interrupt"],
  // Whoever closes may give up waiting, and the closing goes on.
  ["close", "interrupt"],
  ["leave", "close"],
  ["abort", "leave"],
  ["refresh", "closeGracefully"]
]

/** Runs the play once, and tells how many steps it has. */
const count = (play: Play, steps: "tasks" | "ops"): number => perform(play, { streams: false }).world[steps]

const disturb = (subject: Subject, acts: ReadonlyArray<Act["does"]>) => {
  const [first, ...others] = acts
  if (first === undefined) return
  subject.act(first, `${first} between`)
  subject.world.after(0, () => disturb(subject, others))
}

/** Throws an error that says at which step what was wrong. */
const performWith = (play: Play, step: number, options: Options) => {
  try {
    perform(play, { streams: false, ...options })
  } catch (error) {
    throw new Error(`at step ${step}`, { cause: error })
  }
}

describe.each(Object.entries(examples))("while %s", (_, play) => {
  it.each(disturbances.map((acts) => [acts] as const))(
    "no rule is broken by %j before any task",
    async (acts) => {
      const total = count(play, "tasks")
      expect(total).toBeGreaterThan(40)
      // In the short form at other tasks for every disturbance.
      const stride = isLong ? 1 : 8
      for (let step = disturbances.indexOf(acts) % stride; step < total; step += stride, await turn()) {
        let subject: Subject
        performWith(play, step, {
          onReady: (ready) => {
            subject = ready
          },
          beforeTask: (task) => {
            if (task === step) disturb(subject, acts)
          }
        })
      }
    }
  )

  it.each(disturbances.map((acts) => [acts] as const))(
    "no rule is broken by %j between two ops of a fiber",
    async (acts) => {
      const total = count(play, "ops")
      expect(total).toBeGreaterThan(1_000)
      // Not at every op, but at others for every disturbance.
      const stride = Math.max(1, Math.floor(total / cases(4, 250)))
      for (let step = disturbances.indexOf(acts) % stride; step < total; step += stride, await turn()) {
        let subject: Subject
        performWith(play, step, {
          onReady: (ready) => {
            subject = ready
          },
          preempts: (op) => {
            if (op !== step) return false
            subject.world.next(() => disturb(subject, acts))
            return true
          }
        })
      }
    }
  )
})

describe("while it is made", () => {
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
