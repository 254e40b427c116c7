import * as Connector from "@persistent-connection/core/Connector"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"

/**
 * The end of a connection. Effects wait for it. Only the first end counts.
 *
 * @internal
 */
export abstract class Ending<in out A, in out E> {
  private exit: Exit.Exit<A, E> | undefined
  private watches: Set<(exit: Exit.Exit<A, E>) => void> | undefined

  /** Waits until the connection has ended. */
  get closed(): Effect.Effect<A, E> {
    return Connector.callback((resume) => {
      if (this.exit !== undefined) {
        resume(this.exit)
        return constVoid
      }
      const watches = this.watches ??= new Set()
      watches.add(resume)
      return () => watches.delete(resume)
    })
  }

  /** The exit of the connection; undefined before the end. */
  get ended(): Exit.Exit<A, E> | undefined {
    return this.exit
  }

  protected finish(exit: Exit.Exit<A, E>): void {
    if (this.exit !== undefined) return
    this.exit = exit
    this.watches?.forEach((resume) => resume(exit))
    this.watches = undefined
  }
}
