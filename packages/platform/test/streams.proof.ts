/**
 * Streams over connections to real servers that number their messages, and end their connections in every way and at
 * any moment, under a consumer that is slow.
 *
 * What has a connection received? After a regular end (a close frame, FIN), everything that the server has sent. After a
 * reset or the death of the server, every message of which the client's socket has read the last byte.
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
import { cases, Chance, measured } from "./support/proof.js"

/** Says, as the next message of a connection, that there will be no other. */
const sayTheLastWord = (line: Line): void => line.say(`${line.number}:${line.sent + 1}:${lastWord}`)

const lastWord = "the last word"

const untilTheLastWord = (service: Service): Stream.Stream<string, unknown> =>
  PersistentConnection.stream(service, ({ messages }) => messages).pipe(
    Stream.map(String),
    Stream.takeUntil((message) => message.endsWith(lastWord))
  )

/** Says the next messages of a connection: its number, the number within it, and something of any length. */
const say = (line: Line, chance: Chance, count: number): void => {
  for (let index = 0; index < count; index++) {
    line.say(`${line.number}:${line.sent + 1}:${"x".repeat(chance.often(0.1) ? 20_000 : chance.upTo(200))}`)
  }
}

/** What a connection does from its first moment to its end. */
const live = (line: Line, chance: Chance): Effect.Effect<void> => {
  say(line, chance, chance.upTo(20))
  // A connection that says something and is dead on arrival.
  if (chance.often(0.2)) line.close()
  if (chance.often(0.05)) line.break(chance.pick("reset", "destroy"))
  return Effect.gen(function*() {
    for (let bursts = chance.upTo(20); bursts > 0 && !line.isOver; bursts--) {
      yield* chance.sleep(chance.pick(0, 10, 40))
      say(line, chance, chance.pick(1, 3, 30))
    }
    // It says more at the very moment at which it ends.
    if (chance.often(0.5)) say(line, chance, chance.upTo(50))
    if (chance.often(0.6)) line.close()
    else line.break(chance.pick("reset", "destroy"))
  })
}

/** A consumer that is often slow, and sometimes very slow. */
const slow = (chance: Chance): Effect.Effect<void> =>
  Effect.suspend(() => chance.often(0.1) ? chance.sleep(chance.pick(2, 5, 60)) : Effect.void)

interface Staged {
  readonly server: NumberedServer
  readonly client: NumberedClient
  /** Kills the server and refreshes the connection until there have been so many. */
  readonly chaos: (connections: number) => Effect.Effect<void>
}

/** A server with a life of its own, and its client. */
const stage = (
  transport: Transport,
  chance: Chance,
  onLine: (line: Line, run: (effect: Effect.Effect<void>) => void) => void,
  options: { readonly retry?: Schedule.Schedule<unknown> } = {}
): Effect.Effect<Staged, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const server = yield* numberedServer(transport, (line) =>
      onLine(line, (effect) => void Effect.runFork(Effect.forkIn(effect, scope))))
    const client = yield* numberedClient(server, options)
    const kill = Effect.gen(function*() {
      yield* server.kill(chance.pick("reset", "destroy"))
      yield* chance.sleep(50)
      yield* server.start
    })
    const refresh = Effect.ignore(PersistentConnection.refresh(client.service, { drain: 100 }))
    const act = Effect.suspend(() =>
      chance.often(0.25) ? kill : refresh
    )
    const chaos = (connections: number) =>
      Effect.repeat(Effect.zipRight(chance.sleep(150), act), { while: () => server.lines.length < connections })
    return { server, client, chaos }
  })

/** Checks what a stream has given against what is known of each connection. Returns how many there were of each kind. */
const check = (got: ReadonlyArray<string>, { had }: NumberedClient) => {
  const numbers = new Map<number, number>()
  let last = 0
  for (const message of got) {
    const [line, number] = message.split(":").map(Number)
    assert.isTrue(line! >= last, `nothing of connection ${line} comes after something of connection ${last}`)
    last = line!
    assert.strictEqual(number, (numbers.get(line!) ?? 0) + 1, `the next message of connection ${line}`)
    numbers.set(line!, number!)
  }
  const connections = had()
  let closed = 0
  for (const { bytesRead, line } of connections) {
    if (line === undefined) {
      assert.strictEqual(bytesRead, 0)
      continue
    }
    const count = numbers.get(line.number) ?? 0
    numbers.delete(line.number)
    assert.strictEqual(count, line.wholeIn(bytesRead), `what was read of connection ${line.number}`)
    if (!line.isClosed) continue
    closed++
    assert.strictEqual(count, line.sent, `all that was sent on connection ${line.number}, which was closed`)
  }
  assert.deepStrictEqual([...numbers.keys()], [], "connections that were never established")
  return `${got.length} messages of ${connections.length} connections, ${closed} of them closed in the regular way`
}

