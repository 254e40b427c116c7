/**
 * What happened: the five events in the life of a persistent connection.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as LogLevel from "effect/LogLevel"
import type { AttemptFailure } from "./Connector.js"

/**
 * - `AttemptingToConnect` opens a cycle; retries inside the cycle do not repeat it (C2).
 * - `ObtainedAddress`: the look-up answered, with another address than before in this cycle (C4).
 * - `FailedToConnect`: an attempt failed, with another error than before in this cycle (C5).
 * - `Connected`: the connection is current; everyone who waited has been answered (A1).
 * - `Disconnected`: it is no longer current (A2). `cause` is how it ended, empty if without an error.
 *
 * `generation` numbers the connections from 1; `attempt` numbers the attempts of a cycle from 1. While the same failure
 * repeats there is no event, and so the next `FailedToConnect` may be that of a much later attempt: what happens at each
 * attempt is in the state, the metrics and the spans.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectionEvent<Connection, E, Address = unknown> = Data.TaggedEnum<{
  AttemptingToConnect: { readonly generation: number }
  ObtainedAddress: { readonly address: Address; readonly attempt: number }
  FailedToConnect: { readonly cause: Cause.Cause<AttemptFailure<E>>; readonly attempt: number }
  Connected: { readonly connection: Connection; readonly generation: number }
  Disconnected: { readonly cause: Cause.Cause<E>; readonly generation: number }
}>

interface Definition extends Data.TaggedEnum.WithGenerics<3> {
  readonly taggedEnum: ConnectionEvent<this["A"], this["B"], this["C"]>
}

/**
 * Constructors of the events, with `$is` and `$match`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const { $is, $match, AttemptingToConnect, Connected, Disconnected, FailedToConnect, ObtainedAddress } = Data
  .taggedEnum<Definition>()

/**
 * The level at which an event is worth logging: `FailedToConnect` is an error, all others are information (E5).
 *
 * @since 0.1.0
 * @category getters
 */
export const logLevel = <Connection, E, Address>(
  event: ConnectionEvent<Connection, E, Address>
): LogLevel.LogLevel => event._tag === "FailedToConnect" ? LogLevel.Error : LogLevel.Info

/**
 * The same event with another form of address. The event bus carries `void` in its place, so that who subscribes need
 * not know how servers are located (E3).
 *
 * @since 0.1.0
 * @category mapping
 */
export const mapAddress = <Connection, E, Address, Address2>(
  event: ConnectionEvent<Connection, E, Address>,
  f: (address: Address) => Address2
): ConnectionEvent<Connection, E, Address2> =>
  event._tag === "ObtainedAddress" ? { ...event, address: f(event.address) } : event
