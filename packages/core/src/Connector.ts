/**
 * Connectors: a connector opens connections of one kind, and detects their loss. Combinators from connector to
 * connector add set-up, deadlines, health checks and more. A combinator applies to everything before it in the pipe.
 *
 * A wrong argument throws an `IllegalArgumentException` that names it, when the function is called.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import type * as Option from "effect/Option"
import type { Pipeable } from "effect/Pipeable"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ConnectionLost } from "./ConnectionError.js"
import * as callbacks from "./internal/base/callback.js"
import * as polling from "./internal/base/poll.js"
import * as limiter from "./internal/connector/attemptLimiter.js"
import * as background from "./internal/connector/background.js"
import * as internal from "./internal/connector/connector.js"
import * as health from "./internal/connector/healthCheck.js"
import * as probing from "./internal/connector/prober.js"
import * as reading from "./internal/connector/reading.js"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: "~persistent-connection/Connector" = internal.TypeId

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * The failures of an attempt: the errors of the look-up and of the connector, and the `TimeoutException` of the
 * deadline for both together (D9).
 *
 * @since 0.1.0
 * @category models
 */
export type AttemptFailure<E> = E | Cause.TimeoutException

/**
 * The attempt, as the look-up and `connect` see it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempt<out Address> {
  /** The name of the server, as given to `PersistentConnection.make`. */
  readonly serverName: string
  /**
   * Identifies the persistent connection: the same object at each of its attempts, and a different object for any other
   * persistent connection. Use it as the key if a look-up or a connector keeps state between attempts.
   */
  readonly owner: object
  /** The number of the connection that this attempt is to establish, from 1. */
  readonly generation: number
  /**
   * The number of the attempt within its cycle, from 1. In a `refresh`: 1 plus the number of failed refreshes of the
   * current connection.
   */
  readonly number: number
  /**
   * The cause of the failure of the previous attempt, or of the loss of the previous connection. None at the very first
   * attempt, and at the first attempt of a `refresh`. Empty if a connection ended without an error.
   */
  readonly lastCause: Option.Option<Cause.Cause<unknown>>
  /** The address from the last successful look-up, in this cycle or before; none if there was none. */
  readonly previousAddress: Option.Option<Address>
  /**
   * True if the look-up should choose another address than that of the current connection, because that server has
   * announced a shutdown (`RefreshOptions.elsewhere`). Otherwise false. It is still true at the first attempt after the
   * loss of that connection. `Addresses.failover` uses it; a look-up of your own can use it too.
   */
  readonly elsewhere: boolean
  /**
   * Reads the current number of consecutive failed attempts, also after this attempt has ended. Every connection sets
   * it to 0, also one that lives for less than `minUptime` (C7, D14).
   */
  readonly failedAttempts: Effect.Effect<number>
  /**
   * Aborts the persistent connection with this error: there will be no other attempt. As with
   * `closeWhenCurrentConnectionIsClosed`, an attempt under way is interrupted, and an established connection stays
   * until it ends (X5, D2). All waiting and later callers of `connectedOrFailedToConnect` get the error. Only the first
   * abort counts. It is logged as an error when the persistent connection has closed.
   *
   * The effect itself fails with the error too, so the error is part of the type of the look-up or the connector.
   */
  readonly abort: <E>(error: E) => Effect.Effect<never, E>
  /**
   * Runs an effect whose time does not count against the deadline of the attempt (D9), such as the wait for a permit,
   * or for a user who logs in.
   */
  readonly untimed: <A, E2, R>(effect: Effect.Effect<A, E2, R>) => Effect.Effect<A, E2, R>
}

