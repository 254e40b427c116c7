import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type * as Scope from "effect/Scope"
import { type ConnectionClosed, ConnectionLost } from "../../ConnectionError.js"
import { interrupt } from "../base/fibers.js"
import { Signal } from "../base/signal.js"

/** @internal */
export type SessionEnd<E> = ConnectionLost<E> | ConnectionClosed<E>

/**
 * Who wants something done with a connection: its fiber, which is in an uninterruptible region, and what it was before.
 *
 * @internal
 */
export interface Caller {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly runtimeFlags: RuntimeFlags.RuntimeFlags
  readonly restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Something that is being done with a connection. */
interface Work {
  /** What it is a part of. */
  readonly outer: Work | undefined
  /** Told when it has ended, or is not waited for any more. */
  readonly idle: Signal<void>
  /** It has ended, though what it has left behind may go on. */
  isOver: boolean
  /** Asked when the connection is lost: does it go on all the same? */
  readonly goesOn: ((fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean) | undefined
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  /** How many times it waits for the end of closing, which therefore does not wait for it (D7). */
  awaitsEnd: number
}

/** The innermost work that a fiber is a part of. */
const innermost = FiberRef.unsafeMake<Work | undefined>(undefined, { join: (parent) => parent })

/**
 * One established connection, and what is done with it until it ends. There are two ways to be interested in it:
 * those who *use* it finish what they are doing on it even if it is no longer the current one; those who *follow* it
 * move on to the next one at once.
 *
 * @internal
 */
export class Session<Connection, E> {
  /** Why it cannot be used any more. */
  end: SessionEnd<E> | undefined
  /** Why it is not to be followed any more: it has ended, or another connection has replaced it. */
  successor: SessionEnd<E> | undefined
  /** Has its `Connected` been published? */
  isAnnounced = false

  private uses: Set<Work> | undefined
  private followers: Set<Work> | undefined
  private readonly idle = new Signal<void>()

  constructor(
    readonly serverName: string,
    readonly connection: Connection,
    readonly generation: number,
    /** When it was established, in ms. */
    readonly since: number,
    readonly scope: Scope.CloseableScope
  ) {}

  /** The connection is no longer the current one. */
  supersede(end: SessionEnd<E>): void {
    if (this.successor !== undefined) return
    this.successor = end
    this.followers?.forEach((work) => this.stop(work))
  }

  /** The connection is gone: everything that is done with it is interrupted, and fails with this. */
  finish(end: SessionEnd<E>): void {
    if (this.end !== undefined) return
    this.end = end
    this.supersede(end)
    this.uses?.forEach((work) => this.stop(work))
  }

  lost(cause: Cause.Cause<E>): ConnectionLost<E> {
    return new ConnectionLost({ serverName: this.serverName, generation: this.generation, lossCause: cause })
  }

  /** Runs an effect that is interrupted when the connection is gone. */
  use<A, E2, R>(caller: Caller, effect: Effect.Effect<A, E2, R>): Effect.Effect<Exit.Exit<A, E2>, never, R> {
    return this.run(caller, effect, undefined, (work) => {
      ;(this.uses ??= new Set()).add(work)
      return this.end !== undefined
    })
  }

  /** The same, but it is also interrupted when another connection replaces this one. */
  follow<A, E2, R>(
    caller: Caller,
    effect: Effect.Effect<A, E2, R>,
    goesOn?: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean
  ): Effect.Effect<Exit.Exit<A, E2>, never, R> {
    return this.run(caller, effect, goesOn, (work) => {
      ;(this.followers ??= new Set()).add(work)
      return this.successor !== undefined
    })
  }

  /** What a use has come to: if the end of the connection has torn it, that is what it failed with. */
  resultOf<A, E2>(exit: Exit.Exit<A, E2>): Exit.Exit<A, E2 | SessionEnd<E>> {
    if (Exit.isSuccess(exit) || this.end === undefined || !isTorn(exit.cause)) return exit
    const cause = Cause.fail(this.end)
    return Exit.failCause(Option.match(Cause.keepDefects(exit.cause), {
      onNone: () => cause,
      onSome: (defects) => Cause.sequential(cause, defects)
    }))
  }

