import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Client, type ClientConfig } from "pg"
import { beforeAll, beforeEach, expect, it } from "vitest"
import { postgres, PostgresError } from "../../src/recipes/postgresConnector.js"
import { connector, events, make, retry, schema } from "../../src/recipes/postgresEvents.js"
import { password, postgres as startPostgres } from "../../src/recipes/privateServer.js"
import { eventually, expectOnPage, follow, run, soon, withServer } from "./support.js"

const server = withServer("postgres", startPostgres)

const config = (): ClientConfig => ({
  host: "127.0.0.1",
  port: server().port,
  user: "app",
  password,
  database: "postgres",
  application_name: "listener"
})

const client = Effect.acquireRelease(
  Effect.promise(async () => {
    const client = new Client({ ...config(), application_name: "test" })
    await client.connect()
    return client
  }),
  (client) => Effect.promise(() => client.end())
)

const sql = (text: string) =>
  Effect.scoped(Effect.flatMap(client, (client) => Effect.promise(() => client.query(text))))

const insert = (text: string) => sql(`INSERT INTO events (text) VALUES ('${text}')`)

/** The number of connections of the listener, as the server counts them. */
const count = Effect.map(
  sql("SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'listener'"),
  ({ rows }) => rows[0].count as number
)

/** A persistent connection that can connect while the gate is open. */
const listen = Effect.gen(function*() {
  const gate = yield* Effect.makeLatch(true)
  const db = yield* PersistentConnection.make({
    serverName: "events",
    address: Effect.zipRight(gate.await, Effect.sync(config)),
    connector: connector(100, 200),
    retry: retry(soon)
  })
  const record = yield* Recorder.events(db)
  const rows = yield* follow(events(db), ({ text }) => text)
  return { db, gate, record, ...rows }
})

/** One connection, without a persistent connection. */
const connect = Effect.gen(function*() {
  const attempt = { serverName: "events" } as Parameters<typeof postgres.connect>[1]
  return yield* postgres.connect(config(), attempt)
})

beforeAll(async () => {
  await run(sql(schema))
})

beforeEach(async () => {
  await run(sql("TRUNCATE events RESTART IDENTITY"))
})

it("receives the rows that are there, and each new one", () =>
  run(Effect.gen(function*() {
    yield* insert("there")
    const { take } = yield* listen
    expect(yield* take(1)).toEqual(["there"])
    yield* insert("new")
    expect(yield* take(1)).toEqual(["new"])
  })))

it("reconnects after a SIGKILL, and listens again", () =>
  run(Effect.gen(function*() {
    const { record, take } = yield* listen
    yield* insert("before")
    expect(yield* take(1)).toEqual(["before"])
    yield* server().kill
    const { value: loss } = yield* record.waitFor("Disconnected")
    expect(Option.getOrThrow(Cause.failureOption(loss.cause))).toBeInstanceOf(PostgresError)
    yield* server().start
    yield* insert("after")
    expect(yield* take(2)).toEqual(["gap", "after"])
    // Only a notification can announce this row: the rows have been read to the end.
    yield* insert("announced")
    expect(yield* take(1)).toEqual(["announced"])
    expect(yield* count).toBe(1)
  })))

it("catches up over an outage, without loss or duplicates", () =>
  run(Effect.gen(function*() {
    const { gate, record, rest, take } = yield* listen
    yield* sql("INSERT INTO events (text) SELECT 'before ' || n FROM generate_series(1, 3) n")
    expect(yield* take(3)).toEqual(["before 1", "before 2", "before 3"])
    yield* gate.close
    yield* server().kill
    yield* record.waitFor("Disconnected")
    yield* server().start
    yield* sql("INSERT INTO events (text) SELECT 'during ' || n FROM generate_series(1, 250) n")
    yield* gate.open
    expect(yield* take(251)).toEqual(["gap", ...Array.from({ length: 250 }, (_, index) => `during ${index + 1}`)])
    yield* insert("after")
    expect(yield* take(1)).toEqual(["after"])
    expect(yield* rest).toEqual([])
  })))

