import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"

/**
 * The fibers that a persistent connection has started, all with the context, the `Clock` and the `Random` of the fiber
 * in which it was made (T4), and independent of the fiber that starts them: interrupting the caller of `close` must
 * not interrupt the closing.
 *
 * @internal
 */
export class Fibers<R> {
  private readonly running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()

  constructor(private readonly runtime: Runtime.Runtime<R>) {}

  /** Starts in a turn of its own: what the caller is in the middle of comes first. */
  fork<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return this.add(Runtime.runFork(this.runtime, effect, { immediate: false }))
  }

  /** Starts before this returns. */
  forkNow<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return this.add(Runtime.runFork(this.runtime, effect))
  }

  has(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return this.running.has(fiber)
  }

  /** Waits until all have ended, also those started meanwhile; but not the caller for itself. */
  get join(): Effect.Effect<void> {
    return Effect.withFiberRuntime((self) => {
      const others = [...this.running].filter((fiber) => fiber !== self)
      return others.length === 0 ? Effect.void : Effect.andThen(Fiber.awaitAll(others), this.join)
    })
  }

  private add<A, E>(fiber: Fiber.RuntimeFiber<A, E>): Fiber.RuntimeFiber<A, E> {
    this.running.add(fiber)
    fiber.addObserver(() => this.running.delete(fiber))
    return fiber
  }
}

/**
 * Asks a fiber to stop, without waiting for it.
 *
 * @internal
 */
export const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>): void =>
  fiber.unsafeInterruptAsFork(FiberId.none)
