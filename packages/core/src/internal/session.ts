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
import { type ConnectionClosed, ConnectionLost } from "../ConnectionError.js"
import { interrupt } from "./fibers.js"
import { Signal } from "./signal.js"

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
  /** Instead of being interrupted when the connection is lost. */
  readonly onLost?: ((fiber: Fiber.RuntimeFiber<unknown, unknown>) => void) | undefined
  /** To be told when it has ended, or is not waited for any more. */
  readonly idle: Signal<void> | undefined
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  /** How many times it waits for the end of closing, which therefore does not wait for it (D7). */
  awaitsEnd: number
}

/** The innermost use that a fiber is a part of. */
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
    readonly scope: Scope.CloseableScope
  ) {}

  /** The connection is no longer the current one. */
  supersede(end: SessionEnd<E>): void {
    const isLost = this.successor === undefined && this.end?._tag === "ConnectionLost"
    this.successor ??= end
    this.followers?.forEach((work) => stop(work, isLost))
  }

  /** The connection is gone: everything that is done with it is interrupted, and fails with this. */
  finish(end: SessionEnd<E>): void {
    this.end ??= end
    this.supersede(end)
    this.uses?.forEach((work) => stop(work, true))
  }

  lost(cause: Cause.Cause<E>): ConnectionLost<E> {
    return new ConnectionLost({ serverName: this.serverName, generation: this.generation, cause }) as ConnectionLost<E>
  }

  /**
   * Runs an effect that is interrupted when the connection is gone. It starts before this returns, so that nothing can
   * come between the caller's finding the connection open and the use, and there is nothing to wait for if it is done
   * in its first turn.
   */
  use<A, E2, R>(caller: Caller, effect: Effect.Effect<A, E2, R>): Effect.Effect<Exit.Exit<A, E2>, never, R> {
    const outer = caller.fiber.getFiberRef(innermost)
    const work: Work = { outer, idle: this.idle, fiber: undefined, awaitsEnd: 0 }
    const fiber = start(caller, effect, work)
    const exit = fiber.unsafePoll()
    if (exit !== null) return Effect.as(fiber.inheritAll, exit)
    const uses = this.uses ??= new Set()
    join(uses, work, fiber)
    // The effect may have brought about the end itself.
    if (this.end !== undefined) stop(work, true)
    return settled(caller, fiber)
  }

  /**
   * The same, but it is also interrupted when another connection replaces this one. If the connection is lost,
   * `onLost` can do something else.
   */
  follow<A, E2, R>(
    caller: Caller,
    effect: Effect.Effect<A, E2, R>,
    onLost?: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => void
  ): Effect.Effect<Exit.Exit<A, E2>, never, R> {
    const work: Work = { outer: undefined, onLost, idle: undefined, fiber: undefined, awaitsEnd: 0 }
    const fiber = start(caller, effect)
    join(this.followers ??= new Set(), work, fiber)
    if (this.successor !== undefined) stop(work, this.end?._tag === "ConnectionLost")
    return settled(caller, fiber)
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
        work.idle?.notify(Exit.void)
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

/** Starts an effect as if it went on in the caller's fiber, but where it can be interrupted without the caller. */
const start = <A, E, R>(
  { fiber, runtimeFlags }: Caller,
  effect: Effect.Effect<A, E, R>,
  work?: Work
): Fiber.RuntimeFiber<A, E> =>
  Runtime.runFork(
    Runtime.make({
      context: fiber.currentContext as Context.Context<R>,
      fiberRefs: fiber.getFiberRefs(),
      runtimeFlags: RuntimeFlags.enable(runtimeFlags, RuntimeFlags.Interruption)
    }),
    effect,
    work && {
      updateRefs: (fiberRefs, fiberId) => FiberRefs.updateAs(fiberRefs, { fiberId, fiberRef: innermost, value: work })
    }
  )

const join = (group: Set<Work>, work: Work, fiber: Fiber.RuntimeFiber<unknown, unknown>): void => {
  work.fiber = fiber
  group.add(work)
  fiber.addObserver(() => {
    group.delete(work)
    // Whatever the effect has left behind may keep the work in mind for long.
    work.fiber = undefined
    work.idle?.notify(Exit.void)
  })
}

const stop = ({ fiber, onLost }: Work, isLost: boolean): void => {
  if (fiber === undefined) return
  if (isLost && onLost !== undefined) onLost(fiber)
  else interrupt(fiber)
}

/** Waits for the end of the effect, and interrupts it if the caller is interrupted. */
const settled = <A, E>(
  { restore }: Caller,
  fiber: Fiber.RuntimeFiber<A, E>
): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.zipLeft(
    Effect.onInterrupt(
      restore(Effect.async<Exit.Exit<A, E>>((resume) => fiber.addObserver((exit) => resume(Effect.succeed(exit))))),
      () => Fiber.interrupt(fiber)
    ),
    fiber.inheritAll
  )
