/**
 * Where the server is this time: look-ups for the `address` option of a persistent connection. Any effect, or function
 * from the attempt to an effect, will do as well. A function learns why the last attempt failed, so that it can refresh
 * a token that was not accepted, and go elsewhere only if the server was not there.
 *
 * The look-ups made here remember where they are in their list for each persistent connection by itself. Several that
 * share one look-up do not disturb each other, and one that is made anew begins at the beginning.
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
 * What a look-up made here is: a value for the `address` option, or a part of a function for it.
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
 * The next address of the list for every attempt, beginning with the first, and after the last one the first again. An
 * address that is listed twice has two turns.
 *
 * Throws an `IllegalArgumentException` if there are no addresses.
 *
 * @since 0.1.0
 * @category constructors
 */
export const roundRobin: <Address>(addresses: NonEmptyReadonlyArray<Address>) => LookUp<Address> = internal.roundRobin

/**
 * The addresses in a random order, and when all have had their turn in another one, so that the clients of a set of
 * servers spread over them. It never gives the same address twice in a row, unless there is only one; an address that
 * is listed twice, by its content, counts once. Chance comes from the `Random` service (T4).
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
   * When the first address was left this long ago or longer, the first attempt after the loss of a connection goes
   * there again; a connection that works is not given up for it. Default: `Duration.infinity`, never.
   */
  readonly failBackAfter?: Duration.DurationInput | undefined
  /**
   * After which causes to go on to the next address: those of failed attempts, of look-ups as well, and those of losses
   * alike. A loss without an error has an empty cause. Default: after every failed attempt, and after no loss.
   */
  readonly failoverWhen?: ((cause: Cause.Cause<unknown>) => boolean) | undefined
}

/**
 * Addresses in the order of preference. Unless the options say otherwise it stays with the one that works, also when a
 * connection to it is lost, and goes on to the next one, after the last to the first again, when an attempt has failed.
 *
 * Throws an `IllegalArgumentException` if there are no addresses, and for a negative duration.
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
 * // Another host would not accept this user either. One that accepts everybody and hangs up is left too.
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
