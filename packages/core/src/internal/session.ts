import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { type ConnectionClosed, ConnectionLost } from "../ConnectionError.js"
import { interrupt } from "./fibers.js"
import { Signal } from "./signal.js"

/** @internal */
export type SessionEnd<E> = ConnectionLost<E> | ConnectionClosed<E>

type Running = Set<Fiber.RuntimeFiber<unknown, unknown>>

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

  private uses: Running | undefined
  private followers: Running | undefined
  private readonly idle = new Signal<void>()

  constructor(
    readonly serverName: string,
    readonly connection: Connection,
    readonly generation: number,
    readonly scope: Scope.CloseableScope
  ) {}

  /** The connection is no longer the current one. */
  supersede(end: SessionEnd<E>): void {
    this.successor ??= end
    this.followers?.forEach(interrupt)
  }

  /** The connection is gone: everything that is done with it is interrupted, and fails with this. */
  finish(end: SessionEnd<E>): void {
    this.end ??= end
    this.supersede(end)
    this.uses?.forEach(interrupt)
  }

  lost(cause: Cause.Cause<E>): ConnectionLost<E> {
    return new ConnectionLost({ serverName: this.serverName, generation: this.generation, cause }) as ConnectionLost<E>
  }

  /** Runs an effect that is interrupted, and fails with the reason, when the connection is gone. */
  use<A, E2, R>(effect: Effect.Effect<A, E2, R>): Effect.Effect<A, E2 | SessionEnd<E>, R> {
    return this.run(effect, () => this.end, () => this.uses ??= new Set())
  }

  /** The same, but also when another connection replaces it. */
  follow<A, E2, R>(effect: Effect.Effect<A, E2, R>): Effect.Effect<A, E2 | SessionEnd<E>, R> {
    return this.run(effect, () => this.successor, () => this.followers ??= new Set())
  }

  /** Waits until nobody uses the connection. */
  get drained(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.uses === undefined || this.uses.size === 0 ? Effect.void : Effect.andThen(this.idle.next, this.drained)
    )
  }

  /** A use that waits for the draining is not waited for (D7). */
  letGo(fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    this.uses?.delete(fiber)
  }

  private run<A, E2, R>(
    effect: Effect.Effect<A, E2, R>,
    end: () => SessionEnd<E> | undefined,
    running: () => Running
  ): Effect.Effect<A, E2 | SessionEnd<E>, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.fork(restore(effect)), (fiber) => {
        const fibers = running()
        fibers.add(fiber)
        fiber.addObserver(() => {
          fibers.delete(fiber)
          if (fibers.size === 0) this.idle.notify(Exit.void)
        })
        // It may have ended before the fiber was among those that its end interrupts.
        if (end() !== undefined) interrupt(fiber)
        return restore(Fiber.join(fiber)).pipe(
          Effect.onInterrupt(() => Fiber.interrupt(fiber)),
          Effect.catchAllCause((cause): Effect.Effect<never, E2 | SessionEnd<E>> => {
            const reason = end()
            return reason !== undefined && Cause.isInterruptedOnly(cause)
              ? Effect.fail(reason)
              : Effect.failCause(cause)
          })
        )
      })
    )
  }
}
