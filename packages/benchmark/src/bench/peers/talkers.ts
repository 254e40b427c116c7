/** What the peers do in the benchmark of throughput. */
import { quantile } from "../../measuring.js"
import { full } from "../harness/settings.js"
import { ours, oursAsSocket, oursStreamed, platformSocket } from "./effects.js"
import type { Client, Peer } from "./peer.js"
import { protocolPeers } from "./protocols.js"
import { redisPeers } from "./redis.js"
import { effectRpc, oursRpc } from "./rpc.js"
import { webSocketPeers, ws } from "./webSockets.js"

export const talkers: ReadonlyArray<Peer> = [
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

export interface Load {
  readonly name: string
  readonly size: number
  readonly received: number
  readonly sent: number
  readonly echoes: number
}

export const loads: ReadonlyArray<Load> = [
  { name: "64 kB", size: 65_536, received: full(1_000, 200), sent: full(1_000, 200), echoes: full(300, 50) },
  { name: "40 B", size: 40, received: full(100_000, 10_000), sent: full(20_000, 4_000), echoes: full(1_500, 200) }
]

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

export const directions = {
  received: { unit: "messages a second", measure: receive },
  sent: { unit: "messages a second", measure: send },
  "p99 of an echo": { unit: "µs", measure: p99 }
}

export type Direction = keyof typeof directions

/** A request to the process of a peer. It answers with the value. */
export interface Task {
  readonly direction: Direction
  readonly load: Load
  readonly port: number
}
