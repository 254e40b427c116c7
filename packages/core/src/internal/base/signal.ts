import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/**
 * A repeated signal, for which any number of fibers may wait. It is not a `Deferred`, whose waiting fibers each take
 * more memory, and a time in proportion to their number when one of them is interrupted.
 *
 * @internal
 */
export class Signal<A, E = never> {
  private round: Round<A, E> | undefined

  /** `onWaiting` is called when fibers begin to wait, and with a negative number when they stop. */
  constructor(private readonly onWaiting?: (difference: number) => void) {}

  /** Waits for the next signal after this property was read: a signal before the wait begins is not missed. */
  get next(): Effect.Effect<A, E> {
    return (this.round ??= new Round(this.onWaiting)).end
  }

  notify(exit: Exit.Exit<A, E>): void {
    const { round } = this
    // Replaced first: a fiber that waits again in the same turn must wait for the next signal.
    this.round = undefined
    round?.finish(exit)
  }
}

/** The fibers that wait for the same signal. */
class Round<A, E> {
  private readonly waiting = new Set<(exit: Exit.Exit<A, E>) => void>()
  private exit: Exit.Exit<A, E> | undefined

  constructor(private readonly onWaiting?: (difference: number) => void) {}

  /** Shared by all fibers, to save memory. */
  readonly end = Effect.async<A, E>((resume) => {
    if (this.exit !== undefined) return resume(this.exit)
    this.waiting.add(resume)
    this.onWaiting?.(1)
    return Effect.sync(() => {
      if (this.waiting.delete(resume)) this.onWaiting?.(-1)
    })
  })

  finish(exit: Exit.Exit<A, E>): void {
    this.exit = exit
    this.onWaiting?.(-this.waiting.size)
    for (const resume of this.waiting) resume(exit)
    this.waiting.clear()
  }
}
