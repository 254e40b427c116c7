/**
 * One logical connection to one named server: established eagerly, re-established whenever it is lost, and torn down
 * only when its owner says so.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import type { Inspectable } from "effect/Inspectable"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type { Pipeable } from "effect/Pipeable"
import type * as Queue from "effect/Queue"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Subscribable from "effect/Subscribable"
import type { ConnectionClosed } from "./ConnectionError.js"
import type { ConnectionEvent } from "./ConnectionEvent.js"
import type { ConnectionState } from "./ConnectionState.js"
import type { Attempt, AttemptFailure, Connector } from "./Connector.js"
import * as internal from "./internal/persistentConnection.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/PersistentConnection" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * A persistent connection. Every operation may be called at any time and from anywhere, also from inside the look-up,
 * the connector, a handler or a finalizer (D7), and can be interrupted where it waits.
 *
 * @since 0.1.0
 * @category models
 */
export interface PersistentConnection<out Connection, out E = never> extends Pipeable, Inspectable {
  readonly [TypeId]: TypeId

  /** The name of the server, as given to `make`. */
  readonly serverName: string

  /**
   * The current connection, or else the next one to be established; never one that is known to be closed (A3, A4). It
   * waits as long as that takes, and does not answer once `close` has been called: see `connectedOrClosed`.
   */
  readonly connected: Effect.Effect<Connection>

  /**
   * As `connected`, but fails with `ConnectionClosed` when the persistent connection has closed (A7).
   */
  readonly connectedOrClosed: Effect.Effect<Connection, ConnectionClosed<E>>

  /**
   * The current connection if it is not known to be closed, otherwise the result of the next attempt to end: the new
   * connection, or the cause of the failure (A5). Fails with the error of an abort once aborted (X5), and with
   * `ConnectionClosed` as soon as `close` has been called.
   */
  readonly connectedOrFailedToConnect: Effect.Effect<Connection, AttemptFailure<E> | ConnectionClosed<E>>

  /**
   * The connection if there is one now, without waiting. It may be one that is known to be closed (A2, A6).
   */
  readonly currentConnection: Effect.Effect<Option.Option<Connection>>

  /**
   * Closes the current connection, and stops or prevents every attempt, also one under way (X1, X2, D1). When it
   * completes, the last connection has been closed and there will be no other. Later calls wait for the first. It
   * does not wait for event handlers, nor, called from inside a connect or a finalizer, for these (D7).
   */
  readonly close: Effect.Effect<void>

  /**
   * True from the moment of the first `close`.
   */
  readonly isClosed: Effect.Effect<boolean>

  /**
   * Waits until closing has finished, without closing.
   */
  readonly closeFinished: Effect.Effect<void>

  /**
   * Do not reconnect: while connected, closes when the connection has ended and its `Disconnected` handler has too;
   * otherwise at once, without a new attempt (X4). Does not wait for either: see `closeFinished`.
   */
  readonly closeWhenCurrentConnectionIsClosed: Effect.Effect<void>

  /**
   * What is the case now, and how it changes: the read side of a `SubscriptionRef`, set by the persistent connection
   * alone. Its legal transitions are listed in `ConnectionState`. `changes` goes on with every state entered after the
   * subscription and never ends; it keeps what a slow consumer has not taken yet.
   */
  readonly state: Subscribable.Subscribable<ConnectionState<Connection, E>>

  /**
   * The events, from the most recent one on (E2), until the persistent connection has closed and the last event has
   * been delivered. A consumer that falls more than 64 events behind loses the oldest ones.
   */
  readonly events: Stream.Stream<ConnectionEvent<Connection, E, void>>

  /**
   * Subscribes to the events at once, not when a stream is run: the queue holds the most recent event (E2), if there
   * has been one, and then every later one, until the scope is closed. A consumer that falls more than 64 events
   * behind loses the oldest ones.
   */
  readonly subscribe: Effect.Effect<Queue.Dequeue<ConnectionEvent<Connection, E, void>>, never, Scope.Scope>
}

