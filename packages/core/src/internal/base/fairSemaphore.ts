import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * Lets so many in at once, in the order in which they came. A permit goes from who leaves to who has waited longest, so
 * nobody overtakes. An `Effect.Semaphore` wakes all who wait whenever a permit is free: the time that takes is quadratic in
 * how many wait.
 *
 * @internal
 */
export class FairSemaphore {
  /** In the order in which they came. */
  private readonly waiting = new Set<() => void>()

  constructor(private free: number) {}

  /** Waits for one's turn by means of `wait`, and then runs an effect. */
  pass<A, E, R>(
    wait: (turn: Effect.Effect<void>) => Effect.Effect<void>,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) => {
      // Known from the moment in which it is let in, so that an interruption right after that loses no permit.
      let isIn = false
      const turn = Effect.async<void>((resume) => {
        const enter = () => {
          isIn = true
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
          if (isIn) this.leave()
        })
      )
    })
  }

  private leave(): void {
    for (const enter of this.waiting) {
      this.waiting.delete(enter)
      return enter()
    }
    this.free++
  }
}
