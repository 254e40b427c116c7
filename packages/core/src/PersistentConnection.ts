/**
 * One logical connection to one named server: it connects at once, and reconnects after every loss, until its owner
 * closes it. The owner is the code that made it.
 *
 * An *attempt* is one look-up of the address, followed by one connect. A *loss* is every end of a connection that the
 * owner did not ask for, with or without an error. A *cycle* is all attempts until one succeeds, and the connection
 * that it opens. The *generation* is the number of a connection, from 1.
 *
 * A letter with a number (A3, X1, D7 …), here and in the other modules, names a rule of `docs/rules.md` in the
 * repository.
 *
 * A wrong option throws an `IllegalArgumentException` that names it, when the function is called. `make` and `layer`
 * die with it when they run.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import type * as Exit from "effect/Exit"
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
import type { ConnectionStatus } from "./ConnectionStatus.js"
import type { Attempt, AttemptFailure, Connection, Connector, Error, TypeId as ConnectorTypeId } from "./Connector.js"
import type { Inferred } from "./internal/base/inferred.js"
import * as option from "./internal/base/options.js"
import * as internal from "./internal/loop/service.js"
import * as following from "./internal/using/following.js"
import * as replacing from "./internal/using/replacing.js"
import * as streaming from "./internal/using/streaming.js"
import * as using from "./internal/using/using.js"
import * as watching from "./internal/watching/connectionStatus.js"

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
 * connector, a handler or a finalizer (D7). Every wait is interruptible.
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
   * known to be closed (A4). It cannot fail: once the persistent connection has closed, it suspends for ever. If the
   * retry policy can give up, or an attempt can abort, use `connectedOrClosed`.
   */
  readonly connected: Effect.Effect<Connection>

  /**
   * As `connected`, but fails with `ConnectionClosed`, which says why, once closing has finished (A7).
   */
  readonly connectedOrClosed: Effect.Effect<Connection, ConnectionClosed<E>>

  /**
   * Gives the current connection if it is not known to be closed. Otherwise it waits for the next attempt that ends,
   * and gives its connection or fails with its failure (A5). Fails with the error of an abort (X5), or with
   * `ConnectionClosed` as soon as `close` is called or there will be no other attempt. If the policy gives up after an
   * attempt, callers that wait for that attempt get its failure.
   */
  readonly connectedOrFailedToConnect: Effect.Effect<Connection, AttemptFailure<E> | ConnectionClosed<E>>

  /**
   * The connection, if there is one now, without a wait. That connection may be known to be closed (A2, A6).
   */
  readonly currentConnection: Effect.Effect<Option.Option<Connection>>

  /**
   * Closes the current connection, interrupts an attempt that is under way, and prevents all others (X1, X2, D1).
   * Running uses are interrupted, and fail with `ConnectionClosed`. When it completes, the last connection has been
   * closed; it waits for at most `closeTimeout`. Later calls wait for the first. It never waits for event handlers.
   * Inside a look-up, connect, finalizer or use, it waits only until closing has begun (D7).
   */
  readonly close: Effect.Effect<void>

  /**
   * True as soon as closing has begun: at the first `close`, or when the persistent connection closes because its retry
   * policy gave up, an attempt aborted, or its last connection ended.
   */
  readonly isClosed: Effect.Effect<boolean>

  /**
   * Waits until closing has finished; it does not close.
   */
  readonly closeFinished: Effect.Effect<void>

  /**
   * Makes the current connection the last one: the persistent connection closes when that connection and its
   * `Disconnected` handler have ended. Without a connection it closes at once (X4). This effect does not wait for the
   * close: see `closeFinished`.
   */
  readonly closeWhenCurrentConnectionIsClosed: Effect.Effect<void>

  /**
   * The value of `currentConnection`, and its changes. It changes together with `state` (A1, A2). `changes` begins with
   * the present value, and never ends. After a `refresh` the new connection follows the old one, without a `None`
   * between them. A consumer that falls more than 64 values behind loses the oldest ones.
   */
  readonly current: Subscribable.Subscribable<Option.Option<Connection>>

  /**
   * The state now, and its changes; see `ConnectionState`. `changes` begins with the present state, and never ends. A
   * consumer that falls more than 64 states behind loses the oldest ones. For a user interface see `status`.
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
 * The type of a persistent connection for a connector and a look-up. Use it for the type of a tag. The look-up is an
 * effect or a function that returns one; leave it out if it cannot fail.
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
  /** The name of the server in errors, logs and metrics. Not empty; it need not be unique. */
  readonly serverName: string

  /** The look-up: gives the address of the server, at every attempt (C3). See `Addresses`. */
  readonly address:
    | Effect.Effect<Address, EA, RA>
    | ((attempt: Attempt<NoInfer<Address>>) => Effect.Effect<Address, EA, RA>)

  /** Opens a connection, and detects its loss. */
  readonly connector: Connector<Address, Connection, EC, RC>

  /**
   * The retry policy: a `Schedule` that gets the cause of each failure or loss; see `RetryPolicy`. A delay runs from
   * the beginning of the last attempt, so a connection that lived longer than the delay is replaced at once (T1, T2). A
   * connection that lived for `minUptime` restarts the schedule. When the schedule ends, the persistent connection
   * gives up: it closes (D11), and logs an error, or information after a regular close (D13).
   *
   * Default: `RetryPolicy.standard`, 10 s, randomised by ± 30 % (T3).
   */
  readonly retry?:
    | Schedule.Schedule<unknown, Cause.Cause<AttemptFailure<NoInfer<EA | EC>>>, RS>
    | undefined

  /**
   * How long a connection must live to count as a success, which restarts `retry` (D14). So `retry` also backs off from
   * a server that accepts a connection and closes it a moment later. With 0 every connection is a success. Default:
   * 5 s.
   */
  readonly minUptime?: Duration.DurationInput | undefined

  /**
   * A random part of this time is added to the delay of the first attempt after a loss, so that the clients of a server
   * that restarts do not all reconnect at once. Finite. Default: 0.
   */
  readonly reconnectJitter?: Duration.DurationInput | undefined

  /**
   * How long the look-up and the connect together may take; more than 0. After that the attempt fails with a
   * `TimeoutException` (D9). Time in event handlers and in `Attempt.untimed` does not count. `Duration.infinity` sets
   * no limit. Default: 30 s.
   */
  readonly attemptTimeout?: Duration.DurationInput | undefined

  /**
   * How long a close waits for the finalizers of a connection, or for an attempt that cannot be interrupted. After that
   * a warning is logged, and the finalizers go on in the background. Leaving the scope has the same limit (D8).
   * Default: `Duration.infinity`, no limit.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined

  /**
   * If the next step waits longer than this for a call of `onEvent`, a warning is logged and counted. The wait goes on.
   * Default: 10 s.
   */
  readonly slowHandlerThreshold?: Duration.DurationInput | undefined

  /**
   * The event handler: called with every event, and awaited: the cycle goes on when the call has ended (E1). Closing
   * does not wait for it, and a handler that itself waits for a connection is no longer awaited (D7). A defect is
   * logged and counted, and the cycle goes on (D6).
   *
   * An address or a failure is reported only if it differs from the last one of the same cycle (C4, C5). To see every
   * attempt, watch `state`, the metrics (`ConnectionMetrics`) or the spans.
   */
  readonly onEvent?:
    | ((event: ConnectionEvent<Connection, NoInfer<EA | EC>, NoInfer<Address>>) => Effect.Effect<unknown, never, RH>)
    | undefined

  /**
   * How many ended connections may wait until streams have delivered what those connections received (S1). While this
   * many wait, the next attempt waits too. 1 or more, `Infinity` for no limit. Default: 8.
   */
  readonly maxUndelivered?: number | undefined

  /**
   * Decides whether two addresses are the same, so that `ObtainedAddress` is not reported again (C4). Default: `Equal`
   * if the address implements it, otherwise equality of the content.
   */
  readonly addressEquivalence?: Equivalence.Equivalence<NoInfer<Address>> | undefined

  /**
   * Decides whether two typed failures of attempts are the same, so that `FailedToConnect` is not reported again (C5,
   * D12). Use it for errors whose text differs each time, for instance by the id of a request. Defects are compared by
   * their text. Default: equality of the text, without stack traces, ids of fibers and spans, headers and secrets.
   */
  readonly errorEquivalence?: Equivalence.Equivalence<AttemptFailure<NoInfer<EA | EC>>> | undefined
}

