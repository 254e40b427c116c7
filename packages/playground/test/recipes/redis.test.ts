import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { createClient } from "redis"
import { beforeEach, expect, it } from "vitest"
import { password, redis as startRedis } from "../../src/recipes/privateServer.js"
import { redis, type RedisAddress, RedisError } from "../../src/recipes/redisConnector.js"
import { connector, make, orders, prices, retry } from "../../src/recipes/redisEvents.js"
import { eventually, expectOnPage, follow, run, soon, withServer } from "./support.js"

const server = withServer("redis-server", startRedis)

const address = (): RedisAddress => ({ host: "127.0.0.1", port: server().port, password, name: "listener" })

const makeClient = () => createClient({ password, socket: { port: server().port, reconnectStrategy: false } })

/** Runs commands on a connection of their own. */
const command = <A>(f: (redis: ReturnType<typeof makeClient>) => Promise<A>) =>
  Effect.promise(async () => {
    const client = makeClient()
    await client.connect()
    const result = await f(client)
    await client.close()
    return result
  })

const order = (...texts: ReadonlyArray<string>) =>
  command(async (redis) => {
    const transaction = redis.multi()
    for (const text of texts) transaction.xAdd("orders", "*", { text })
    await transaction.publish("orders", "").exec()
  })

const price = (text: string) => command((redis) => redis.publish("prices", text))

/** The number of connections of the listener, as the server counts them. */
const count = Effect.map(
  command((redis) => redis.clientList()),
  (clients) => clients.filter(({ name }) => name === "listener").length
)

/** A persistent connection that can connect while the gate is open. */
const listen = Effect.gen(function*() {
  const gate = yield* Effect.makeLatch(true)
  const feed = yield* PersistentConnection.make({
    serverName: "redis",
    address: Effect.zipRight(gate.await, Effect.sync(address)),
    connector: connector(100, 200),
    retry: retry(soon)
  })
  const record = yield* Recorder.events(feed)
  const fromChannel = yield* follow(prices(feed), (price) => price)
  const fromStream = yield* follow(orders(feed), ({ message }) => message["text"] ?? "")
  yield* feed.connected
  return { feed, gate, record, fromChannel, fromStream }
})

/** One connection, without a persistent connection. */
const connect = Effect.gen(function*() {
  const attempt = { serverName: "redis" } as Parameters<typeof redis.connect>[1]
  return yield* redis.connect(address(), attempt)
})

beforeEach(() => run(command((redis) => redis.flushAll())))

it("receives the messages of a channel, and the entries of a stream", () =>
  run(Effect.gen(function*() {
    yield* order("there")
    const { fromChannel, fromStream } = yield* listen
    expect(yield* fromStream.take(1)).toEqual(["there"])
    yield* order("new")
    expect(yield* fromStream.take(1)).toEqual(["new"])
    yield* price("1.08")
    expect(yield* fromChannel.take(1)).toEqual(["1.08"])
  })))

it("reconnects after a SIGKILL, and subscribes again", () =>
  run(Effect.gen(function*() {
    const { feed, fromChannel, fromStream, record } = yield* listen
    yield* price("before")
    expect(yield* fromChannel.take(1)).toEqual(["before"])
    yield* server().kill
    const { value: loss } = yield* record.waitFor("Disconnected")
    expect(Option.getOrThrow(Cause.failureOption(loss.cause))).toBeInstanceOf(RedisError)
    yield* server().start
    yield* feed.connected
    yield* price("after")
    expect(yield* fromChannel.take(2)).toEqual(["gap", "after"])
    yield* order("first")
    expect(yield* fromStream.take(2)).toEqual(["gap", "first"])
    // Only a message can announce this entry: the stream has been read to its end.
    yield* order("announced")
    expect(yield* fromStream.take(1)).toEqual(["announced"])
    expect(yield* count).toBe(1)
  })))

