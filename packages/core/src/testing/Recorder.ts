/**
 * Writes down what a persistent connection goes through, with the times, for a test to look at or to wait for. It knows
 * no test framework; the times are those of the `Clock`, so that under `TestClock` they are the same in every run.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Recorder from "@persistent-connection/core/testing/Recorder"
 * import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
 * import * as Effect from "effect/Effect"
 *
 * // To be run as a test.
 * export const test = Effect.gen(function*() {
 *   const server = yield* TestConnector.make()
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "feed",
 *     address: Effect.succeed("feed.example.com"),
 *     connector: server.connector
 *   })
 *   const events = yield* Recorder.events(feed)
 *   yield* events.waitFor("Connected")
 *   console.log(yield* events.render)
 *   // 0 ms  Connecting (connection 1)
 *   // 0 ms  Attempt 1 has obtained an address
 *   // 0 ms  Connected (connection 1)
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Predicate, Refinement } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { ConnectionEvent } from "../ConnectionEvent.js"
import type { ConnectionState } from "../ConnectionState.js"
import * as internal from "../internal/testing/recorder.js"
import type { PersistentConnection } from "../PersistentConnection.js"

/**
 * Something that happened, and when, in ms of the `Clock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry<out A> {
  readonly at: number
  readonly value: A
}

/**
 * What has been written down so far, and what will be.
 *
 * @since 0.1.0
 * @category models
 */
export interface Recorder<out A extends { readonly _tag: string }> {
  /** Everything so far, in the order in which it happened. */
  readonly entries: Effect.Effect<ReadonlyArray<Entry<A>>>

  /**
   * The same for a person: one line each, the columns aligned, to be compared with a text or shown when a test fails.
   * Connections are left out, as they have nothing to say.
   */
  readonly render: Effect.Effect<string>

  /**
   * The first entry, of those so far and then of those to come, whose value has this tag or satisfies the predicate.
   * Waits as long as it takes.
   */
  readonly waitFor: {
    <Tag extends A["_tag"]>(tag: Tag): Effect.Effect<Entry<Extract<A, { readonly _tag: Tag }>>>
    <B extends A>(refinement: Refinement<A, B>): Effect.Effect<Entry<B>>
    (predicate: Predicate<A>): Effect.Effect<Entry<A>>
  }
}

/**
 * A recorder to which the test says what to record.
 *
 * @since 0.1.0
 * @category models
 */
export interface Writable<in out A extends { readonly _tag: string }> extends Recorder<A> {
  /** Writes it down, with the present time. */
  readonly record: (value: A) => Effect.Effect<void>
}

/**
 * Records the events: from the most recent one on, if there has been one (E2), until the scope is left. Called right
 * after `PersistentConnection.make` it misses none; where that cannot be, as behind a layer, use `make`. It subscribes
 * before this ends, and nothing waits for it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const events: <Connection, E>(
  self: PersistentConnection<Connection, E>
) => Effect.Effect<Recorder<ConnectionEvent<Connection, E, void>>, never, Scope.Scope> = internal.events

/**
 * Records the states: the present one with the time at which its phase began, and then every one that is entered, until
 * the scope is left. Each is recorded as soon as it is entered, so none is missed, however short.
 *
 * @since 0.1.0
 * @category constructors
 */
export const states: <Connection, E>(
  self: PersistentConnection<Connection, E>
) => Effect.Effect<Recorder<ConnectionState<Connection, E>>, never, Scope.Scope> = internal.states

/**
 * A recorder for the `onEvent` option: it sees every event from the first on, and the addresses, which are not on the
 * event bus (E3).
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Recorder from "@persistent-connection/core/testing/Recorder"
 * import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 *
 * class Feed extends Context.Tag("app/Feed")<Feed, PersistentConnection.PersistentConnection<TestConnector.Line>>() {}
 *
 * // To be run as a test.
 * export const test = Effect.gen(function*() {
 *   const server = yield* TestConnector.make()
 *   const events = yield* Recorder.make()
 *   const layer = PersistentConnection.layer(Feed, {
 *     serverName: "feed",
 *     address: Effect.succeed("feed.example.com"),
 *     connector: server.connector,
 *     onEvent: events.record
 *   })
 *   yield* Feed.pipe(Effect.flatMap((feed) => feed.connected), Effect.provide(layer))
 *   console.log(yield* events.render)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <Connection = unknown, E = unknown, Address = unknown>() => Effect.Effect<
  Writable<ConnectionEvent<Connection, E, Address>>
> = internal.make
