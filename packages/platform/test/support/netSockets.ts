import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import type * as Net from "node:net"
import { Worker } from "node:worker_threads"
import { turn, until } from "./servers.js"

/** The client sockets that this process opens from now on. */
export const netSockets: Effect.Effect<ReadonlyArray<Net.Socket>, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const sockets: Array<Net.Socket> = []
      const listener = (message: unknown) => {
        sockets.push((message as { readonly socket: Net.Socket }).socket)
      }
      DiagnosticsChannel.subscribe("net.client.socket", listener)
      return { sockets, listener }
    }),
    ({ listener }) => Effect.sync(() => DiagnosticsChannel.unsubscribe("net.client.socket", listener))
  ),
  ({ sockets }) => sockets
)

/** Waits until all sockets have emitted `close`, and checks that only Node's own listeners are left. */
export const nothingLeft = (sockets: ReadonlyArray<Net.Socket>): Effect.Effect<void> =>
  Effect.map(Effect.zipRight(until(() => sockets.every((socket) => socket.closed)), turn), () => {
    for (const socket of sockets) {
      for (const event of ["data", "drain", "error", "close"]) {
        assert.strictEqual(socket.listenerCount(event), 0, event)
      }
    }
  })

/** A port that does not answer: its backlog is full, and the server does not accept. */
export const silentPort: Effect.Effect<number, never, Scope.Scope> = Effect.gen(function*() {
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(silentServer, { eval: true })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  return yield* Effect.async<number>((resume) => {
    worker.once("message", (port: number) => resume(Effect.succeed(port)))
  })
})

const silentServer = `
  const net = require("node:net")
  const { parentPort } = require("node:worker_threads")
  const server = net.createServer()
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    const { port } = server.address()
    for (let index = 0; index < 8; index++) net.connect(port, "127.0.0.1").on("error", () => {})
    setImmediate(() => {
      parentPort.postMessage(port)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })
  })
`
