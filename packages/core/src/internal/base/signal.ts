import * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"

/**
 * Something that happens again and again, and that any number of fibers may wait for. They share one `Deferred`, made
 * when the first of them asks, so an unused signal costs next to nothing.
 *
 * @internal
 */
export class Signal<A, E = never> {
  private deferred: Deferred.Deferred<A, E> | undefined

  /** Waits for the next time, counted from when this is read: nothing that happens before the wait begins is missed. */
  get next(): Effect.Effect<A, E> {
    return Deferred.await(this.deferred ??= Deferred.unsafeMake(FiberId.none))
  }

  notify(exit: Exit.Exit<A, E>): void {
    const deferred = this.deferred
    // Replaced first: a fiber that waits again in the same turn waits for the next time.
    this.deferred = undefined
    if (deferred !== undefined) Deferred.unsafeDone(deferred, exit)
  }
}
