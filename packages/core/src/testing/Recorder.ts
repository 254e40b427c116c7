/**
 * Records the events or states of a persistent connection with their times, so that a test can check them or wait for
 * them. It needs no test framework. The times are those of the `Clock`, so under `TestClock` they are the same in every
 * run.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as Recorder from "@persistent-connection/core/testing/Recorder"
 * import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
 * import * as Effect from "effect/Effect"
 *
 * // Run this in a test.
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
 * A recorded value, with its time in ms of the `Clock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry<out A> {
  readonly at: number
  readonly value: A
}

/**
 * The record so far; it grows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Recorder<out A extends { readonly _tag: string }> {
  /** All entries so far, in order. */
  readonly entries: Effect.Effect<ReadonlyArray<Entry<A>>>

  /**
   * The entries as text, one line for each, with aligned columns. A test can compare it, and print it when it fails. It
   * does not contain the connections.
   */
  readonly render: Effect.Effect<string>

  /**
   * Gives the first entry whose value has this tag or satisfies the predicate. If there is none yet, waits for one,
   * without a limit.
   */
  readonly waitFor: {
    <Tag extends A["_tag"]>(tag: Tag): Effect.Effect<Entry<Extract<A, { readonly _tag: Tag }>>>
    <B extends A>(refinement: Refinement<A, B>): Effect.Effect<Entry<B>>
    (predicate: Predicate<A>): Effect.Effect<Entry<A>>
  }
}

/**
 * A recorder whose entries the test adds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Writable<in out A extends { readonly _tag: string }> extends Recorder<A> {
  /** Adds an entry with the present time. */
  readonly record: (value: A) => Effect.Effect<void>
}

/**
 * Records the events until the scope is left, from the most recent one on (E2). If you call it directly after
 * `PersistentConnection.make`, it records every event. If that is not possible, as with a layer, use `make`. The
 * recorder never delays the persistent connection.
 *
 * @since 0.1.0
 * @category constructors
 */
export const events: <Connection, E>(
  self: PersistentConnection<Connection, E>
) => Effect.Effect<Recorder<ConnectionEvent<Connection, E, void>>, never, Scope.Scope> = internal.events

/**
 * Records the states until the scope is left: first the present one, with the time at which its phase began, then every
 * later one, also those that last no time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const states: <Connection, E>(
  self: PersistentConnection<Connection, E>
) => Effect.Effect<Recorder<ConnectionState<Connection, E>>, never, Scope.Scope> = internal.states

/**
 * Makes a recorder for the `onEvent` option: pass its `record`. It records every event from the first on, with the
 * addresses, which `PersistentConnection.events` does not have (E3).
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
 * // Run this in a test.
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
