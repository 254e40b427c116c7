/**
 * A connector for tests, without a network: the test scripts the attempts, ends connections, and reads what was
 * attempted, opened and released. It needs no test framework. Time is that of the `Clock`, so it works under
 * `TestClock` as well as in real time.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
 * import * as Data from "effect/Data"
 * import * as Effect from "effect/Effect"
 * import * as TestClock from "effect/TestClock"
 *
 * class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}
 *
 * // Run this in a test: it succeeds with [0, 10000].
 * export const test = Effect.gen(function*() {
 *   const server = yield* TestConnector.make({
 *     script: [TestConnector.fail(new FeedError({ status: 503 })), TestConnector.succeed()]
 *   })
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "feed",
 *     address: Effect.succeed("feed.example.com"),
 *     connector: server.connector,
 *     retry: RetryPolicy.fixed("10 seconds")
 *   })
 *   yield* TestClock.adjust("10 seconds")
 *   yield* feed.connected
 *   return (yield* server.attempts).map((attempt) => attempt.begunAt)
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { Pipeable } from "effect/Pipeable"
import type * as Connector from "../Connector.js"
import * as answers from "../internal/testing/testAnswer.js"
import * as internal from "../internal/testing/testConnector.js"

/**
 * The answer to an attempt. Make it with the constructors and combinators of this module, for instance
 * `succeed().pipe(delayed("2 seconds"), thenLose({ after: "1 minute" }))`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answer<out Connection = never, out E = never, in Address = unknown> extends Pipeable {
  readonly action: Action<Connection, E, Address>
}

/**
 * The parts of an answer.
 *
 * @since 0.1.0
 * @category models
 */
export type Action<Connection, E, Address> =
  | { readonly _tag: "Succeed"; readonly connection?: { readonly value: Connection } }
  | { readonly _tag: "Fail"; readonly cause: Cause.Cause<E> }
  | { readonly _tag: "Hang" }
  | { readonly _tag: "Abort"; readonly error: E }
  | {
    readonly _tag: "Decide"
    readonly decide: (
      address: Address,
      attempt: Connector.Attempt<Address>
    ) => Answer<Connection, E, Address>
  }
  | {
    readonly _tag: "Delayed"
    readonly answer: Answer<Connection, E, Address>
    readonly delay: Duration.Duration
  }
  | {
    readonly _tag: "ThenLose"
    readonly answer: Answer<Connection, E, Address>
    readonly after: Duration.Duration
    readonly cause: Cause.Cause<E>
  }

/**
 * The outcome of an attempt, with its time in ms of the `Clock`. `Interrupted`: the attempt missed its deadline, or was
 * no longer needed, for instance because the persistent connection was closed.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome<Connection, E> =
  | { readonly _tag: "UnderWay" }
  | { readonly _tag: "Succeeded"; readonly at: number; readonly connection: Connection }
  | { readonly _tag: "Failed"; readonly at: number; readonly cause: Cause.Cause<E> }
  | { readonly _tag: "Interrupted"; readonly at: number }

/**
 * An attempt to connect that has been made.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempt<out Connection, out E, out Address = unknown> {
  /** Counts the attempts on this connector, from 1. */
  readonly number: number
  /** The name of the server for which it was made, as given to `PersistentConnection.make`. */
  readonly serverName: string
  /** The address from the look-up. */
  readonly address: Address
  /** When `connect` was called, in ms of the `Clock`. */
  readonly begunAt: number
  readonly outcome: Outcome<Connection, E>
}

/**
 * The default type of connections. For connections of your own type, see `make`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Line<out Address = unknown> {
  /** Counts the connections of this connector, from 1. */
  readonly number: number
  /** The address that it is connected to. */
  readonly address: Address
  /** A probe: succeeds at once, or never ends if the peer is silent or the connection is lost or released. */
  readonly ping: Effect.Effect<void>
}

/**
 * A connector with its controls for a test. Several persistent connections may share one, as their common server.
 *
 * An operation at the wrong moment, such as `lose` without an open connection, dies with a message.
 *
 * @since 0.1.0
 * @category models
 */
export interface TestConnector<in out Connection, in out E = never, in out Address = unknown> {
  /**
   * The connector, with `isClosed` and `probe`. It has no `close` and no `terminate`.
   */
  readonly connector: Connector.Connector<Address, Connection, E>

  /**
   * Sets the answers of the next attempts, in this order. Later attempts go on with the script.
   */
  readonly onNextAttempt: (...answers: ReadonlyArray<Answer<Connection, E, Address>>) => Effect.Effect<void>

  /**
   * Sets the answer of every attempt from now on. Replaces the rest of the script and the answers set by
   * `onNextAttempt`.
   */
  readonly always: (answer: Answer<Connection, E, Address>) => Effect.Effect<void>

  /**
   * Answers the attempts that hang or are delayed now. With `hang` in the script, a test can keep a persistent
   * connection in `Connecting` as long as it needs. A defect if no attempt is under way.
   */
  readonly answer: (answer: Answer<Connection, E, Address>) => Effect.Effect<void>

  /**
   * Ends every open connection, or the given one, as a loss: with the given cause, or without an error. A defect if
   * there is no such open connection.
   */
  readonly lose: (cause?: Cause.Cause<E>, connection?: Connection) => Effect.Effect<void>

