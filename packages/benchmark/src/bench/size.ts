/** What a library adds to a program in the browser. */
import * as Effect from "effect/Effect"
import { sizeFigures, sizeOf, sizes } from "../size.js"
import { type Section, us } from "./harness/section.js"

/** The smallest program of each library that opens a WebSocket and sends a message. */
const programs: Readonly<Record<string, string>> = {
  "WebSocket, without a library": `new WebSocket("wss://example.com").onopen = ({ target }) => target.send("hello")`,
  "reconnecting-websocket": `
    import ReconnectingWebSocket from "reconnecting-websocket"
    new ReconnectingWebSocket("wss://example.com").send("hello")
  `,
  partysocket: `
    import { WebSocket } from "partysocket"
    new WebSocket("wss://example.com").send("hello")
  `,
  "websocket-ts": `
    import { ExponentialBackoff, WebsocketBuilder } from "websocket-ts"
    new WebsocketBuilder("wss://example.com").withBackoff(new ExponentialBackoff(1000, 6))
      .onOpen((socket) => socket.send("hello")).build()
  `,
  "graphql-ws": `
    import { createClient } from "graphql-ws"
    createClient({ url: "wss://example.com" }).subscribe({ query: "{ hello }" }, { next() {}, error() {}, complete() {} })
  `,
  phoenix: `
    import { Socket } from "phoenix"
    const socket = new Socket("wss://example.com")
    socket.connect()
    socket.channel("room").join()
  `,
  "socket.io-client": `
    import { io } from "socket.io-client"
    io("https://example.com").emit("hello")
  `
}

export const size: Effect.Effect<Section> = Effect.gen(function*() {
  const measured = yield* sizes
  const { beyond, byHand, own, whole } = measured
  const peers = yield* Effect.forEach(
    Object.entries(programs),
    ([name, program]) => Effect.map(sizeOf(program, []), (value) => ({ name, value }))
  )
  const bars = [
    ...peers,
    { name: "by hand, with Effect", value: byHand },
    { name: `${us}, own code`, value: own },
    { name: `${us}, beyond by hand`, value: beyond },
    { name: `${us}, with Effect`, value: whole }
  ]
  return {
    title: "Size",
    text: [
      "The smallest program that connects and sends, bundled by esbuild for browsers, minified and compressed with " +
      "gzip. *Own code* leaves out `effect` and `@effect/platform`. *Beyond by hand* is what a program of Effect " +
      "grows by, if it uses this library instead of `Effect.retry` around platform's `Socket`.",
      "A page that does not use Effect pays for Effect too, the last row: then a library of a few kB is the better " +
      "choice."
    ],
    figures: sizeFigures(measured),
    tables: [{
      caption: "Programs, min+gzip",
      columns: ["", "kB"],
      rows: bars.map(({ name, value }) => [name, value.toFixed(1)])
    }],
    charts: [{ kind: "bars", file: "bench-size", title: "Size of a small program", unit: "kB, min+gzip", bars }]
  }
})
