/** Messages a second and the latency of an echo, for small and large messages. */
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import { type Figure, quantile } from "../measuring.js"
import { inTurns, type Samples } from "./harness/samples.js"
import { barsOf, comparison, ratioFigure, type Section, type Table, us } from "./harness/section.js"
import { full } from "./harness/settings.js"
import { ours, oursAsSocket, oursStreamed, platformSocket } from "./peers/effects.js"
import type { Peer } from "./peers/peer.js"
import { type Direction, directions, loads, talkers, type Task } from "./peers/talkers.js"
import { ws } from "./peers/webSockets.js"
import { noRedis, startServers } from "./peers/world.js"

const rounds = full(3, 2)

/** The peers of the floors. Each runs several times in a round, because single runs differ much. */
const compared = [ws, platformSocket, ours, oursStreamed, oursAsSocket]
const runs = full(3, 1)

/** Starts a peer in a process of its own: it pays for no garbage, and for no optimisation, of another one. */
const startTalker = ({ name }: Peer) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fork(new URL("talker.js", import.meta.url), [name], { execArgv: [] })),
      (child) => Effect.sync(() => child.kill())
    ),
    (child) => (task: Task) =>
      Effect.async<number>((resume) => {
        const onExit = () => resume(Effect.dieMessage(`The process of ${name} has ended`))
        child.once("exit", onExit)
        child.once("message", ({ value }: { readonly value: number }) => {
          child.off("exit", onExit)
          resume(Effect.succeed(value))
        })
        child.send(task)
      })
  )

export const throughput: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const ports = yield* startServers
  const present = talkers.filter(({ server }) => ports[server] !== 0)
  const talking = yield* Effect.forEach(
    present,
    (peer) =>
      Effect.map(
        startTalker(peer),
        (ask) => {
          const measure = (task: Omit<Task, "port">) => ask({ ...task, port: ports[peer.server] })
          const median = (task: Omit<Task, "port">) =>
            Effect.map(Effect.replicateEffect(measure(task), runs), (values) => quantile(values, 0.5))
          return [peer.name, compared.includes(peer) ? median : measure] as const
        }
      )
  )
  const tables: Array<Table> = []
  const figures: Array<Figure> = []
  const small: Record<string, Samples> = {}
  for (const load of loads) {
    for (const [name, { unit }] of Object.entries(directions)) {
      const task = { direction: name as Direction, load }
      const samples = yield* inTurns(rounds, Object.fromEntries(talking.map(([peer, ask]) => [peer, ask(task)])))
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
  const missing = present.length < talkers.length ? [noRedis] : []
  return {
    title: "Throughput and latency",
    text: [
      "One connection to a server in another process, over loopback; each library has a process of its own. " +
      "*Received*: the server writes ready-made frames as fast as the client reads them, and the time ends with the " +
      "last message in the user's callback. *Sent*: the client sends, and the server tells when it has everything; " +
      "at most 4 MB are under way. *Echo*: one message to the server and back, then the next one; the 99th " +
      "percentile of a round. A higher ratio is better for messages a second, and a lower one for an echo. The first " +
      `five rows run ${runs} times in each round, and the median counts.`,
      "Of the rows of this library, the first and the second take the messages from a stream; *Socket* is " +
      "`PersistentSocket`, which calls a function with each message, as platform's `Socket` does. The first eight " +
      "rows exchange the same bytes. The others have protocols of their own, which do more: every message of " +
      "graphql-ws and `@effect/rpc` that is sent is an operation with an answer. Redis works in its own server, and " +
      "every message passes it; the server of `@effect/rpc` encodes each message, so its rows show the server as " +
      "much as the client.",
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
