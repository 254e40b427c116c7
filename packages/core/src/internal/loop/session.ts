import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { type ConnectionClosed, ConnectionLost } from "../../ConnectionError.js"
import { attempted, listen } from "../base/callback.js"
import { interruptAsDefect } from "../base/cause.js"
import type { AnyFiber } from "../base/effect3.js"
import { Signal } from "../base/signal.js"
import type { Fibers } from "./fibers.js"

/** Only V8 has a limit. */
const v8Error = Error as { stackTraceLimit?: number | undefined }

/** @internal */
export type SessionEnd<E> = ConnectionLost<E> | ConnectionClosed<E>

/**
 * Work on a connection. When the connection is replaced, a `use` finishes on it, a `follower` moves on at once, and a
 * `delivery` (a stream) moves on when it has delivered what was received (S1).
 *
 * @internal
 */
export interface Work {
  readonly kind: "use" | "follower" | "delivery"
  /** The connection is no longer the current one. */
  readonly onSuperseded?: () => void
  /** The connection has ended. */
  readonly onEnded?: () => void
  /** The connection is about to be released: nothing more can be delivered. */
  readonly onReleased?: () => void
}

/**
 * One established connection, and the work on it until it ends.
 *
 * @internal
 */
export class Session<C, E> {
  /** Why the connection cannot be used any more. */
  endedWith: SessionEnd<E> | undefined
  /** Why followers must leave the connection: it has ended, is being closed, or has been replaced. */
  supersededBy: SessionEnd<E> | undefined
  /** The fiber that waits for the end of the connection, if that takes one. */
  watcher: AnyFiber | undefined

  /** The connection, for callers that wait for it. */
  readonly result: Exit.Exit<C>

  private stopWatching: (() => void) | undefined
  private works: Set<Work> | undefined
  private readonly left = new Signal<void>()

  constructor(
    readonly fibers: Fibers<never>,
    private readonly serverName: string,
    readonly connection: C,
    readonly generation: number,
    /** When it was established: in ms of wall time, and of monotonic time. */
    readonly since: number,
    readonly establishedAt: number,
    readonly scope: Scope.CloseableScope
  ) {
    this.result = Exit.succeed(connection)
  }

  lossError(cause: Cause.Cause<E>): ConnectionLost<E> {
    const { stackTraceLimit } = v8Error
    // A stack would show only this library, and takes longer than all the rest of a loss.
    v8Error.stackTraceLimit = 0
    const error = new ConnectionLost({ serverName: this.serverName, generation: this.generation, lossCause: cause })
    v8Error.stackTraceLimit = stackTraceLimit
    return error
  }

  /** The cause of the loss; empty if there was no error, or no loss yet. */
  get loss(): Cause.Cause<E> {
    return this.endedWith?._tag === "ConnectionLost" ? this.endedWith.lossCause : Cause.empty
  }

  /** Called when another connection became current, or this one is being closed. Only the first call counts. */
  supersede(reason: SessionEnd<E>): void {
    if (this.supersededBy !== undefined) return
    this.supersededBy = reason
    this.works?.forEach((work) => work.onSuperseded?.())
  }

  /** Called when the connection has ended: all its uses fail with this reason. Only the first call counts. */
  end(reason: SessionEnd<E>): void {
    if (this.endedWith !== undefined) return
    this.endedWith = reason
    this.supersede(reason)
    this.works?.forEach((work) => work.onEnded?.())
    this.left.notify(Exit.void)
  }

  /** Waits for the end of the connection. */
  watch(closed: (connection: C) => Effect.Effect<unknown, E>, onEnd: (cause: Cause.Cause<E>) => void): void {
    const fork = (effect: Effect.Effect<unknown>) => this.watcher = this.fibers.fork(effect)
    const stop = listen(
      attempted(() => closed(this.connection)),
      fork,
      (exit) => onEnd(Exit.isFailure(exit) ? interruptAsDefect(exit.cause) : Cause.empty)
    )
    // `closed` itself may have closed the persistent connection, which has then released this one already.
    if (this.endedWith === undefined) this.stopWatching = stop
    else stop()
  }

  /** Called before the scope of the connection is closed. */
  release(): void {
    this.stopWatching?.()
    this.works?.forEach((work) => work.onReleased?.())
  }

  get isBusy(): boolean {
    return this.works !== undefined && this.works.size > 0
  }

  enter(work: Work): void {
    ;(this.works ??= new Set()).add(work)
  }

  leave(work: Work): void {
    if (this.works?.delete(work) === true) this.left.notify(Exit.void)
  }

  /** Waits until no work of this kind is left. It does not wait for uses once the connection has ended. */
  without(kind: Work["kind"]): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (kind === "use" && this.endedWith !== undefined) return Effect.void
      for (const work of this.works ?? []) {
        if (work.kind === kind) return Effect.zipRight(this.left.next, this.without(kind))
      }
      return Effect.void
    })
  }
}
