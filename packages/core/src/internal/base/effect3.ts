/**
 * All code that depends on the differences between effect 3 and effect 4: `FiberRef`s and how they are joined, runtime
 * flags, and the log of failed fibers. No other module uses these.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"

/** @internal */
export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * Asks a fiber to stop, without waiting for it.
 *
 * @internal
 */
export const interrupt = (fiber: AnyFiber): void => fiber.unsafeInterruptAsFork(FiberId.none)

/**
 * Suppresses Effect's log of an unhandled failure, which would show the raw error. For an effect that is a whole fiber,
 * and whose exit is read.
 *
 * @internal
 */
export const withoutFailureLog = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // Set only at the end, after a failure, so that a fiber that joins this one does not inherit it.
  Effect.onError(effect, () => FiberRef.set(FiberRef.unhandledErrorLogLevel, Option.none()))

/**
 * A value that a fiber inherits from the fiber that forks it, but not by joining a fiber.
 *
 * @internal
 */
export interface Mark<A> {
  readonly ref: FiberRef.FiberRef<A>
  readonly of: (fiber: AnyFiber) => A
  readonly ofRuntime: (runtime: Runtime.Runtime<never>) => A
}

/** @internal */
export const makeMark = <A>(initial: A): Mark<A> => {
  const ref = FiberRef.unsafeMake<A>(initial, { join: (joining) => joining })
  return {
    ref,
    of: (fiber) => fiber.getFiberRef(ref),
    ofRuntime: (runtime) => FiberRefs.getOrDefault(runtime.fiberRefs, ref)
  }
}

/**
 * Gives a mark to an effect and to the fibers that it forks.
 *
 * @internal
 */
export const withMark = <A, E, R, M>(
  effect: Effect.Effect<A, E, R>,
  mark: Mark<M>,
  f: (value: M) => M
): Effect.Effect<A, E, R> => Effect.locallyWith(effect, mark.ref, f)

/**
 * The runtime of this fiber, for independent fibers. They can be interrupted even if this fiber cannot (while a layer
 * is built). Their spans have no parent, which would have ended. They do not use the scheduler of `runSync`, which
 * would not return before all of them wait.
 *
 * @internal
 */
export const ownRuntime = <R>(): Effect.Effect<Runtime.Runtime<R>, never, R> =>
  Effect.map(Effect.runtime<R>(), (runtime) => {
    let own = Runtime.enableRuntimeFlag(runtime, RuntimeFlags.Interruption)
    if (Option.isSome(Context.getOption(own.context, Tracer.ParentSpan))) {
      own = Runtime.updateContext(own, Context.omit(Tracer.ParentSpan)) as Runtime.Runtime<R>
    }
    const scheduler = FiberRefs.getOrDefault(own.fiberRefs, FiberRef.currentScheduler)
    return isSync(scheduler) ? Runtime.setFiberRef(own, FiberRef.currentScheduler, Scheduler.defaultScheduler) : own
  })

const isSync = (scheduler: Scheduler.Scheduler): boolean => scheduler instanceof Scheduler.SyncScheduler

/**
 * Forks effects with only a scheduler, because a runtime holds kilobytes.
 *
 * @internal
 */
export type BareFork = <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>

const bareForks = new WeakMap<Scheduler.Scheduler, BareFork>()

/**
 * The fork with the scheduler of this fiber, always the same one.
 *
 * @internal
 */
export const bareFork: Effect.Effect<BareFork> = Effect.map(FiberRef.get(FiberRef.currentScheduler), (current) => {
  const scheduler = isSync(current) ? Scheduler.defaultScheduler : current
  const fork = bareForks.get(scheduler) ?? ((effect) => Runtime.runFork(Runtime.defaultRuntime, effect, { scheduler }))
  bareForks.set(scheduler, fork)
  return fork
})

/**
 * Gives a mark to all fibers of a runtime. Cheaper than a mark for each fork, which copies all `FiberRef`s.
 *
 * @internal
 */
export const markRuntime = <R, M>(runtime: Runtime.Runtime<R>, mark: Mark<M>, value: M): Runtime.Runtime<R> =>
  Runtime.setFiberRef(runtime, mark.ref, value)