/**
 * Opens connections of one kind, and detects their loss. A transport supplies `connect` and `closed`; the other
 * functions are optional.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connector<in Address, in out Connection, out E = never, out R = never> extends Pipeable {
  readonly [TypeId]: TypeId
  /**
   * Opens a connection. Everything that it acquires belongs to the `Scope` of this connection. That scope is closed
   * exactly once: when the attempt fails or is interrupted, or when the connection is lost or closed (D4).
   */
  readonly connect: (
    address: Address,
    attempt: Attempt<Address>
  ) => Effect.Effect<Connection, E, R | Scope.Scope>
  /**
   * Ends when the connection is lost, also if that happened before the call. It succeeds if the peer closed the
   * connection without an error, and fails with the reason otherwise. Both are a loss (D5). It only observes the
   * connection: it may run more than once, also at the same time. It is interrupted when the connection is released.
   */
  readonly closed: (connection: Connection) => Effect.Effect<unknown, E>
  /**
   * Tests whether the connection is known to be closed, so that callers do not get a dead connection (A4). Without it a
   * connection counts as open until `closed` has ended.
   */
  readonly isClosed?: ((connection: Connection) => boolean) | undefined
  /**
   * Probes the peer: succeeds if the peer answers, and fails with the reason otherwise. It is run on demand only, for
   * instance after a sleep of the machine: see `PersistentConnection.reconnectNow`. `healthCheck` supplies it.
   */
  readonly probe?: ((connection: Connection) => Effect.Effect<unknown, E>) | undefined
  /**
   * Ends the connection at once, without a closing handshake. It is run for a connection that is dropped, so that a
   * silent peer does not delay the release: see `PersistentConnection.reconnectNow`. Without it a dropped connection is
   * released like any other.
   */
  readonly terminate?: ((connection: Connection) => Effect.Effect<void>) | undefined
  /**
   * Closes the connection from this side in the regular way, and still receives everything that the peer sends until
   * the peer has closed too. It is run for a connection that was replaced or is closed gracefully, when the uses have
   * finished and streams still deliver (S1, S2). It is interrupted when the streams have delivered everything; then the
   * scope of the connection is closed. Without it a stream of a replaced connection goes on as long as the peer sends.
   */
  readonly close?: ((connection: Connection) => Effect.Effect<unknown, E>) | undefined
}