/**
 * Makes a persistent connection and returns at once; the first attempt starts in the background (C1). Leaving the scope
 * closes it, and waits until all its fibers have ended, for at most `closeTimeout` (D8).
 *
 * It cannot fail: failures of attempts only go to the retry policy, the events and the state. A wrong option is a
 * defect: an `IllegalArgumentException` that names the option.
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
 * A layer that makes a persistent connection for a tag; see `make`. It does not wait for the first connection. To track
 * the persistent connection, use `Layer.tap`.
 *
 * @example
 * ```ts
 * import * as ConnectionLog from "@persistent-connection/core/ConnectionLog"
 * import type { Connector } from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * declare const connector: Connector<string, { readonly send: (text: string) => void }, Error>
 *
 * class Feed extends Context.Tag("app/Feed")<Feed, PersistentConnection.Of<typeof connector>>() {}
 *
 * export const FeedLive = PersistentConnection.layer(Feed, {
 *   serverName: "feed",
 *   address: Effect.succeed("feed.example.com"),
 *   connector
 * }).pipe(Layer.tap((context) => ConnectionLog.track(Context.get(context, Feed))))
 * ```
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
   * The behaviour without a connection: `"wait"` for the next one (the default; limit the time with `Effect.timeout`),
   * or `"fail"` at once with `NotConnected`, which has the cause of the last failure or loss.
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
 * Waits for a connection, and runs `f` on it once. If that connection is lost meanwhile, `f` is interrupted, and `use`
 * fails with `ConnectionLost`. It fails with `ConnectionClosed` if the persistent connection is closed, or closes
 * meanwhile. With `whenDisconnected: "fail"` it does not wait: without a connection it fails with `NotConnected`.
 *
 * If `f` fails by itself at the loss, before it is interrupted, `use` fails with that error.
 *
 * If a `refresh` replaces the connection, `f` may go on for `RefreshOptions.drain`; after that `use` fails with
 * `ConnectionLost`.
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
 * A use that lasts until its `release`; see `unsafeHold`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hold<out Connection, out E = never> {
  readonly connection: Connection
  /** The reason that `onEnd` was called with; undefined before. */
  readonly end: ConnectionLost<E> | ConnectionClosed<E> | undefined
  /** Ends the hold. Throws what `onEnd` has thrown. Only the first call counts. */
  readonly release: () => void
}

