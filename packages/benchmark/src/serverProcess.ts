import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"

/** The process of a server. */
export interface ServerProcess {
  readonly url: string
  /** The port of silent TCP connections, if the server has one. */
  readonly tcpPort: number | undefined
  /** The next message of the process to its parent. */
  readonly nextMessage: Effect.Effect<unknown>
}

const nextMessage = (child: ChildProcess) =>
  Effect.async<unknown>((resume) => {
    child.once("message", (message) => resume(Effect.succeed(message)))
  })

/** Starts a server; closing the scope ends it. */
export const startServer = (module = "server.js"): Effect.Effect<ServerProcess, never, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => fork(new URL(module, import.meta.url), { execArgv: [] })),
      (child) => Effect.sync(() => child.kill())
    )
    const { port, tcpPort } = (yield* nextMessage(child)) as { readonly port: number; readonly tcpPort?: number }
    return { url: `ws://127.0.0.1:${port}`, tcpPort, nextMessage: nextMessage(child) }
  })
