/** Sockets over persistent and single connections, with real servers that end, are killed and start again. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Socket from "@effect/platform/Socket"
import type * as SocketServer from "@effect/platform/SocketServer"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import { assert, describe, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import { TcpError } from "@persistent-connection/platform/TcpError"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Net from "node:net"
import { WebSocket } from "ws"
import { Clients, connect } from "./support/clients.js"
import { netSockets } from "./support/netSockets.js"
import { freePort, tcpServer, turn, until, webSocketServer } from "./support/servers.js"

const retry = Schedule.spaced("5 millis")

/** A scope that the test closes, at the latest when it ends. */
const closeable = Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))

/** A server of lines of text. */
interface Peer {
  readonly send: (line: string) => void
  readonly end: () => void
  readonly destroy: () => void
}

interface Transport {
  readonly name: string
  /** A server at this port until the scope is closed. It calls `onLine` with every line that it receives. */
  readonly serve: (
    port: number,
    onPeer: (peer: Peer) => void,
    onLine: (line: string, peer: Peer) => void
  ) => Effect.Effect<void, never, Scope.Scope>
  readonly client: (port: number) => Effect.Effect<
    PersistentConnection.PersistentConnection<PersistentSocket.SocketConnection, unknown>,
    never,
    Scope.Scope
  >
}

const transports: ReadonlyArray<Transport> = [
  {
    name: "WebSocket",
    serve: (port, onPeer, onLine) =>
      webSocketServer({
        port,
        onSocket: (socket) => {
          const peer: Peer = {
            send: (line) => socket.send(line),
            end: () => socket.close(1001),
            destroy: () => socket.terminate()
          }
          socket.on("message", (line) => onLine(String(line), peer))
          onPeer(peer)
        }
      }),
    client: (port) =>
      PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed(`ws://127.0.0.1:${port}`),
        connector: WebSocketConnector.make(),
        retry,
        minUptime: 0
      }).pipe(Effect.provide(WebSocketConnector.layerWs(WebSocket)))
  },
  {
    name: "TCP",
    serve: (port, onPeer, onLine) =>
      tcpServer({
        port,
        onSocket: (socket: Net.Socket) => {
          const peer: Peer = {
            send: (line) => socket.write(`${line}\n`),
            end: () => socket.end(),
            destroy: () => socket.resetAndDestroy()
          }
          let rest = ""
          socket.on("data", (data) => {
            const lines = (rest + String(data)).split("\n")
            rest = lines.pop()!
            for (const line of lines) onLine(line, peer)
          })
          onPeer(peer)
        }
      }),
    client: (port) =>
      PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed({ host: "127.0.0.1", port }),
        connector: TcpConnector.make(),
        retry,
        minUptime: 0
      })
  }
]

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, index) => String(from + index))