  /**
   * Makes every open connection, or the given one, half-open: the peer is silent, `closed` does not end, `isClosed` is
   * false, and probes hang. `lose` still ends it. A defect if there is no such open connection.
   */
  readonly fallSilent: (connection?: Connection) => Effect.Effect<void>

  /** All attempts so far, in the order in which they began. */
  readonly attempts: Effect.Effect<ReadonlyArray<Attempt<Connection, E, Address>>>

  /** Waits until this number of attempts have begun since the connector was made. */
  readonly awaitAttempts: (count: number) => Effect.Effect<void>

  /** How many connections have been opened. */
  readonly opened: Effect.Effect<number>

  /** How many connections have been released. */
  readonly released: Effect.Effect<number>

  /** The connections that are neither lost nor released. This includes half-open ones. */
  readonly open: Effect.Effect<ReadonlyArray<Connection>>

  /**
   * The connections that have not been released, also those that are open. After `close`, or after leaving the scope of
   * the persistent connection, it must be empty.
   */
  readonly leaked: Effect.Effect<ReadonlyArray<Connection>>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<Connection, E, Address> {
  /** The answers of the attempts, in order; the last one repeats. Default: all succeed. */
  readonly script?: ReadonlyArray<Answer<NoInfer<Connection>, E, Address>> | undefined
  /**
   * Makes a connection from a `Line`, if the answer does not give one. It must make a different value each time.
   * Default: the connection is the `Line`.
   */
  readonly connection: (line: Line<Address>) => Connection
}

/**
 * Makes a connector for one test. TypeScript infers the type of its errors from the script; without one, write it:
 * `make<FeedError>()`, or `make<Feed, FeedError>({ connection: (line) => … })` with connections of your own type.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <E = never, Address = unknown>(
    options?: Omit<Options<Line<Address>, E, Address>, "connection">
  ): Effect.Effect<TestConnector<Line<Address>, E, Address>>
  <Connection, E = never, Address = unknown>(
    options: Options<Connection, E, Address>
  ): Effect.Effect<TestConnector<Connection, E, Address>>
} = internal.make

/**
 * The attempt succeeds at once: with this connection, or with one that `Options.connection` makes.
 *
 * @since 0.1.0
 * @category answers
 */
export const succeed: {
  (): Answer
  <Connection>(connection: Connection): Answer<Connection>
} = answers.succeed

/**
 * The attempt fails at once with this error.
 *
 * @since 0.1.0
 * @category answers
 */
export const fail: <E>(error: E) => Answer<never, E> = answers.fail

/**
 * The attempt fails at once with this cause.
 *
 * @since 0.1.0
 * @category answers
 */
export const failCause: <E>(cause: Cause.Cause<E>) => Answer<never, E> = answers.failCause

/**
 * The attempt dies at once, as with a bug in the connector (C6).
 *
 * @since 0.1.0
 * @category answers
 */
export const die: (defect: unknown) => Answer = answers.die

/**
 * The attempt hangs until the test calls `TestConnector.answer`, or until it is interrupted.
 *
 * @since 0.1.0
 * @category answers
 */
export const hang: Answer = answers.hang

/**
 * The attempt aborts the persistent connection with `attempt.abort` (X5).
 *
 * @since 0.1.0
 * @category answers
 */
export const abort: <E>(error: E) => Answer<never, E> = answers.abort

/**
 * A function chooses the answer by the address and the attempt.
 *
 * @example
 * ```ts
 * import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
 * import * as Data from "effect/Data"
 *
 * class Unauthorized extends Data.TaggedError("Unauthorized")<{}> {}
 *
 * export const server = TestConnector.make({
 *   script: [
 *     TestConnector.decide((login: { readonly token: string }) =>
 *       login.token === "fresh" ? TestConnector.succeed() : TestConnector.fail(new Unauthorized())
 *     )
 *   ]
 * })
 * ```
 *
 * @since 0.1.0
 * @category answers
 */
export const decide: <Address, Connection = never, E = never>(
  f: (address: Address, attempt: Connector.Attempt<Address>) => Answer<Connection, E, Address>
) => Answer<Connection, E, Address> = answers.decide

/**
 * Delays the answer by this time.
 *
 * Throws an `IllegalArgumentException` for a negative duration.
 *
 * @since 0.1.0
 * @category combinators
 */
export const delayed: {
  (delay: Duration.DurationInput): <Connection, E, Address>(
    self: Answer<Connection, E, Address>
  ) => Answer<Connection, E, Address>
  <Connection, E, Address>(
    self: Answer<Connection, E, Address>,
    delay: Duration.DurationInput
  ): Answer<Connection, E, Address>
} = /* @__PURE__ */ dual(2, answers.delayed)

/**
 * If the attempt succeeds, the connection is lost after this time: with the given cause, or without an error.
 *
 * Throws an `IllegalArgumentException` for a negative duration.
 *
 * @since 0.1.0
 * @category combinators
 */
export const thenLose: {
  <E2 = never>(options: {
    readonly after: Duration.DurationInput
    readonly cause?: Cause.Cause<E2> | undefined
  }): <Connection, E, Address>(self: Answer<Connection, E, Address>) => Answer<Connection, E | E2, Address>
  <Connection, E, Address, E2 = never>(
    self: Answer<Connection, E, Address>,
    options: { readonly after: Duration.DurationInput; readonly cause?: Cause.Cause<E2> | undefined }
  ): Answer<Connection, E | E2, Address>
} = /* @__PURE__ */ dual(2, answers.thenLose)
