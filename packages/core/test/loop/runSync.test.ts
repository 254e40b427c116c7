/** C1: `make` returns at once, also with `Effect.runSync`. */
import { describe, expect, it } from "@effect/vitest"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"

/** A server that refuses the first attempts. `runSync` must not run all of them before it returns. */
const refusing = (refusals: number) => {
  const server = { attempts: 0, released: 0 }
  const options = {
    serverName: "test",
    address: Effect.sync(() => `${++server.attempts}`),
    connector: Connector.make({
      connect: (address: string) =>
        Number(address) <= refusals
          ? Effect.fail("no")
          : Effect.acquireRelease(Effect.succeed({ address }), () => Effect.sync(() => server.released++)),
      closed: () => Effect.never
    })
  }
  return { server, options }
}

const policies = {
  "the default policy": undefined,
  "a policy without delay": RetryPolicy.fixed(0),
  "a schedule without delay": Schedule.forever
}

describe("C1: Effect.runSync of make", () => {
  for (const [name, retry] of Object.entries(policies)) {
    it(`returns before any attempt, with ${name}, and the attempts run in the background`, async () => {
      const { options, server } = refusing(retry === undefined ? 0 : 200)
      const scope = Effect.runSync(Scope.make())
      const service = Effect.runSync(Scope.extend(PersistentConnection.make({ ...options, retry }), scope))
      expect(server.attempts).toBe(0)
      expect(Effect.runSync(service.state.get)._tag).toBe("Connecting")
      const { address } = await Effect.runPromise(service.connected)
      expect(address).toBe(`${server.attempts}`)
      await Effect.runPromise(Scope.close(scope, Exit.void))
      expect(server.released).toBe(1)
    })
  }

  it("also returns at once for a layer and for a map", async () => {
    class Prices extends Context.Tag("app/Prices")<
      Prices,
      PersistentConnection.PersistentConnection<{ readonly address: string }, string>
    >() {}
    const { options, server } = refusing(100)
    const retry = RetryPolicy.fixed(0)
    const scope = Effect.runSync(Scope.make())
    const context = Effect.runSync(
      Layer.buildWithScope(PersistentConnection.layer(Prices, { ...options, retry }), scope)
    )
    const map = Effect.runSync(Scope.extend(ConnectionMap.make({ options: () => ({ ...options, retry }) }), scope))
    const mapped = Effect.runSync(Scope.extend(ConnectionMap.get(map, "a"), scope))
    expect(server.attempts).toBe(0)
    await Effect.runPromise(Effect.zip(Context.get(context, Prices).connected, mapped.connected))
    await Effect.runPromise(Scope.close(scope, Exit.void))
    expect(server.released).toBe(2)
  })
})
