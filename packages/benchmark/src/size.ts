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

/** The size of a program in kB, without the packages in `external`. */
export const sizeOf = (contents: string, external: Array<string>) =>
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

/** The sizes in kB: of the program's own code, of the whole program, of the one by hand, and their difference. */
export const sizes = Effect.gen(function*() {
  const own = yield* sizeOf(persistent, ["effect", "@effect/platform"])
  const whole = yield* sizeOf(persistent, [])
  const hand = yield* sizeOf(byHand, [])
  return { own, whole, byHand: hand, beyond: whole - hand }
})

export const sizeFigures = ({ beyond, own }: Effect.Effect.Success<typeof sizes>): ReadonlyArray<Figure> => [
  { what: "own code in a program, min+gzip", value: own, unit: "kB", floor: { atMost: 9 } },
  { what: "that program beyond one by hand, min+gzip", value: beyond, unit: "kB", floor: { atMost: 16 } }
]

export const size: Effect.Effect<ReadonlyArray<Figure>> = Effect.map(sizes, sizeFigures)

/** What has a budget, in kB. */
export interface Sizes {
  readonly "own code in a program": number
  readonly "that program beyond one by hand": number
  readonly "all of core": number
  readonly "all of platform, without core": number
  readonly "all of rpc, without core": number
}

const allOf = (name: string) =>
  sizeOf(`export * from "@persistent-connection/${name}"`, [
    "effect",
    "@effect/*",
    ...name === "core" ? [] : ["@persistent-connection/core"]
  ])

export const budgetedSizes: Effect.Effect<Sizes> = Effect.gen(function*() {
  const { beyond, own } = yield* sizes
  return {
    "own code in a program": own,
    "that program beyond one by hand": beyond,
    "all of core": yield* allOf("core"),
    "all of platform, without core": yield* allOf("platform"),
    "all of rpc, without core": yield* allOf("rpc")
  }
})
