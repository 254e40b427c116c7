/** Calls of a remote procedure, against the socket protocol of `@effect/rpc`. */
import * as Socket from "@effect/platform/Socket"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as PersistentRpcClient from "@persistent-connection/rpc/PersistentRpcClient"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as RpcProtocol from "@persistent-connection/rpc/RpcProtocol"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { webSockets } from "./connections.js"
import { heapOfEach } from "./heap.js"
import { type Figure, median, quantile, sideBySide } from "./measuring.js"
import { Echo } from "./rpcGroup.js"
import { startServer } from "./serverProcess.js"

type Requirements = Scope.Scope | Socket.WebSocketConstructor | RpcSerialization.RpcSerialization
type Client = (input: { readonly text: string }) => Effect.Effect<string, unknown>
type MakeClient = Effect.Effect<Client, never, Requirements>

const overSocket = (url: string): MakeClient =>
  Effect.gen(function*() {
    const socket = Layer.effect(Socket.Socket, Socket.makeWebSocket(url))
    const protocol = yield* Layer.build(Layer.provide(RpcClient.layerProtocolSocket(), socket))
    const client = yield* Effect.provide(RpcClient.make(Echo, { disableTracing: true }), protocol)
    return client.Echo
  })

// Connectors are values: the connections share them.
const connector = RpcConnector.make(WebSocketConnector.make())
const ofClients = RpcConnector.client(connector, Echo, { disableTracing: true })

const connect = (url: string) =>
  PersistentConnection.make({ serverName: "echo", address: Effect.succeed(url), connector })

const overProtocol = (url: string): MakeClient =>
  Effect.gen(function*() {
    const protocol = yield* RpcProtocol.make(yield* connect(url))
    const client = yield* RpcClient.make(Echo, { disableTracing: true }).pipe(
      Effect.provideService(RpcClient.Protocol, protocol)
    )
    return client.Echo
  })

const overClients = (url: string): MakeClient =>
  Effect.gen(function*() {
    const connection = yield* PersistentConnection.make({
      serverName: "echo",
      address: Effect.succeed(url),
      connector: ofClients
    })
    return PersistentRpcClient.make(Echo, connection).Echo
  })

const calls = 5_000
const concurrency = 50
// The medians of seven rounds differ by a tenth from run to run.
const rounds = 25

/** The time of all calls, and the times of the single calls, in ms. */
const callsOf = (make: MakeClient) =>
  Effect.scoped(Effect.gen(function*() {
    const echo = yield* make
    const times: Array<number> = []
    const timed = Effect.suspend(() => {
      const begun = performance.now()
      return Effect.map(echo({ text: "hello" }), () => times.push(performance.now() - begun))
    })
    yield* echo({ text: "connected" })
    const begun = performance.now()
    yield* Effect.replicateEffect(timed, calls, { concurrency, discard: true })
    return { all: performance.now() - begun, p99: quantile(times, 0.99) }
  }))

const connected = (make: MakeClient) => Effect.tap(make, (echo) => echo({ text: "connected" }))

export const rpc: Effect.Effect<ReadonlyArray<Figure>> = Effect.scoped(Effect.gen(function*() {
  const { url } = yield* startServer("rpcServer.js")
  const unit = "x layerProtocolSocket"
  const subjects = [["protocol", overProtocol(url)], ["client", overClients(url)]] as const
  const speeds = yield* Effect.forEach(
    subjects,
    ([name, make]) =>
      Effect.map(
        sideBySide(rounds, callsOf(overSocket(url)), callsOf(make)),
        ({ baseline, subject }): Array<Figure> => [
          {
            what: `calls a second, our ${name}`,
            value: median(baseline.map(({ all }) => all)) / median(subject.map(({ all }) => all)),
            unit,
            floor: { atLeast: 1 }
          },
          {
            what: `p99 of a call, our ${name}`,
            value: median(subject.map(({ p99 }) => p99)) / median(baseline.map(({ p99 }) => p99)),
            unit,
            floor: { atMost: 1 }
          }
        ]
      )
  )
  const theirs = yield* heapOfEach(500, connected(overSocket(url)))
  const heaps = yield* Effect.forEach(
    subjects,
    ([name, make]) =>
      Effect.map(heapOfEach(500, connected(make)), (value): Figure => ({
        what: `heap of an idle client, our ${name}`,
        value,
        unit: `kB (layerProtocolSocket: ${theirs.toFixed(1)})`,
        floor: { atMost: 30 }
      }))
  )
  return [...speeds.flat(), ...heaps]
})).pipe(Effect.provide(Layer.merge(webSockets, RpcSerialization.layerNdjson)), Effect.orDie)
