import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Hold } from "../../PersistentConnection.js"
import { type AnyFiber, type Caller, interrupt } from "../base/effect3.js"
import { forkUse } from "../loop/fibers.js"
import type { Session, SessionEnd, Work } from "../loop/session.js"

/**
 * Runs an effect that is interrupted when the connection ends.
 *
 * @internal
 */
export const whileOpen = <C, E, A, E2, R>(
  session: Session<C, E>,
  caller: Caller,
  effect: Effect.Effect<A, E2, R>
): Effect.Effect<Exit.Exit<A, E2>, never, R> => run(session, caller, effect, (stop) => ({ kind: "use", onEnded: stop }))

/**
 * A use without an effect.
 *
 * @internal
 */
export class Holding<C, E> implements Work, Hold<C, E> {
  readonly kind = "use"
  end: SessionEnd<E> | undefined
  private thrown: { readonly error: unknown } | undefined

  constructor(
    private readonly session: Session<C, E>,
    private readonly onEnd: (connection: C, reason: SessionEnd<E>) => void
  ) {
    session.enter(this)
  }

  get connection(): C {
    return this.session.connection
  }

  onEnded(): void {
    const end = this.end = this.session.endedWith!
    try {
      this.onEnd(this.connection, end)
    } catch (error) {
      this.thrown = { error }
    }
  }

  release(): void {
    this.session.leave(this)
    const { thrown } = this
    this.thrown = undefined
    if (thrown !== undefined) throw thrown.error
  }
}

/**
 * Runs an effect that is also interrupted when another connection replaces this one.
 *
 * @internal
 */
export const whileCurrent = <C, E, A, E2, R>(
  session: Session<C, E>,
  caller: Caller,
  effect: Effect.Effect<A, E2, R>
): Effect.Effect<Exit.Exit<A, E2>, never, R> =>
  run(session, caller, effect, (stop) => ({ kind: "follower", onSuperseded: stop }))

/**
 * Starts the effect before this returns, so nothing can happen between the caller's check of the connection and the
 * work. If the effect ends in its first turn, there is no wait; if it is a result already, there is no fiber.
 */
const run = <C, E, A, E2, R>(
  session: Session<C, E>,
  caller: Caller,
  effect: Effect.Effect<A, E2, R>,
  workOf: (stop: () => void) => Work
): Effect.Effect<Exit.Exit<A, E2>, never, R> => {
  if (Exit.isExit(effect)) return Exit.succeed(effect as Exit.Exit<A, E2>)
  let running: AnyFiber | undefined
  const work = workOf(() => running && interrupt(running))
  // Entered first, because the effect may close gracefully, or refresh, in its first turn.
  session.enter(work)
  const { fiber, inherit } = forkUse(session.fibers, caller, effect)
  fiber.addObserver(() => session.leave(work))
  const ended = fiber.unsafePoll()
  if (ended !== null) return Effect.as(inherit, Exit.flatten(ended))
  running = fiber
  // The effect itself may have ended the connection in its first turn.
  if (session.supersededBy !== undefined) work.onSuperseded?.()
  if (session.endedWith !== undefined) work.onEnded?.()
  const exit = caller.restore(Effect.async<Exit.Exit<A, E2>>((resume) => fiber.addObserver(resume)))
  return exit.pipe(
    Effect.onInterrupt(() => Effect.flatMap(Fiber.interrupt(fiber), defectsOf)),
    Effect.ensuring(inherit)
  )
}

/** Passes on how an interrupted effect has ended. */
const defectsOf = <A, E>(ended: Exit.Exit<Exit.Exit<A, E>>): Effect.Effect<void> => {
  const exit = Exit.flatten(ended)
  return Exit.isSuccess(exit) ? Effect.void : Effect.failCause(exit.cause as Cause.Cause<never>)
}

/**
 * Was it interrupted without a typed failure of its own?
 *
 * @internal
 */
export const isTorn = (cause: Cause.Cause<unknown>): boolean => Cause.isInterrupted(cause) && !Cause.isFailure(cause)
