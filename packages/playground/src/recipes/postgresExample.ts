/** Postgres is killed and comes back: what a listener gets. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Client, type ClientConfig } from "pg"
import { makePrinter } from "../terminal.js"
import { printEvent, runExample, show, Tally } from "./exampleSupport.js"
import { connector, events, retry, schema } from "./postgresEvents.js"
import { password, postgres } from "./privateServer.js"

runExample(Effect.gen(function*() {
  const print = yield* makePrinter
  const server = yield* postgres
  yield* print("dim", "server", `Postgres listens on port ${server.port}`)
  const config: ClientConfig = { host: "127.0.0.1", port: server.port, user: "app", password, database: "postgres" }

  /** Runs a statement on a connection of its own, as another program. */
  const sql = (text: string) =>
    Effect.promise(async () => {
      const client = new Client(config)
      await client.connect()
      const result = await client.query(text)
      await client.end()
      return result
    })
  const insert = (...texts: ReadonlyArray<string>) =>
    Effect.zipRight(
      print("dim", "other", `INSERT ${texts.join(", ")}`),
      sql(`INSERT INTO events (text) VALUES ${texts.map((text) => `('${text}')`).join()}`)
    )
  yield* sql(schema)

  const tally = new Tally()
  yield* Effect.scoped(Effect.gen(function*() {
    // While the door is closed, the look-up waits: so the listener misses everything that happens meanwhile.
    const door = yield* Effect.makeLatch(true)
    const db = yield* PersistentConnection.make({
      serverName: "events",
      address: Effect.as(door.await, { ...config, application_name: "listener" }),
      connector: connector().pipe(Connector.setup(() => tally.count)),
      // Shorter delays than in `RetryPolicy.production`, for a short example.
      retry: retry(RetryPolicy.exponential({ base: "200 millis", maxDelay: "1 second" })),
      onEvent: printEvent(print)
    })
    const until = yield* show(print, "row", events(db), ({ text }) => text)

    yield* insert("tea", "milk")
    yield* until("milk")
    yield* door.close
    yield* server.kill
    yield* print("red", "server", "killed")
    yield* db.state.changes.pipe(Stream.takeUntil(({ _tag }) => _tag !== "Connected"), Stream.runDrain)
    yield* server.start
    yield* print("dim", "server", "started again; the listener does not reconnect yet")
    yield* insert("bread", "salt", "rice")
    yield* door.open
    yield* until("rice")
    // Only a notification can announce this row: LISTEN has run again.
    yield* insert("soap")
    yield* until("soap")
  }))
  yield* tally.check(
    print,
    2,
    Effect.map(
      sql("SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'listener'"),
      ({ rows }) => rows[0].count as number
    )
  )
}))
