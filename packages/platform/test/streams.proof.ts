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
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type Line,
  type NumberedClient,
  numberedClient,
  type NumberedServer,
  numberedServer,
  tcpLines,
  type Transport,
  webSockets
} from "./support/numberedServer.js"
import { cases, Chance, measured } from "./support/proof.js"

/** Says, as the next message of a connection, that there will be no other. */
const sayTheLastWord = (line: Line): void => line.say(`${line.number}:${line.sent + 1}:${lastWord}`)

const lastWord = "the last word"

/** Says the next messages of a connection: its number, the number within it, and something of any length. */
const say = (line: Line, chance: Chance, count: number): void => {
  for (let index = 0; index < count; index++) {
    line.say(`${line.number}:${line.sent + 1}:${"x".repeat(chance.often(0.02) ? 20_000 : chance.upTo(200))}`)
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
  /** What ends connections, until the given time has passed. */
  readonly chaos: Effect.Effect<void>
}

/** A server with a life of its own, and its client. */
const stage = (
  transport: Transport,
  chance: Chance,
  onLine: (line: Line, run: (effect: Effect.Effect<void>) => void) => void,
  millis: number
): Effect.Effect<Staged, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const server = yield* numberedServer(transport, (line) =>
      onLine(line, (effect) => void Effect.runFork(Effect.forkIn(effect, scope))))
    const client = yield* numberedClient(server)
    const kill = Effect.gen(function*() {
      yield* server.kill(chance.pick("reset", "destroy"))
      yield* chance.sleep(50)
      yield* server.start
    })
    const refresh = Effect.ignore(PersistentConnection.refresh(client.service, { drain: 100 }))
    const act = Effect.suspend(() => chance.often(0.25) ? kill : refresh)
    const chaos = Effect.suspend(() => {
      const end = performance.now() + millis
      return Effect.repeat(Effect.zipRight(chance.sleep(150), act), { while: () => performance.now() < end })
    })
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
        const { chaos, client, server } = yield* stage(
          transport,
          chance,
          (line, run) => isOver ? sayTheLastWord(line) : run(live(line, chance)),
          cases(1_000, 20_000)
        )
        const got: Array<string> = []
        const consumer = yield* PersistentConnection.stream(client.service, ({ messages }) => messages).pipe(
          Stream.map(String),
          Stream.takeUntil((message) => message.endsWith(lastWord)),
          Stream.runForEach((message) => Effect.zipRight(Effect.sync(() => got.push(message)), slow(chance))),
          Effect.fork
        )
        yield* chaos
        isOver = true
        yield* Fiber.join(consumer)
        assert.isAbove(server.lines.length, 5)
        yield* measured(`${transport.name}: ${check(got, client)}`, since)
      })
  )
})
