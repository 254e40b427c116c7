import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Runtime from "effect/Runtime"

/** The persistent connections whose closing has to wait for a fiber, as part of an attempt or of a release. */
const awaitedBy = FiberRef.unsafeMake<ReadonlyArray<unknown>>([])

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

  /** As `fork`, for what closing waits for. */
  forkAwaited<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return this.fork(Effect.locallyWith(effect, awaitedBy, (all) => [...all, this]))
  }

  /** Is it one of these? */
  has(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return this.running.has(fiber)
  }

  /** Is it one that closing waits for, or a descendant of one (D7)? */
  isAwaited(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return fiber.getFiberRef(awaitedBy).includes(this)
  }

  /** It has taken longer than anybody is willing to wait: it is on its own. */
  forget(fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    this.running.delete(fiber)
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