/**
 * The type of a connector's connections: `Connector.Connection<typeof connector>`.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Connection<C extends { readonly [TypeId]: TypeId }> = C extends
  Connector<never, infer Connection, unknown, unknown> ? Connection : never

/**
 * The type of a connector's errors: `Connector.Error<typeof connector>`.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Error<C extends { readonly [TypeId]: TypeId }> = C extends
  Connector<never, infer _Connection, infer E, unknown> ? E : never

/**
 * Makes a connector from its functions; see `Connector`. The options may be an object with methods; other members are
 * ignored.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Data from "effect/Data"
 * import * as Deferred from "effect/Deferred"
 * import * as Effect from "effect/Effect"
 *
 * class LineError extends Data.TaggedError("LineError")<{ readonly reason: string }> {}
 *
 * interface Line {
 *   readonly say: (words: string) => void
 *   readonly lost: Deferred.Deferred<void, LineError>
 * }
 *
 * // A client library with callbacks.
 * declare const dial: (
 *   number: string,
 *   on: { readonly hangUp: () => void; readonly error: (reason: string) => void }
 * ) => { readonly say: (words: string) => void; readonly hangUp: () => void }
 *
 * export const telephone = Connector.make({
 *   connect: (number: string) =>
 *     Effect.gen(function*() {
 *       const lost = yield* Deferred.make<void, LineError>()
 *       const { say } = yield* Effect.acquireRelease(
 *         Effect.sync(() =>
 *           dial(number, {
 *             hangUp: () => Deferred.unsafeDone(lost, Effect.void),
 *             error: (reason) => Deferred.unsafeDone(lost, Effect.fail(new LineError({ reason })))
 *           })
 *         ),
 *         (line) => Effect.sync(() => line.hangUp())
 *       )
 *       return { say, lost }
 *     }),
 *   closed: (line: Line) => Deferred.await(line.lost)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <Address, Connection, E = never, E2 = never, R = never>(options: {
  readonly connect: (
    address: Address,
    attempt: Attempt<Address>
  ) => Effect.Effect<Connection, E, R>
  readonly closed: (connection: Connection) => Effect.Effect<unknown, E2>
  readonly isClosed?: ((connection: Connection) => boolean) | undefined
  readonly probe?: ((connection: Connection) => Effect.Effect<unknown, E2>) | undefined
  readonly terminate?: ((connection: Connection) => Effect.Effect<void>) | undefined
  readonly close?: ((connection: Connection) => Effect.Effect<unknown, E2>) | undefined
}) => Connector<Address, Connection, E | E2, Exclude<R, Scope.Scope>> = internal.make

/**
 * Waits for a callback, like `Effect.async`. Use it for `closed`: then a persistent connection waits without a fiber,
 * and needs less memory. `register` must call `resume` once, and return a function that undoes the registration.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Exit from "effect/Exit"
 *
 * declare const socket: EventTarget
 *
 * export const closed = Connector.callback<void, never>((resume) => {
 *   const onClose = () => resume(Exit.void)
 *   socket.addEventListener("close", onClose)
 *   return () => socket.removeEventListener("close", onClose)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const callback: <A, E>(
  register: (resume: (exit: Exit.Exit<A, E>) => void) => () => void
) => Effect.Effect<A, E> = callbacks.callback

/**
 * The maximum time of a connect: a constant, or a function of the attempt.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectTimeout = Duration.DurationInput | ((attempt: Attempt<unknown>) => Duration.DurationInput)

/**
 * Limits the time that `connect` may take. A `connect` that takes longer is interrupted, and the attempt fails with a
 * `TimeoutException` at once. If `connect` cannot be interrupted, it goes on in the background, and its connection is
 * released when it ends. Time in `Attempt.untimed` does not count. `attemptTimeout` of `PersistentConnection.make` also
 * covers the look-up; both limits apply.
 *
 * Throws an `IllegalArgumentException` for a negative duration. If the function gives one, the attempt fails with that
 * exception.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import type * as Effect from "effect/Effect"
 *
 * declare const transport: Connector.Connector<URL, { readonly send: (text: string) => void }, Error>
 * declare const authenticate: (connection: { readonly send: (text: string) => void }) => Effect.Effect<void, Error>
 *
 * // 2 seconds to open the connection, and 5 seconds until it may be used.
 * export const connector = transport.pipe(
 *   Connector.connectTimeout("2 seconds"),
 *   Connector.setup(authenticate),
 *   Connector.connectTimeout("5 seconds")
 * )
 * ```
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as Duration from "effect/Duration"
 * import * as Effect from "effect/Effect"
 *
 * declare const transport: Connector.Connector<string, object, Error>
 *
 * // As in gRPC, an attempt may take as long as the backoff that follows it, but at least 20 seconds.
 * const timeout = ({ number }: { readonly number: number }) =>
 *   Duration.clamp(Duration.seconds(1.6 ** (number - 1)), { minimum: "20 seconds", maximum: "2 minutes" })
 *
 * export const feed = PersistentConnection.make({
 *   serverName: "feed",
 *   address: Effect.succeed("feed.example.com"),
 *   connector: transport.pipe(Connector.connectTimeout(timeout)),
 *   attemptTimeout: "3 minutes",
 *   retry: RetryPolicy.exponential({ base: "1 second", factor: 1.6, maxDelay: "2 minutes", jitter: 0.2 })
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const connectTimeout: {
  (timeout: ConnectTimeout): <Address, Connection, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E | Cause.TimeoutException, R>
  <Address, Connection, E, R>(
    self: Connector<Address, Connection, E, R>,
    timeout: ConnectTimeout
  ): Connector<Address, Connection, E | Cause.TimeoutException, R>
} = /* @__PURE__ */ dual(2, internal.connectTimeout)

