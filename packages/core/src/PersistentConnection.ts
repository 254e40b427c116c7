/**
 * One logical connection to one named server: opened at once, opened again after every loss, and closed by its owner.
 *
 * A letter with a number (A3, X1, D7 …), here and in the other modules, names a rule of `docs/rules.md` in the
 * repository.
 *
 * Every function of this module checks its arguments at once. A wrong argument or option throws an
 * `IllegalArgumentException` that names it; `make` and `layer` die with it.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import { dual } from "effect/Function"
import type { Inspectable } from "effect/Inspectable"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type { Pipeable } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Queue from "effect/Queue"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Subscribable from "effect/Subscribable"
import type { ConnectionClosed, ConnectionLost, NotConnected } from "./ConnectionError.js"
import type { ConnectionEvent } from "./ConnectionEvent.js"
import type { ConnectionState } from "./ConnectionState.js"
import type { Attempt, AttemptFailure, Connection, Connector, Error, TypeId as ConnectorTypeId } from "./Connector.js"
import type { Inferred } from "./internal/base/inferred.js"
import * as option from "./internal/base/options.js"
import * as internal from "./internal/loop/service.js"
import * as following from "./internal/using/following.js"
import * as replacing from "./internal/using/replacing.js"
import * as streaming from "./internal/using/streaming.js"
import * as using from "./internal/using/using.js"

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
 * A persistent connection. Every operation may be called at any time and from anywhere, also inside the look-up, the
 * connector, a handler or a finalizer (D7). A wait can be interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface PersistentConnection<out Connection, out E = never> extends Pipeable, Inspectable {
  readonly [TypeId]: TypeId

  /** The name of the server, as given to `make`. */
  readonly serverName: string

  /**
   * Gives the current connection, or waits for the next one (A3), without a limit. Never gives a connection that is
   * known to be closed (A4). It cannot fail: it suspends for ever once closed, also if the retry policy gave up or an
   * attempt aborted. If that can happen, use `connectedOrClosed`.
   */
  readonly connected: Effect.Effect<Connection>

  /**
   * As `connected`, but fails with `ConnectionClosed`, which says why, once closing has finished (A7).
   */
  readonly connectedOrClosed: Effect.Effect<Connection, ConnectionClosed<E>>

  /**
   * Gives the current connection if it is not known to be closed; otherwise the result of the next attempt that ends, a
   * connection or a failure (A5). Fails with the error of an abort (X5), or with `ConnectionClosed` as soon as `close`
   * is called or there will be no other attempt. A caller that waits for the attempt after which the policy gives up
   * gets the failure of that attempt.
   */
  readonly connectedOrFailedToConnect: Effect.Effect<Connection, AttemptFailure<E> | ConnectionClosed<E>>

  /**
   * The connection, if there is one now; it does not wait. It may be known to be closed (A2, A6).
   */
  readonly currentConnection: Effect.Effect<Option.Option<Connection>>

  /**
   * Closes the current connection, interrupts an attempt that is under way, and prevents all others (X1, X2, D1). When
   * it completes, the last connection has been closed. Later calls wait for the first. It never waits for event
   * handlers. Inside a look-up, connect, finalizer or use, it waits only until closing has begun (D7).
   */
  readonly close: Effect.Effect<void>

  /**
   * True once closing has begun: at the first `close`, or when the persistent connection closes because its retry
   * policy gave up, it was aborted, or its last connection has ended.
   */
  readonly isClosed: Effect.Effect<boolean>

  /**
   * Waits until closing has finished; it does not close.
   */
  readonly closeFinished: Effect.Effect<void>

  /**
   * Makes the current connection the last one: the persistent connection closes when that connection and its
   * `Disconnected` handler have ended, or at once without a connection (X4). It does not wait: see `closeFinished`.
   */
  readonly closeWhenCurrentConnectionIsClosed: Effect.Effect<void>

  /**
   * The current connection in a `SubscriptionRef`, with the value of `currentConnection`. Only the persistent
   * connection sets it, in the turn in which the state changes (A1, A2). After a `refresh` the new connection follows
   * the old one directly.
   */
  readonly current: Subscribable.Subscribable<Option.Option<Connection>>

  /**
   * The state now, and its changes; see `ConnectionState`. `changes` begins with the present state and never ends. A
   * consumer that falls more than 64 states behind loses the oldest ones.
   */
  readonly state: Subscribable.Subscribable<ConnectionState<Connection, E>>

  /**
   * The events, from the most recent one on (E2), until the persistent connection has closed and the last event has
   * been delivered. A consumer that falls more than 64 events behind loses the oldest ones.
   */
  readonly events: Stream.Stream<ConnectionEvent<Connection, E, void>>

  /**
   * Subscribes to the events at once. The queue holds the most recent event (E2), if there has been one, and then every
   * later one, until the scope is closed. A consumer that falls more than 64 events behind loses the oldest ones.
   */
  readonly subscribe: Effect.Effect<Queue.Dequeue<ConnectionEvent<Connection, E, void>>, never, Scope.Scope>
}

