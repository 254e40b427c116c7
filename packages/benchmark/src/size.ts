/** The size of a program in the browser, minified and compressed. */
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { promisify } from "node:util"
import { gzip } from "node:zlib"
import type { Figure } from "./measuring.js"

/** A program with `layer`, `connected` and a WebSocket. */
const persistent = `
  import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
  import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
  import { layerWebSocketConstructorGlobal } from "@effect/platform/Socket"
  import * as Context from "effect/Context"
  import * as Effect from "effect/Effect"
  import * as Layer from "effect/Layer"

  class Feed extends Context.Tag("Feed")() {}
  const feed = PersistentConnection.layer(Feed, {
    serverName: "feed",
    address: Effect.succeed("wss://example.com"),
    connector: WebSocketConnector.make()
  })
  const program = Effect.flatMap(Feed, (feed) => Effect.flatMap(feed.connected, ({ send }) => send("hello")))
  Effect.runFork(Effect.provide(program, Layer.provide(feed, layerWebSocketConstructorGlobal)))
`

/** The same by hand, over platform's socket. */
const byHand = `
  import { layerWebSocketConstructorGlobal, makeWebSocket } from "@effect/platform/Socket"
  import * as Effect from "effect/Effect"
  import * as Schedule from "effect/Schedule"

  const socket = makeWebSocket("wss://example.com")
  const program = Effect.scoped(Effect.flatMap(socket, (socket) => socket.runRaw(() => {})))
  const retried = Effect.retry(program, Schedule.exponential("1 second"))
  Effect.runFork(Effect.provide(retried, layerWebSocketConstructorGlobal))
`

const sizeOf = (contents: string, external: Array<string>) =>
  Effect.promise(async () => {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: import.meta.dirname },
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      write: false,
      external
    })
    return (await promisify(gzip)(outputFiles[0]!.contents, { level: 9 })).length / 1_000
  })

export const size: Effect.Effect<ReadonlyArray<Figure>> = Effect.gen(function*() {
  const own = yield* sizeOf(persistent, ["effect", "@effect/platform"])
  const beyond = (yield* sizeOf(persistent, [])) - (yield* sizeOf(byHand, []))
  return [
    { what: "own code in a program, min+gzip", value: own, unit: "kB", floor: { atMost: 9 } },
    { what: "that program beyond one by hand, min+gzip", value: beyond, unit: "kB", floor: { atMost: 16 } }
  ]
})
