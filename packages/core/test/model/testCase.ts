/** Runs a scenario with simultaneous actions in a random order, and checks the invariants of every order. */
import { check, checkLeft, checkQuiet } from "./invariants.js"
import { type Extra, type Op, type Scenario, tick } from "./Scenario.js"
import * as Subject from "./Subject.js"
import { World } from "./World.js"
import type * as Worlds from "./World.js"

/** An action of a user, with its time in ticks. */
export interface UserAction {
  readonly at: number
  /** "interrupt" interrupts the op that has waited longest. */
  readonly does: Op | Extra | "leave" | "interrupt"
}

export interface TestCase {
  readonly scenario: Scenario
  readonly actions: ReadonlyArray<UserAction>
  /** The time in ticks at which the scope is left at the latest. */
  readonly until: number
}

/** After this time everything has ended. */
const longAfter = 100 * tick

export interface Options extends Worlds.Options, Subject.Options {
  /** Called before the run starts. */
  readonly onReady?: ((subject: Subject.Subject) => void) | undefined
}

/** Throws an error that names the broken invariants. */
export const perform = ({ actions, scenario, until }: TestCase, options: Options): Subject.Subject => {
  const world = new World(options)
  const subject = new Subject.Subject(world, scenario, { slowHandlerThreshold: 2, ...options })
  for (const [index, action] of actions.entries()) {
    world.after(action.at * tick, () => subject.doAction(action.does, `action ${index}`))
  }
  options.onReady?.(subject)
  world.advance(until * tick)
  throwIfAny("before leaving", [...check(subject), ...checkQuiet(subject)])
  subject.doAction("leave", "leave")
  world.advance(longAfter)
  throwIfAny("after leaving", [...checkLeft(subject), ...checkQuiet(subject)])
  world.end()
  return subject
}

const throwIfAny = (when: string, wrong: ReadonlyArray<string>) => {
  if (wrong.length > 0) throw new Error([when, ...wrong].join("\n  "))
}

/** A seeded random generator for numbers from 0 to 1, excluding 1 (mulberry32). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

/** Picks a random ready task each time, and preempts fibers at random ops. */
export const shuffled = (seed: number, preemption: number): Worlds.Options => {
  const next = random(seed)
  return {
    pick: (ready) => Math.floor(next() * ready),
    preempts: preemption === 0 ? undefined : () => next() < preemption
  }
}
