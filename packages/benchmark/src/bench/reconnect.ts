/** The time from the end of a connection until the next one can be used, when nothing is waited for. */
import * as Effect from "effect/Effect"
import { type Figure, quantile } from "../measuring.js"
import { orderOf } from "./harness/samples.js"
import { type Bar, type Section, short, us } from "./harness/section.js"
import { full } from "./harness/settings.js"
import { byPool, byRcRef, byReloadable } from "./peers/effects.js"
import { ignore, type Peer } from "./peers/peer.js"
import { wsLoop } from "./peers/webSockets.js"
import { noRedis, type Proxied, reconnecting, startProxy, startServers } from "./peers/world.js"

const rounds = full(6, 2)
const kicks = full(50, 10)
const [ours, byRetry, ...others] = reconnecting
const peers = [wsLoop, byRetry!, byRcRef, byPool, byReloadable, ours!, ...others]
/** A program with Effect, and one without any library. */
const baselines = [byRetry!.name, wsLoop.name]

/** The times of all kicks of one connection, in ms. */
const timesOf = (peer: Peer, proxied: Proxied) =>
  Effect.gen(function*() {
    let isUp: (time: number) => void = ignore
    const nextUp = Effect.async<number>((resume) => {
      isUp = (time) => resume(Effect.succeed(time))
    })
    const first = yield* Effect.fork(nextUp)
    yield* Effect.yieldNow()
    const stop = peer.keep(
      proxied.port,
      { up: () => isUp(performance.now()), down: ignore },
      "fast"
    )
    yield* first.await
    const times: Array<number> = []
    for (let kick = 0; kick < kicks; kick++) {
      // The connection is idle.
      yield* Effect.sleep("5 millis")
      const up = yield* Effect.fork(nextUp)
      yield* Effect.yieldNow()
      const begun = performance.now()
      yield* Effect.fork(proxied.kick)
      times.push((yield* up) - begun)
    }
    yield* Effect.promise(async () => stop())
    return times
  })

export const reconnect: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const ports = yield* startServers
  const openProxy = yield* startProxy
  const present = peers.filter(({ server }) => ports[server] !== 0)
  const times: Record<string, Array<number>> = {}
  for (const { name } of present) times[name] = []
  for (let round = 0; round <= rounds; round++) {
    for (const peer of orderOf(present, round)) {
      const measured = yield* timesOf(peer, yield* openProxy(ports[peer.server]))
      if (round > 0) times[peer.name]!.push(...measured)
    }
  }
  const at = (name: string, part: number) => quantile(times[name]!, part)
  const ratio = (name: string, baseline: string, part: number) => at(name, part) / at(baseline, part)
  const unit = `x ${byRetry!.name}`
  const figures: ReadonlyArray<Figure> = [
    { what: "p50", value: ratio(us, byRetry!.name, 0.5), unit, floor: { atMost: 1.25 } },
    { what: "p99", value: ratio(us, byRetry!.name, 0.99), unit, floor: { atMost: 1.5 } }
  ]
  const bars = present.map(({ name }): Bar => ({
    name,
    value: at(name, 0.5),
    low: at(name, 0.25),
    high: at(name, 0.75)
  }))
  return {
    title: "Reconnecting at once",
    text: [
      "A proxy between client and server ends the connection. The time goes from the request to the proxy until the " +
      "client has a connection that it can use: an open WebSocket, an acknowledged graphql-ws connection, a joined " +
      "Phoenix channel, a Redis client that is ready. All delays are set to 0 (socket.io: 1 ms, its least), so this " +
      "is what a library adds to an attempt. Every connection passes the proxy, which all have in common.",
      "In production you do not want this: see *Herd* for the delays that the libraries have by default. " +
      "partysocket and reconnecting-websocket wait for a timer of 0 ms, socket.io for two round trips more, Phoenix " +
      "for its join.",
      ...(ports.redis === 0 ? [noRedis] : [])
    ],
    figures,
    tables: [{
      caption: `From a kick to a connection that can be used, ${rounds * kicks} kicks`,
      columns: ["", ...baselines.map((name) => `p50, ratio to ${name}`), "p50, ms", "quartiles", "p99, ms"],
      rows: present.map(({ name }) => [
        name,
        ...baselines.map((baseline) => short(ratio(name, baseline, 0.5))),
        short(at(name, 0.5)),
        `${short(at(name, 0.25))} – ${short(at(name, 0.75))}`,
        short(at(name, 0.99))
      ])
    }],
    charts: [{
      kind: "bars",
      file: "bench-reconnect",
      title: "From a kick to a connection that can be used",
      unit: "ms",
      bars
    }]
  }
}))