/**
 * A use without a fiber, for clients that end their open calls themselves when the connection ends. Returns the current
 * connection at once. Without one, it returns a failure: `NotConnected`, or `ConnectionClosed` after the close.
 *
 * Until `release`, the hold counts as a use: `refresh` and `closeGracefully` wait for it. `onEnd` is called at once
 * when the connection is lost, when the persistent connection closes, or when the drain time is over, but not after
 * `release`.
 *
 * @since 0.1.0
 * @category using
 */
export const unsafeHold: <Connection, E>(
  self: PersistentConnection<Connection, E>,
  onEnd: (connection: Connection, reason: ConnectionLost<E> | ConnectionClosed<E>) => void
) => Exit.Exit<Hold<Connection, E>, NotConnected<E> | ConnectionClosed<E>> = using.unsafeHold

/**
 * As `use`, but if the connection is lost, runs `f` again on the next one, without a limit. It also runs `f` again if
 * `f` fails, and its connection has been lost by then. Use it only if `f` may run twice.
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
 * Runs `f` once for every connection: for sessions, subscriptions, caches. Each run has a separate scope. When the
 * connection is lost, replaced or closed, `f` is interrupted if it still runs, and the scope is closed.
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
   * After the end of a connection, its stream is read to its end. A stream that never ends, such as that of a queue, is
   * interrupted when the consumer has waited for this time without an element (S1). Default: 1 s.
   */
  readonly drainTimeout?: Duration.DurationInput | undefined
}

