/**
 * Streams over connections to real servers. The servers number their messages and end their connections in every way,
 * at any time, while the consumer is slow.
 *
 * The stream must deliver all received messages. After a regular end (a close frame or FIN) these are all messages that
 * the server has sent. After a reset or the death of the server these are the messages whose last byte the client's
 * socket has read.
 */
import { assert, describe, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type Connected,
  type Line,
  type NumberedClient,
  numberedClient,
  type NumberedServer,
  numberedServer,
  type Service,
  tcpLines,
  type Transport,
  webSockets
} from "./support/numberedServer.js"
import { cases, measured, SeededRandom } from "./support/proof.js"

/** Sends the end message, after which no other message follows. */
const sendEndMessage = (line: Line): void => line.send(`${line.number}:${line.sent + 1}:${endMessage}`)

const endMessage = "the end"

const untilEndMessage = (service: Service): Stream.Stream<string, unknown> =>
  PersistentConnection.stream(service, ({ messages }) => messages).pipe(
    Stream.map(String),
    Stream.takeUntil((message) => message.endsWith(endMessage))
  )

/**
 * Sends the next messages of a connection: the number of the connection, the number of the message, and padding of
 * random length.
 */
const send = (line: Line, random: SeededRandom, count: number): void => {
  for (let index = 0; index < count; index++) {
    line.send(`${line.number}:${line.sent + 1}:${"x".repeat(random.boolean(0.1) ? 20_000 : random.upTo(200))}`)
  }
}

/** Runs a server connection from its start to its end. */
const runLine = (line: Line, random: SeededRandom): Effect.Effect<void> => {
  send(line, random, random.upTo(20))
  // A connection that sends some messages and ends at once.
  if (random.boolean(0.2)) line.close()
  if (random.boolean(0.05)) line.break(random.pick("reset", "destroy"))
  return Effect.gen(function*() {
    for (let bursts = random.upTo(20); bursts > 0 && !line.isOver; bursts--) {
      yield* random.sleep(random.pick(0, 10, 40))
      send(line, random, random.pick(1, 3, 30))
    }
    // It sends more messages directly before its end.
    if (random.boolean(0.5)) send(line, random, random.upTo(50))
    if (random.boolean(0.6)) line.close()
    else line.break(random.pick("reset", "destroy"))
  })
}

/** The work of a consumer that is often slow, and sometimes very slow. */
const slow = (random: SeededRandom): Effect.Effect<void> =>
  Effect.suspend(() => random.boolean(0.1) ? random.sleep(random.pick(2, 5, 60)) : Effect.void)

interface Run {
  readonly server: NumberedServer
  readonly client: NumberedClient
  /** Kills the server and refreshes the connection until this many connections have been opened. */
  readonly chaos: (connections: number) => Effect.Effect<void>
}

/** Starts a server that ends its connections at random, and a client. */
const start = (
  transport: Transport,
  random: SeededRandom,
  onLine: (line: Line, run: (effect: Effect.Effect<void>) => void) => void,
  options: { readonly retry?: Schedule.Schedule<unknown> } = {}
): Effect.Effect<Run, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const server = yield* numberedServer(transport, (line) =>
      onLine(line, (effect) => void Effect.runFork(Effect.forkIn(effect, scope))))
    const client = yield* numberedClient(server, options)
    const kill = Effect.gen(function*() {
      yield* server.kill(random.pick("reset", "destroy"))
      yield* random.sleep(50)
      yield* server.start
    })
    const refresh = Effect.ignore(PersistentConnection.refresh(client.service, { drain: 100 }))
    const disturb = Effect.suspend(() =>
      random.boolean(0.25) ? kill : refresh
    )
    const chaos = (connections: number) =>
      Effect.repeat(Effect.zipRight(random.sleep(150), disturb), { while: () => server.lines.length < connections })
    return { server, client, chaos }
  })

