/**
 * The five events of a persistent connection.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as LogLevel from "effect/LogLevel"
import type { AttemptFailure } from "./Connector.js"
import { describeEnd } from "./internal/base/cause.js"
import { func } from "./internal/base/options.js"
import { printable } from "./internal/base/printable.js"
import { render, summary } from "./internal/base/render.js"

/**
 * - `AttemptingToConnect`: a cycle begins; retries inside the cycle do not repeat this event (C2).
 * - `ObtainedAddress`: the look-up gave an address that differs from the previous one in this cycle (C4).
 * - `FailedToConnect`: an attempt failed with an error that differs from the previous one in this cycle (C5).
 * - `Connected`: the connection is current, and all waiting callers have got it (A1).
 * - `Disconnected`: the connection is no longer current (A2). `cause` is empty if it ended without an error.
 *
 * `generation` numbers the connections from 1; `attempt` numbers the attempts of a cycle from 1. A cycle is all
 * attempts until one succeeds, and the connection that it opens. A failure that repeats is not reported again, so the
 * next `FailedToConnect` may come many attempts later. The state, the metrics and the spans show every attempt.
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

const print = (event: ConnectionEvent<unknown, unknown>) => {
  switch (event._tag) {
    case "AttemptingToConnect":
    case "Connected":
      return { _tag: event._tag, generation: event.generation }
    case "ObtainedAddress":
      return {
        _tag: event._tag,
        attempt: event.attempt,
        ...event.address === undefined ? {} : { address: render(event.address) }
      }
    case "FailedToConnect":
      return { _tag: event._tag, attempt: event.attempt, cause: summary(event.cause) }
    case "Disconnected":
      return { _tag: event._tag, generation: event.generation, cause: summary(event.cause) }
  }
}

/**
 * Constructors of the events, with `$is` and `$match`. An event that is printed or logged shows its causes as text,
 * without secrets, and not the connection; see `message`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const { $is, $match, AttemptingToConnect, Connected, Disconnected, FailedToConnect, ObtainedAddress } =
  printable(Data.taggedEnum<Definition>(), print)

/**
 * An event as one line of text, with the cause of a failure or a loss:
 * `Attempt 3 failed: connect ECONNREFUSED 127.0.0.1:8080`. It contains no secrets, and no connection.
 * `docs/watching.md` says what is hidden.
 *
 * @example
 * ```ts
 * import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
 * import * as Effect from "effect/Effect"
 *
 * // For the `onEvent` option.
 * export const onEvent = (event: ConnectionEvent.ConnectionEvent<unknown, unknown>) =>
 *   Effect.logWithLevel(ConnectionEvent.logLevel(event), ConnectionEvent.message(event))
 * ```
 *
 * @since 0.1.0
 * @category rendering
 */
export const message = <Connection, E, Address>(event: ConnectionEvent<Connection, E, Address>): string => {
  switch (event._tag) {
    case "AttemptingToConnect":
      return `Connecting (connection ${event.generation})`
    case "ObtainedAddress":
      return event.address === undefined
        ? `Attempt ${event.attempt} has obtained an address`
        : `Attempt ${event.attempt} has obtained the address ${render(event.address)}`
    case "FailedToConnect":
      return `Attempt ${event.attempt} failed: ${summary(event.cause)}`
    case "Connected":
      return `Connected (connection ${event.generation})`
    case "Disconnected":
      return `Connection ${event.generation} ${describeEnd(event.cause)}`
  }
}

/**
 * The log level of an event: `FailedToConnect` is an error, all others are information (E5).
 *
 * @since 0.1.0
 * @category getters
 */
export const logLevel = <Connection, E, Address>(
  event: ConnectionEvent<Connection, E, Address>
): LogLevel.LogLevel => event._tag === "FailedToConnect" ? LogLevel.Error : LogLevel.Info

/**
 * Changes the address of an event. In `PersistentConnection.events` the address is `void`, so that subscribers do not
 * depend on the type of addresses (E3).
 *
 * @since 0.1.0
 * @category mapping
 */
export const mapAddress = <Connection, E, Address, Address2>(
  event: ConnectionEvent<Connection, E, Address>,
  f: (address: Address) => Address2
): ConnectionEvent<Connection, E, Address2> => {
  func("f", f)
  return event._tag === "ObtainedAddress"
    ? ObtainedAddress({ address: f(event.address), attempt: event.attempt })
    : event
}
