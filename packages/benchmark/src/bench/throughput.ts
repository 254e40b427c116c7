/** Messages a second and the latency of an echo, for small and large messages. */
import * as Effect from "effect/Effect"
import type { Figure } from "../measuring.js"
import { quantile } from "../measuring.js"
import { inTurns, type Samples } from "./harness/samples.js"
import { barsOf, comparison, ratioFigure, type Section, type Table, us } from "./harness/section.js"
import { full } from "./harness/settings.js"
import { ours, oursAsSocket, oursStreamed, platformSocket } from "./peers/effects.js"
import type { Client, Peer } from "./peers/peer.js"
import { protocolPeers } from "./peers/protocols.js"
import { redisPeers } from "./peers/redis.js"
import { effectRpc, oursRpc } from "./peers/rpc.js"
import { webSocketPeers, ws } from "./peers/webSockets.js"
import { noRedis, startServers } from "./peers/world.js"

const peers: ReadonlyArray<Peer> = [
  ws,
  platformSocket,
  ours,
  oursStreamed,
  oursAsSocket,
  ...webSocketPeers,
  ...protocolPeers,
  effectRpc,
  oursRpc,
  ...redisPeers
]

interface Load {
  readonly name: string
  readonly size: number
  readonly received: number
  readonly sent: number
  readonly echoes: number
}

const loads: ReadonlyArray<Load> = [
  { name: "64 kB", size: 65_536, received: full(1_000, 200), sent: full(1_000, 200), echoes: full(300, 50) },
  { name: "40 B", size: 40, received: full(100_000, 10_000), sent: full(20_000, 4_000), echoes: full(1_500, 200) }
]

const rounds = full(3, 2)

type Measure = (client: Client, load: Load) => Promise<number>

const perSecond = async (count: number, all: Promise<unknown>, begun = performance.now()): Promise<number> => {
  await all
  return count * 1_000 / (performance.now() - begun)
}

const receive: Measure = (client, { received, size }) => perSecond(received, client.receive(received, size))
const send: Measure = (client, { sent, size }) => perSecond(sent, client.send(sent, "x".repeat(size)))

const echoTimes = async (client: Client, { echoes, size }: Load): Promise<ReadonlyArray<number>> => {
  const text = "x".repeat(size)
  const times: Array<number> = []
  for (let i = 0; i < echoes; i++) {
    const begun = performance.now()
    await client.echo(text)
    times.push((performance.now() - begun) * 1_000)
  }
  return times
}

const p99: Measure = async (client, load) => quantile(await echoTimes(client, load), 0.99)

const directions: ReadonlyArray<readonly [name: string, unit: string, measure: Measure]> = [
  ["received", "messages a second", receive],
  ["sent", "messages a second", send],
  ["p99 of an echo", "µs", p99]
]

export const throughput: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const ports = yield* startServers
  const present = peers.filter(({ server }) => ports[server] !== 0)
  const tables: Array<Table> = []
  const figures: Array<Figure> = []
  const small: Record<string, Samples> = {}
  for (const load of loads) {
    for (const [name, unit, measure] of directions) {
      const samples = yield* inTurns(
        rounds,
        Object.fromEntries(present.map((peer) => [
          peer.name,
          Effect.promise(async () => {
            const client = await peer.talk(ports[peer.server])
            const value = await measure(client, load)
            await client.close()
            return value
          })
        ]))
      )
      if (load.size === 40) small[name] = samples
      tables.push(comparison(`${load.name}, ${name}`, samples, "ws", unit))
      const isLatency = unit === "µs"
      for (const { name: subject } of [ours, oursAsSocket]) {
        const what = `${load.name}, ${name}${subject === us ? "" : ", as a Socket"}`
        figures.push(
          ratioFigure(what, samples, subject, platformSocket.name, isLatency ? { atMost: 1 } : { atLeast: 1 }),
          ratioFigure(what, samples, subject, ws.name, isLatency ? { atMost: 1.25 } : { atLeast: 0.8 })
        )
      }
    }
  }
  const missing = present.length < peers.length ? [noRedis] : []
  return {
    title: "Throughput and latency",
    text: [
      "One connection to a server in another process, over loopback. *Received*: the server writes ready-made frames as " +
      "fast as the client reads them, and the time ends with the last message in the user's callback. *Sent*: the client " +
      "sends, and the server tells when it has everything; at most 4 MB are under way. *Echo*: one message to the " +
      "server and back, then the next one; the 99th percentile of a round. A higher ratio is better for messages a " +
      "second, and a lower one for an echo.",
      "Of the rows of this library, the first and the second take the messages from a stream; *Socket* is " +
      "`PersistentSocket`, which calls a function with each message, as platform's `Socket` does. The first eight rows " +
      "exchange the same bytes. The others have protocols of their own, which do more: every " +
      "message of graphql-ws and `@effect/rpc` that is sent is an operation with an answer. Redis works in its own " +
      "server, and every message passes it; the server of `@effect/rpc` encodes each message, so its rows show the " +
      "server as much as the client.",
      ...missing
    ],
    figures,
    tables,
    charts: [
      barsOf(
        "bench-received",
        "Small messages received by one client",
        "messages of 40 bytes a second",
        small["received"]!
      ),
      barsOf("bench-echo", "The slowest 1 % of echoes begins at", "µs, messages of 40 bytes", small["p99 of an echo"]!)
    ]
  }
}))
