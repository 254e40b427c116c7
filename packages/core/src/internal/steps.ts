import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Scope from "effect/Scope"
import { type Fibers, interrupt } from "./fibers.js"

/** The persistent connections of whose attempt, or of whose connection's release, a fiber is a part. */
const partOf = FiberRef.unsafeMake<ReadonlyArray<unknown>>([])

/**
 * The look-up or the connect under way, and the releases of what they acquired. All run in fibers of their own: they
 * survive who waits for them, so that what is acquired too late is not lost sight of, and they delay nobody who does
 * not ask to wait (D4).
 *
 * @internal
 */
export class Steps<R> {
  private current:
    | { readonly fiber: Fiber.RuntimeFiber<unknown, unknown>; readonly scope: Scope.CloseableScope | undefined }
    | undefined

  constructor(private readonly serverName: string, private readonly fibers: Fibers<R>) {}

  /** Starts the current step; what it acquires goes into the scope. */
  start<A, E>(effect: Effect.Effect<A, E, R>, scope?: Scope.CloseableScope): Fiber.RuntimeFiber<A, E> {
    const fiber = this.fibers.fork(this.marked(effect))
    this.current = { fiber, scope }
    return fiber
  }

  /** The current step has succeeded, and who started it takes over what it has acquired. */
  take(): void {
    this.current = undefined
  }

  /**
   * Lets go of the current step, if there is one, however far it is: it is interrupted, and what it has acquired, or
   * still acquires because it cannot be interrupted, is released.
   */
  abandon(): Effect.Effect<void> {
    const step = this.current
    this.current = undefined
    if (step === undefined) return Effect.void
    interrupt(step.fiber)
    const { fiber, scope } = step
    return this.inBackground(
      Effect.flatMap(Fiber.await(fiber), (exit) => scope === undefined ? Effect.void : this.close(scope, exit))
    )
  }

  /** Releases a connection. */
  release(scope: Scope.CloseableScope, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return this.inBackground(this.close(scope, exit))
  }

  isCurrent(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return this.current?.fiber === fiber
  }

  /** Is the fiber one of these, or a descendant of one? */
  includes(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return fiber.getFiberRef(partOf).includes(this)
  }

  private close(scope: Scope.CloseableScope, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.catchAllCause(this.marked(Scope.close(scope, exit)), (cause) =>
      Effect.annotateLogs(
        Effect.logError(`A finalizer of a connection to "${this.serverName}" failed`, cause),
        "server_name",
        this.serverName
      ))
  }

  private inBackground(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.asVoid(Fiber.await(this.fibers.fork(effect)))
  }

  private marked<A, E2, R2>(effect: Effect.Effect<A, E2, R2>): Effect.Effect<A, E2, R2> {
    return Effect.locallyWith(effect, partOf, (all) => [...all, this])
  }
}
