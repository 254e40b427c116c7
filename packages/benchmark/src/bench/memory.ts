/** The heap of idle connections. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { connected, makeBare, makeWebSocket, webSockets } from "../connections.js"
import { heap, heapOfEach } from "../heap.js"
import { type Bar, type Section, type Table, us } from "./harness/section.js"
import { full, isQuick } from "./harness/settings.js"
import { byPool, byRcRef, byReloadable, platformSocket } from "./peers/effects.js"
import type { Peer } from "./peers/peer.js"
import { reconnectingWebSocket, ws } from "./peers/webSockets.js"
import { noRedis, reconnecting, startServers } from "./peers/world.js"

const many = full(10_000, 500)
const some = full(1_000, 200)

const kept = (peer: Peer, port: number) =>
  Effect.acquireRelease(
    Effect.async<() => unknown>((resume) => {
      const stop = peer.keep(port, { up: () => resume(Effect.sync(() => stop)), down: () => {} }, "default")
    }),
    (stop) => Effect.promise(async () => stop())
  )

/** Connections of this library, as a user makes them; without a fiber for each. */
const own = (port: number) => {
  const url = `ws://127.0.0.1:${port}/ws`
  const probe = { probe: () => Effect.void, interval: "20 seconds", timeout: "5 seconds" } as const
  const checked = Connector.healthCheck(WebSocketConnector.make({ ping: false }), probe)
  return {
    pinged: connected(makeWebSocket(url, WebSocketConnector.make())),
    consumed: Effect.tap(connected(makeWebSocket(url, checked)), (connection) =>
      Effect.forkScoped(Stream.runDrain(
        PersistentConnection.stream(connection, (socket) => socket.messages)
      )))
  }
}

const tableOf = (caption: string, bars: ReadonlyArray<Bar>): Table => ({
  caption,
  columns: ["", "ratio to ws", "kB a connection"],
  rows: bars.map(({ name, value }) => [
    name,
    (value / bars.find((bar) => bar.name === "ws")!.value).toFixed(2),
    value.toFixed(1)
  ])
})

export const memory: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const figures = isQuick ? [] : yield* heap
  const ports = yield* startServers
  const contenders = (count: number, peers: ReadonlyArray<Peer>) => {
    const { consumed, pinged } = own(ports.messages)
    return Effect.gen(function*() {
      const bars: Array<Bar> = []
      for (const peer of peers.filter(({ server }) => ports[server] !== 0)) {
        const measured = peer.name === us
          ? heapOfEach(count, pinged)
          : heapOfEach(count, kept(peer, ports[peer.server]))
        bars.push({ name: peer.name, value: yield* measured })
        if (peer.name === us) {
          bars.push({ name: `${us}, checked, streamed`, value: yield* heapOfEach(count, consumed) })
        }
      }
      return bars
    })
  }
  const [ours, ...others] = reconnecting
  const thousand = yield* contenders(some, [
    ws,
    ours!,
    platformSocket,
    byRcRef,
    byPool,
    byReloadable,
    ...others
  ])
  const tenThousand = yield* contenders(many, [ws, ours!, reconnectingWebSocket])
  const bare = yield* Effect.forEach([some, many], (count) => heapOfEach(count, connected(makeBare)))
  const section: Section = {
    title: "Memory",
    text: [
      "The heap of V8 that a client keeps for an idle connection: the growth over many connections, after garbage " +
      "collection, divided by their number. Buffers outside of the heap and the memory of the kernel are not " +
      "counted. A connection of `ws` is in every row but those of Redis. Ours pings the server; *checked, streamed* " +
      "has a health check and a running consumer of `stream`. The small libraries around a WebSocket keep less: " +
      "they have no pings, no deadlines and no consumers that outlive a connection. The clients of Redis have a " +
      "connection to another server.",
      `While ${many.toLocaleString("en-US")} connections open, the first of them are pinged, after at most 7 s of ` +
      "silence. A ping takes a fiber until it is answered. So ours keeps more in the second table.",
      `Without a transport, a persistent connection of ${some.toLocaleString("en-US")} keeps ${
        bare[0]!.toFixed(1)
      } kB, and one of ${many.toLocaleString("en-US")} keeps ${bare[1]!.toFixed(1)} kB.`,
      ...(ports.redis === 0 ? [noRedis] : [])
    ],
    figures,
    tables: [
      tableOf(`${some.toLocaleString("en-US")} connections`, thousand),
      tableOf(`${many.toLocaleString("en-US")} connections`, tenThousand)
    ],
    charts: [{ kind: "bars", file: "bench-memory", title: "Heap of an idle connection", unit: "kB", bars: thousand }]
  }
  return section
})).pipe(Effect.provide(webSockets), Effect.orDie)
