/**
 * Clients in the process of the server, for the page: a browser opens at most 255 WebSockets. They are the same
 * clients, in the same world.
 */
import * as Connector from "@persistent-connection/core/Connector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import { type Phase, phaseOf } from "../live/rates.js"
import type { Action, Settings } from "../live/scenario.js"
import { makeClients, perform } from "../live/simulate.js"
import { connectorFor } from "../live/webSocketFeed.js"
import * as World from "../live/world.js"

export interface Fleet {
  /** Performs `offline`, `online` and `close`. */
  readonly act: (action: Action) => void
  readonly stop: () => void
}

/** How many WebSockets open at once, so that the handshakes of hundreds do not delay each other into their timeouts. */
const openings = 32

const nothing = (_: Action): Effect.Effect<void> => Effect.void

/** Runs the clients from this number on. Tells each of their phases. */
export const start = (
  url: string,
  settings: Settings,
  first: number,
  see: (client: number, phase: Phase) => void
): Fleet => {
  let act = nothing
  const fiber = Effect.runFork(Effect.scoped(Effect.gen(function*() {
    const world = yield* World.make({
      url,
      connector: Connector.limitAttempts(
        connectorFor(WebSocketConnector.layerWs(WebSocket)),
        Connector.makeAttemptLimiter(openings)
      ),
      apply: () => Effect.void
    })
    const clients = yield* makeClients(world, settings, first)
    act = (action) => perform(world, clients, action)
    for (const [index, client] of clients.entries()) {
      yield* Effect.forkScoped(
        Stream.runForEach(client.state.changes, (state) => Effect.sync(() => see(first + index, phaseOf(state))))
      )
    }
    yield* Effect.never
  })))
  return {
    act: (action) => Effect.runFork(act(action)),
    stop: () => Effect.runFork(Fiber.interruptFork(fiber))
  }
}
