import * as Exit from "effect/Exit"
import { type ClosedReason, ConnectionClosed } from "../../ConnectionError.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { AttemptFailure } from "../../Connector.js"
import { Signal } from "../base/signal.js"
import type { Session } from "./session.js"
import type { Status } from "./status.js"

/**
 * A stream that goes on from connection to connection.
 *
 * @internal
 */
export interface Follower<C, E> {
  /** A connection has become the current one. */
  readonly onSession: (session: Session<C, E>) => void
  /** Closing has begun: there will be no other connection. */
  readonly onClosing: () => void
}

/**
 * The current state, and the answers that follow from it. Only the loop changes it.
 *
 * @internal
 */
export abstract class LoopState<C, E> {
  abstract readonly settings: {
    readonly serverName: string
    readonly connector: { readonly isClosed?: ((connection: C) => boolean) | undefined }
  }
  abstract readonly status: Status<C, E>
  /** The current session. Its connection may have ended. */
  abstract readonly session: Session<C, E> | undefined

  private readonly countWaiting = (difference: number): void => this.status.countWaiting(difference)

  /** A connection has been established, or closing has begun (then without a session). */
  readonly connectionChanged = new Signal<Session<C, E> | undefined>(this.countWaiting)
  /** An attempt has ended, or there will be no other. */
  readonly attemptEnded = new Signal<C, AttemptFailure<E> | ConnectionClosed<E>>(this.countWaiting)
  readonly closeEnded = new Signal<void>()
  /** Closing has finished (X1). The state is `Closed` when the `Connected` handler has ended too (A2). */
  hasClosed = false
  followers: Set<Follower<C, E>> | undefined
  /** Consecutive failed attempts (C7). */
  failedAttempts = 0
  /** Why there will be no other connection; undefined if there may be one, and after a plain `close`. */
  protected ending: ClosedReason<E> | undefined

  get state(): ConnectionState<C, E> {
    return this.status.state
  }

  /** The session that callers get: the current one, unless its connection is known to be closed (A3, A4). */
  get openSession(): Session<C, E> | undefined {
    const { session } = this
    return session === undefined || this.hasEnded(session) ? undefined : session
  }

  /** Is the connection known to be closed, even if the loop has not noticed yet? */
  hasEnded(session: Session<C, E>): boolean {
    if (session.endedWith !== undefined) return true
    try {
      return this.settings.connector.isClosed?.(session.connection) === true
    } catch {
      return false
    }
  }

  get isClosing(): boolean {
    return this.state._tag === "Closing" || this.state._tag === "Closed"
  }

  get willNotReconnect(): boolean {
    return this.isClosing || this.ending !== undefined
  }

  /** The error for every caller once closing has begun. */
  get closedError(): ConnectionClosed<E> {
    return new ConnectionClosed({ serverName: this.settings.serverName, reason: this.reason })
  }

  /** The answer of `connectedOrFailedToConnect` when there will be no other attempt (A5, X5). */
  get closedExit(): Exit.Exit<never, E | ConnectionClosed<E>> {
    return this.ending?._tag === "Aborted" ? Exit.failCause(this.ending.cause) : Exit.fail(this.closedError)
  }

  protected get reason(): ClosedReason<E> {
    return this.ending ?? { _tag: "ClosedByOwner" }
  }
}