/**
 * Runs the stream `f(connection)` on the current connection, and then on each next one, as one stream. It delivers all
 * elements of a connection, in order, before any element of the next one (S1). Elements that the server sends between
 * two connections are missed: see `resumableStream`.
 *
 * There is backpressure: a chunk is pulled when the consumer waits for it. The first chunk of each connection is pulled
 * at once, because that pull subscribes. A stream with a poll (`Connector.withPoll`), such as the `messages` of a
 * socket, has nothing to subscribe to, so its first chunk waits for the consumer too. When a connection has ended, one
 * chunk is read ahead.
 *
 * If `f(connection)` ends or fails on a connection that works, this stream ends or fails too. It also ends when the
 * owner closes the persistent connection (S2). It fails with `ConnectionClosed` if an attempt aborted or the policy
 * gave up.
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
 * A value of a `resumableStream`: an element that the server sent, or a gap, a time without a subscription. The gap
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
   * Subscribes on a connection, and completes when the server has accepted the subscription. `cursor` is the cursor of
   * the last element, or none before the first element. Resume after that element if the server can.
   */
  readonly subscribe: (
    connection: Connection,
    cursor: Option.Option<Cursor>
  ) => Effect.Effect<Stream.Stream<A, E2, R>, E3, R2>
  /** Gives the cursor of an element: its position in the server's sequence. */
  readonly cursor: (element: A) => Cursor
  /**
   * The behaviour if `subscribe` fails on a connection that works: the stream fails (`"fail"`, the default), or the
   * connection counts as lost, and the stream subscribes on the next one (`"reconnect"`).
   */
  readonly whenRefused?: "fail" | "reconnect" | undefined
}

/**
 * As `stream`, but resumes from the cursor of the last element, and gives a `Gap` before the first element of every
 * subscription except the first (S3). No element comes twice or out of order. Nothing is missed if the server resumes
 * from a cursor, or if the consumer reads the current values again at each `Gap`.
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
 * As `close`, but before that running uses may finish, and streams deliver what has arrived, for at most the given time
 * (S2). From the call on no new use starts. Inside a `use`, it does not wait for that use (D7).
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
  /** How long uses of the old connection may go on. After that they fail with `ConnectionLost`. Default: 30 s. */
  readonly drain?: Duration.DurationInput | undefined
  /**
   * Asks the look-up for another address than that of the current connection, because that server has announced a
   * shutdown; see `Attempt.elsewhere`. Default: false.
   */
  readonly elsewhere?: boolean | undefined
}

/**
 * Replaces the connection, make before break: makes one attempt, makes its connection the current one, and then drains
 * and closes the old connection. There always is a connection, and there is no `Disconnected` between the two
 * `Connected`. Without a connection, `refresh` makes the next attempt at once. During another refresh or attempt, it
 * waits for that one.
 *
 * Completes when the new connection is current. If the attempt fails, `refresh` fails with its failure, and the old
 * connection stays; no event reports this. Fails with `ConnectionClosed` if there will be no other connection.
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
 * Refreshes every connection when its signal succeeds: at an age (`maxAge`), before a token expires, when a server
 * announces its shutdown. The signal gets the connection and its age. A connection is never refreshed in its first
 * second, so an immediate signal makes no busy loop. A refresh that fails is retried, with delays of at most 1, 2, 4 …
 * 60 s, with jitter; the old connection stays meanwhile.
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
 * A signal for `refreshWhen`: it succeeds when the connection has this age, minus a random part of it. So clients that
 * connected together do not reconnect together. `jitter` is the maximum part, from 0 to 1. Default: 0.1, from 90 % to
 * 100 % of the age.
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
   * The behaviour while connected:
   *
   * - `"keep"`, the default: nothing.
   * - `"probe"`: probe the peer, if the connector has a `probe`; if the probe fails, the connection is lost.
   * - `"refresh"`: replace the connection, make before break.
   * - `"drop"`: break before make. The connection counts as lost at once, and the next attempt does not wait for its
   *   release. The transport ends it without a closing handshake if it can (`Connector.terminate`).
   */
  readonly whenConnected?: "keep" | "probe" | "refresh" | "drop" | undefined

  /**
   * The behaviour while an attempt is under way:
   *
   * - `"keep"`, the default: nothing.
   * - `"restart"`: give up the attempt, and make it again at once: it may hang in a network that has changed. Neither
   *   the policy nor the number of attempts counts it. The new attempt does not wait for the release of the old one.
   */
  readonly whenConnecting?: "keep" | "restart" | undefined
}

