/** The rows of a table, in order, over all connections. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ClientConfig } from "pg"
import { type Postgres, postgres, PostgresError } from "./postgresConnector.js"

export const schema = `
  CREATE TABLE events (id bigserial PRIMARY KEY, text text NOT NULL);
  CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('events')); -- ids become visible in their order
    PERFORM pg_notify('events', ''); -- sent at the commit
    RETURN NULL;
  END $$;
  CREATE TRIGGER announce BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION announce();`

export const connector = (interval = 10_000, timeout = 3_000) =>
  postgres.pipe(
    Connector.setup(({ query }) => Effect.asVoid(query("LISTEN events"))),
    Connector.connectTimeout("5 seconds"),
    Connector.healthCheck({ probe: ({ ping }) => ping, interval, timeout })
  )

interface Event {
  /** `pg` gives a `bigint` as text, because a number would not be exact. */
  readonly id: string
  readonly text: string
}

const eventsAfter = ({ notifications, query }: Postgres, id: string) =>
  Stream.unfoldChunkEffect({ id, isUpToDate: false }, ({ id, isUpToDate }) =>
    Effect.gen(function*() {
      if (isUpToDate) yield* notifications
      const rows = yield* query<Event>("SELECT id, text FROM events WHERE id > $1 ORDER BY id LIMIT 100", [id])
      const next = { id: rows.at(-1)?.id ?? id, isUpToDate: rows.length < 100 }
      return Option.some([Chunk.unsafeFromArray(rows), next] as const)
    }))

export const events = PersistentConnection.resumableStream({
  subscribe: (db: Postgres, last: Option.Option<string>) =>
    Effect.succeed(eventsAfter(db, Option.getOrElse(last, () => "0"))),
  cursor: (event: Event) => event.id
})

export const retry = RetryPolicy.classify((cause: Cause.Cause<unknown>) => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  return error instanceof PostgresError && error.isRefusal ? RetryPolicy.giveUp : RetryPolicy.follow
})

/** Postgres in production. Gives up if the server refuses the user, the password or the database. */
export const make = (config: ClientConfig) =>
  PersistentConnection.make({
    serverName: "postgres",
    address: Effect.succeed(config),
    connector: connector(),
    ...RetryPolicy.production,
    retry: retry(RetryPolicy.production.retry)
  })