/** Checks the delivered messages against the messages that each connection has received. Returns a summary. */
const check = (got: ReadonlyArray<string>, { connections }: NumberedClient) => {
  const numbers = new Map<number, number>()
  let last = 0
  for (const message of got) {
    const [line, number] = message.split(":").map(Number)
    assert.isTrue(line! >= last, `messages of connection ${line} come before those of connection ${last}`)
    last = line!
    assert.strictEqual(number, (numbers.get(line!) ?? 0) + 1, `the next message of connection ${line}`)
    numbers.set(line!, number!)
  }
  const all = connections()
  let closed = 0
  for (const { bytesRead, line } of all) {
    if (line === undefined) {
      assert.strictEqual(bytesRead, 0)
      continue
    }
    const count = numbers.get(line.number) ?? 0
    numbers.delete(line.number)
    assert.strictEqual(count, line.wholeIn(bytesRead), `the messages read on connection ${line.number}`)
    if (!line.isClosed) continue
    closed++
    assert.strictEqual(count, line.sent, `the messages sent on connection ${line.number}, which was closed regularly`)
  }
  assert.deepStrictEqual([...numbers.keys()], [], "connections that were never established")
  return `${got.length} messages of ${all.length} connections, ${closed} of them closed in the regular way`
}

describe.each([webSockets, tcpLines])("a server that numbers its messages ($name)", (transport) => {
  it.scopedLive(
    "S1: all received messages of a connection are delivered once and in order, before those of the next connection",
    () =>
      Effect.gen(function*() {
        const since = performance.now()
        const random = new SeededRandom(1)
        let isOver = false
        const { chaos, client } = yield* start(
          transport,
          random,
          (line, run) => isOver ? sendEndMessage(line) : run(runLine(line, random))
        )
        const got: Array<string> = []
        const consumer = yield* untilEndMessage(client.service).pipe(
          Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(message)), slow(random))),
          Effect.fork
        )
        yield* chaos(cases(15, 400))
        isOver = true
        yield* Fiber.join(consumer)
        yield* measured(`${transport.name}: ${check(got, client)}`, since)
      })
  )

  it.scopedLive("S1: the messages of a connection that ends at once are delivered", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const total = cases(20, 200)
      const server = yield* numberedServer(transport, (line) => {
        if (line.number > total) return sendEndMessage(line)
        send(line, new SeededRandom(line.number), 1)
        line.close()
      })
      const client = yield* numberedClient(server)
      const got = yield* Stream.runCollect(untilEndMessage(client.service))
      yield* measured(`${transport.name}, ended at once: ${check([...got], client)}`, since)
      assert.lengthOf(got, total + 1)
    }))

  it.scopedLive("S1: after a refresh, a busy stream first delivers the received messages of the old connection", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const random = new SeededRandom(2)
      const total = cases(3, 20)
      const { client, server } = yield* start(transport, random, (line, run) =>
        line.number > total
          ? sendEndMessage(line)
          : run(Effect.repeat(Effect.zipRight(Effect.sync(() => send(line, random, 3)), random.sleep(10)), {
            while: () => !line.isOver
          })))
      const got: Array<string> = []
      const consumer = yield* untilEndMessage(client.service).pipe(
        Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(message)), slow(random))),
        Effect.fork
      )
      yield* client.service.connected
      for (let refreshes = 0; refreshes < total; refreshes++) {
        yield* random.sleep(200)
        yield* PersistentConnection.refresh(client.service)
      }
      yield* Fiber.join(consumer)
      assert.lengthOf(server.lines, total + 1)
      const replaced = server.lines.slice(0, total)
      // The client may move on before the server notices the end.
      yield* Effect.promise(() => Promise.all(replaced.map(({ ended }) => ended)))
      assert.isTrue(replaced.every(({ isClosed }) => isClosed))
      yield* measured(`${transport.name}, refreshed while busy: ${check(got, client)}`, since)
    }))

  it.scopedLive("S1: all received messages are delivered before the stream fails because the policy gave up", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const random = new SeededRandom(3)
      const outcomes: Array<string> = []
      for (let run = 0; run < cases(3, 50); run++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { client, server } = yield* start(transport, random, (line, run) => run(runLine(line, random)), {
            retry: Schedule.recurs(1)
          })
          const got: Array<string> = []
          const consumer = yield* PersistentConnection.stream(client.service, ({ messages }) => messages).pipe(
            Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(String(message))), slow(random))),
            Effect.fork
          )
          yield* random.sleep(200)
          yield* server.kill(random.pick("reset", "destroy"))
          const error = yield* Effect.flip(Fiber.join(consumer))
          assert.include(String(error), "gave up")
          outcomes.push(check(got, client))
        }))
      }
      yield* measured(
        `${transport.name}, given up ${outcomes.length} times, the last time after ${outcomes.at(-1)}`,
        since
      )
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))

  it.scopedLive("S2: closeGracefully lets the stream deliver the received messages", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const random = new SeededRandom(4)
      const outcomes: Array<string> = []
      for (let run = 0; run < cases(3, 50); run++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { client } = yield* start(transport, random, (line, run) => run(runLine(line, random)))
          const got: Array<string> = []
          const consumer = yield* PersistentConnection.stream(client.service, ({ messages }) => messages).pipe(
            Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(String(message))), slow(random))),
            Effect.fork
          )
          yield* random.sleep(300)
          yield* client.service.connected
          yield* PersistentConnection.closeGracefully(client.service, "20 seconds")
          yield* Fiber.join(consumer)
          outcomes.push(check(got, client))
        }))
      }
      yield* measured(
        `${transport.name}, closed ${outcomes.length} times, the last time after ${outcomes.at(-1)}`,
        since
      )
    }))

  it.scopedLive("S3: a resumable stream delivers every number once and in order, over the whole run", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const random = new SeededRandom(5)
      const padding = "x".repeat(100)
      let published = 0
      let resent = 0
      const subscribers = new Map<Line, number>()
      const sendNext = (line: Line) => {
        for (let next = subscribers.get(line)!; next < published && !line.isOver;) {
          line.send(`${++next} ${padding}`)
          subscribers.set(line, next)
        }
      }
      const { chaos, client, server } = yield* start(transport, random, (line, run) => {
        line.onText = (cursor) => {
          resent += published - Number(cursor)
          subscribers.set(line, Number(cursor))
          sendNext(line)
        }
        run(Effect.zipRight(
          random.sleep(300),
          Effect.sync(() => random.boolean(0.5) ? line.close() : line.break(random.pick("reset", "destroy")))
        ))
      })
      const publish = Effect.sync(() => {
        published += random.upTo(20)
        for (const line of subscribers.keys()) sendNext(line)
      })
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(publish, random.sleep(20))))
      const got: Array<number> = []
      let gaps = 0
      let goal = Infinity
      const consumer = yield* PersistentConnection.resumableStream(client.service, {
        subscribe: ({ messages, send }: Connected, cursor: Option.Option<number>) =>
          Effect.as(
            send(String(Option.getOrElse(cursor, () => 0))),
            Stream.map(messages, (message) => parseInt(String(message)))
          ),
        cursor: (number) => number
      }).pipe(
        Stream.runForEachWhile((element) => {
          if (element._tag === "Gap") gaps++
          else got.push(element.value)
          return Effect.as(slow(random), got.length < goal)
        }),
        Effect.fork
      )
      yield* chaos(cases(15, 200))
      goal = published + 1
      yield* Fiber.join(consumer)
      assert.deepStrictEqual(got, Array.from({ length: got.length }, (_, index) => index + 1))
      assert.isAtLeast(got.length, goal)
      yield* measured(
        `${transport.name}, resumed: ${got.length} numbers once each over ${server.lines.length} connections, ${gaps} gaps, ${resent} requested again`,
        since
      )
    }))
})