describe.each(transports)("a persistent socket ($name)", ({ client, serve }) => {
  it.scopedLive("receives everything that its server sends on 10 connections that it ends, in order", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const port = yield* freePort
      const scope = yield* closeable
      let connections = 0
      yield* serve(port, (peer) => {
        if (connections === 10) return
        for (const number of numbers(connections * 500, 500)) peer.send(number)
        connections++
        peer.end()
      }, () => {})
      const feed = yield* Scope.extend(client(port), scope)
      let received = ""
      let opened = 0
      let openedAfterAll = false
      const run = yield* Effect.fork(
        PersistentSocket.make(feed).runRaw((message) => {
          const text = typeof message === "string" ? `${message}\n` : new TextDecoder().decode(message)
          received += text
        }, {
          onOpen: Effect.sync(() => {
            // The messages of the previous connections come before.
            openedAfterAll = received.split("\n").length - 1 === opened * 500
            assert.isTrue(openedAfterAll)
            opened++
          })
        })
      )
      yield* until(() => opened === 11 || run.unsafePoll() !== null)
      assert.strictEqual(received, numbers(0, 5000).map((number) => `${number}\n`).join(""))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      yield* until(() => sockets.every((socket) => socket.closed))
    }))

  it.scopedLive("sends every message at most once, in order, and no write fails, while its server is killed 5 times", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const arrived: Array<number> = []
      const answered: Array<number> = []
      const feed = yield* client(port)
      const socket = PersistentSocket.make(feed)
      let rest = ""
      yield* Effect.forkScoped(socket.run((bytes) => {
        const lines = (rest + new TextDecoder().decode(bytes)).split(/[\n;]/)
        rest = lines.pop()!
        answered.push(...lines.filter((line) => line !== "").map(Number))
      }, {
        // A loss can cut a line in two.
        onOpen: Effect.sync(() => {
          rest = ""
        })
      }))
      const write = yield* socket.writer
      let sent = 0
      const writing = yield* Effect.forkScoped(
        Effect.forever(
          Effect.suspend(() => Effect.zipRight(write(`${++sent}\n`), sent % 20 === 0 ? turn : Effect.void))
        )
      )
      for (let restarts = 0; restarts < 5; restarts++) {
        const server = yield* closeable
        const before = arrived.length
        const answeredBefore = answered.length
        yield* Scope.extend(
          serve(port, () => {}, (line, peer) => {
            arrived.push(Number(line))
            // With a separator, because a message of a WebSocket has no end.
            peer.send(`${Number(line)};`)
          }),
          server
        )
        yield* until(() => arrived.length >= before + 200 && answered.length >= answeredBefore + 50)
        yield* Scope.close(server, Exit.void)
      }
      assert.isNull(writing.unsafePoll())
      for (const numbers of [arrived, answered]) {
        assert.deepStrictEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b))
      }
      assert.isAtMost(arrived.at(-1)!, sent)
    }))
})

describe("a persistent socket with a real server", () => {
  it.scopedLive("sends bytes, gives text and binary messages as bytes, and ends with the server's close if `whenLost` is \"end\"", () =>
    Effect.gen(function*() {
      const server = yield* webSocketServer()
      const feed = yield* transports[0]!.client(server.port)
      const socket = PersistentSocket.make(feed, { whenLost: "end" })
      const received: Array<string> = []
      const run = yield* Effect.fork(socket.run((bytes) => {
        received.push(new TextDecoder().decode(bytes))
      }))
      const peer = yield* server.accepted
      const arrived: Array<string> = []
      peer.on("message", (data, isBinary) => arrived.push(`${String(data)} ${isBinary}`))
      yield* Effect.scoped(
        Effect.flatMap(
          socket.writer,
          (write) => Effect.forEach(["Hello", "World"], (text) => write(new TextEncoder().encode(text)))
        )
      )
      yield* until(() => arrived.length === 2)
      assert.deepStrictEqual(arrived, ["Hello true", "World true"])
      peer.send("Right back at you!")
      peer.send(new TextEncoder().encode("A binary message"))
      peer.close(1000)
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      assert.deepStrictEqual(received, ["Right back at you!", "A binary message"])
    }))
})

describe("a server that still sends on a connection that was replaced", () => {
  for (const whenLost of ["continue", "end"] as const) {
    it.scopedLive(`is heard, with whenLost: ${whenLost}`, () =>
      Effect.gen(function*() {
        let replaced: WebSocket | undefined
        const server = yield* webSocketServer({
          onSocket: (socket) => {
            if (replaced !== undefined) return replaced.send("late")
            replaced = socket
            socket.send("hello")
          }
        })
        const feed = yield* transports[0]!.client(server.port)
        const received: Array<string | Uint8Array> = []
        const run = yield* Effect.fork(
          PersistentSocket.make(feed, { whenLost }).runRaw((message) => {
            received.push(message)
          })
        )
        yield* until(() => received.length === 1)
        yield* PersistentConnection.refresh(feed)
        if (whenLost === "end") assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
        yield* until(() => received.length === 2)
        assert.deepStrictEqual(received, ["hello", "late"])
      }))
  }
})

