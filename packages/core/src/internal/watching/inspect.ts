import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import type { Summary } from "../../Inspect.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { render, summary } from "../base/render.js"
import { now } from "../base/time.js"
import { registry } from "../loop/registry.js"
import { loopOf } from "../loop/service.js"

/** @internal */
export const summarize = <Connection, E>(self: PersistentConnection<Connection, E>): Effect.Effect<Summary> =>
  Effect.map(Effect.clock, (clock) => {
    const { state, status } = loopOf(self)
    const { _tag, address, attempt, generation, lastCause, since } = state
    return {
      serverName: self.serverName,
      phase: _tag,
      since,
      forMillis: now(clock) - status.enteredAt,
      generation,
      attempt,
      nextAttemptAt: _tag === "Waiting" ? Option.getOrNull(state.nextAttemptAt) : null,
      waiting: status.waiting,
      address: Option.getOrNull(Option.map(address, render)),
      // The cause of the close, if there is one, is the latest cause.
      lastCause: "reason" in state && "cause" in state.reason
        ? summary(state.reason.cause)
        : Option.getOrNull(Option.map(lastCause, summary))
    }
  })

const byServerName = Order.mapInput(Order.string, ({ serverName }: Summary) => serverName)

/** @internal */
export const all: Effect.Effect<ReadonlyArray<Summary>> = Effect.suspend(() =>
  Effect.map(Effect.forEach([...registry], summarize), Arr.sort(byServerName))
)
