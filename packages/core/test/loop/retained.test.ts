/** Long-running subscribers of a persistent connection do not retain past events, states or connections. */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Refused } from "../support/refused.js"
import { collectGarbage } from "../support/size.js"

type Service = PersistentConnection.PersistentConnection<object, Refused>

/** Subscribers that run as long as the persistent connection. */
const followers: Readonly<Record<string, (service: Service) => Effect.Effect<unknown, unknown, Scope.Scope>>> = {
  "the events": ({ events }) => Stream.runDrain(events),
  "a subscription to the events": ({ subscribe }) =>
    Effect.flatMap(subscribe, (queue) => Effect.forever(Queue.take(queue))),
  "a subscription without a consumer": ({ subscribe }) => Effect.zipRight(subscribe, Effect.never),
  "the states": ({ state }) => Stream.runDrain(state.changes),
  "the current connection": ({ current }) => Stream.runDrain(current.changes),
  "a stream": (service) => Stream.runDrain(PersistentConnection.stream(service, () => Stream.never)),
  "a resumable stream": (service) =>
    Stream.runDrain(PersistentConnection.resumableStream(service, {
      subscribe: () => Effect.succeed(Stream.never),
      cursor: (element: never) => element
    })),
  "forEachConnection": (service) => PersistentConnection.forEachConnection(service, () => Effect.never),
  "repeated calls of `connected`": (service) => Effect.forever(Effect.zipRight(service.connected, Effect.sleep(50))),
  "repeated uses": (service) =>
    PersistentConnection.use(service, () => Effect.never).pipe(
      Effect.catchTag("ConnectionLost", () => Effect.void),
      Effect.forever
    )
}

const attempts = 120
/** The bus keeps the last 64 events for a subscriber that does not take them. Otherwise only a few may be in flight. */
const most = 70

describe("the past is not retained by", () => {
  for (const [name, follow] of Object.entries(followers)) {
    it(name, async () => {
      const clock = new VirtualClock()
      const connections: Array<WeakRef<object>> = []
      const failures: Array<WeakRef<object>> = []
      const scope = Effect.runSync(Scope.make())
      const failure = () => {
        const refused = new Refused({ text: `${failures.length}` })
        failures.push(new WeakRef(refused))
        return refused
      }
      const make = PersistentConnection.make({
        serverName: "test",
        address: Effect.void,
        // Every second attempt fails, and every connection is lost, each with a different failure.
        connector: Connector.make({
          connect: (_: void, { number }) =>
            Effect.suspend(() => {
              if (number === 1) return Effect.fail(failure())
              const connection = { data: Array.from({ length: 100 }, () => 0) }
              connections.push(new WeakRef(connection))
              return Effect.succeed<object>(connection)
            }),
          closed: () => Effect.delay(Effect.suspend(() => Effect.fail(failure())), 2_000)
        }),
        retry: RetryPolicy.fixed(1_000)
      })
      const made = clock.run(Scope.extend(make, scope)).unsafePoll()
      if (made === null || Exit.isFailure(made)) throw new Error("make did not complete at once")
      const following = clock.run(Effect.scoped(follow(made.value)))
      for (let second = 1; connections.length < attempts; second++) clock.advanceTo(second * 1_000)
      expect(following.unsafePoll()).toBeNull()

      // A WeakRef retains its target until the end of the turn in which it was created or read.
      await new Promise((resolve) => setImmediate(resolve))
      collectGarbage()
      const isKept = (ref: WeakRef<object>) => ref.deref() !== undefined
      expect(connections.filter(isKept).length).toBeLessThan(most)
      expect(failures.filter(isKept).length).toBeLessThan(most)

      clock.run(Scope.close(scope, Exit.void))
      clock.flush()
    })
  }
})