describe("a server that says something and closes at once", () => {
  for (const whenLost of ["continue", "end"] as const) {
    it.scopedLive(`is heard, with whenLost: ${whenLost}`, () =>
      Effect.gen(function*() {
        let opened = 0
        const server = yield* webSocketServer({
          onSocket: (socket) => {
            socket.send(`sorry ${++opened}`)
            socket.close(4401, "token expired")
          }
        })
        const feed = yield* transports[0]!.client(server.port)
        const received: Array<string | Uint8Array> = []
        const run = PersistentSocket.make(feed, { whenLost }).runRaw((message) => {
          received.push(message)
        })
        if (whenLost === "continue") {
          yield* Effect.fork(run)
        } else {
          for (let round = 0; round < 3; round++) {
            const error = yield* Effect.flip(run)
            assert(error instanceof Socket.SocketCloseError)
            assert.deepStrictEqual([error.code, error.closeReason], [4401, "token expired"])
          }
        }
        yield* until(() => received.length >= 3)
        const numbers = received.map((message) => Number(String(message).slice("sorry ".length)))
        assert.deepStrictEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b))
        // Between two runs, nobody reads.
        if (whenLost === "continue") assert.strictEqual(numbers.at(-1), numbers.length)
      }))
  }
})

class Api extends RpcGroup.make(
  Rpc.make("Add", { payload: { a: Schema.Number, b: Schema.Number }, success: Schema.Number }),
  Rpc.make("Count", { success: Schema.Number, stream: true })
) {}

const handlers = Api.toLayer({
  Add: ({ a, b }) => Effect.succeed(a + b),
  Count: () => Stream.range(1, 100)
})

const rpcServer = <E>(
  server: Layer.Layer<SocketServer.SocketServer, E>,
  serialization: Layer.Layer<RpcSerialization.RpcSerialization>
) =>
  RpcServer.layer(Api).pipe(
    Layer.provide(handlers),
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide([serialization, server])
  )

describe("RpcClient.layerProtocolSocket over a persistent socket", () => {
  const overWebSocket = {
    server: (port: number) => NodeSocketServer.layerWebSocket({ port, host: "127.0.0.1" }),
    client: transports[0]!.client
  }
  const overTcp = {
    server: (port: number) => NodeSocketServer.layer({ port, host: "127.0.0.1" }),
    client: transports[1]!.client
  }

  for (
    const [name, transport, serialization] of [
      ["a WebSocket with JSON", overWebSocket, RpcSerialization.layerJson],
      ["a WebSocket with MessagePack", overWebSocket, RpcSerialization.layerMsgPack],
      ["TCP with NDJSON", overTcp, RpcSerialization.layerNdjson]
    ] as const
  ) {
    it.scopedLive(`calls and streams over ${name}; a call during an outage waits for the next server`, () =>
      Effect.gen(function*() {
        const sockets = yield* netSockets
        const port = yield* freePort
        const start = (scope: Scope.Scope) =>
          Layer.buildWithScope(rpcServer(transport.server(port), serialization), scope)
        const clientScope = yield* closeable
        const feed = yield* Scope.extend(transport.client(port), clientScope)
        const protocol = yield* Layer.buildWithScope(
          RpcClient.layerProtocolSocket().pipe(
            Layer.provide([serialization, Layer.succeed(Socket.Socket, PersistentSocket.make(feed))])
          ),
          clientScope
        )
        const api = yield* RpcClient.make(Api).pipe(Effect.provide(protocol), Scope.extend(clientScope))
        for (let restarts = 0; restarts < 3; restarts++) {
          const serverScope = yield* closeable
          // Begins before there is a server.
          const early = yield* Effect.fork(api.Add({ a: restarts, b: 1 }))
          assert.isTrue(Option.isNone(yield* feed.currentConnection))
          yield* start(serverScope)
          assert.strictEqual(yield* Fiber.join(early), restarts + 1)
          const sums = yield* Effect.forEach(numbers(0, 200), (n) => api.Add({ a: Number(n), b: 1 }), {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(sums, numbers(1, 200).map(Number))
          const counted = yield* Stream.runCollect(api.Count())
          assert.strictEqual(counted.length, 100)
          yield* Scope.close(serverScope, Exit.void)
          yield* feed.current.changes.pipe(Stream.filter(Option.isNone), Stream.take(1), Stream.runDrain)
        }
        yield* Scope.close(clientScope, Exit.void)
        yield* until(() => sockets.every((socket) => socket.closed))
      }))
  }
})

describe("RpcClient.layerProtocolSocket over a persistent socket with `whenLost: \"end\"`", () => {
  it.scopedLive("fails the calls that wait at a loss, and goes on after a torn message", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const feed = yield* transports[1]!.client(port)
      const protocol = yield* Layer.build(
        RpcClient.layerProtocolSocket({ retrySchedule: Schedule.spaced("5 millis") }).pipe(
          Layer.provide([
            RpcSerialization.layerNdjson,
            Layer.succeed(Socket.Socket, PersistentSocket.make(feed, { whenLost: "end" }))
          ])
        )
      )
      const api = yield* Effect.provide(RpcClient.make(Api), protocol)
      const torn = yield* closeable
      yield* Scope.extend(
        tcpServer({
          port,
          onSocket: (socket) => socket.once("data", () => socket.end(`{"_tag":"Exit","requ`))
        }),
        torn
      )
      const error = yield* Effect.flip(api.Add({ a: 1, b: 2 }))
      assert.strictEqual(error._tag, "RpcClientError")
      yield* Scope.close(torn, Exit.void)
      yield* Layer.build(rpcServer(NodeSocketServer.layer({ port, host: "127.0.0.1" }), RpcSerialization.layerNdjson))
      const sum = yield* Effect.retry(api.Add({ a: 1, b: 2 }), Schedule.spaced("5 millis"))
      assert.strictEqual(sum, 3)
    }))
})

