import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"

/**
 * Where a fiber comes from passes to those that it starts, not to those that join it.
 *
 * @internal
 */
export const ofOneFiber = { join: <A>(joining: A) => joining }

/** The persistent connections that have started a fiber, or an ancestor of it. */
const startedBy = FiberRef.unsafeMake<ReadonlyArray<unknown>>([], ofOneFiber)

/** The persistent connections whose closing has to wait for a fiber, and the steps of attempts that it is a part of. */
const awaitedBy = FiberRef.unsafeMake<ReadonlyArray<unknown>>([], ofOneFiber)

/** The fibers that run the attempt which a fiber is a part of, each waiting for the next. */
const diallers = FiberRef.unsafeMake<Set<Fiber.RuntimeFiber<unknown, unknown>> | undefined>(undefined, ofOneFiber)

/**
 * Marks the fiber as one that the attempt waits for; to be used where a combinator runs a part of it in another fiber.
 * Not every fiber that a connect forks is: a heartbeat in the background is not.
 *
 * @internal
 */
export const asDialler = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const all = fiber.getFiberRef(diallers)
    if (all === undefined) return effect
    all.add(fiber)
    return Effect.ensuring(effect, Effect.sync(() => all.delete(fiber)))
  })

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
    return this.add(Runtime.runFork(this.runtime, effect, { immediate: false, updateRefs: this.mark }))
  }

  /** Starts before this returns. */
  forkNow<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return this.add(Runtime.runFork(this.runtime, effect, { updateRefs: this.mark }))
  }

  /** As `fork`, for what closing waits for. */
  forkAwaited<A, E>(effect: Effect.Effect<A, E, R>, ...also: ReadonlyArray<unknown>): Fiber.RuntimeFiber<A, E> {
    return this.fork(Effect.locallyWith(effect, awaitedBy, (all) => [...all, this, ...also]))
  }

  /** As `forkAwaited`, for a step of an attempt; the fibers that run it at any moment are in the set. */
  forkDialler<A, E>(
    effect: Effect.Effect<A, E, R>,
    running: Set<Fiber.RuntimeFiber<unknown, unknown>>
  ): Fiber.RuntimeFiber<A, E> {
    return this.forkAwaited(Effect.locally(asDialler(effect), diallers, running), running)
  }

  /** Is it one of these, or a descendant of one? */
  haveStarted(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return fiber.getFiberRef(startedBy).includes(this)
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

  private readonly mark = (fiberRefs: FiberRefs.FiberRefs, fiberId: FiberId.Runtime): FiberRefs.FiberRefs =>
    FiberRefs.updateAs(fiberRefs, {
      fiberId,
      fiberRef: startedBy,
      value: [...FiberRefs.getOrDefault(fiberRefs, startedBy), this]
    })

  private add<A, E>(fiber: Fiber.RuntimeFiber<A, E>): Fiber.RuntimeFiber<A, E> {
    this.running.add(fiber)
    fiber.addObserver(() => this.running.delete(fiber))
    return fiber
  }
}

/**
 * Is the fiber one that runs a step of an attempt, or a descendant of one?
 *
 * @internal
 */
export const isPartOf = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  running: ReadonlySet<Fiber.RuntimeFiber<unknown, unknown>>
): boolean => fiber.getFiberRef(awaitedBy).includes(running)

/**
 * Is the fiber the other one, its child, or a child's child? Only of such as end with it: who forks a daemon does not
 * wait for it.
 *
 * @internal
 */
export const isSameOrChildOf = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  other: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<boolean> =>
  fiber === other
    ? Effect.succeed(true)
    : Effect.flatMap(other.children, (children) => Effect.exists(children, (child) => isSameOrChildOf(fiber, child)))

/**
 * Asks a fiber to stop, without waiting for it.
 *
 * @internal
 */
export const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>): void =>
  fiber.unsafeInterruptAsFork(FiberId.none)
