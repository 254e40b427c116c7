/**
 * Ten thousand real WebSocket connections through one process, whose server is killed with `kill -9` and restarted.
 */
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
import { cases, Chance, isLong, measured } from "./support/proof.js"
import { until } from "./support/servers.js"

const program = fileURLToPath(new URL("support/resumeServer.mjs", import.meta.url))

/** The server: a process that is started, told what to publish, and killed. */
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

/** What one client has received. */
interface Client {
  received: number
  /** A number that came twice, or not in its turn. */
  wrong: string | undefined
}

/** How many connections this machine lets one process have; and why no more, if that is less than wanted. */
const connections = (wanted: number): { readonly total: number; readonly why: string } => {
  const files = Number(execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }))
  const range = "/proc/sys/net/ipv4/ip_local_port_range"
  const [first = 0, last = Infinity] = existsSync(range) ? readFileSync(range, "utf8").split(/\s+/).map(Number) : []
  // Some files are open anyway. While a server is killed, some ports are still those of the connections that it had.
  const limits = [
    { total: wanted, why: "" },
    ...Number.isNaN(files) ? [] : [{ total: files - 500, why: `, as one process may open ${files} files` }],
    { total: Math.floor((last - first) / 2), why: `, as there are ${last - first} ports` }
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

it.live("ten thousand connections survive kill -9 of the server, and every client gets every number once, in order", () =>
  Effect.gen(function*() {
    const began = performance.now()
    const chance = new Chance(6)
    const { total, why } = connections(cases(100, 10_000))
    const before = heapUsed()
    const server = yield* Effect.acquireRelease(Effect.sync(() => new Server()), (server) => server.kill)
    yield* server.start
    const clients: Array<Client> = Array.from({ length: total }, () => ({ received: 0, wrong: undefined }))
    let established = 0
    // The map is closed before its users go, so that its connections close together.
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
      // It is killed while it sends.
      server.publish(5)
      yield* chance.sleep(300)
      yield* server.kill
      server.publish(3)
      yield* Effect.sleep(1_000)
      yield* server.start
    })
    const since = performance.now()
    yield* restart
    // It is killed again while the clients come back.
    if (isLong) yield* Effect.zipRight(chance.sleep(3_000), restart)
    server.publish(2)
    yield* allHaveAll
    times.push(`back in ${seconds(since)}`)

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