/**
 * The type of a persistent connection for a connector and a look-up. Use it for the type of a tag, instead of writing
 * out the errors. The look-up is an effect or a function that returns one; leave it out if it cannot fail.
 *
 * @example
 * ```ts
 * import type { Connector } from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Context from "effect/Context"
 * import type * as Effect from "effect/Effect"
 *
 * declare const connector: Connector<URL, { readonly send: (text: string) => void }, "refused" | "reset">
 * declare const address: Effect.Effect<URL, "not found">
 *
 * class Feed extends Context.Tag("app/Feed")<Feed, PersistentConnection.Of<typeof connector, typeof address>>() {}
 *
 * export const FeedLive = PersistentConnection.layer(Feed, { serverName: "feed", address, connector })
 * ```
 *
 * @since 0.1.0
 * @category type-level
 */
export type Of<C extends { readonly [ConnectorTypeId]: ConnectorTypeId }, LookUp = never> = PersistentConnection<
  Connection<C>,
  | Error<C>
  | (LookUp extends
    | Effect.Effect<unknown, infer E, unknown>
    | ((attempt: never) => Effect.Effect<unknown, infer E, unknown>) ? E
    : never)
>

/**
 * The options of a persistent connection.
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

  /** Looks up the address of the server at every attempt (C3). See `Addresses`. */
  readonly address:
    | Effect.Effect<Address, EA, RA>
    | ((attempt: Attempt<NoInfer<Address>>) => Effect.Effect<Address, EA, RA>)

  /** Opens a connection, and detects its loss. */
  readonly connector: Connector<Address, Connection, EC, RC>

  /**
   * When to try again: a `Schedule` that gets the cause of each failure or loss; see `RetryPolicy`. A delay runs from
   * the beginning of the last attempt, so a connection that lived longer than the delay is replaced at once (T1, T2). A
   * success restarts it. When it ends, the persistent connection gives up (D11). That is logged as an error, or as
   * information after a regular close (D13).
   *
   * Default: `RetryPolicy.standard`, 10 s, randomised by ± 30 % (T3).
   */
  readonly retry?:
    | Schedule.Schedule<unknown, Cause.Cause<AttemptFailure<NoInfer<EA | EC>>>, RS>
    | undefined

  /**
   * How long a connection must live to count as a success, which restarts `retry` (D14). So `retry` backs off from a
   * server that accepts and hangs up. With 0 every connection is a success. Default: 5 s.
   */
  readonly minUptime?: Duration.DurationInput | undefined

  /**
   * The first attempt after a loss waits for a further random part of this time, so that the clients of a server that
   * restarts do not all come back at once. Default: 0.
   */
  readonly reconnectJitter?: Duration.DurationInput | undefined

  /**
   * How long the look-up and the connect together may take; more than 0. After that the attempt fails with a
   * `TimeoutException` (D9). Time spent in event handlers does not count. `Duration.infinity` sets no limit. Default:
   * 30 s.
   */
  readonly attemptTimeout?: Duration.DurationInput | undefined

  /**
   * How long a close waits for the finalizers of a connection, or for an attempt that cannot be interrupted. After that
   * it logs a warning and waits no longer; they go on by themselves. Leaving the scope has the same limit (D8).
   * Default: `Duration.infinity`.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /**
   * If the loop waits longer than this for a call of `onEvent`, a warning is logged and counted. Default: 10 s.
   */
  readonly slowHandlerThreshold?: Duration.DurationInput | undefined

  /**
   * Called with every event, and awaited: the cycle goes on when the call has ended (E1). Only closing does not wait
   * for it (D7). A defect is logged and counted, and the cycle goes on (D6).
   *
   * An address or a failure is reported only if it differs from the last one of the same cycle (C4, C5). To see every
   * attempt, watch `state`, the metrics (`ConnectionMetrics`) or the spans.
   */
  readonly onEvent?:
    | ((event: ConnectionEvent<Connection, NoInfer<EA | EC>, NoInfer<Address>>) => Effect.Effect<unknown, never, RH>)
    | undefined

  /**
   * How many ended connections may wait until streams have delivered what they received (S1). Beyond that the next
   * attempt waits. 1 or more, `Infinity` for no limit. Default: 8.
   */
  readonly maxUndelivered?: number | undefined

  /**
   * When two addresses count as the same, so that `ObtainedAddress` is not reported again (C4). Default: `Equal`
   * where the address defines it, otherwise equality of the content.
   */
  readonly addressEquivalence?: Equivalence.Equivalence<NoInfer<Address>> | undefined

  /**
   * When two typed failures of attempts count as the same, so that `FailedToConnect` is not reported again (C5, D12).
   * Use it for errors whose text differs each time, for instance by the id of a request. Defects are compared by their
   * text. Default: the same text, without stack traces, ids of fibers and spans, headers and secrets.
   */
  readonly errorEquivalence?: Equivalence.Equivalence<AttemptFailure<NoInfer<EA | EC>>> | undefined
}

