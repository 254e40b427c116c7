/**
 * Runs a scenario in which things happen at the same time, in an order that is up to chance, and checks what has to be
 * so whatever the order.
 */
import { check, checkLeft, checkQuiet } from "./invariants.js"
import { type Extra, type Op, type Scenario, tick } from "./Scenario.js"
import * as Subject from "./Subject.js"
import { World } from "./World.js"
import type * as Worlds from "./World.js"

/** What a user does, and when, in ticks. */
export interface Act {
  readonly at: number
  /** Or interrupts the op that has waited longest. */
  readonly does: Op | Extra | "leave" | "interrupt"
}

export interface Play {
  readonly scenario: Scenario
  readonly acts: ReadonlyArray<Act>
  /** In ticks: the scope is left then at the latest. */
  readonly until: number
}

/** So long after leaving, everything that could happen has happened. */
const longAfter = 100 * tick

export interface Options extends Worlds.Options, Subject.Options {
  /** Called when all is set. */
  readonly onReady?: ((subject: Subject.Subject) => void) | undefined
}

/** Throws an error that says what is wrong, if anything is. */
export const perform = ({ acts, scenario, until }: Play, options: Options): Subject.Subject => {
  const world = new World(options)
  const subject = new Subject.Subject(world, scenario, { slowHandlerThreshold: 2, ...options })
  for (const [index, act] of acts.entries()) world.after(act.at * tick, () => subject.act(act.does, `act ${index}`))
  options.onReady?.(subject)
  world.advance(until * tick)
  throwIfAny("before leaving", [...check(subject), ...checkQuiet(subject)])
  subject.act("leave", "leave")
  world.advance(longAfter)
  throwIfAny("after leaving", [...checkLeft(subject), ...checkQuiet(subject)])
  world.end()
  return subject
}

const throwIfAny = (when: string, wrong: ReadonlyArray<string>) => {
  if (wrong.length > 0) throw new Error([when, ...wrong].join("\n  "))
}

/** A number from 0 to 1, excluding 1, each time; always the same ones for a seed (mulberry32). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

/** Any of the tasks that are ready may come next, and any op may be the last of its fiber for the moment. */
export const shuffled = (seed: number, preemption: number): Worlds.Options => {
  const next = random(seed)
  return {
    pick: (ready) => Math.floor(next() * ready),
    preempts: preemption === 0 ? undefined : () => next() < preemption
  }
}
