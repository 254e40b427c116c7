/** A connector for Postgres, on the client `pg`. */
import * as Connector from "@persistent-connection/core/Connector"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import { Socket } from "node:net"
import { Client, type ClientConfig, type Notification, type QueryResultRow } from "pg"

export class PostgresError extends Data.TaggedError("PostgresError")<{ readonly cause: Error & { code?: string } }> {
  override get message() {
    return this.cause.message
  }
  /** True if the server refuses the user, the password or the database. */
  get isRefusal() {
    return this.cause.code?.startsWith("28") === true || this.cause.code === "3D000"
  }
}

const attempt = <A>(promise: () => Promise<A>) =>
  Effect.tryPromise({ try: promise, catch: (cause) => new PostgresError({ cause: cause as Error }) })

const connect = (config: ClientConfig) =>
  Effect.gen(function*() {
    const lost = yield* Deferred.make<never, PostgresError>()
    // Sliding: a slow reader loses the oldest notifications, which is harmless if they only say that there is news.
    const inbox = yield* Mailbox.make<Notification, PostgresError>({ capacity: 1_000, strategy: "sliding" })
    let isClosed = false
    const socket = new Socket()
    const client = new Client({ ...config, stream: () => socket, pipeline: true })
    client.on("notification", (notification) => inbox.unsafeOffer(notification))
    client.on("error", (cause) => {
      isClosed = true
      const exit = Exit.fail(new PostgresError({ cause }))
      inbox.unsafeDone(exit)
      Deferred.unsafeDone(lost, exit)
    })
    // `client.end()` would wait for the server, which may have gone.
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
    yield* attempt(() => client.connect())

    const query = <Row extends QueryResultRow>(text: string, values: Array<unknown> = []) =>
      Effect.map(attempt(() => client.query<Row>(text, values)), ({ rows }) => rows)
    return {
      query,
      ping: query("SELECT 1"),
      /** Waits for one or more notifications. */
      notifications: Effect.map(inbox.takeAll, ([notifications]) => notifications),
      lost: Deferred.await(lost),
      isClosed: () => isClosed,
      terminate: Effect.sync(() => socket.destroy())
    }
  })

export type Postgres = Effect.Effect.Success<ReturnType<typeof connect>>

export const postgres = Connector.make({
  connect,
  closed: ({ lost }: Postgres) => lost,
  isClosed: ({ isClosed }) => isClosed(),
  probe: ({ ping }) => ping,
  terminate: ({ terminate }) => terminate
})
