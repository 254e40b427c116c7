/** The heap that idle connections and their consumers keep. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Framing from "@persistent-connection/platform/Framing"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import { connected, makeBare, makeTcp, makeWebSocket, never, webSockets } from "./connections.js"
import type { Figure } from "./measuring.js"
import { startServer } from "./serverProcess.js"

const collectGarbage = Effect.gen(function*() {
  const { gc } = globalThis
  if (gc === undefined) return yield* Effect.dieMessage("run with --expose-gc")
  for (let i = 0; i < 4; i++) {
    gc()
    yield* Effect.sleep("20 millis")
  }
})

/** The heap in use, in bytes, after garbage collection. */
export const heapUsed = Effect.zipRight(collectGarbage, Effect.sync(() => process.memoryUsage().heapUsed))

/** The kB of heap that each of `count` values keeps in a scope. The first ones, which load code, do not count. */
export const heapOfEach = <A, E, R>(count: number, one: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const items: Array<A> = Array.from({ length: count })
    for (let i = 0; i < 100; i++) yield* one
    yield* Effect.sleep("200 millis")
    const before = yield* heapUsed
    for (let i = 0; i < count; i++) items[i] = yield* one
    yield* Effect.sleep("500 millis")
    const after = yield* heapUsed
    return items.length === count ? (after - before) / count / 1_000 : NaN
  }))

const consume = <A, E>(stream: Stream.Stream<A, E>) => Effect.forkScoped(Stream.runDrain(stream))

const figure = (
  what: string,
  value: number,
  atMost: number,
  baseline?: readonly [name: string, kB: number]
): Figure => ({
  what: `heap of ${what}`,
  value,
  unit: baseline === undefined ? "kB" : `kB (${baseline[0]}: ${baseline[1].toFixed(2)})`,
  floor: { atMost }
})

export const heap: Effect.Effect<ReadonlyArray<Figure>> = Effect.scoped(Effect.gen(function*() {
  const { tcpPort, url } = yield* startServer()
  const idle = `${url}/idle`
  const bare = yield* heapOfEach(10_000, connected(makeBare))
  const fiber = yield* heapOfEach(10_000, Effect.forkScoped(never))
  const socket = yield* heapOfEach(
    1_000,
    Effect.async<WebSocket>((resume) => {
      const socket = new WebSocket(idle)
      socket.on("open", () => resume(Effect.succeed(socket)))
    }).pipe((opened) => Effect.acquireRelease(opened, (socket) => Effect.sync(() => socket.terminate())))
  )
  const probe = { probe: () => Effect.void, interval: "20 seconds", timeout: "5 seconds" } as const
  const withoutPings = WebSocketConnector.make({ ping: false })
  const checked = Connector.healthCheck(withoutPings, probe)
  const web = yield* heapOfEach(1_000, connected(makeWebSocket(idle, withoutPings)))
  const pinged = yield* heapOfEach(1_000, connected(makeWebSocket(idle, WebSocketConnector.make())))
  const healthy = yield* heapOfEach(1_000, connected(makeWebSocket(idle, checked)))
  const consumed = yield* heapOfEach(
    1_000,
    Effect.tap(
      connected(makeWebSocket(idle, checked)),
      (connection) => consume(PersistentConnection.stream(connection, (socket) => socket.messages))
    )
  )
  const tcp = yield* heapOfEach(1_000, connected(makeTcp(tcpPort!, TcpConnector.make())))
  const framed = yield* heapOfEach(1_000, connected(makeTcp(tcpPort!, Framing.lines(TcpConnector.make()))))
  const drained = yield* heapOfEach(1_000, consume(Stream.repeatEffect(never)))
  const connection = yield* connected(makeBare)
  const events = yield* heapOfEach(1_000, consume(connection.events))
  const states = yield* heapOfEach(1_000, consume(connection.state.changes))
  const pubSub = yield* PubSub.unbounded<number>()
  const published = yield* heapOfEach(1_000, consume(Stream.fromPubSub(pubSub)))
  return [
    figure("an idle connection", bare, 7, ["a suspended fiber", fiber]),
    figure("an idle connection with a WebSocket, no pings", web, 13, ["a raw WebSocket", socket]),
    figure("an idle connection with a WebSocket, with pings", pinged, 13),
    figure("an idle connection with a WebSocket and a health check", healthy, 18),
    figure("the same with a consumer of stream", consumed, 45, ["Stream.repeatEffect", drained]),
    figure("an idle connection with TCP", tcp, 13),
    figure("an idle connection with TCP and lines", framed, 18, ["without lines", tcp]),
    figure("a consumer of events", events, 32, ["Stream.fromPubSub", published]),
    figure("a consumer of state.changes", states, 32, ["Stream.fromPubSub", published])
  ]
})).pipe(Effect.provide(webSockets), Effect.orDie)