it("misses no row of a transaction that commits late", () =>
  run(Effect.gen(function*() {
    const { take } = yield* listen
    const first = yield* client
    const second = yield* client
    yield* Effect.promise(() => first.query("BEGIN; INSERT INTO events (text) VALUES ('first')"))
    let hasEnded = false
    const inserting = second.query("INSERT INTO events (text) VALUES ('second')").then(() => hasEnded = true)
    const waiting = Effect.map(
      sql("SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock'"),
      ({ rows }) => hasEnded ? 1 : rows[0].count as number
    )
    yield* eventually(waiting, 1)
    expect(hasEnded).toBe(false)
    yield* Effect.promise(() => first.query("COMMIT"))
    yield* Effect.promise(() => inserting)
    expect(yield* take(2)).toEqual(["first", "second"])
  })))

it("the health check notices a server that does not answer", () =>
  run(Effect.gen(function*() {
    const { record, take } = yield* listen
    yield* insert("before")
    yield* take(1)
    yield* server().freeze
    const { value: loss } = yield* Effect.ensuring(record.waitFor("Disconnected"), server().thaw)
    expect(Option.map(Cause.failureOption(loss.cause), ({ _tag }) => _tag)).toEqual(Option.some("TimeoutException"))
    yield* insert("after")
    // The old connection may still deliver the row.
    expect((yield* take(2)).sort()).toEqual(["after", "gap"])
    yield* eventually(count, 1)
  })))

it("gives up at a wrong password", () =>
  run(Effect.gen(function*() {
    const db = yield* make({ ...config(), password: "wrong" })
    const error = yield* Effect.flip(db.connectedOrFailedToConnect)
    expect(error).toMatchObject({ _tag: "PostgresError", isRefusal: true, cause: { code: "28P01" } })
    yield* db.closeFinished
  })))

it("leaves no connection open, also of an attempt that has not ended", () =>
  run(Effect.gen(function*() {
    yield* Effect.scoped(Effect.flatMap(listen, ({ db }) => db.connected))
    yield* eventually(count, 0)
    yield* server().freeze
    yield* Effect.gen(function*() {
      const { db } = yield* listen
      yield* Effect.timeoutOption(db.connected, "200 millis")
    }).pipe(Effect.scoped, Effect.ensuring(server().thaw))
    yield* eventually(count, 0)
  })))

it("keeps the newest 1000 notifications of a slow reader", () =>
  run(Effect.gen(function*() {
    const { notifications, query } = yield* connect
    yield* query("LISTEN many")
    yield* query("SELECT pg_notify('many', n::text) FROM generate_series(1, 1500) n")
    const payloads = Chunk.toReadonlyArray(yield* notifications).map(({ payload }) => payload)
    expect([payloads.length, payloads[0], payloads.at(-1)]).toEqual([1000, "501", "1500"])
  })))

it("answers a probe, and can be terminated", () =>
  run(Effect.gen(function*() {
    const db = yield* connect
    yield* postgres.probe!(db)
    expect(postgres.isClosed!(db)).toBe(false)
    yield* eventually(count, 1)
    yield* postgres.terminate!(db)
    expect(yield* Effect.flip(postgres.closed(db))).toBeInstanceOf(PostgresError)
    expect(postgres.isClosed!(db)).toBe(true)
    expect(yield* Effect.flip(postgres.probe!(db))).toBeInstanceOf(PostgresError)
    expect(yield* Effect.flip(db.notifications)).toBeInstanceOf(PostgresError)
    yield* eventually(count, 0)
  })))

it("a query that fails is not a loss, and several queries may wait at once", () =>
  run(Effect.gen(function*() {
    const warnings: Array<Error> = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on("warning", onWarning)
    const db = yield* connect
    const error = yield* Effect.flip(db.query("SELECT nonsense"))
    expect(error.cause.code).toBe("42703")
    const rows = yield* Effect.all([1, 2, 3].map((n) => db.query(`SELECT ${n} AS n`)), { concurrency: "unbounded" })
    expect(rows.flat()).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
    expect(postgres.isClosed!(db)).toBe(false)
    process.off("warning", onWarning)
    expect(warnings).toEqual([])
  })))

it("docs/postgres.md shows the current code", () => {
  expectOnPage("postgres", "postgresConnector.ts", "postgresEvents.ts")
})
