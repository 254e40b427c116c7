/** Many clients of each library, all at the same time, behind the proxy. */
import * as Effect from "effect/Effect"
import type { Peer } from "./peer.js"
import { type Proxied, reconnecting, startProxy, startServers } from "./world.js"

export interface Crowd {
  readonly peer: Peer
  readonly proxied: Proxied
  /** Per client, the times in ms at which it reported a connection, and a loss. */
  readonly ups: ReadonlyArray<Array<number>>
  readonly downs: ReadonlyArray<Array<number>>
}

/** Starts `count` clients of each library with its default delays. */
export const startCrowds = (count: number, peers: ReadonlyArray<Peer> = reconnecting) =>
  Effect.gen(function*() {
    const ports = yield* startServers
    const openProxy = yield* startProxy
    const crowds: Array<Crowd> = []
    for (const peer of peers.filter(({ server }) => ports[server] !== 0)) {
      const proxied = yield* openProxy(ports[peer.server])
      const ups = Array.from({ length: count }, (): Array<number> => [])
      const downs = Array.from({ length: count }, (): Array<number> => [])
      for (let client = 0; client < count; client++) {
        yield* Effect.acquireRelease(
          Effect.sync(() =>
            peer.keep(proxied.port, {
              up: () => ups[client]!.push(performance.now()),
              down: () => downs[client]!.push(performance.now())
            }, "default")
          ),
          (stop) => Effect.sync(() => void stop())
        )
        // Not all at once: the opening is not measured.
        if (client % 20 === 19) yield* Effect.sleep("20 millis")
      }
      crowds.push({ peer, proxied, ups, downs })
    }
    return { crowds, redisIsMissing: ports.redis === 0 }
  })

/** Waits until every client is connected, for 20 s at most. */
export const allUp = ({ ups }: Crowd): Effect.Effect<void> =>
  Effect.iterate(0, {
    while: (tries) => tries < 200 && ups.some((times) => times.length === 0),
    body: (tries) => Effect.as(Effect.sleep("100 millis"), tries + 1)
  })
