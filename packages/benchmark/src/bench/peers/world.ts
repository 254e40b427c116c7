/** The servers, the proxy, and which peer talks to which. */
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import type { Mode, ProxyRequest } from "../servers/proxy.js"
import { byRetry, ours } from "./effects.js"
import type { Peer } from "./peer.js"
import { protocolPeers } from "./protocols.js"
import { redisPeers } from "./redis.js"
import { effectRpc, oursRpc } from "./rpc.js"
import { webSocketPeers } from "./webSockets.js"

const modules: Record<Peer["server"], string> = {
  messages: "messageServer.js",
  rpc: "rpcFloodServer.js",
  redis: "redisServer.js"
}

const startProcess = (module: string) =>
  Effect.acquireRelease(
    Effect.sync(() => fork(new URL(`../servers/${module}`, import.meta.url), { execArgv: [] })),
    (child) => Effect.sync(() => child.kill())
  )

/** Starts the servers in processes of their own; gives their ports. The port of Redis is 0 if it is not installed. */
export const startServers = Effect.gen(function*() {
  const ports: Partial<Record<Peer["server"], number>> = {}
  for (const [name, module] of Object.entries(modules)) {
    const child = yield* startProcess(module)
    const { port } = yield* Effect.async<{ readonly port: number }>((resume) => {
      child.once("message", (message) => resume(Effect.succeed(message as { readonly port: number })))
    })
    ports[name as Peer["server"]] = port
  }
  return ports as Record<Peer["server"], number>
})

export const noRedis = "ioredis and redis are missing: there is no `redis-server` on this machine."

/** All libraries that reconnect by themselves. */
export const reconnecting: ReadonlyArray<Peer> = [
  ours,
  byRetry,
  ...webSocketPeers,
  ...protocolPeers,
  effectRpc,
  oursRpc,
  ...redisPeers
]

export interface Proxied {
  readonly port: number
  readonly set: (mode: Mode) => Effect.Effect<void>
  readonly kick: Effect.Effect<void>
  /** The times of the arrivals since the last kick, in ms. */
  readonly arrivals: Effect.Effect<ReadonlyArray<number>>
}

type WithoutId<R> = R extends unknown ? Omit<R, "id"> : never

/** Starts a proxy process. The result opens a port in front of a server. */
export const startProxy = Effect.gen(function*() {
  const child = yield* startProcess("proxy.js")
  yield* Effect.async<void>((resume) => {
    child.once("message", () => resume(Effect.void))
  })
  const waiting = new Map<number, (value: unknown) => void>()
  child.on("message", ({ id, value }: { readonly id: number; readonly value: unknown }) => {
    waiting.get(id)?.(value)
    waiting.delete(id)
  })
  let last = 0
  const ask = (request: WithoutId<ProxyRequest>) =>
    Effect.async<unknown>((resume) => {
      const id = ++last
      waiting.set(id, (value) => resume(Effect.succeed(value)))
      child.send({ ...request, id })
    })
  return (target: number): Effect.Effect<Proxied> =>
    Effect.map(ask({ do: "open", target }), (answer) => {
      const port = answer as number
      return {
        port,
        set: (mode) => Effect.asVoid(ask({ do: "set", port, mode })),
        kick: Effect.asVoid(ask({ do: "kick", port })),
        arrivals: Effect.map(ask({ do: "arrivals", port }), (times) => times as ReadonlyArray<number>)
      }
    })
})