it("over an outage the channel has a gap, and the stream catches up without loss or duplicates", () =>
  run(Effect.gen(function*() {
    const { feed, fromChannel, fromStream, gate, record } = yield* listen
    yield* order("before 1", "before 2")
    expect(yield* fromStream.take(2)).toEqual(["before 1", "before 2"])
    yield* price("before")
    expect(yield* fromChannel.take(1)).toEqual(["before"])
    yield* gate.close
    yield* server().kill
    yield* record.waitFor("Disconnected")
    yield* server().start
    yield* price("during")
    const during = Array.from({ length: 250 }, (_, index) => `during ${index + 1}`)
    yield* order(...during)
    yield* gate.open
    expect(yield* fromStream.take(251)).toEqual(["gap", ...during])
    yield* feed.connected
    yield* price("after")
    expect(yield* fromChannel.take(2)).toEqual(["gap", "after"])
    yield* order("after")
    expect(yield* fromStream.take(1)).toEqual(["after"])
    expect(yield* fromStream.rest).toEqual([])
  })))

it("the health check notices a server that does not answer", () =>
  run(Effect.gen(function*() {
    const { feed, fromChannel, record } = yield* listen
    yield* server().freeze
    const { value: loss } = yield* Effect.ensuring(record.waitFor("Disconnected"), server().thaw)
    expect(Option.map(Cause.failureOption(loss.cause), ({ _tag }) => _tag)).toEqual(Option.some("TimeoutException"))
    yield* feed.connected
    yield* eventually(count, 1)
    yield* price("after")
    expect(yield* fromChannel.take(2)).toEqual(["gap", "after"])
  })))

it("gives up at a wrong password", () =>
  run(Effect.gen(function*() {
    const feed = yield* make({ ...address(), password: "wrong" })
    const error = yield* Effect.flip(feed.connectedOrFailedToConnect)
    expect(error).toMatchObject({ _tag: "RedisError", isRefusal: true })
    yield* feed.closeFinished
  })))

it("leaves no connection open, also of an attempt that has not ended", () =>
  run(Effect.gen(function*() {
    yield* Effect.scoped(listen)
    yield* eventually(count, 0)
    yield* server().freeze
    yield* Effect.timeoutOption(listen, "200 millis").pipe(Effect.scoped, Effect.ensuring(server().thaw))
    yield* eventually(count, 0)
  })))

it("closes a connection whose opening is interrupted", () =>
  run(Effect.gen(function*() {
    const all = command((redis) => redis.clientList())
    yield* Fiber.interrupt(Effect.runFork(Effect.scoped(connect)))
    // The server accepts connections in their order, so these include one that was left open.
    yield* eventually(Effect.map(all, (clients) => clients.length), 1)
  })))

it("a reader that is 1000 messages behind is a loss", () =>
  run(Effect.gen(function*() {
    const connection = yield* connect
    const inbox = yield* connection.subscribe("many")
    yield* command((redis) => Promise.all(Array.from({ length: 1_001 }, (_, n) => redis.publish("many", `${n}`))))
    const error = yield* Effect.flip(redis.closed(connection))
    expect(error.message).toBe("1000 unread messages of many")
    // What has been received can be read, and then the reader gets the loss.
    const [received] = yield* inbox.takeAll
    expect(Chunk.size(received)).toBe(1_000)
    expect(yield* Effect.flip(inbox.takeAll)).toBe(error)
  })))

it("answers a probe, and can be terminated", () =>
  run(Effect.gen(function*() {
    const connection = yield* connect
    yield* redis.probe!(connection)
    expect(redis.isClosed!(connection)).toBe(false)
    yield* eventually(count, 1)
    yield* redis.terminate!(connection)
    expect(yield* Effect.flip(redis.closed(connection))).toBeInstanceOf(RedisError)
    expect(redis.isClosed!(connection)).toBe(true)
    expect(yield* Effect.flip(redis.probe!(connection))).toBeInstanceOf(RedisError)
    yield* eventually(count, 0)
  })))

it("a command that fails is not a loss", () =>
  run(Effect.gen(function*() {
    const connection = yield* connect
    yield* connection.run((redis) => redis.set("text", "text"))
    expect((yield* Effect.flip(connection.run((redis) => redis.incr("text")))).message).toContain("not an integer")
    expect(redis.isClosed!(connection)).toBe(false)
  })))

it("docs/redis.md shows the current code", () => {
  expectOnPage("redis", "redisConnector.ts", "redisEvents.ts")
})
