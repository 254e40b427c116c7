/** The server of the playground, as the page controls it: see `src/world/playgroundServer.ts`. */
import * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import { connectorFor, type FeedError } from "../src/live/webSocketFeed.js"
import type { Server } from "../src/live/world.js"

export interface RealServer extends Server<FeedError> {
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
    control.onmessage = ({ data }: MessageEvent<string>) => {
      if (data === "done") return waiting.shift()?.()
      resolve({
        url: data,
        connector: Connector.limitAttempts(
          connectorFor(Socket.layerWebSocketConstructorGlobal),
          Connector.makeAttemptLimiter(openings)
        ),
        apply: ({ tag, value }) =>
          Effect.promise(() =>
            new Promise<void>((done) => {
              waiting.push(done)
              control.send(value === undefined ? tag : `${tag}:${value}`)
            })
          ),
        close: () => {
          isOurs = true
          control.close()
        }
      })
    }
    control.onclose = () => {
      reject(new Error("The server of the playground does not answer"))
      if (!isOurs) onEnd()
    }
  })
