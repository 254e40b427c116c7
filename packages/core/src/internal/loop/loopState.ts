import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { type ClosedReason, ConnectionClosed, ConnectionLost } from "../../ConnectionError.js"
import * as State from "../../ConnectionState.js"
import type { AttemptFailure } from "../../Connector.js"
import { Signal } from "../base/signal.js"
import type { Session } from "./session.js"
import { Status } from "./status.js"

/**
 * What is the case with a persistent connection, and what those get who ask for a connection. The loop makes it so.
 *
 * @internal
 */
export abstract class Standing<Connection, E> {
  abstract readonly settings: {
    readonly serverName: string
    readonly connector: { readonly isClosed?: ((connection: Connection) => boolean) | undefined }
  }

  readonly status: Status<Connection, E>
  /** The current connection, as long as it is one; it may be dead. */
  session: Session<Connection, E> | undefined
  /** A connection has been established, or there will be no other. */
  readonly changed = new Signal<void>()
  /** An attempt has ended, or there will be no other. */
  readonly results = new Signal<Connection, AttemptFailure<E> | ConnectionClosed<E>>()
  readonly finished = new Signal<void>()
  /** Closing has finished (X1). The state may not be `Closed` yet: a `Connected` handler can still be running (A2). */
  hasFinished = false
  /** Why there will be no other connection, unless `close` is the reason: the first to say so is heard (X4, X5, D11). */
  protected ending: ClosedReason<E> | undefined

  constructor(now: number) {
    this.status = new Status<Connection, E>(State.Connecting({
      since: now,
      generation: 0,
      attempt: 1,
      address: Option.none(),
      lastCause: Option.none(),
      deadline: Option.none()
    }))
  }

  get state(): State.ConnectionState<Connection, E> {
    return this.status.state
  }

  /** Is there a connection to hand out (A3, A4)? */
  isOpen(): this is { readonly session: Session<Connection, E> } {
    return this.state._tag === "Connected" && this.session?.end === undefined &&
      !this.isKnownDead(this.state.connection)
  }

  protected isKnownDead(connection: Connection): boolean {
    try {
      return this.settings.connector.isClosed?.(connection) === true
    } catch {
      return false
    }
  }

  get isClosing(): boolean {
    return this.state._tag === "Closing" || this.state._tag === "Closed"
  }

  get isAborted(): boolean {
    return this.ending?._tag === "Aborted"
  }

  get willNotReconnect(): boolean {
    return this.isClosing || this.ending !== undefined
  }

  protected get reason(): ClosedReason<E> {
    return this.ending ?? { _tag: "ClosedByOwner" }
  }

  /** What those get who do not want to wait while there is no connection. */
  get disconnected(): ConnectionLost<E> {
    const { generation, lastCause } = this.state
    const cause = Option.getOrElse(lastCause, () => Cause.empty)
    return new ConnectionLost<E>({
      serverName: this.settings.serverName,
      generation,
      lossCause: cause as Cause.Cause<E>
    })
  }

  /** What everyone gets who asks for a connection that there will not be. */
  get closed(): ConnectionClosed<E> {
    return new ConnectionClosed({ serverName: this.settings.serverName, reason: this.reason })
  }

  /** What `connectedOrFailedToConnect` answers once aborted or closed (A5, X5). */
  get refusal(): Exit.Exit<never, E | ConnectionClosed<E>> {
    return this.ending?._tag === "Aborted" ? Exit.failCause(this.ending.cause) : Exit.fail(this.closed)
  }

  protected enter(state: State.ConnectionState<Connection, E>): void {
    this.status.enter(state)
  }

  protected finish(): void {
    this.hasFinished = true
    this.finished.notify(Exit.void)
  }
}
