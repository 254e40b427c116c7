import * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"

/**
 * A repeated signal, for which any number of fibers may wait. They share one `Deferred`, made for the first of them, so
 * an unused signal costs almost nothing.
 *
 * @internal
 */
export class Signal<A, E = never> {
  private deferred: Deferred.Deferred<A, E> | undefined

  /** Waits for the next signal after this property was read: a signal before the wait begins is not missed. */
  get next(): Effect.Effect<A, E> {
    return Deferred.await(this.deferred ??= Deferred.unsafeMake(FiberId.none))
  }

  notify(exit: Exit.Exit<A, E>): void {
    const deferred = this.deferred
    // Replaced first: a fiber that waits again in the same turn must wait for the next signal.
    this.deferred = undefined
    if (deferred !== undefined) Deferred.unsafeDone(deferred, exit)
  }
}
