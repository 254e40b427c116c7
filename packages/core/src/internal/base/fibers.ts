import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as FiberStatus from "effect/FiberStatus"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Tracer from "effect/Tracer"
import { Signal } from "./signal.js"

/**
 * Where a fiber comes from passes to those that it starts, not to those that join it.
 *
 * @internal
 */
export const ofOneFiber = { join: <A>(joining: A) => joining }

/** The persistent connections that have started a fiber, or an ancestor of it. */
const startedBy = FiberRef.unsafeMake<ReadonlyArray<unknown>>([], ofOneFiber)

const noMarks: ReadonlyArray<unknown> = []

/** A mark that a fiber has only because it is a callback that runs with the runtime of a marked one. */
class Loose {
  constructor(readonly mark: unknown) {}
}

const loosen = (mark: unknown): unknown => mark instanceof Loose ? mark : new Loose(mark)

/**
 * The persistent connections whose closing has to wait for a fiber, and the steps of attempts that it is a part of. They
 * pass to what such a fiber forks, and loosely to a callback that is run with its runtime: in most cases nobody waits
 * for that.
 */
const awaitedBy: FiberRef.FiberRef<ReadonlyArray<unknown>> = FiberRef.unsafeMake<ReadonlyArray<unknown>>(noMarks, {
  ...ofOneFiber,
  fork: (all) =>
    Option.exists(Fiber.getCurrentFiber(), (fiber) => fiber.getFiberRef(awaitedBy) === all)
      ? all
      : all.map(loosen)
})

/**
 * For fibers that run with the runtime of this one, and that the release of a connection waits for all the same.
 *
 * @internal
 */
export const asAwaited = Effect.map(
  FiberRef.get(awaitedBy),
  (value) => (fiberRefs: FiberRefs.FiberRefs, fiberId: FiberId.Runtime) =>
    FiberRefs.updateAs(fiberRefs, { fiberId, fiberRef: awaitedBy, value })
)

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
  private readonly gone = new Signal<void>()
  /** How many of them closing waits for. */
  private awaited = 0

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
    const fiber = this.fork(Effect.locallyWith(effect, awaitedBy, (all) => [...all, this, ...also]))
    this.awaited++
    fiber.addObserver(() => this.awaited--)
    return fiber
  }

  /** As `forkAwaited`, for a step of an attempt; the fibers that run it at any moment are in the set. */
  forkDialler<A, E>(
    effect: Effect.Effect<A, E, R>,
    running: Set<Fiber.RuntimeFiber<unknown, unknown>>
  ): Fiber.RuntimeFiber<A, E> {
    return this.forkAwaited(Effect.locally(asDialler(effect), diallers, running), running)
  }

  /** The first of the two to end. The other one is interrupted, but not waited for: it may be slow to stop. */
  first<A>(one: Effect.Effect<A, never, R>, other: Effect.Effect<A, never, R>): Effect.Effect<A> {
    return Effect.uninterruptibleMask((restore) => {
      const fibers = [this.fork(one), this.fork(other)]
      return Effect.ensuring(
        restore(Effect.async<A>((resume) => fibers.forEach((fiber) => fiber.addObserver(resume)))),
        Effect.sync(() => fibers.forEach(interrupt))
      )
    })
  }

  /** Is it one of these, or a descendant of one? */
  haveStarted(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return fiber.getFiberRef(startedBy).includes(this)
  }

  /** Is it one that closing waits for, or may come to wait for, since it descends from one (D7)? */
  isAwaited(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return fiber.getFiberRef(awaitedBy).some((mark) =>
      mark === this || this.awaited > 0 && mark instanceof Loose && mark.mark === this
    )
  }

  /** It has taken longer than anybody is willing to wait: it is on its own. */
  forget(fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    this.running.delete(fiber)
    this.gone.notify(Exit.void)
  }

  /**
   * Waits until all have ended, or nobody is willing to wait for them, also those started meanwhile; but not for those
   * that wait for the caller.
   */
  get join(): Effect.Effect<void> {
    return Effect.withFiberRuntime((self) => {
      const { next } = this.gone
      const others = [...this.running]
      const awaited = this.haveStarted(self)
        ? Effect.filter(others, (other) => waitsFor(other, self), { negate: true })
        : Effect.succeed(others)
      return Effect.flatMap(awaited, ({ length }) => length === 0 ? Effect.void : Effect.zipRight(next, this.join))
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
    fiber.addObserver(() => this.forget(fiber))
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
 * Is the other fiber this one, is it waiting for it, which it has started, or will it have to?
 *
 * @internal
 */
export const waitsFor = (
  other: Fiber.RuntimeFiber<unknown, unknown>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<boolean> =>
  other === fiber ? Effect.succeed(true) : Effect.flatMap(other.status, (status) =>
    // A concurrent `Effect.all` runs its parts in daemons, but is known to wait for a fiber. (`FiberId.isNone` of
    // effect 3.22 calls itself for ever on any other id.)
    FiberStatus.isSuspended(status) && status.blockingOn._tag !== "None"
      ? Effect.succeed(true)
      : isSameOrChildOf(fiber, other))

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
 * The runtime of this fiber, for what lives on its own: it can be interrupted even if this fiber cannot, where a layer is
 * built for instance, and its spans do not belong to one that will have ended.
 *
 * @internal
 */
export const ownRuntime = <R>(): Effect.Effect<Runtime.Runtime<R>, never, R> =>
  Effect.map(Effect.runtime<R>(), (runtime) =>
    Runtime.updateContext(
      Runtime.enableRuntimeFlag(runtime, RuntimeFlags.Interruption),
      Context.omit(Tracer.ParentSpan)
    ) as Runtime.Runtime<R>)

/**
 * Asks a fiber to stop, without waiting for it.
 *
 * @internal
 */
export const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>): void =>
  fiber.unsafeInterruptAsFork(FiberId.none)
