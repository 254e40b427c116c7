/** The status of a persistent connection in a page, with React. */
import { Atom, Result, useAtomValue } from "@effect-atom/atom-react"
import * as ConnectionStatus from "@persistent-connection/core/ConnectionStatus"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"

export class Prices
  extends Context.Tag("app/Prices")<Prices, PersistentConnection.PersistentConnection<object, Error>>()
{}

export const statusOf = (layer: Layer.Layer<Prices>) =>
  Atom.runtime(layer).subscribable(
    Effect.map(Prices, (prices) => PersistentConnection.status(prices, { ignoreLossesShorterThan: "7 seconds" }))
  )

const time = (millis: number) => new Date(millis).toLocaleTimeString()

const textOf = ConnectionStatus.$match({
  Connecting: () => "Connecting …",
  Connected: () => "",
  Reconnecting: ({ nextAttemptAt, since }) =>
    `No connection since ${time(since)}. `
    + Option.match(nextAttemptAt, { onNone: () => "Connecting …", onSome: (at) => `Next attempt at ${time(at)}` }),
  Closed: () => "Disconnected"
})

export const Banner = ({ status }: { readonly status: ReturnType<typeof statusOf> }) => {
  const value = useAtomValue(status)
  return <p role="status">{Result.isSuccess(value) ? textOf(value.value) : ""}</p>
}
