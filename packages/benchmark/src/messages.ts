/**
 * How fast a WebSocket receives: through `messages`, `receive` and `stream`.
 *
 * Streams of long messages are slow under V8, also without this library: V8 learns to allocate the objects of Effect's
 * sinks in the old generation, where even dead ones keep the messages alive until a full collection. `receive` does not
 * suffer from it. To measure without it:
 *
 *     node --expose-gc --no-allocation-site-pretenuring packages/benchmark/dist/main.js messages
 */
import * as Socket from "@effect/platform/Socket"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import { makeWebSocket, webSockets } from "./connections.js"
import { type Figure, nanosOf, ratio } from "./measuring.js"
import { startServer } from "./serverProcess.js"

const sizes: ReadonlyArray<readonly [size: string, bytes: number, count: number]> = [
  // The long ones first: 200,000 short ones leave objects in the heap that slow down each garbage collection.
  ["64 kB", 65_536, 10_000],
  ["40 B", 40, 200_000]
]

let characters = 0

/** Both sides run this for every message. */
const onMessage = (message: string | Uint8Array) =>
  Effect.sync(() => {
    characters += message.length
  })

const takeRaw = (url: string, count: number) =>
  Effect.gen(function*() {
    const socket = yield* Socket.makeWebSocket(url)
    const done = yield* Deferred.make<void>()
    let left = count
    const run = socket.runRaw((message) => --left === 0 ? Deferred.succeed(done, undefined) : onMessage(message))
    yield* Effect.raceFirst(run, Deferred.await(done))
  })

const take = <E, R>(messages: Stream.Stream<string | Uint8Array, E, R>, count: number) =>
  Stream.runForEach(Stream.take(messages, count), onMessage)

/** Takes the messages with a plain stream over a bare socket: the cost of a stream alone. */
const takePlain = (url: string, count: number) =>
  take(
    Stream.asyncPush<string>((emit) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const socket = new WebSocket(url)
          socket.addEventListener("message", ({ data }) => emit.single(data as string))
          return socket
        }),
        (socket) => Effect.sync(() => socket.terminate())
      ), { bufferSize: "unbounded" }),
    count
  )

/** Takes the messages of one connection. */
const takeMessages = (url: string, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const persistent = yield* makeWebSocket(url, WebSocketConnector.make())
    const { messages } = yield* persistent.connected
    yield* take(messages, count)
  }))

/** Takes the messages of one connection, one by one. */
const takeReceived = (url: string, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const persistent = yield* makeWebSocket(url, WebSocketConnector.make())
    const { receive } = yield* persistent.connected
    yield* Effect.replicateEffect(Effect.flatMap(receive, onMessage), count, { discard: true })
  }))

/** Takes the messages of all connections. */
const takeStream = (url: string, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const persistent = yield* makeWebSocket(url, WebSocketConnector.make())
    yield* take(PersistentConnection.stream(persistent, ({ messages }) => messages), count)
  }))

export const messages: Effect.Effect<ReadonlyArray<Figure>> = Effect.scoped(Effect.gen(function*() {
  const { url } = yield* startServer()
  return yield* Effect.forEach(sizes, ([size, bytes, count]) =>
    Effect.gen(function*() {
      const flood = `${url}/flood/${bytes}`
      const raw = nanosOf(takeRaw(flood, count))
      const direct = yield* ratio(5, nanosOf(takeMessages(flood, count)), raw)
      const plain = yield* ratio(5, nanosOf(takeMessages(flood, count)), nanosOf(takePlain(flood, count)))
      const received = yield* ratio(5, nanosOf(takeReceived(flood, count)), raw)
      const streamed = yield* ratio(5, nanosOf(takeStream(flood, count)), raw)
      const unit = "x platform's Socket.runRaw"
      return [
        { what: `messages of ${size} a second`, value: direct, unit, floor: { atLeast: bytes === 40 ? 1.4 : 1 } },
        { what: `the same`, value: plain, unit: "x a Stream.asyncPush over ws", floor: { atLeast: 1 } },
        { what: `the same through receive`, value: received, unit, floor: { atLeast: 1 } },
        { what: `the same through stream`, value: streamed, unit, floor: { atLeast: 1 } }
      ] satisfies ReadonlyArray<Figure>
    }))
})).pipe(Effect.map((figures) => figures.flat()), Effect.provide(webSockets), Effect.orDie)
