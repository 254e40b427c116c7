import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * A fair semaphore: a released permit passes to the fiber that has waited longest, in O(1). An `Effect.Semaphore` wakes
 * all waiting fibers each time, which takes minutes with 10,000 of them.
 *
 * @internal
 */
export class FairSemaphore {
  /** In the order of their arrival. */
  private readonly waiting = new Set<() => void>()

  constructor(private free: number) {}

  /** Runs an effect with a permit. The wait for the permit is passed through `wait`. */
  withPermit<A, E, R>(
    wait: (turn: Effect.Effect<void>) => Effect.Effect<void>,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) => {
      // Set in the turn in which the permit passes, so that an interruption right after it loses no permit.
      let hasPermit = false
      const turn = Effect.async<void>((resume) => {
        const enter = () => {
          hasPermit = true
          resume(Exit.void)
        }
        if (this.free > 0) {
          this.free--
          return enter()
        }
        this.waiting.add(enter)
        return Effect.sync(() => this.waiting.delete(enter))
      })
      return Effect.ensuring(
        Effect.zipRight(wait(restore(turn)), restore(effect)),
        Effect.sync(() => {
          if (hasPermit) this.release()
        })
      )
    })
  }

  private release(): void {
    for (const enter of this.waiting) {
      this.waiting.delete(enter)
      return enter()
    }
    this.free++
  }
}
