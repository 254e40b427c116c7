/** Private servers of Debian's packages, on a free port, in a scratch folder. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

export class NotInstalled extends Data.TaggedError("NotInstalled")<{
  readonly program: string
  readonly debianPackage: string
}> {
  override get message() {
    return `${this.program} is not installed. On Debian: apt-get install ${this.debianPackage}`
  }
}

export class ServerFailed extends Data.TaggedError("ServerFailed")<{ readonly message: string }> {}

export const password = "a secret"

/** The path of a program; undefined if it is not installed. */
export const find = (program: "postgres" | "redis-server"): string | undefined => {
  const debian = "/usr/lib/postgresql"
  const versions = Fs.existsSync(debian) ? Fs.readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  return [...versions.map((version) => join(debian, version, "bin")), ...(process.env["PATH"] ?? "").split(delimiter)]
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        Fs.accessSync(path, Fs.constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

const freePort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as { readonly port: number }
    server.close(() => resume(Effect.succeed(port)))
  })
})

const postgresId = (option: "-u" | "-g") => Number(execFileSync("id", [option, "postgres"], { encoding: "utf8" }))

/** Postgres refuses to run as root. */
const user = (): { readonly uid?: number; readonly gid?: number } =>
  process.getuid?.() === 0 ? { uid: postgresId("-u"), gid: postgresId("-g") } : {}

const folder = (owner: ReturnType<typeof user>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = Fs.mkdtempSync(join(tmpdir(), "persistent-connection-"))
      if (owner.uid !== undefined && owner.gid !== undefined) Fs.chownSync(path, owner.uid, owner.gid)
      return path
    }),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }))
  )

/** The processes that a process has started. */
const childrenOf = (pid: number): ReadonlyArray<number> => {
  const file = `/proc/${pid}/task/${pid}/children`
  return Fs.existsSync(file) ? Fs.readFileSync(file, "utf8").split(" ").filter(Boolean).map(Number) : []
}

const make = (options: {
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly port: number
  /** What the server prints when it is ready. */
  readonly ready: string
  readonly owner: ReturnType<typeof user>
  readonly cwd: string
}) =>
  Effect.gen(function*() {
    let child: ChildProcess | undefined
    const isRunning = () => child?.exitCode === null && child.signalCode === null
    // Postgres has a process for each connection, which also gets the signal.
    const signal = (signal: NodeJS.Signals) => {
      const pid = child?.pid
      if (pid === undefined || !isRunning()) return
      for (const each of [pid, ...childrenOf(pid)]) {
        try {
          process.kill(each, signal)
        } catch {
          // It has ended meanwhile.
        }
      }
    }
    const onExit = () => signal("SIGKILL")
    process.on("exit", onExit)

    /** Completes when the server is ready. */
    const start = Effect.async<void, ServerFailed>((resume) => {
      const { args, cwd, owner, program, ready } = options
      const started = child = spawn(program, args, { ...owner, cwd, stdio: ["ignore", "pipe", "pipe"] })
      let output = ""
      const read = (text: unknown) => {
        output = (output + String(text)).slice(-4_000)
        if (output.includes(ready)) resume(Effect.void)
      }
      started.stdout.on("data", read)
      started.stderr.on("data", read)
      started.once("error", ({ message }) => resume(Effect.fail(new ServerFailed({ message }))))
      started.once("exit", () => resume(Effect.fail(new ServerFailed({ message: output }))))
    }).pipe(
      // A server that was killed may still hold its memory for a moment, and then the next one does not start.
      Effect.retry(Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(50)))
    )
    /** Kills the server. Completes when it has ended. */
    const kill = Effect.async<void>((resume) => {
      if (!isRunning()) return resume(Effect.void)
      child?.once("exit", () => resume(Effect.void))
      signal("SIGKILL")
    })
    yield* Effect.addFinalizer(() => Effect.zipRight(kill, Effect.sync(() => process.off("exit", onExit))))
    yield* start
    return {
      port: options.port,
      start,
      kill,
      /** Stops the server without an end of its connections: it is half-open. */
      freeze: Effect.sync(() => signal("SIGSTOP")),
      thaw: Effect.sync(() => signal("SIGCONT"))
    }
  })

export type PrivateServer = Effect.Effect.Success<ReturnType<typeof make>>

/** Postgres with the user `app`, who has all rights. */
export const postgres = Effect.gen(function*() {
  const program = find("postgres")
  if (program === undefined) return yield* new NotInstalled({ program: "postgres", debianPackage: "postgresql" })
  const owner = user()
  const cwd = yield* folder(owner)
  const port = yield* freePort
  yield* Effect.try({
    try: () => {
      Fs.writeFileSync(join(cwd, "password"), password)
      const options = "-D data -U app -A scram-sha-256 --pwfile=password -E UTF8 --no-locale --no-sync"
      execFileSync(join(program, "../initdb"), options.split(" "), { ...owner, cwd, stdio: "pipe" })
    },
    catch: (error) => new ServerFailed({ message: String(error) })
  })
  // Without fsync a machine that crashes loses data, but not a process that is killed.
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
  return yield* make({
    program,
    args: ["-D", "data", ...settings.flatMap((setting) => ["-c", setting])],
    port,
    ready: "ready to accept connections",
    owner,
    cwd
  })
})

/** Redis that writes every command to a file before it answers. */
export const redis = Effect.gen(function*() {
  const program = find("redis-server")
  if (program === undefined) return yield* new NotInstalled({ program: "redis-server", debianPackage: "redis-server" })
  const cwd = yield* folder({})
  const port = yield* freePort
  return yield* make({
    program,
    args: ["--port", `${port}`, "--bind", "127.0.0.1", "--appendonly", "yes", "--save", "", "--requirepass", password],
    port,
    ready: "Ready to accept connections",
    owner: {},
    cwd
  })
})