/**
 * Makes a persistent connection and returns at once; the first attempt starts in the background (C1). Leaving the scope
 * closes it, and waits until all its fibers have ended (D8).
 *
 * It never fails because of the background work. A wrong option is a defect: an `IllegalArgumentException` that names
 * the option.
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
) => Effect.Effect<
  PersistentConnection<Connection, EA | EC>,
  never,
  RA | RC | Inferred<RS | RH> | Scope.Scope
> = internal.make

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
): Layer.Layer<Id, never, RA | RC | Inferred<RS | RH>> =>
  Layer.scoped(option.kind("a Tag", Context.isTag)("tag", tag), make(options))

/**
 * @since 0.1.0
 * @category models
 */
export interface UseOptions {
  /**
   * What to do while there is no connection: `"wait"` for the next one (the default; limit the time with
   * `Effect.timeout`), or `"fail"` at once with `NotConnected`, which holds the last cause.
   */
  readonly whenDisconnected?: "wait" | "fail" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface WaitOptions extends UseOptions {
  readonly whenDisconnected?: "wait" | undefined
}

/**
 * Runs `f` on the current connection, or on the next one, once. If that connection is lost meanwhile, `f` is
 * interrupted, and `use` fails with `ConnectionLost`. It fails with `ConnectionClosed` if the persistent connection
 * closes first, or has closed; and with `NotConnected` only with `whenDisconnected: "fail"`.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Effect from "effect/Effect"
 *
 * interface Feed {
 *   readonly price: (symbol: string) => Effect.Effect<number, "unknown symbol">
 * }
 * declare const feed: PersistentConnection.PersistentConnection<Feed>
 *
 * export const price = feed.pipe(
 *   PersistentConnection.use((feed) => feed.price("EURUSD")),
 *   Effect.timeout("2 seconds")
 * )
 * ```
 *
 * @since 0.1.0
 * @category using
 */
export const use: {
  <Connection, A, E2, R>(
    f: (connection: Connection) => Effect.Effect<A, E2, R>,
    options?: WaitOptions
  ): <E>(
    self: PersistentConnection<Connection, E>
  ) => Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E>, R>
  <Connection, A, E2, R>(
    f: (connection: Connection) => Effect.Effect<A, E2, R>,
    options: UseOptions
  ): <E>(
    self: PersistentConnection<Connection, E>
  ) => Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E> | NotConnected<E>, R>
  <Connection, E, A, E2, R>(
    self: PersistentConnection<Connection, E>,
    f: (connection: Connection) => Effect.Effect<A, E2, R>,
    options?: WaitOptions
  ): Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E>, R>
  <Connection, E, A, E2, R>(
    self: PersistentConnection<Connection, E>,
    f: (connection: Connection) => Effect.Effect<A, E2, R>,
    options: UseOptions
  ): Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E> | NotConnected<E>, R>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), using.use)

/**
 * As `use`, but when the connection is lost, runs `f` again on the next one, without a limit. For work that may be done
 * twice.
 *
 * @since 0.1.0
 * @category using
 */
export const useRetrying: {
  <Connection, A, E2, R>(
    f: (connection: Connection) => Effect.Effect<A, E2, R>
  ): <E>(self: PersistentConnection<Connection, E>) => Effect.Effect<A, E2 | ConnectionClosed<E>, R>
  <Connection, E, A, E2, R>(
    self: PersistentConnection<Connection, E>,
    f: (connection: Connection) => Effect.Effect<A, E2, R>
  ): Effect.Effect<A, E2 | ConnectionClosed<E>, R>
} = /* @__PURE__ */ dual(2, using.useRetrying)

/**
 * Runs `f` once for every connection: for sessions, subscriptions, caches. Each run has its own scope. When the
 * connection is lost, replaced or closed, `f` is interrupted, and the scope is closed.
 *
 * Runs until the owner closes the persistent connection. Fails with `ConnectionClosed` if that was aborted or gave up,
 * and with the error of `f` if `f` fails on a connection that works.
 *
 * @since 0.1.0
 * @category using
 */
export const forEachConnection: {
  <Connection, E2, R>(
    f: (connection: Connection) => Effect.Effect<unknown, E2, R>
  ): <E>(
    self: PersistentConnection<Connection, E>
  ) => Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>>
  <Connection, E, E2, R>(
    self: PersistentConnection<Connection, E>,
    f: (connection: Connection) => Effect.Effect<unknown, E2, R>
  ): Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>>
} = /* @__PURE__ */ dual(2, following.forEachConnection)

/**
 * @since 0.1.0
 * @category models
 */
export interface StreamOptions {
  /**
   * After the end of a connection, its stream is read until it ends too. A source without an end, such as a queue, is
   * left when it has given nothing for this time while the consumer waited (S1). Default: 1 s.
   */
  readonly drainTimeout?: Duration.DurationInput | undefined
}

/**
 * The stream of `f(connection)`, continued on the next connection when the connection ends or is replaced. It delivers
 * all that a connection has received, in order, before anything of the next one (S1). A slow consumer slows the
 * connection's stream down. What the server sends between two connections is missed: see `resumableStream`.
 *
 * If the stream of a working connection ends or fails, this stream ends or fails too. It also ends when the owner
 * closes the persistent connection (S2), and fails with `ConnectionClosed` if that was aborted or gave up.
 *
 * @since 0.1.0
 * @category using
 */
export const stream: {
  <Connection, A, E2, R>(
    f: (connection: Connection) => Stream.Stream<A, E2, R>,
    options?: StreamOptions
  ): <E>(
    self: PersistentConnection<Connection, E>
  ) => Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>>
  <Connection, E, A, E2, R>(
    self: PersistentConnection<Connection, E>,
    f: (connection: Connection) => Stream.Stream<A, E2, R>,
    options?: StreamOptions
  ): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), streaming.stream)

/**
 * An element of a `resumableStream`: what the server sent, or the mark of a gap, a time without a subscription. The gap
 * lasted from `lostAt` to `restoredAt`, in ms of the `Clock`; the new subscription is on connection number
 * `generation`.
 *
 * @since 0.1.0
 * @category models
 */
export type Resumed<A> =
  | { readonly _tag: "Element"; readonly value: A }
  | { readonly _tag: "Gap"; readonly generation: number; readonly lostAt: number; readonly restoredAt: number }

/**
 * @since 0.1.0
 * @category models
 */
