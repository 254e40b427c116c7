/**
 * Look-ups for the `address` option of a persistent connection: a look-up gives the address for each attempt. Any
 * effect, or function from the attempt to an effect, works as well. A function gets the cause of the last failure. So
 * it can get a new token after the server refused the old one, and another address after the server was unreachable.
 *
 * The look-ups of this module keep one position in the list for each persistent connection. Several persistent
 * connections can share a look-up; each starts at the beginning of the list.
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
 * const toLogin = ([host, token]: [string, string]): Login => ({ host, token })
 *
 * // After a 401: a new token for the same host. After any other failure: the next host.
 * export const address = (attempt: Attempt<Login>): Effect.Effect<Login, FeedError> =>
 *   Option.isSome(attempt.previousAddress) && Option.exists(attempt.lastCause, isUnauthorized)
 *     ? Effect.zip(Effect.succeed(attempt.previousAddress.value.host), freshToken).pipe(Effect.map(toLogin))
 *     : Effect.zip(hosts(attempt), currentToken).pipe(Effect.map(toLogin))
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
 * A look-up: for the `address` option, or for use inside a look-up of your own.
 *
 * @since 0.1.0
 * @category models
 */
export interface LookUp<out Address> {
  (attempt: Attempt<unknown>): Effect.Effect<Address>
}

/**
 * Always gives the same address.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant: <Address>(address: Address) => Effect.Effect<Address> = Effect.succeed

/**
 * Gives the next address of the list at every attempt, and the first one again after the last. An address that is in
 * the list twice is given twice as often.
 *
 * Throws an `IllegalArgumentException` if there are no addresses.
 *
 * @since 0.1.0
 * @category constructors
 */
export const roundRobin: <Address>(addresses: NonEmptyReadonlyArray<Address>) => LookUp<Address> = internal.roundRobin

/**
 * Gives the addresses in a random order, so that clients spread over the servers. It draws a new order when it has
 * given all addresses. It never gives the same address twice in a row, unless there is only one. Addresses with equal
 * content count as one. Randomness comes from the `Random` service (T4).
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
   * How long to avoid the first address after leaving it. After this time, the first attempt after a loss, or the first
   * attempt of a refresh, uses it again. A connection that works is never closed for this. Default:
   * `Duration.infinity`, never.
   */
  readonly failBackAfter?: Duration.DurationInput | undefined
  /**
   * Decides by the cause whether to go on to the next address. It gets the causes of failed attempts, also of failed
   * look-ups, and of losses; a loss without an error has an empty cause. Default: true after every failed attempt, and
   * false after every loss.
   */
  readonly failoverWhen?: ((cause: Cause.Cause<unknown>) => boolean) | undefined
}

/**
 * Gives the addresses in the order of preference. By default it goes on to the next address after a failed attempt, and
 * from the last address to the first. It keeps an address that works, also after a loss and at a refresh. If the
 * attempt asks for another address than the current one (`attempt.elsewhere`), it goes on to the next address, if there
 * is one. Addresses with equal content count as one.
 *
 * Throws an `IllegalArgumentException` if there are no addresses, or an option is wrong.
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
 * // Keeps the host after a 401: another host would not accept this user either. Goes on after any other cause, also
 * // if a host accepts every connection and hangs up.
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