describe("the socket of a single TCP connection", () => {
  const echo = tcpServer({ onSocket: (socket) => socket.pipe(socket) })
  const dial = (port: number, options?: TcpConnector.Options) =>
    connect(TcpConnector.make(options), { host: "127.0.0.1", port })

  it.scopedLive("as a channel, ends after the last output when the input has ended", () =>
    Effect.gen(function*() {
      const sockets = yield* netSockets
      const server = yield* echo
      const connection = yield* dial(server.port)
      const output = yield* Stream.make("Hello", "World").pipe(
        Stream.encodeText,
        Stream.pipeThroughChannel(Socket.toChannel(PersistentSocket.fromConnection(connection))),
        Stream.decodeText(),
        Stream.mkString,
        Stream.runHead
      )
      assert.deepStrictEqual(output, Option.some("HelloWorld"))
      yield* until(() => sockets.every((socket) => socket.closed))
    }))

  it.scopedLive("fails with the error of a reset; a write afterwards is a typed failure", () =>
    Effect.gen(function*() {
      const server = yield* tcpServer()
      const connection = yield* dial(server.port)
      const socket = PersistentSocket.fromConnection(connection)
      const write = yield* socket.writer
      const run = yield* Effect.fork(socket.run(() => {}))
      ;(yield* server.accepted).resetAndDestroy()
      for (
        const [exit, reason] of [[yield* Fiber.await(run), "Read"], [yield* Effect.exit(write("a")), "Write"]] as const
      ) {
        const error = Option.getOrThrow(Cause.failureOption(Exit.isFailure(exit) ? exit.cause : Cause.empty))
        assert(error.reason === reason)
        assert.instanceOf(error.cause, TcpError)
      }
    }))

  it.scopedLive("is closed by a CloseEvent", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const connection = yield* dial(server.port)
      const socket = PersistentSocket.fromConnection(connection)
      const write = yield* socket.writer
      const run = yield* Effect.fork(socket.run(() => {}))
      yield* write(new Socket.CloseEvent())
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      yield* until(() => server.sockets.size === 0)
    }))
})

