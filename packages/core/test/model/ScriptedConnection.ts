/** A connection that is lost on command. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { Refused } from "../support/refused.js"
import type { Loss } from "./Scenario.js"
import { ScriptedDefect } from "./words.js"

export class ScriptedConnection {
  lostAt = Infinity
  /** True if the connection may count as lost although it is open. */
  mayBeLost = false
  /** The number of releases. `isReleased` is set at the end of a release. */
  releases = 0
  isReleased = false
  private readonly end = Deferred.unsafeMake<void, Refused>(FiberId.none)
  readonly closed = Deferred.await(this.end)

  constructor(readonly number: number, private readonly now: () => number) {}

  get isLost(): boolean {
    return this.lostAt < Infinity
  }

  lose(loss: Loss): void {
    if (this.isLost) return
    this.lostAt = this.now()
    Deferred.unsafeDone(this.end, exits[loss]())
  }

  toString(): string {
    return `connection ${this.number}`
  }
}

const exits: Readonly<Record<Loss, () => Exit.Exit<void, Refused>>> = {
  clean: () => Exit.void,
  fail: () => Exit.fail(new Refused({ text: "lost" })),
  die: () => Exit.die(new ScriptedDefect("lost")),
  interrupt: () => Exit.failCause(Cause.interrupt(FiberId.none))
}
