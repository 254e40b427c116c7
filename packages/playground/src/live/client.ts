/** A client of the playground. This is all the code that an application needs. */
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Feed, FeedError, Message } from "./feed.js"
import { retryOptions } from "./policy.js"
import type { Settings } from "./scenario.js"
import type { World } from "./world.js"

export type Client<E> = PersistentConnection.PersistentConnection<Feed<E>, E | FeedError | Cause.TimeoutException>

export const make = <E>(
  world: World<E>,
  settings: Settings,
  serverName: string
): Effect.Effect<Client<E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* PersistentConnection.make({
      serverName,
      address: world.address,
      connector: checked(Connector.connectTimeout(world.connector, settings.connectTimeout), settings),
      ...retryOptions(settings)
    })
    yield* Effect.forkScoped(PersistentConnection.refreshWhen(client, (feed) => feed.goingAway))
    yield* Effect.forkScoped(
      PersistentConnection.reconnectOn(client, world.networkIsBack, { whenConnected: "probe" })
    )
    return client
  })

const checked = <E>(
  connector: Connector.Connector<string, Feed<E>, E | Cause.TimeoutException>,
  { healthCheck, interval, missedProbes, timeout }: Settings
): Connector.Connector<string, Feed<E>, E | Cause.TimeoutException> =>
  healthCheck
    ? Connector.healthCheck(connector, { probe: (feed) => feed.ping, interval, timeout, missedProbes })
    : connector

/** The messages, across connections. A gap is marked; the server repeats what it still has. */
export const messages = <E>(client: Client<E>) =>
  PersistentConnection.resumableStream(client, {
    subscribe: (feed, last: Option.Option<number>) => feed.subscribe(last),
    cursor: (message: Message) => message.number,
    whenRefused: "reconnect"
  })
