/** The time from the end of a connection until the server sees the next one. */
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import { WebSocket } from "ws"
import { makeWebSocket, webSockets } from "./connections.js"
import { type Figure, quantile, sideBySide } from "./measuring.js"
import { startServer } from "./serverProcess.js"

const kicks = 300

/** A program without this library: it opens a socket, waits for its close, and begins again. */
const bareLoop = (url: string) =>
  Effect.forever(Effect.scoped(Effect.gen(function*() {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(url)),
      (socket) => Effect.sync(() => socket.terminate())
    )
    yield* Effect.async<void>((resume) => {
      socket.on("error", () => {})
      socket.on("close", () => resume(Effect.void))
    })
  })))

export const reconnect: Effect.Effect<ReadonlyArray<Figure>> = Effect.scoped(Effect.gen(function*() {
  const server = yield* startServer()
  const url = `${server.url}/kicked/${kicks}`
  const timesOf = <E, R>(client: Effect.Effect<unknown, E, R>) =>
    Effect.map(
      Effect.raceFirst(server.nextMessage, Effect.scoped(Effect.zipRight(client, Effect.never))),
      (message) => (message as { readonly times: ReadonlyArray<number> }).times
    )
  const results = yield* sideBySide(
    6,
    timesOf(bareLoop(url)),
    timesOf(makeWebSocket(url, WebSocketConnector.make()))
  )
  const at = (part: number) => quantile(results.subject.flat(), part) / quantile(results.baseline.flat(), part)
  const unit = "x a bare Effect loop over ws"
  return [
    { what: "from a kick to the next connection, p50", value: at(0.5), unit, floor: { atMost: 1.25 } },
    { what: "from a kick to the next connection, p99", value: at(0.99), unit, floor: { atMost: 1.5 } }
  ]
})).pipe(Effect.provide(webSockets))
