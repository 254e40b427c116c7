/** This library, and what people write with Effect. */
import * as Socket from "@effect/platform/Socket"
import type * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Pool from "effect/Pool"
import * as RcRef from "effect/RcRef"
import * as Reloadable from "effect/Reloadable"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import { never, webSockets } from "../../connections.js"
import { us } from "../harness/section.js"
import { type Client, type Hooks, ignore, type Pace, type Peer, windowOf } from "./peer.js"
import { ws } from "./webSockets.js"

const urlOf = (port: number) => `ws://127.0.0.1:${port}/ws`

/** Runs a program, and keeps what it has acquired, until the returned function is called. */
const started = (program: Effect.Effect<unknown, unknown, Scope.Scope | Socket.WebSocketConstructor>) => {
  const kept = Effect.scoped(Effect.zipRight(program, never))
  const fiber = Effect.runFork(Effect.provide(kept, webSockets))
  return () => Effect.runPromise(Fiber.interrupt(fiber))
}

type Send = (text: string) => Effect.Effect<unknown, unknown>
type OnMessage = () => Effect.Effect<unknown> | void

/** The client of programs that send with an effect, and call the function of `setHandler` for each message. */
const clientOf = (send: Send, setHandler: (handler: OnMessage) => void, close: () => unknown): Client => {
  const answered = (count: number) =>
    Effect.map(Deferred.make<void>(), (done) => {
      let left = count
      setHandler(() => --left === 0 ? Deferred.succeed(done, undefined) : undefined)
      return Deferred.await(done)
    })
  const ask = (text: string, count: number) =>
    Effect.flatMap(answered(count), (answer) => Effect.zipRight(send(text), answer))
  return {
    echo: (text) => Effect.runPromise(ask(`E${text}`, 1)),
    receive: (count, size) => Effect.runPromise(ask(`F ${count} ${size}`, count)),
    send: (count, text) => {
      const batch = windowOf(text)
      const message = `S${text}`
      return Effect.runPromise(Effect.gen(function*() {
        for (let left = count; left > 0; left -= batch) {
          let inBatch = Math.min(left, batch)
          yield* Effect.whileLoop({ while: () => inBatch-- > 0, body: () => send(message), step: () => {} })
          yield* ask("D", 1)
        }
      }))
    },
    close
  }
}

const persistent = (port: number, pace: Pace, hooks?: Hooks) =>
  PersistentConnection.make({
    serverName: "server",
    address: Effect.succeed(urlOf(port)),
    connector: WebSocketConnector.make(),
    ...(pace === "fast" ? { retry: Schedule.forever } : RetryPolicy.production),
    ...(hooks === undefined ?
      {} :
      {
        onEvent: (event: ConnectionEvent.ConnectionEvent<unknown, unknown, unknown>) =>
          Effect.sync(() => {
            if (event._tag === "Connected") hooks.up()
            else if (event._tag === "Disconnected") hooks.down()
          })
      })
  })

export const ours: Peer = {
  name: us,
  server: "messages",
  keep: (port, hooks, pace) => started(persistent(port, pace, hooks)),
  talk: (port) =>
    new Promise((resolve) => {
      let handler: OnMessage = ignore
      const stop = started(Effect.gen(function*() {
        const connection = yield* persistent(port, "fast")
        const { messages, send } = yield* connection.connected
        resolve(clientOf(send, (next) => handler = next, () => stop()))
        yield* Stream.runForEach(messages, () => handler() ?? Effect.void)
      }))
    })
}

/** The same, with `stream`: all messages of all connections. */
export const oursStreamed: Peer = {
  ...ours,
  name: `${us}, stream`,
  talk: (port) =>
    new Promise((resolve) => {
      let handler: OnMessage = ignore
      const stop = started(Effect.gen(function*() {
        const connection = yield* persistent(port, "fast")
        const { send } = yield* connection.connected
        resolve(clientOf(send, (next) => handler = next, () => stop()))
        const all = PersistentConnection.stream(connection, (socket) => socket.messages)
        yield* Stream.runForEach(all, () => handler() ?? Effect.void)
      }))
    })
}