export interface ResumeOptions<in Connection, A, Cursor, out E2, out R, out E3, out R2> extends StreamOptions {
  /**
   * Subscribes on a connection, and completes when the server has accepted the subscription. `cursor` is that of the
   * last element, or none before the first one. Resume from there if the server can.
   */
  readonly subscribe: (
    connection: Connection,
    cursor: Option.Option<Cursor>
  ) => Effect.Effect<Stream.Stream<A, E2, R>, E3, R2>
  /** Gives the position of an element in the server's sequence. */
  readonly cursor: (element: A) => Cursor
  /**
   * What to do if `subscribe` fails on a connection that works: fail the stream (`"fail"`, the default), or treat the
   * connection as lost, and subscribe on the next one (`"reconnect"`).
   */
  readonly whenRefused?: "fail" | "reconnect" | undefined
}

/**
 * As `stream`, but resumes from the cursor of the last element, and gives a `Gap` before the first element of every new
 * subscription (S3). No element comes twice or out of order. Nothing is missed if the server resumes from a cursor, or
 * if the consumer reads the current values again at each `Gap`.
 *
 * @since 0.1.0
 * @category using
 */
export const resumableStream: {
  <Connection, A, Cursor, E2, R, E3, R2>(
    options: ResumeOptions<Connection, A, Cursor, E2, R, E3, R2>
  ): <E>(
    self: PersistentConnection<Connection, E>
  ) => Stream.Stream<Resumed<A>, E2 | E3 | ConnectionClosed<E>, Exclude<R | R2, Scope.Scope>>
  <Connection, E, A, Cursor, E2, R, E3, R2>(
    self: PersistentConnection<Connection, E>,
    options: ResumeOptions<Connection, A, Cursor, E2, R, E3, R2>
  ): Stream.Stream<Resumed<A>, E2 | E3 | ConnectionClosed<E>, Exclude<R | R2, Scope.Scope>>
} = /* @__PURE__ */ dual(2, streaming.resumableStream)

/**
 * As `close`, but first lets uses finish and streams deliver what has arrived, for at most the given time (S2). After
 * the call nothing new starts on the connection. Inside a `use`, it does not wait for that use (D7).
 *
 * @since 0.1.0
 * @category ending
 */
export const closeGracefully: {
  (drain: Duration.DurationInput): <Connection, E>(self: PersistentConnection<Connection, E>) => Effect.Effect<void>
  <Connection, E>(self: PersistentConnection<Connection, E>, drain: Duration.DurationInput): Effect.Effect<void>
} = /* @__PURE__ */ dual(2, replacing.closeGracefully)

/**
 * @since 0.1.0
 * @category models
 */
export interface RefreshOptions {
  /** How long uses of the old connection may go on before it is closed. Default: 30 s. */
  readonly drain?: Duration.DurationInput | undefined
  /**
   * Asks the look-up for another address than that of the current connection, because the server there has announced a
   * shutdown; see `Attempt.elsewhere`. Default: false.
   */
  readonly elsewhere?: boolean | undefined
}

/**
 * Replaces the connection, make before break: opens the next connection, makes it the current one, and then drains and
 * closes the old one. There always is a connection, and there is no `Disconnected` between the two `Connected`. If the
 * attempt fails, the old connection stays and `refresh` fails with the cause; no event reports that. Without a
 * connection, the next attempt is made at once.
 *
 * Completes when the new connection is current. Fails with `ConnectionClosed` if there will be no other connection.
 *
 * @since 0.1.0
 * @category replacing
 */
export const refresh: {
  (options?: RefreshOptions): <Connection, E>(
    self: PersistentConnection<Connection, E>
  ) => Effect.Effect<void, AttemptFailure<E> | ConnectionClosed<E>>
  <Connection, E>(
    self: PersistentConnection<Connection, E>,
    options?: RefreshOptions
  ): Effect.Effect<void, AttemptFailure<E> | ConnectionClosed<E>>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), replacing.refresh)

/**
 * How long ago a connection was established.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionAge {
  /** The age now. */
  readonly now: Effect.Effect<Duration.Duration>
  /** Waits until the connection has this age. */
  readonly reaches: (age: Duration.Duration) => Effect.Effect<void>
}