describe.each([webSockets, tcpLines])("a server that numbers its messages ($name)", (transport) => {
  it.scopedLive(
    "S1: everything that a connection has received is delivered once, in order, before anything of the next one",
    () =>
      Effect.gen(function*() {
        const since = performance.now()
        const chance = new Chance(1)
        let isOver = false
        const { chaos, client } = yield* stage(
          transport,
          chance,
          (line, run) => isOver ? sayTheLastWord(line) : run(live(line, chance))
        )
        const got: Array<string> = []
        const consumer = yield* untilTheLastWord(client.service).pipe(
          Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(message)), slow(chance))),
          Effect.fork
        )
        yield* chaos(cases(15, 400))
        isOver = true
        yield* Fiber.join(consumer)
        yield* measured(`${transport.name}: ${check(got, client)}`, since)
      })
  )

  it.scopedLive("S1: a connection that says something and ends at once is heard like any other", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const total = cases(20, 200)
      const server = yield* numberedServer(transport, (line) => {
        if (line.number > total) return sayTheLastWord(line)
        say(line, new Chance(line.number), 1)
        line.close()
      })
      const client = yield* numberedClient(server)
      const got = yield* Stream.runCollect(untilTheLastWord(client.service))
      yield* measured(`${transport.name}, dead on arrival: ${check([...got], client)}`, since)
      assert.lengthOf(got, total + 1)
    }))

  it.scopedLive("S1: a connection that is replaced goes on with what it has received, although it is busy, and then the next one", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const chance = new Chance(2)
      const total = cases(3, 20)
      const { client, server } = yield* stage(transport, chance, (line, run) =>
        line.number > total
          ? sayTheLastWord(line)
          : run(Effect.repeat(Effect.zipRight(Effect.sync(() => say(line, chance, 3)), chance.sleep(10)), {
            while: () => !line.isOver
          })))
      const got: Array<string> = []
      const consumer = yield* untilTheLastWord(client.service).pipe(
        Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(message)), slow(chance))),
        Effect.fork
      )
      yield* client.service.connected
      for (let refreshes = 0; refreshes < total; refreshes++) {
        yield* chance.sleep(200)
        yield* PersistentConnection.refresh(client.service)
      }
      yield* Fiber.join(consumer)
      assert.lengthOf(server.lines, total + 1)
      const replaced = server.lines.slice(0, total)
      // The client may have gone on before the server notices.
      yield* Effect.promise(() => Promise.all(replaced.map(({ ended }) => ended)))
      assert.isTrue(replaced.every(({ isClosed }) => isClosed))
      yield* measured(`${transport.name}, refreshed while busy: ${check(got, client)}`, since)
    }))

  it.scopedLive("S1: all that was received is delivered before the stream fails because the policy has given up", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const chance = new Chance(3)
      const outcomes: Array<string> = []
      for (let run = 0; run < cases(3, 50); run++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { client, server } = yield* stage(transport, chance, (line, run) => run(live(line, chance)), {
            retry: Schedule.recurs(1)
          })
          const got: Array<string> = []
          const consumer = yield* PersistentConnection.stream(client.service, ({ messages }) => messages).pipe(
            Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(String(message))), slow(chance))),
            Effect.fork
          )
          yield* chance.sleep(200)
          yield* server.kill(chance.pick("reset", "destroy"))
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

  it.scopedLive("S2: closeGracefully lets the stream deliver what has arrived", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const chance = new Chance(4)
      const outcomes: Array<string> = []
      for (let run = 0; run < cases(3, 50); run++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { client } = yield* stage(transport, chance, (line, run) => run(live(line, chance)))
          const got: Array<string> = []
          const consumer = yield* PersistentConnection.stream(client.service, ({ messages }) => messages).pipe(
            Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(String(message))), slow(chance))),
            Effect.fork
          )
          yield* chance.sleep(300)
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

  it.scopedLive("S3: a resumable stream gives every number once, in order, over the whole run", () =>
    Effect.gen(function*() {
      const since = performance.now()
      const chance = new Chance(5)
      const padding = "x".repeat(100)
      let published = 0
      let resent = 0
      const subscribers = new Map<Line, number>()
      const sendNext = (line: Line) => {
        for (let next = subscribers.get(line)!; next < published && !line.isOver;) {
          line.say(`${++next} ${padding}`)
          subscribers.set(line, next)
        }
      }
      const { chaos, client, server } = yield* stage(transport, chance, (line, run) => {
        line.onText = (cursor) => {
          resent += published - Number(cursor)
          subscribers.set(line, Number(cursor))
          sendNext(line)
        }
        run(Effect.zipRight(
          chance.sleep(300),
          Effect.sync(() => chance.often(0.5) ? line.close() : line.break(chance.pick("reset", "destroy")))
        ))
      })
      const publish = Effect.sync(() => {
        published += chance.upTo(20)
        for (const line of subscribers.keys()) sendNext(line)
      })
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(publish, chance.sleep(20))))
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
          return Effect.as(slow(chance), got.length < goal)
        }),
        Effect.fork
      )
      yield* chaos(cases(15, 200))
      goal = published + 1
      yield* Fiber.join(consumer)
      assert.deepStrictEqual(got, Array.from({ length: got.length }, (_, index) => index + 1))
      assert.isAtLeast(got.length, goal)
      yield* measured(
        `${transport.name}, resumed: ${got.length} numbers once each over ${server.lines.length} connections, ${gaps} gaps, ${resent} asked for again`,
        since
      )
    }))
})
