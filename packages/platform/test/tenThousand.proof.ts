/** Ten thousand real WebSocket connections in one process. Their server is killed with `kill -9` and restarted. */
import { assert, it } from "@effect/vitest"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ChildProcess, execFileSync, fork } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { WebSocket } from "ws"
import { cases, isLong, measured, SeededRandom } from "./support/proof.js"
import { until } from "./support/servers.js"

const program = fileURLToPath(new URL("support/resumeServer.mjs", import.meta.url))

/** The server process, which the test starts, controls and kills. */
class Server {
  published = 0
  port = 0
  private child: ChildProcess | undefined

  readonly start: Effect.Effect<void> = Effect.async<void>((resume) => {
    const child = this.child = fork(program, [String(this.port), String(this.published)], { execArgv: [] })
    child.once("message", (port) => {
      this.port = Number(port)
      resume(Effect.void)
    })
  })

  publish(count: number): void {
    this.published += count
    this.child?.send(this.published, () => {})
  }

  readonly kill: Effect.Effect<void> = Effect.async<void>((resume) => {
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })
}

/** The received numbers of one client. */
interface Client {
  received: number
  /** A number that was received twice or out of order. */
  wrong: string | undefined
}

/** The number of connections that this machine allows in one process, and the reason if it is less than wanted. */
const connections = (wanted: number): { readonly total: number; readonly why: string } => {
  const files = Number(execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }))
  const range = "/proc/sys/net/ipv4/ip_local_port_range"
  const [first = 0, last = Infinity] = existsSync(range) ? readFileSync(range, "utf8").split(/\s+/).map(Number) : []
  // Some files are open in any case. After a kill, some ports still belong to the old connections.
  const limits = [
    { total: wanted, why: "" },
    ...Number.isNaN(files) ? [] : [{ total: files - 500, why: ` (limit: ${files} open files per process)` }],
    { total: Math.floor((last - first) / 2), why: ` (limit: ${last - first} local ports)` }
  ]
  return limits.reduce((least, limit) => limit.total < least.total ? limit : least)
}

const policy = isLong
  ? RetryPolicy.production
  : {
    retry: RetryPolicy.exponential({ base: "50 millis", maxDelay: "200 millis" }),
    reconnectJitter: "100 millis"
  } as const

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const heapUsed = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`

it.live("after kill -9 of the server, ten thousand connections reconnect, and every client gets every number once and in order", () =>
  Effect.gen(function*() {
    const began = performance.now()
    const random = new SeededRandom(6)
    const { total, why } = connections(cases(100, 10_000))
    const before = heapUsed()
    const server = yield* Effect.acquireRelease(Effect.sync(() => new Server()), (server) => server.kill)
    yield* server.start
    const clients: Array<Client> = Array.from({ length: total }, () => ({ received: 0, wrong: undefined }))
    let established = 0
    // Closes the map before the scopes of its users, so that its connections close together.
    const users = yield* Scope.make()
    const scope = yield* Scope.make()
    const map = yield* ConnectionMap.make({
      options: (key: number) => ({
        serverName: `client ${key}`,
        address: Effect.sync(() => `ws://127.0.0.1:${server.port}`),
        connector: WebSocketConnector.make(),
        ...policy,
        onEvent: ({ _tag }) => Effect.sync(() => void (established += _tag === "Connected" ? 1 : 0))
      }),
      maxConcurrentConnects: 500
    }).pipe(Scope.extend(scope), Effect.provide(WebSocketConnector.layerWs(WebSocket)))

    const follow = (client: Client, key: number) =>
      Effect.gen(function*() {
        const connection = yield* ConnectionMap.get(map, key)
        yield* PersistentConnection.resumableStream(connection, {
          subscribe: ({ messages, send }, cursor: Option.Option<number>) =>
            Effect.as(send(String(Option.getOrElse(cursor, () => 0))), Stream.map(messages, Number)),
          cursor: (number) => number,
          whenRefused: "reconnect"
        }).pipe(
          Stream.runForEach((element) =>
            Effect.sync(() => {
              if (element._tag === "Gap") return
              if (element.value !== client.received + 1) client.wrong ??= `${element.value} after ${client.received}`
              client.received = element.value
            })
          )
        )
      }).pipe(Effect.scoped, Effect.forkIn(users))
    const allHaveAll = Effect.suspend(() => until(() => clients.every(({ received }) => received >= server.published)))

    server.publish(1)
    yield* Effect.forEach(clients, follow, { discard: true })
    yield* allHaveAll
    const times = [`all connected in ${seconds(began)}`]
    const memory = (heapUsed() - before) / total / 1_024

    const restart = Effect.gen(function*() {
      // Kills the server while it sends.
      server.publish(5)
      yield* random.sleep(300)
      yield* server.kill
      server.publish(3)
      yield* Effect.sleep(1_000)
      yield* server.start
    })
    const since = performance.now()
    yield* restart
    // Kills the server again while the clients reconnect.
    if (isLong) yield* Effect.zipRight(random.sleep(3_000), restart)
    server.publish(2)
    yield* allHaveAll
    times.push(`reconnected in ${seconds(since)}`)

    const closing = performance.now()
    yield* Scope.close(scope, Exit.void)
    yield* Scope.close(users, Exit.void)
    times.push(`closed in ${seconds(closing)}`)

    assert.deepStrictEqual(clients.filter(({ wrong }) => wrong !== undefined).slice(0, 3), [])
    assert.isTrue(clients.every(({ received }) => received === server.published))
    assert.isAtLeast(established, 2 * total)
    yield* measured(
      `${total} clients${why}, each ${server.published} numbers once; ${established} connections were established; ` +
        `${times.join(", ")}; ${memory.toFixed(0)} KiB of heap a connection`,
      began
    )
  }).pipe(Effect.scoped))