  /** Waits until nobody uses the connection. */
  get drained(): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (const work of this.uses ?? []) {
        if (work.awaitsEnd === 0) return Effect.zipRight(this.idle.next, this.drained)
      }
      return Effect.void
    })
  }

  /**
   * Starts an effect before this returns, so that nothing can come between the caller's finding the connection open and
   * the work; and if it is done in its first turn, there is nothing to wait for.
   */
  private run<A, E2, R>(
    caller: Caller,
    effect: Effect.Effect<A, E2, R>,
    goesOn: Work["goesOn"],
    enter: (work: Work) => boolean
  ): Effect.Effect<Exit.Exit<A, E2>, never, R> {
    const outer = living(caller.fiber.getFiberRef(innermost))
    const work: Work = { outer, isOver: false, idle: this.idle, goesOn, fiber: undefined, awaitsEnd: 0 }
    const { fiber, fiberRefs } = start(caller, effect, work)
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      work.isOver = true
      return hasChanged(fiber, fiberRefs, caller.runtimeFlags)
        ? Effect.as(fiber.inheritAll, Exit.flatten(exit))
        : Effect.succeed(Exit.flatten(exit))
    }
    work.fiber = fiber
    // In its first turn it may have brought about the end itself.
    const isOver = enter(work)
    if (isOver) this.stop(work)
    fiber.addObserver(() => this.leave(work))
    return settled(caller, fiber)
  }

  private leave(work: Work): void {
    this.uses?.delete(work)
    this.followers?.delete(work)
    // Whatever the effect has left behind may keep the work in mind for long.
    work.fiber = undefined
    work.isOver = true
    this.idle.notify(Exit.void)
  }

  private stop({ fiber, goesOn }: Work): void {
    if (fiber === undefined) return
    const isLost = this.end?._tag === "ConnectionLost"
    if (!isLost || goesOn === undefined || !goesOn(fiber)) interrupt(fiber)
  }
}

/**
 * Runs an effect that waits for the end of closing, in the given fiber. Meanwhile nobody waits for the uses that the
 * fiber is a part of (D7).
 *
 * @internal
 */
export const awaitingEnd = <A>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  effect: Effect.Effect<A>
): Effect.Effect<A> => {
  const inner = fiber.getFiberRef(innermost)
  if (inner === undefined) return effect
  const count = (difference: number) =>
    Effect.sync(() => {
      for (let work: Work | undefined = inner; work !== undefined; work = work.outer) {
        work.awaitsEnd += difference
        work.idle.notify(Exit.void)
      }
    })
  return Effect.acquireUseRelease(count(1), () => effect, () => count(-1))
}

/**
 * Was it interrupted, without having failed by itself before?
 *
 * @internal
 */
export const isTorn = (cause: Cause.Cause<unknown>): boolean => Cause.isInterrupted(cause) && !Cause.isFailure(cause)

/** What has ended is not to be kept by what it has left behind, and what that leaves behind, and so on. */
const living = (work: Work | undefined): Work | undefined => work?.isOver === true ? living(work.outer) : work

/**
 * Starts an effect as if it went on in the caller's fiber, but where it can be interrupted without the caller. The fiber
 * itself does not fail: of one that does Effect logs why, credentials and all, even if the caller handles it.
 */
const start = <A, E, R>(
  { fiber, runtimeFlags }: Caller,
  effect: Effect.Effect<A, E, R>,
  work: Work
): { readonly fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>>; readonly fiberRefs: FiberRefs.FiberRefs } => {
  const context = fiber.currentContext as Context.Context<R>
  let fiberRefs = fiber.getFiberRefs()
  const started = Runtime.runFork(
    Runtime.make({ context, fiberRefs, runtimeFlags }),
    Effect.exit(Effect.interruptible(effect)),
    {
      updateRefs: (refs, fiberId) => {
        fiberRefs = FiberRefs.updateAs(refs, { fiberId, fiberRef: innermost, value: work })
        return fiberRefs
      }
    }
  )
  return { fiber: started, fiberRefs }
}

/** Is there anything to inherit from the fiber? Mostly not, and to inherit nothing takes as long as the rest of a use. */
const hasChanged = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  { locals }: FiberRefs.FiberRefs,
  runtimeFlags: RuntimeFlags.RuntimeFlags
): boolean => {
  const now = fiber.getFiberRefs().locals
  if (now.size !== locals.size) return true
  for (const [ref, [[, value]]] of now) {
    if (ref !== FiberRef.currentRuntimeFlags && value !== locals.get(ref)?.[0][1]) return true
  }
  // Those of a fiber that has ended say so.
  const flags = RuntimeFlags.disable(fiber.getFiberRef(FiberRef.currentRuntimeFlags), RuntimeFlags.WindDown)
  return flags !== runtimeFlags
}

/** Waits for the end of the effect, and interrupts it if the caller is interrupted. */
const settled = <A, E>(
  { restore }: Caller,
  fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>>
): Effect.Effect<Exit.Exit<A, E>> =>
  restore(Effect.async<Exit.Exit<A, E>>((resume) => fiber.addObserver(resume))).pipe(
    Effect.onInterrupt(() =>
      Effect.flatMap(Fiber.interrupt(fiber), (ended) => {
        const exit = Exit.flatten(ended)
        // What has gone wrong beside the interruption is told, as that of any effect.
        return Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)
          ? Effect.void
          : Effect.failCause(exit.cause as Cause.Cause<never>)
      })
    ),
    Effect.ensuring(fiber.inheritAll)
  )
