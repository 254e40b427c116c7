/** A server as a child process. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"

/** A running server. */
export interface Feed {
  readonly port: number
  /** Kills the process at once, without a close of its connections. Completes when the process has ended. */
  readonly kill: Effect.Effect<void>
}

/**
 * Starts a server on the given port; 0 means a free port. The end of the scope kills it. The program gets the port as
 * its argument, and sends it when it listens.
 */
export const start = (port: number, program = "server.js"): Effect.Effect<Feed, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => fork(fileURLToPath(new URL(program, import.meta.url)), [String(port)])),
    kill
  ).pipe(
    Effect.flatMap((child) => Effect.map(listening(child), (port): Feed => ({ port, kill: kill(child) })))
  )

const listening = (child: ChildProcess): Effect.Effect<number, Error> =>
  Effect.async((resume) => {
    child.once("message", (message: { readonly port: number }) => resume(Effect.succeed(message.port)))
    child.once("error", (error) => resume(Effect.fail(error)))
    child.once("exit", () => resume(Effect.fail(new Error("The server did not start"))))
  })

const kill = (child: ChildProcess): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })
