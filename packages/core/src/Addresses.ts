/**
 * Where the server is this time: look-ups for the `address` option of a persistent connection. Any effect, or function
 * from the attempt to an effect, works as well. A function learns why the last attempt failed, so it can get a new token
 * when the old one was not accepted, and another address only when the server was not there.
 *
 * The look-ups made here keep their position in the list for each persistent connection separately: several can share
 * one look-up, and a new one starts at the beginning of the list.
 *
 * @example
 * ```ts
 * import * as Addresses from "@persistent-connection/core/Addresses"
 * import type { Attempt } from "@persistent-connection/core/Connector"
 * import * as Cause from "effect/Cause"
 * import * as Data from "effect/Data"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}
 *
 * interface Login {
 *   readonly host: string
 *   readonly token: string
 * }
 *
 * declare const currentToken: Effect.Effect<string, FeedError>
 * declare const freshToken: Effect.Effect<string, FeedError>
 *
 * const hosts = Addresses.failover(["a.example.com", "b.example.com"], { failBackAfter: "10 minutes" })
 *
 * const isUnauthorized = (cause: Cause.Cause<unknown>) =>
 *   Option.exists(Cause.failureOption(cause), (error) => error instanceof FeedError && error.status === 401)
 *
 * // After a 401 a new token for the same host; after anything else the next host.
 * export const address = (attempt: Attempt<Login>): Effect.Effect<Login, FeedError> =>
 *   Option.isSome(attempt.previousAddress) && Option.exists(attempt.lastCause, isUnauthorized)
 *     ? Effect.zip(Effect.succeed(attempt.previousAddress.value.host), freshToken).pipe(Effect.map(toLogin))
 *     : Effect.zip(hosts(attempt), currentToken).pipe(Effect.map(toLogin))
 *
 * const toLogin = ([host, token]: [string, string]): Login => ({ host, token })
 * ```
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Attempt } from "./Connector.js"
import * as internal from "./internal/connector/addresses.js"

/**
 * A look-up: a value for the `address` option, or a part of a function for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface LookUp<out Address> {
  (attempt: Attempt<unknown>): Effect.Effect<Address>
}

/**
 * Always the same address.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant: <Address>(address: Address) => Effect.Effect<Address> = Effect.succeed

/**
 * The next address of the list for every attempt, from the first to the last and then the first again. An address that
 * is listed twice has two turns.
 *
 * Throws an `IllegalArgumentException` if there are no addresses.
 *
 * @since 0.1.0
 * @category constructors
 */
export const roundRobin: <Address>(addresses: NonEmptyReadonlyArray<Address>) => LookUp<Address> = internal.roundRobin

/**
 * The addresses in a random order, which is drawn again when all have had their turn, so that the clients of a set of
 * servers spread over them. It never gives the same address twice in a row, unless there is only one. An address that is
 * listed twice, by its content, counts once. Randomness comes from the `Random` service (T4).
 *
 * Throws an `IllegalArgumentException` if there are no addresses.
 *
 * @since 0.1.0
 * @category constructors
 */
export const shuffled: <Address>(addresses: NonEmptyReadonlyArray<Address>) => LookUp<Address> = internal.shuffled

/**
 * @since 0.1.0
 * @category models
 */
export interface FailoverOptions {
  /**
   * When the first address was left at least this long ago, the first attempt after the loss of a connection, or of a
   * refresh, goes there again. A connection that works is not given up for it. Default: `Duration.infinity`, never.
   */
  readonly failBackAfter?: Duration.DurationInput | undefined
  /**
   * After which causes to go on to the next address. They are those of failed attempts, look-ups included, and those of
   * losses; a loss without an error has an empty cause. Default: after every failed attempt, and after no loss.
   */
  readonly failoverWhen?: ((cause: Cause.Cause<unknown>) => boolean) | undefined
}

/**
 * Addresses in the order of preference. By default it stays with the one that works, also when a connection to it is lost
 * or refreshed, and goes on to the next one when an attempt has failed; after the last comes the first again. When the
 * server of the current connection has announced that it will go (`attempt.elsewhere`), it chooses another address, if
 * there is one. An address that is listed twice, by its content, counts once.
 *
 * Throws an `IllegalArgumentException` if there are no addresses, or an option makes no sense.
 *
 * @example
 * ```ts
 * import * as Addresses from "@persistent-connection/core/Addresses"
 * import * as Cause from "effect/Cause"
 * import * as Data from "effect/Data"
 * import * as Option from "effect/Option"
 *
 * class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}
 *
 * // After a 401 it stays: another host would not accept this user either. After any other cause it goes on, also when a
 * // host accepts every connection and hangs up.
 * export const address = Addresses.failover(["a.example.com", "b.example.com"], {
 *   failoverWhen: (cause) =>
 *     Option.match(Cause.failureOption(cause), {
 *       onNone: () => true,
 *       onSome: (error) => !(error instanceof FeedError && error.status === 401)
 *     })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const failover: <Address>(
  addresses: NonEmptyReadonlyArray<Address>,
  options?: FailoverOptions
) => LookUp<Address> = internal.failover