/**
 * Runs `f` on every connection before its first use: to authenticate, to subscribe, to wrap it in a client. This is
 * part of the attempt, also of its deadline: if `f` fails, the attempt fails and the connection is released. If the
 * connection is lost meanwhile, `f` is interrupted, and the attempt fails with the cause of the loss, or with
 * `ConnectionLost` if the peer closed the connection without an error.
 *
 * If `f` succeeds with an object, users get this object instead of the connection; it must be a separate object for
 * each connection. If `f` succeeds with nothing, users get the connection itself. Everything that `f` acquires belongs
 * to the scope of the connection. For work that goes on, use `runInBackground`: the library does not notice the failure
 * of a fiber that `f` forks.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Data from "effect/Data"
 * import * as Effect from "effect/Effect"
 *
 * class Refused extends Data.TaggedError("Refused")<{ readonly status: number }> {}
 *
 * interface Line {
 *   readonly tell: (text: string) => Effect.Effect<void, Refused>
 *   readonly ask: (question: string) => Effect.Effect<string, Refused>
 * }
 *
 * interface Login {
 *   readonly url: URL
 *   readonly token: string
 * }
 *
 * declare const transport: Connector.Connector<Login, Line, Error>
 *
 * export const connector = transport.pipe(
 *   // Succeeds with nothing: users get the connection itself.
 *   Connector.setup((line: Line, { token }: Login) => line.tell(`login ${token}`)),
 *   // Succeeds with an object: users get this object.
 *   Connector.setup((line) => Effect.succeed({ price: (of: string) => line.ask(`price ${of}`) }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const setup: {
  <Connection, Address, A extends object | void, E, E2, R2>(
    f: (
      connection: Connection,
      address: Address,
      attempt: Attempt<Address>
    ) => Effect.Effect<A, E2, R2>
  ): <R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Prepared<Connection, A>, E | E2 | ConnectionLost, R | Exclude<R2, Scope.Scope>>
  <Address, Connection, E, R, A extends object | void, E2, R2>(
    self: Connector<Address, Connection, E, R>,
    f: (
      connection: Connection,
      address: Address,
      attempt: Attempt<Address>
    ) => Effect.Effect<A, E2, R2>
  ): Connector<Address, Prepared<Connection, A>, E | E2 | ConnectionLost, R | Exclude<R2, Scope.Scope>>
} = /* @__PURE__ */ dual(2, internal.setup)

/**
 * The connection that users get after `setup`: the result of its effect, or the connection itself if there is no
 * result.
 *
 * @since 0.1.0
 * @category models
 */
export type Prepared<Connection, A> = A extends void ? Connection : A

/**
 * Runs work that belongs to the connection: a reader, a decoder, a heartbeat. The work begins when the connection has
 * been opened and all combinators before this one have succeeded. The release of the connection interrupts the work and
 * waits until it has ended (D4). What the work acquires is released when it ends.
 *
 * If the work fails or dies, the connection is lost with that cause: `closed` ends at once, and `isClosed` is true from
 * that moment (S4). If that happens while a later `setup` runs, the attempt fails with that cause. If the work
 * interrupts itself, this counts as a defect. If the work ends without a failure, the connection stays.
 *
 * Every connection must be a separate object.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Data from "effect/Data"
 * import * as Effect from "effect/Effect"
 * import * as Queue from "effect/Queue"
 * import * as Stream from "effect/Stream"
 *
 * class BadMessage extends Data.TaggedError("BadMessage")<{}> {}
 *
 * interface Line {
 *   readonly messages: Stream.Stream<string, Error>
 *   readonly send: (message: string) => Effect.Effect<void, Error>
 * }
 *
 * declare const transport: Connector.Connector<URL, Line, Error>
 * declare const decode: (message: string) => Effect.Effect<number, BadMessage>
 *
 * export const prices = transport.pipe(
 *   // The queue drops the oldest prices if the consumer is slow.
 *   Connector.setup((line: Line) => Effect.map(Queue.sliding<number>(1_000), (prices) => ({ line, prices }))),
 *   // A message that cannot be decoded ends the connection with `BadMessage`.
 *   Connector.runInBackground(({ line, prices }) =>
 *     Stream.runForEach(line.messages, (message) =>
 *       Effect.flatMap(decode(message), (price) => Queue.offer(prices, price)))
 *   ),
 *   Connector.runInBackground(({ line }) => line.send("still here").pipe(Effect.delay("20 seconds"), Effect.forever))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const runInBackground: {
  <Connection extends object, Address, E2, R2>(
    work: (
      connection: Connection,
      address: Address,
      attempt: Attempt<Address>
    ) => Effect.Effect<unknown, E2, R2>
  ): <E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E | E2, R | Exclude<R2, Scope.Scope>>
  <Address, Connection extends object, E, R, E2, R2>(
    self: Connector<Address, Connection, E, R>,
    work: (
      connection: Connection,
      address: Address,
      attempt: Attempt<Address>
    ) => Effect.Effect<unknown, E2, R2>
  ): Connector<Address, Connection, E | E2, R | Exclude<R2, Scope.Scope>>
} = /* @__PURE__ */ dual(2, background.runInBackground)