/** Talks through the interface of `@effect/platform`, which calls a function with each message. */
const talkOver = (socket: Effect.Effect<Socket.Socket, unknown, Scope.Scope | Socket.WebSocketConstructor>) =>
  new Promise<Client>((resolve) => {
    let handler: OnMessage = ignore
    const stop = started(Effect.gen(function*() {
      const { runRaw, writer } = yield* socket
      const client = clientOf(yield* writer, (next) => handler = next, () => stop())
      yield* runRaw(() => handler(), { onOpen: Effect.sync(() => resolve(client)) })
    }))
  })

/** The same, as a `Socket`. */
export const oursAsSocket: Peer = {
  ...ours,
  name: `${us}, Socket`,
  talk: (port) => talkOver(Effect.map(persistent(port, "fast"), (connection) => PersistentSocket.make(connection)))
}

/** A socket of `@effect/platform`. It does not reconnect. */
export const platformSocket: Peer = {
  name: "platform's Socket",
  server: "messages",
  keep: (port, hooks) =>
    started(
      Effect.flatMap(Socket.makeWebSocket(urlOf(port)), (socket) =>
        Effect.exit(socket.runRaw(() => {}, { onOpen: Effect.sync(hooks.up) })))
    ),
  talk: (port) => talkOver(Socket.makeWebSocket(urlOf(port)))
}

/** Opens a socket; `closed` ends when it is lost. */
const openBare = (port: number, hooks: Hooks) =>
  Effect.gen(function*() {
    const closed = yield* Deferred.make<void>()
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(urlOf(port))),
      (socket) => Effect.sync(() => socket.terminate())
    )
    yield* Effect.async<void, Error>((resume) => {
      socket.on("open", () => {
        hooks.up()
        resume(Effect.void)
      })
      socket.on("error", (error) => resume(Effect.fail(error)))
      socket.on("close", () => {
        hooks.down()
        Deferred.unsafeDone(closed, Effect.void)
        resume(Effect.fail(new Error("closed")))
      })
    })
    return { socket, closed: Deferred.await(closed) }
  })

type Bare = Effect.Effect.Success<ReturnType<typeof openBare>>

/** The usual schedule of a loop by hand. `Effect.retry` never restarts it. */
const byHandSchedule = (pace: Pace): Schedule.Schedule<unknown> =>
  pace === "fast"
    ? Schedule.forever
    : Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("30 seconds")))

const lost = ({ closed }: Bare) => Effect.zipRight(closed, Effect.fail("lost" as const))

const byHand = (
  name: string,
  program: (port: number, hooks: Hooks, pace: Pace) => Effect.Effect<unknown, unknown, Scope.Scope>
): Peer => ({
  name,
  server: "messages",
  keep: (port, hooks, pace) => started(program(port, hooks, pace)),
  talk: ws.talk
})

export const byRetry = byHand(
  "by hand: Effect.retry",
  (port, hooks, pace) =>
    Effect.scoped(Effect.flatMap(openBare(port, hooks), lost)).pipe(Effect.retry(byHandSchedule(pace)))
)

/** Another fiber would call `RcRef.get` for each piece of work. */
export const byRcRef = byHand("by hand: RcRef", (port, hooks, pace) =>
  Effect.gen(function*() {
    const ref = yield* RcRef.make({ acquire: openBare(port, hooks) })
    const held = Effect.scoped(Effect.flatMap(RcRef.get(ref), lost))
    yield* Effect.retry(held, byHandSchedule(pace))
  }))

export const byPool = byHand("by hand: Pool", (port, hooks, pace) =>
  Effect.gen(function*() {
    const pool = yield* Pool.make({ acquire: openBare(port, hooks), size: 1 })
    const held = Effect.scoped(
      Effect.flatMap(Pool.get(pool), (bare) => Effect.ensuring(lost(bare), Pool.invalidate(pool, bare)))
    )
    yield* Effect.retry(held, byHandSchedule(pace))
  }))

export const byReloadable = byHand("by hand: Reloadable", (port, hooks, pace) =>
  Effect.gen(function*() {
    class Connection extends Context.Tag("Connection")<Connection, Bare>() {}
    const layer = Reloadable.manual(Connection, { layer: Layer.scoped(Connection, openBare(port, hooks)) })
    const built = yield* Effect.retry(Layer.build(layer), byHandSchedule(pace))
    const held = Effect.zipRight(
      Effect.flatMap(Reloadable.get(Connection), ({ closed }) => closed),
      Effect.retry(Reloadable.reload(Connection), byHandSchedule(pace))
    )
    yield* Effect.provide(Effect.forever(held), built)
  }))
