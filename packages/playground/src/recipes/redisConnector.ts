/** A connector for Redis, on the client `redis` (node-redis). */
import * as Connector from "@persistent-connection/core/Connector"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import { createClient } from "redis"

export class RedisError extends Data.TaggedError("RedisError")<{ readonly cause: Error }> {
  override get message() {
    return this.cause.message
  }
  /** True if the server refuses the user or the password. */
  get isRefusal() {
    return /^(WRONGPASS|NOAUTH|NOPERM)/.test(this.message)
  }
}

const attempt = <A>(promise: () => Promise<A>) =>
  Effect.tryPromise({ try: promise, catch: (cause) => new RedisError({ cause: cause as Error }) })

export type RedisAddress = Readonly<Record<"host" | "password" | "name", string>> & { readonly port: number }

const connect = ({ host, name, password, port }: RedisAddress) =>
  Effect.gen(function*() {
    const lost = yield* Deferred.make<never, RedisError>()
    const inboxes = new Set<Mailbox.Mailbox<string, RedisError>>()
    let isClosed = false
    // The persistent connection reconnects.
    const socket = { host, port, reconnectStrategy: false } as const
    const client = createClient({ name, password, socket })
    const lose = (cause: Error) => {
      isClosed = true
      const exit = Exit.fail(new RedisError({ cause }))
      inboxes.forEach((inbox) => inbox.unsafeDone(exit))
      Deferred.unsafeDone(lost, exit)
    }
    client.on("error", lose)
    client.on("end", () => lose(new Error("The client has closed the connection")))
    // A client that is destroyed while its socket connects does not close that socket.
    const destroy = Effect.sync(() => client.once("connect", () => client.destroy()).destroy())
    yield* Effect.addFinalizer(() => destroy)
    yield* attempt(() => client.connect())

    /** Completes when the server has accepted the subscription. A reader that is 1,000 messages behind is a loss. */
    const subscribe = (channel: string) =>
      Effect.gen(function*() {
        const inbox = yield* Mailbox.make<string, RedisError>({ capacity: 1_000, strategy: "dropping" })
        inboxes.add(inbox)
        const offer = (message: string) => {
          if (!inbox.unsafeOffer(message)) lose(new Error(`1000 unread messages of ${channel}`))
        }
        yield* attempt(() => client.subscribe(channel, offer))
        return inbox as Mailbox.ReadonlyMailbox<string, RedisError>
      })
    return {
      subscribe,
      run: <A>(command: (redis: typeof client) => Promise<A>) => attempt(() => command(client)),
      ping: attempt(() => client.ping()),
      lost: Deferred.await(lost),
      isClosed: () => isClosed,
      terminate: destroy
    }
  })

export type Redis = Effect.Effect.Success<ReturnType<typeof connect>>

export const redis = Connector.make({
  connect,
  closed: ({ lost }: Redis) => lost,
  isClosed: ({ isClosed }) => isClosed(),
  probe: ({ ping }) => ping,
  terminate: ({ terminate }) => terminate
})