/**
 * The receiving side of a connection over a transport; see `readInBackground`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Receiver<A, E, E2, E3> {
  /**
   * Called with each chunk of the stream, one after the other. A failure ends the reading. The effect may run with the
   * default services of Effect, such as its clock, instead of those of the fiber that connects.
   */
  readonly take: (chunk: Chunk.Chunk<A>) => Effect.Effect<void, E3>
  /** Called when the reading has ended: as the stream, or with the failure of `take`. */
  readonly onRead: (exit: Exit.Exit<void, E | E3>) => void
  /**
   * Called when the transport has ended, and `take` has been called with everything that had arrived. The reading goes
   * on if `take` still waits, or if the stream has not ended.
   */
  readonly onClosed: (exit: Exit.Exit<unknown, E2>) => void
}

/**
 * Reads the stream of a transport, and waits for its `closed`, until the scope is closed. After that, the receiver is
 * not called. Use it in the `connect` of a connector that decodes the input of a transport. The stream must end when
 * the transport does.
 *
 * Throws an `IllegalArgumentException` if `stream` is not a stream.
 *
 * @since 0.1.0
 * @category constructors
 */
export const readInBackground: <A, E, E2, E3>(
  stream: Stream.Stream<A, E>,
  closed: Effect.Effect<unknown, E2>,
  receiver: Receiver<A, E, E2, E3>
) => Effect.Effect<void, never, Scope.Scope> = reading.readInBackground

/**
 * Another way to read the source of a stream; see `withPoll`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Poll<out A, out E> {
  /**
   * Takes one or more of the elements that have arrived; undefined if there is none. After the last element, it fails:
   * with `None` at a regular end, and otherwise with the error of the stream.
   */
  readonly poll: () => Chunk.Chunk<A> | Exit.Exit<never, Option.Option<E>> | undefined
  /**
   * Calls the listener whenever an element or the end has arrived, but not before `onArrival` returns. The result
   * removes the listener.
   */
  readonly onArrival: (listener: () => void) => () => void
}

/**
 * Returns the stream with another way to read its source. `readInBackground`, `PersistentConnection.stream` and
 * `resumableStream` then poll the source: they need no fiber for that. A stream derived from it, for example with
 * `Stream.map`, has no poll.
 *
 * Throws an `IllegalArgumentException` if `stream` is not a stream.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withPoll: <A, E>(stream: Stream.Stream<A, E>, poll: Poll<A, E>) => Stream.Stream<A, E> = polling.withPoll

/**
 * The permits that connectors share; see `limitAttempts`.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptLimiter {
  readonly [limiter.LimiterTypeId]: typeof limiter.LimiterTypeId
}

/**
 * Makes a limiter with this number of permits, an integer of 1 or more. Any number of connectors can share it.
 *
 * Throws an `IllegalArgumentException` for any other number.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeAttemptLimiter: (permits: number) => AttemptLimiter = limiter.makeAttemptLimiter

/**
 * Limits how many connects run at once, over all connectors that share the limiter. The others wait, first come, first
 * served. `ConnectionMap` has the same limit as an option.
 *
 * A permit is held while `connect` runs, not while the connection lives. The wait is `untimed`: it does not count
 * against the deadline of the attempt, or against a `connectTimeout` applied after this. A `connectTimeout` applied
 * before this frees the permit when its time has passed, even if the `connect` cannot be interrupted.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 *
 * declare const feed: Connector.Connector<URL, object, Error>
 * declare const orders: Connector.Connector<string, object>
 *
 * // A process may have any number of connections, but it opens at most four at a time.
 * const limiter = Connector.makeAttemptLimiter(4)
 *
 * export const politeFeed = feed.pipe(Connector.limitAttempts(limiter))
 * export const politeOrders = orders.pipe(Connector.limitAttempts(limiter))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const limitAttempts: {
  (limiter: AttemptLimiter): <Address, Connection, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E, R>
  <Address, Connection, E, R>(
    self: Connector<Address, Connection, E, R>,
    limiter: AttemptLimiter
  ): Connector<Address, Connection, E, R>
} = /* @__PURE__ */ dual(2, limiter.limitAttempts)