/**
 * Makes the next attempt now, without the rest of the delay, but not before the handler of the last event has ended.
 * While connected it does what `whenConnected` says, and while an attempt is under way what `whenConnecting` says. It
 * does nothing after the close. It waits for the result of a probe, which concurrent calls share, but not for an
 * attempt.
 *
 * @since 0.1.0
 * @category replacing
 */
export const reconnectNow: {
  (options?: ReconnectOptions): <Connection, E>(self: PersistentConnection<Connection, E>) => Effect.Effect<void>
  <Connection, E>(self: PersistentConnection<Connection, E>, options?: ReconnectOptions): Effect.Effect<void>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), replacing.reconnectNow)

/**
 * Calls `reconnectNow` at every signal, one after the other: the network is back, the machine woke up, the page became
 * visible. Ends when the signals end or the persistent connection has closed. Fails if the signals fail.
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
 * @since 0.1.0
 * @category models
 */
export interface StatusOptions {
  /**
   * Until a loss has lasted for this time, the status stays `Connected`. With 0 every loss is shown;
   * `Duration.infinity` shows none. Default: 2 s.
   */
  readonly ignoreLossesShorterThan?: Duration.DurationInput | undefined
}

/**
 * The status for a user interface, and its changes; see `ConnectionStatus`. It does not flicker:
 *
 * - A loss that is shorter than `ignoreLossesShorterThan` is never shown.
 * - A longer loss is shown after that time, with the moment of the loss. Then each attempt, each failure and each new
 *   delay changes the status.
 * - A connection and the beginning of a close are shown at once.
 *
 * `changes` begins with the present status, and ends after `Closed`. It never repeats a status. A slow consumer gets
 * only the latest status.
 *
 * @example
 * ```ts
 * import * as ConnectionStatus from "@persistent-connection/core/ConnectionStatus"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * declare const feed: PersistentConnection.PersistentConnection<object, Error>
 * declare const setBanner: (text: string) => Effect.Effect<void>
 *
 * const text = ConnectionStatus.$match({
 *   Connecting: () => "Connecting …",
 *   Connected: () => "",
 *   Reconnecting: ({ attempt }) => `No connection. Attempt ${attempt} …`,
 *   Closed: () => "Disconnected"
 * })
 *
 * export const banner = PersistentConnection.status(feed, { ignoreLossesShorterThan: "3 seconds" }).changes.pipe(
 *   Stream.runForEach((status) => setBanner(text(status)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category watching
 */
export const status: {
  (options?: StatusOptions): <Connection, E>(
    self: PersistentConnection<Connection, E>
  ) => Subscribable.Subscribable<ConnectionStatus<E>>
  <Connection, E>(
    self: PersistentConnection<Connection, E>,
    options?: StatusOptions
  ): Subscribable.Subscribable<ConnectionStatus<E>>
} = /* @__PURE__ */ dual((args) => isPersistentConnection(args[0]), watching.status)

/**
 * Tests whether a value is a persistent connection.
 *
 * @since 0.1.0
 * @category guards
 */
export const isPersistentConnection = (u: unknown): u is PersistentConnection<unknown, unknown> =>
  Predicate.hasProperty(u, TypeId)