/** The scheduler for `resumeNow`, by the scheduler that it replaces. */
const resumers = new WeakMap<Scheduler.Scheduler, Scheduler.Scheduler>()

let isResuming = false

/**
 * A runtime whose fibers can be resumed with `resumeNow`.
 *
 * @internal
 */
export const resumable = <R>(runtime: Runtime.Runtime<R>): Runtime.Runtime<R> => {
  const own = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentScheduler)
  let resumer = resumers.get(own)
  if (resumer === undefined) {
    resumer = Scheduler.make((task, priority, fiber) => {
      if (!isResuming) return own.scheduleTask(task, priority, fiber)
      // Only the fiber that is resumed runs now, up to its next suspension.
      isResuming = false
      task()
    }, (fiber) => own.shouldYield(fiber))
    resumers.set(own, resumer)
    resumers.set(resumer, resumer)
  }
  return Runtime.setFiberRef(runtime, FiberRef.currentScheduler, resumer)
}

/**
 * Resumes a fiber that waits for a callback, and runs it up to its next suspension before this returns.
 *
 * @internal
 */
export const resumeNow = (resume: (effect: Effect.Effect<void>) => void): void => {
  isResuming = true
  resume(Effect.void)
  isResuming = false
}

/**
 * The fiber that runs an operation in an uninterruptible region, and `restore` for the region before.
 *
 * @internal
 */
export interface Caller {
  readonly fiber: AnyFiber
  readonly runtimeFlags: RuntimeFlags.RuntimeFlags
  readonly restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Runs an operation in an uninterruptible region of its caller. Do not nest it: `restore` restores the outer region.
 *
 * @internal
 */
export const asCaller = <A, E, R>(f: (caller: Caller) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime<A, E, R>((fiber, { runtimeFlags }) =>
      f({ fiber: fiber as AnyFiber, runtimeFlags, restore })
    )
  )

/**
 * A fiber that runs on behalf of its caller: with the caller's context and `FiberRef`s, but interruptible by itself.
 *
 * @internal
 */
export interface Delegate<A, E> {
  readonly fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>>
  /** Copies the changes of its `FiberRef`s to the caller, as joining a fiber does. */
  readonly inherit: Effect.Effect<void>
}

/**
 * Forks an effect with the caller's context and `FiberRef`s. It runs up to its first suspension before this returns.
 * Its failure is returned as an `Exit`: Effect logs the cause of any fiber that fails.
 *
 * @internal
 */
export const forkAsCaller = <A, E, R, M>(
  { fiber, runtimeFlags }: Caller,
  effect: Effect.Effect<A, E, R>,
  mark: Mark<M>,
  value: M
): Delegate<A, E> => {
  const context = fiber.currentContext as Context.Context<R>
  let initial = fiber.getFiberRefs()
  const delegate = Runtime.runFork(
    Runtime.make({ context, fiberRefs: initial, runtimeFlags }),
    Effect.exit(Effect.interruptible(effect)),
    {
      updateRefs: (refs, fiberId) => {
        initial = FiberRefs.updateAs(refs, { fiberId, fiberRef: mark.ref, value })
        return initial
      }
    }
  )
  return {
    fiber: delegate,
    // Checked first: usually nothing has changed, and `inheritAll` costs as much as the rest of the operation.
    inherit: Effect.suspend(() => hasChanged(delegate, initial, runtimeFlags) ? delegate.inheritAll : Effect.void)
  }
}

const hasChanged = (
  fiber: AnyFiber,
  { locals }: FiberRefs.FiberRefs,
  runtimeFlags: RuntimeFlags.RuntimeFlags
): boolean => {
  const now = fiber.getFiberRefs().locals
  if (now.size !== locals.size) return true
  for (const [ref, [[, value]]] of now) {
    if (ref !== FiberRef.currentRuntimeFlags && value !== locals.get(ref)?.[0][1]) return true
  }
  // A fiber that has ended has the flag `WindDown`, which does not count.
  const flags = RuntimeFlags.disable(fiber.getFiberRef(FiberRef.currentRuntimeFlags), RuntimeFlags.WindDown)
  return flags !== runtimeFlags
}
