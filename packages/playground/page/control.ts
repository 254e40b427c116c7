/** The server of the playground, as the page controls it: see `src/world/playgroundServer.ts`. */
import * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import type { Phase } from "../src/live/rates.js"
import type { Action, Settings } from "../src/live/scenario.js"
import { encode } from "../src/live/scenarioText.js"
import { connectorFor, type FeedError } from "../src/live/webSocketFeed.js"
import type { Server } from "../src/live/world.js"

/** Clients that run elsewhere. */
export interface Fleet {
  /** Begins, and tells each of their phases. */
  readonly start: (settings: Settings, see: (client: number, phase: Phase) => void) => void
  /** Performs `offline`, `online` and `close`. */
  readonly act: (action: Action) => void
}

export interface RealServer extends Server<FeedError>, Fleet {
  readonly close: () => void
}

/** How many WebSockets open at once. Chromium delays each by seconds if it has more than a dozen to open. */
const openings = 8

/** Asks for a world of our own. It lives until `close`. `onEnd` is called if the server ends it before. */
export const openWorld = (onEnd: () => void): Promise<RealServer> =>
  new Promise((resolve, reject) => {
    const control = new WebSocket(new URL("control", location.href.replace(/^http/, "ws")))
    const waiting: Array<() => void> = []
    let isOurs = false
    let seePhase: ((client: number, phase: Phase) => void) | undefined
    const perform = ({ tag, value }: Action) =>
      new Promise<void>((done) => {
        waiting.push(done)
        control.send(value === undefined ? tag : `${tag}:${value}`)
      })
    control.addEventListener("message", ({ data }: MessageEvent<string>) => {
      if (data === "done") return waiting.shift()?.()
      if (data.startsWith("[")) {
        for (const [client, tag, since, nextAttemptAt] of JSON.parse(data)) {
          seePhase?.(client, { tag, since, nextAttemptAt: nextAttemptAt ?? Infinity })
        }
        return
      }
      resolve({
        url: data,
        connector: Connector.limitAttempts(
          connectorFor(Socket.layerWebSocketConstructorGlobal),
          Connector.makeAttemptLimiter(openings)
        ),
        apply: (action) => Effect.promise(() => perform(action)),
        start: (settings, see) => {
          seePhase = see
          control.send(`fleet:${encode({ settings, steps: [], until: 0 })}`)
        },
        act: (action) => void perform(action),
        close: () => {
          isOurs = true
          control.close()
        }
      })
    })
    control.addEventListener("close", () => {
      reject(new Error("The server of the playground does not answer"))
      if (!isOurs) onEnd()
    })
  })
