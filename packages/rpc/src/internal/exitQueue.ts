import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { constVoid } from "effect/Function"
import * as Runtime from "effect/Runtime"
import type { Scheduler } from "effect/Scheduler"

/**
 * Gives exits to an `RpcClient`, each when the fiber that sent its request has ended. `RpcClient` would interrupt that
 * fiber otherwise, which takes longer.
 *
 * @internal
 */
export class ExitQueue {
  private exits: Array<Effect.Effect<void>> = []
  private readonly scheduler: Scheduler

  constructor(private readonly runtime: Runtime.Runtime<never>) {
    this.scheduler = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentScheduler)
  }

  /** Gives an exit to the client in a later turn. Called by the fiber that sent the request, and that ends then. */
  offer(exit: Effect.Effect<void>): void {
    if (this.exits.push(exit) === 1) this.scheduler.scheduleTask(() => this.flush(), 0)
  }

  /** One fiber gives all exits to the client. If it has to wait, because a schema does, the next fiber goes on. */
  private flush(): void {
    const { exits } = this
    this.exits = []
    let next = 0
    const body = () => exits[next++]!
    const others = Effect.whileLoop({ while: () => next < exits.length, body, step: constVoid })
    while (next < exits.length) Runtime.runFork(this.runtime, Effect.zipRight(body(), others))
  }
}