/**
 * The probe of a health check, and when to run it.
 *
 * @since 0.1.0
 * @category models
 */
export interface HealthCheckOptions<in Connection, out E = never, out R = never> {
  /**
   * Probes the peer: succeeds when the peer has answered, and fails with the reason otherwise. What it acquires is
   * released when it ends. It is interrupted when it times out, or when the connection is released. At most one probe
   * runs on a connection at a time.
   */
  readonly probe: (connection: Connection) => Effect.Effect<unknown, E, R>
  /**
   * The time from the beginning of the connection, or from an answer, to the next probe; more than 0. Every interval is
   * shortened by a random part of up to a quarter, so that clients that connected together do not probe together (T4).
   * With `Duration.infinity` the peer is probed only on demand, see `PersistentConnection.reconnectNow`.
   */
  readonly interval: Duration.DurationInput
  /**
   * How long the answer to a probe may take; more than 0. Use `Duration.infinity` if the probe has a deadline of its
   * own.
   */
  readonly timeout: Duration.DurationInput
  /**
   * The connection is lost after this many consecutive probes without an answer in time; 1 or more. When a probe times
   * out, the next one starts at once. If a probe fails, the connection is lost at once. Default: 2.
   */
  readonly missedProbes?: number | undefined
  /**
   * A value that changes (by `Object.is`) whenever something is received, such as a count or a time. The peer is probed
   * only if the value has not changed for at least half an interval. If the value changes during a probe, this counts
   * as an answer. Without this option every peer is probed, also one that sends.
   */
  readonly activity?: ((connection: Connection) => unknown) | undefined
}

/**
 * Detects half-open connections, whose peer has gone without a close: it probes the peer at intervals. When a probe
 * fails, or `missedProbes` consecutive probes get no answer in time (a `TimeoutException`), the connection is lost with
 * that cause: `closed` ends, even if the transport reports nothing, and `isClosed` is true.
 * `PersistentConnection.reconnectNow` uses the same probe.
 *
 * A dead connection is detected at most `interval + missedProbes * timeout` after the last answer or change of
 * `activity`. Time is monotonic (T5). If the timer of a timeout fires late, because the machine slept or timers are
 * throttled, the peer gets the full timeout again. `ConnectionMetrics.roundTripTime` measures how long each answer
 * took.
 *
 * Each connection is probed from when it is established until it is released. A probe of an old connection has no
 * effect on a new one. A probe or a `closed` that hangs when it is interrupted delays only the end of the release.
 * Every connection must be a separate object. If the peer answers only after a `setup`, apply `healthCheck` after that.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Data from "effect/Data"
 * import type * as Effect from "effect/Effect"
 *
 * class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}
 *
 * interface Feed {
 *   readonly ping: Effect.Effect<void, FeedError>
 *   readonly messagesReceived: () => number
 * }
 *
 * declare const transport: Connector.Connector<URL, Feed, FeedError>
 *
 * export const connector = transport.pipe(
 *   Connector.healthCheck({
 *     probe: (feed: Feed) => feed.ping,
 *     interval: "30 seconds",
 *     timeout: "10 seconds",
 *     activity: (feed) => feed.messagesReceived()
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const healthCheck: {
  <Connection extends object, E2, R2>(
    options: HealthCheckOptions<Connection, E2, R2>
  ): <Address, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>>
  <Address, Connection extends object, E, R, E2, R2>(
    self: Connector<Address, Connection, E, R>,
    options: HealthCheckOptions<Connection, E2, R2>
  ): Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>>
} = /* @__PURE__ */ dual(2, health.healthCheck)