/**
 * Refreshes every connection when its signal comes: an age (`maxAge`), the end of a token, a server that announces its
 * shutdown. The signal gets the connection and its age. A connection is never refreshed in its first second, so an
 * immediate signal cannot loop. A failed refresh is retried, with a backoff of 1 s to 1 min; the old connection stays
 * meanwhile.
 *
 * Runs until the owner closes the persistent connection. Fails with `ConnectionClosed` if that was aborted or gave up.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Effect from "effect/Effect"
 *
 * interface Feed {
 *   readonly goingAway: Effect.Effect<void>
 * }
 * declare const feed: PersistentConnection.PersistentConnection<Feed>
 *
 * export const hourly = PersistentConnection.refreshWhen(feed, PersistentConnection.maxAge("1 hour"))
 * export const atShutdown = PersistentConnection.refreshWhen(feed, (feed) => feed.goingAway, { elsewhere: true })
 * ```
 *
 * @since 0.1.0
 * @category replacing
 */
export const refreshWhen: {
  <Connection, R>(
    signal: (connection: Connection, age: ConnectionAge) => Effect.Effect<unknown, never, R>,
    options?: RefreshOptions
  ): <E>(
    self: PersistentConnection<Connection, E>
  ) => Effect.Effect<void, ConnectionClosed<E>, Exclude<R, Scope.Scope>>
  <Connection, E, R>(
    self: PersistentConnection<Connection, E>,
    signal: (connection: Connection, age: ConnectionAge) => Effect.Effect<unknown, never, R>,
    options?: RefreshOptions
  ): Effect.Effect<void, ConnectionClosed<E>, Exclude<R, Scope.Scope>>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), replacing.refreshWhen)

/**
 * A signal for `refreshWhen`: it comes when the connection has this age, minus a random part of it. So clients that
 * connected together do not reconnect together. `jitter` is the maximum part, from 0 to 1; default: 0.1.
 *
 * @since 0.1.0
 * @category replacing
 */
export const maxAge: (
  age: Duration.DurationInput,
  options?: { readonly jitter?: number | undefined }
) => (connection: unknown, age: ConnectionAge) => Effect.Effect<void> = replacing.maxAge

/**
 * @since 0.1.0
 * @category models
 */
export interface ReconnectOptions {
  /**
   * What to do while connected:
   *
   * - `"keep"`, the default: nothing.
   * - `"probe"`: ask the peer whether it is still there, if the connector has a `probe`; if that fails, the connection
   *   is lost.
   * - `"refresh"`: replace the connection, make before break.
   * - `"drop"`: break before make. The connection counts as lost at once, and the next attempt does not wait for its
   *   release. The transport ends it without a closing handshake if it can (`Connector.terminate`).
   */
  readonly whenConnected?: "keep" | "probe" | "refresh" | "drop" | undefined
}

/**
 * Makes the next attempt now, without the rest of the delay, but not before the handler of the last event has ended.
 * While connected it does what `whenConnected` says. Does nothing while an attempt is under way, or once closed. Waits
 * for a probe, but not for the attempt.
 *
 * @since 0.1.0
 * @category replacing
 */
export const reconnectNow: {
  (options?: ReconnectOptions): <Connection, E>(self: PersistentConnection<Connection, E>) => Effect.Effect<void>
  <Connection, E>(self: PersistentConnection<Connection, E>, options?: ReconnectOptions): Effect.Effect<void>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), replacing.reconnectNow)

/**
 * Calls `reconnectNow` at every signal: the network is back, the machine woke up, the page became visible. Ends when
 * the signals end or the persistent connection has closed. Fails if the signals fail.
 *
 * @since 0.1.0
 * @category replacing
 */
export const reconnectOn: {
  <E2, R>(signals: Stream.Stream<unknown, E2, R>, options?: ReconnectOptions): <Connection, E>(
    self: PersistentConnection<Connection, E>
  ) => Effect.Effect<void, E2, R>
  <Connection, E, E2, R>(
    self: PersistentConnection<Connection, E>,
    signals: Stream.Stream<unknown, E2, R>,
    options?: ReconnectOptions
  ): Effect.Effect<void, E2, R>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), replacing.reconnectOn)

/**
 * Is it a persistent connection?
 *
 * @since 0.1.0
 * @category guards
 */
export const isPersistentConnection = (u: unknown): u is PersistentConnection<unknown, unknown> =>
  Predicate.hasProperty(u, TypeId)
