import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import { type AnyFiber, type Caller, type Delegate, forkAsCaller, makeMark, markRuntime } from "../base/effect3.js"
import { Signal } from "../base/signal.js"

/** A call of an event handler. The loop waits until it ends or is let go. */
interface HandlerCall {
  readonly letGo: () => void
}

/** How a fiber got inside a persistent connection (D7). `outer` is the origin of the fiber that made or used that. */
interface Origin {
  readonly fibers: unknown
  readonly handler: HandlerCall | undefined
  readonly outer: Origin | undefined
}

/** The one mark that every fiber inside a persistent connection inherits. */
const origin = makeMark<Origin | undefined>(undefined)

/**
 * The fibers that a persistent connection has started. They have the services of the fiber in which it was made (T4).
 * They do not depend on the fiber that starts them: interrupting a caller of `close` does not interrupt the closing.
 *
 * @internal
 */
export class Fibers<R> {
  private readonly running = new Set<AnyFiber>()
  private readonly ended = new Signal<void>()
  /** What a fiber inherits that this persistent connection starts. */
  readonly own: Origin
  readonly runtime: Runtime.Runtime<R>

  constructor(runtime: Runtime.Runtime<R>) {
    this.own = { fibers: this, handler: undefined, outer: origin.ofRuntime(runtime) }
    this.runtime = markRuntime(runtime, origin, this.own)
  }

  /** Starts an effect in a separate turn, after the caller's present turn. */
  fork<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return this.add(Runtime.runFork(this.runtime, effect, { immediate: false }))
  }

  /** Starts a call of a handler, and runs it up to its first suspension before this returns. */
  forkHandler(effect: Effect.Effect<void, never, R>, handler: HandlerCall): Fiber.RuntimeFiber<void> {
    const runtime = markRuntime(this.runtime, origin, { ...this.own, handler })
    return this.add(Runtime.runFork(runtime, effect))
  }

  /** The runtime of a caller, for fibers that are inside. */
  runtimeFor<R2>(runtime: Runtime.Runtime<R2>): Runtime.Runtime<R2> {
    return markRuntime(runtime, origin, { ...this.own, outer: origin.ofRuntime(runtime) })
  }

  /**
   * Where a fiber is (D7): outside; in a handler or what that forked; or in anything else that this persistent
   * connection started.
   */
  whereIs(fiber: AnyFiber): "outside" | "handler" | "inside" {
    return isInside(origin.of(fiber), this)
  }

  /**
   * Called when the fiber waits for the loop: the loop stops waiting for the handlers that the fiber belongs to (D7a).
   */
  letHandlersGo(fiber: AnyFiber): void {
    for (let at = origin.of(fiber); at !== undefined; at = at.outer) {
      if (at.fibers === this) at.handler?.letGo()
    }
  }

  /** Waits until all fibers have ended, including those started meanwhile. */
  get join(): Effect.Effect<void> {
    return Effect.suspend(() => this.running.size === 0 ? Effect.void : Effect.zipRight(this.ended.next, this.join))
  }

  private add<A, E>(fiber: Fiber.RuntimeFiber<A, E>): Fiber.RuntimeFiber<A, E> {
    this.running.add(fiber)
    fiber.addObserver(() => {
      this.running.delete(fiber)
      this.ended.notify(Exit.void)
    })
    return fiber
  }
}

/**
 * Starts a use of a connection, and runs it up to its first suspension before this returns.
 *
 * @internal
 */
export const forkUse = <A, E, R>(
  fibers: Fibers<never>,
  caller: Caller,
  effect: Effect.Effect<A, E, R>
): Delegate<A, E> => {
  const outer = origin.of(caller.fiber)
  // A use inside a use adds no origin: otherwise nested uses would make the chain grow without a limit.
  const value = isInside(outer, fibers) === "inside" ? outer : { ...fibers.own, outer }
  return forkAsCaller(caller, effect, origin, value)
}

const isInside = (last: Origin | undefined, fibers: unknown): "outside" | "handler" | "inside" => {
  let where: "outside" | "handler" = "outside"
  for (let at = last; at !== undefined; at = at.outer) {
    if (at.fibers !== fibers) continue
    if (at.handler === undefined) return "inside"
    where = "handler"
  }
  return where
}