describe("the socket of a single WebSocket", () => {
  const echo = webSocketServer({
    onSocket: (socket) =>
      socket.on("message", (data, isBinary) => {
        const code = /^close (\d+)$/.exec(String(data))?.[1]
        if (code === undefined) socket.send(data, { binary: isBinary })
        else if (code === "1006") socket.terminate()
        else socket.close(Number(code), "because")
      })
  })

  it.scopedLive("opens, receives text and bytes, and ends as the connection does", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const clients = new Clients()
      for (const code of [1000, 1001, 1006, 1011, 4000]) {
        const connection = yield* clients.connect(server.url)
        const socket = PersistentSocket.fromConnection(connection)
        const write = yield* socket.writer
        const received: Array<string | Uint8Array> = []
        const exit = yield* Effect.exit(socket.runRaw(
          (message) => {
            received.push(message)
            return received.length === 2 ? write(`close ${code}`) : undefined
          },
          { onOpen: Effect.orDie(Effect.zipRight(write("text"), write(new Uint8Array([1])))) }
        ))
        assert.deepStrictEqual(received, ["text", new Uint8Array([1])])
        if (code <= 1001) assert.deepStrictEqual(exit, Exit.void)
        else {
          const error = Option.getOrThrow(Cause.failureOption(Exit.isFailure(exit) ? exit.cause : Cause.empty))
          assert(error.reason === "Close")
          assert.deepStrictEqual([error.code, error.closeReason], [code, code === 1006 ? "" : "because"])
        }
      }
      yield* clients.nothingLeft
    }))

  it.scopedLive("as a channel, sends the input, gives the output, and ends as the connection does", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const clients = new Clients()
      const through = (code: number) =>
        Effect.gen(function*() {
          const connection = yield* clients.connect(server.url)
          const output: Array<string> = []
          const exit = yield* Stream.make("Hello", "World", `close ${code}`).pipe(
            Stream.pipeThroughChannel(Socket.toChannelString(PersistentSocket.fromConnection(connection))),
            Stream.runForEach((text) => Effect.sync(() => output.push(text))),
            Effect.exit
          )
          assert.deepStrictEqual(output, ["Hello", "World"])
          return exit
        })
      assert.deepStrictEqual(yield* through(1000), Exit.void)
      const error = Option.getOrThrow(Exit.causeOption(yield* through(1006)).pipe(Option.flatMap(Cause.failureOption)))
      assert.deepStrictEqual([error.reason, "code" in error && error.code], ["Close", 1006])
      yield* clients.nothingLeft
    }))

  it.scopedLive("is closed by a CloseEvent; a code that the platform refuses is a typed failure", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const clients = new Clients()
      const connection = yield* clients.connect(server.url)
      const socket = PersistentSocket.fromConnection(connection)
      const write = yield* socket.writer
      const refused = yield* Effect.flip(write(new Socket.CloseEvent(1)))
      assert(refused.reason === "Write" && refused.cause instanceof WebSocketError)
      assert.strictEqual(refused.cause.reason._tag, "InvalidClose")
      assert.isFalse(connection.isClosed())
      yield* write(new Socket.CloseEvent(4000, "bye"))
      assert.strictEqual((yield* connection.closed).code, 4000)
      yield* socket.run(() => {})
      assert.strictEqual((yield* Effect.flip(write("late"))).reason, "Write")
    }))

  it.scopedLive("works in forEachConnection, and leaving the scope of its writer does not close it", () =>
    Effect.gen(function*() {
      const server = yield* echo
      class Feed extends Context.Tag("Feed")<
        Feed,
        PersistentConnection.PersistentConnection<WebSocketConnector.WebSocketConnection, WebSocketError>
      >() {}
      const sessions: Array<string> = []
      yield* Effect.gen(function*() {
        const feed = yield* Feed
        yield* Effect.fork(PersistentConnection.forEachConnection(feed, (connection) => {
          const socket = PersistentSocket.fromConnection(connection)
          const write = (text: string) => Effect.scoped(Effect.flatMap(socket.writer, (write) => write(text)))
          return Effect.gen(function*() {
            yield* write("hello")
            sessions.push(String(yield* connection.receive))
            yield* write("again")
            yield* Effect.ignore(socket.runRaw((message) => {
              sessions.push(String(message))
              return write("close 1006")
            }))
          })
        }))
        yield* until(() => sessions.length === 6)
      }).pipe(Effect.provide(
        PersistentConnection.layer(Feed, {
          serverName: "test",
          address: Effect.succeed(server.url),
          connector: WebSocketConnector.make(),
          retry,
          minUptime: 0
        }).pipe(Layer.provide(WebSocketConnector.layerWs(WebSocket)))
      ))
      assert.deepStrictEqual(sessions, ["hello", "again", "hello", "again", "hello", "again"])
    }))
})
