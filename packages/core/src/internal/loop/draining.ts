import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { AnyFiber } from "../base/effect3.js"
import { Signal } from "../base/signal.js"
import { millisUntil, sleepUntil } from "../base/time.js"
import { type ReleaseContext, releaseInBackground } from "./release.js"
import type { Session, SessionEnd } from "./session.js"

/**
 * The connections that are no longer current. Each is released when its uses have ended (or their time is up) and its
 * streams have delivered what it received (S1).
 *
 * @internal
 */
export class Draining<C, E, R> {
  private releasing: Set<AnyFiber> | undefined
  /** How many connections have ended and wait for their streams. */
  private undelivered = 0
  private readonly delivered = new Signal<void>()
  /** After this moment, in ms of monotonic time, nothing is drained any longer. */
  private endsAt = Infinity
  private readonly endsEarlier = new Signal<void>()

  constructor(
    private readonly context: ReleaseContext<R> & {
      readonly settings: {
        readonly maxUndelivered: number
        readonly connector: { readonly close?: ((connection: C) => Effect.Effect<unknown, unknown>) | undefined }
      }
    }
  ) {}

  /**
   * Drains and releases a connection. Uses that have not ended by `usesUntil` fail with the reason. A close does not
   * wait for the release of a connection that was lost (D4).
   */
  add(
    session: Session<C, E>,
    reason: SessionEnd<E>,
    { usesUntil = Infinity, wasLost = false }: { readonly usesUntil?: number; readonly wasLost?: boolean } = {}
  ): void {
    // Most connections are not in use, and need no fiber for draining.
    if (!session.isBusy) {
      session.end(reason)
      const released = this.release(session)
      if (!wasLost) this.await(released)
      return
    }
    this.await(this.context.fibers.fork(
      Effect.flatMap(this.drain(session, reason, usesUntil, wasLost), () => {
        const released = this.release(session)
        return wasLost ? Effect.void : Effect.asVoid(Fiber.await(released))
      })
    ))
  }

  /** Ends all draining at this moment. A later call can only make it earlier. */
  endBy(at: number): void {
    this.endsAt = Math.min(this.endsAt, at)
    this.endsEarlier.notify(Exit.void)
  }

  /** Waits until there are fewer undelivered connections than allowed (S1). */
  get hasRoom(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.undelivered < this.context.settings.maxUndelivered
        ? Effect.void
        : Effect.zipRight(this.delivered.next, this.hasRoom)
    )
  }

  /** Waits until all connections have been drained, and released unless they were lost. */
  get released(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.asVoid(Fiber.awaitAll(this.releasing ?? [])))
  }

  private drain(
    session: Session<C, E>,
    reason: SessionEnd<E>,
    usesUntil: number,
    wasLost: boolean
  ): Effect.Effect<void> {
    const delivered = Effect.suspend(() => {
      session.end(reason)
      this.undelivered++
      const delivered = this.within(session.without("delivery"))
      const goesOn = !wasLost && session.isBusy && millisUntil(this.context.clock, this.endsAt) > 0
      return Effect.ensuring(
        goesOn ? Effect.raceFirst(delivered, this.receiveNoMore(session)) : delivered,
        Effect.sync(() => {
          this.undelivered--
          this.delivered.notify(Exit.void)
        })
      )
    })
    // An ended connection must be counted before the next attempt begins, so there is no wait before.
    const hasEnded = session.endedWith !== undefined
    return hasEnded ? delivered : Effect.zipRight(this.within(session.without("use"), usesUntil), delivered)
  }

  /** Asks the peer to stop. Otherwise it might send for ever, and the streams would never end. */
  private receiveNoMore({ connection }: Session<C, E>): Effect.Effect<never> {
    const closed = Effect.suspend(() => this.context.settings.connector.close?.(connection) ?? Effect.void)
    return Effect.interruptible(Effect.zipRight(Effect.exit(closed), Effect.never))
  }

  private release(session: Session<C, E>): AnyFiber {
    session.release()
    const exit = Cause.isEmpty(session.loss) ? Exit.void : Exit.failCause(session.loss)
    return releaseInBackground(this.context, Scope.close(session.scope, exit))
  }

  private await(fiber: AnyFiber): void {
    const releasing = this.releasing ??= new Set()
    releasing.add(fiber)
    fiber.addObserver(() => releasing.delete(fiber))
  }

  /** Waits for an effect, but at most until the given moment or the end of draining. */
  private within(self: Effect.Effect<void>, until = Infinity): Effect.Effect<void> {
    return Effect.suspend(() => {
      const at = Math.min(until, this.endsAt)
      const again = Effect.zipRight(this.endsEarlier.next, Effect.suspend(() => this.within(self, until)))
      return Effect.raceAll([self, sleepUntil(this.context.clock, at), again])
    })
  }
}