/**
 * Where, how and when.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<
  Address,
  Connection,
  EA = never,
  EC = never,
  RA = never,
  RC = never,
  RS = never,
  RH = never
> {
  /** Names the server in errors, logs and metrics. Not empty. */
  readonly serverName: string

  /** Looks up where the server is; run before every attempt (C3). See `Addresses`. */
  readonly address:
    | Effect.Effect<Address, EA, RA>
    | ((attempt: Attempt<NoInfer<Address>, NoInfer<EA | EC>>) => Effect.Effect<Address, EA, RA>)

  /** Opens a connection, and knows when it is lost. */
  readonly connector: Connector<Address, Connection, EC, RC>

  /**
   * When to try again, as a `Schedule` fed with the cause of each failure or loss; see `RetryPolicy`. Its delays run
   * from the moment the last attempt began, so a connection that lived longer than the delay is replaced at once
   * (T1, T2). It restarts after a success. When it ends the persistent connection gives up (D11).
   *
   * Default: `RetryPolicy.standard`, 10 s, randomised by ± 30 % (T3).
   */
  readonly retry?:
    | Schedule.Schedule<unknown, Cause.Cause<AttemptFailure<NoInfer<EA | EC>>>, RS>
    | undefined

  /**
   * How long a connection must have lived to count as a success that restarts `retry`. Set it against peers that
   * accept and hang up. Default: 0, every connection counts.
   */
  readonly stableFor?: Duration.DurationInput | undefined

  /**
   * The first attempt after a loss is delayed by a further random part of this window, so that the clients of a server
   * that went away do not all return in one instant. Default: 0.
   */
  readonly spread?: Duration.DurationInput | undefined

  /**
   * How long look-up and connect together may take before the attempt fails with a `TimeoutException` (D9); time
   * spent in event handlers does not count. `Duration.infinity` for no limit. Default: 30 s.
   */
  readonly attemptTimeout?: Duration.DurationInput | undefined

  /**
   * How long a close waits for the finalizers of a connection, or for an attempt that cannot be interrupted. After that
   * a warning is logged, and nobody waits for them any more; they go on by themselves. Default: `Duration.infinity`, so
   * that what has closed is closed (X1).
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /**
   * How long a call of `onEvent` may hold up the loop before a warning is logged and counted. Default: 10 s.
   */
  readonly handlerWarning?: Duration.DurationInput | undefined

  /**
   * Called with every event and awaited: nothing that comes after the event happens before it ends (E1), except that
   * closing does not wait for it (D7). A defect is logged and counted, and the cycle goes on (D6).
   */
  readonly onEvent?:
    | ((event: ConnectionEvent<Connection, NoInfer<EA | EC>, NoInfer<Address>>) => Effect.Effect<unknown, never, RH>)
    | undefined

  /**
   * When two addresses count as the same, so that `ObtainedAddress` is not reported again (C4). Default: `Equal`
   * where the address defines it, otherwise equality of the content.
   */
  readonly addressEquivalence?: Equivalence.Equivalence<NoInfer<Address>> | undefined
}

/**
 * Makes a persistent connection and returns at once; the first cycle starts in the background (C1). It is closed, and
 * all that it started has ended, when the scope is left (D8).
 *
 * It never fails for what happens in the background. An option that makes no sense is a defect, an
 * `IllegalArgumentException` that names the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <
  Address,
  Connection,
  EA = never,
  EC = never,
  RA = never,
  RC = never,
  RS = never,
  RH = never
>(
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>
) => Effect.Effect<PersistentConnection<Connection, EA | EC>, never, RA | RC | RS | RH | Scope.Scope> = internal.make

/**
 * A layer that makes a persistent connection for a tag; see `make`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const layer = <
  Id,
  Connection,
  E,
  Address,
  EA extends E = never,
  EC extends E = never,
  RA = never,
  RC = never,
  RS = never,
  RH = never
>(
  tag: Context.Tag<Id, PersistentConnection<Connection, E>>,
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>
): Layer.Layer<Id, never, RA | RC | RS | RH> => Layer.scoped(tag, make(options))