/**
 * @since 0.1.0
 * @category models
 */
export interface MonitorOptions<in Connection, in out E = never>
  extends HealthCheckOptions<Connection, E, Scope.Scope>
{
  /** Called at most once: when a probe has failed or too many probes have got no answer, with the cause. */
  readonly onFailure: (connection: Connection, cause: Cause.Cause<E | Cause.TimeoutException>) => void
}

/**
 * Probes the peer of one connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Monitor<out E> {
  /** Probes the peer now, as the `probe` of a connector does. If a probe is running, it shares the result. */
  readonly ask: Effect.Effect<void, E>
}

/**
 * As `healthCheck`, for authors of transports: the transport itself ends the connection in `onFailure`. Call the
 * returned function once for each connection, when it is established, with the name of its server. It probes the peer
 * until the scope is closed.
 *
 * Throws an `IllegalArgumentException` that names a wrong option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const monitor: <Connection, E>(
  options: MonitorOptions<Connection, E>
) => (
  connection: Connection,
  serverName: string
) => Effect.Effect<Monitor<E | Cause.TimeoutException>, never, Scope.Scope> = probing.monitor

/**
 * Changes the connection that users get, by a pure function. With an effect, use `setup`. The function must return a
 * separate object for each connection, which may be the connection itself.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 *
 * declare const transport: Connector.Connector<URL, { readonly send: (text: string) => void }>
 *
 * export const logbook = transport.pipe(
 *   Connector.map(({ send }) => ({ write: (entry: object) => send(JSON.stringify(entry)) }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category mapping
 */
export const map: {
  <Connection, Connection2 extends object>(f: (connection: Connection) => Connection2): <Address, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection2, E, R>
  <Address, Connection, E, R, Connection2 extends object>(
    self: Connector<Address, Connection, E, R>,
    f: (connection: Connection) => Connection2
  ): Connector<Address, Connection2, E, R>
} = /* @__PURE__ */ dual(2, internal.map)

/**
 * Changes the errors of connects, of losses, and of `attempt.abort`. Defects stay unchanged.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 * import * as Data from "effect/Data"
 *
 * class FeedError extends Data.TaggedError("FeedError")<{ readonly cause: Error }> {}
 *
 * declare const transport: Connector.Connector<URL, object, Error>
 *
 * export const feed = transport.pipe(Connector.mapError((cause) => new FeedError({ cause })))
 * ```
 *
 * @since 0.1.0
 * @category mapping
 */
export const mapError: {
  <E, E2>(f: (error: E) => E2): <Address, Connection, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E2, R>
  <Address, Connection, E, R, E2>(
    self: Connector<Address, Connection, E, R>,
    f: (error: E) => E2
  ): Connector<Address, Connection, E2, R>
} = /* @__PURE__ */ dual(2, internal.mapError)

/**
 * Converts the address that the look-up gives to the address that the connector takes. The events still contain the
 * address of the look-up. In `attempt.previousAddress` the connector gets the converted address, or none if the
 * function throws. If the function throws for the current address, the attempt fails with that defect.
 *
 * @example
 * ```ts
 * import * as Connector from "@persistent-connection/core/Connector"
 *
 * declare const transport: Connector.Connector<URL, object>
 *
 * export const byHostAndPort = transport.pipe(
 *   Connector.mapAddress(({ host, port }: { readonly host: string; readonly port: number }) =>
 *     new URL(`wss://${host}:${port}`)
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category mapping
 */
export const mapAddress: {
  <Address, Address2>(f: (address: Address2) => Address): <Connection, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address2, Connection, E, R>
  <Address, Connection, E, R, Address2>(
    self: Connector<Address, Connection, E, R>,
    f: (address: Address2) => Address
  ): Connector<Address2, Connection, E, R>
} = /* @__PURE__ */ dual(2, internal.mapAddress)
