import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ask, makeFixture, pass, Refused, settle } from "../support/Fixture.js"

/** Three persistent connections: connected, waiting for the next attempt, and closed. */
export const threeConnections = Effect.gen(function*() {
  const prices = yield* makeFixture({ serverName: "prices", retry: RetryPolicy.fixed("1 hour") })
  prices.server.lookUp = () => Effect.succeed("wss://me:hush@prices.example.com/v1?token=hush")
  prices.server.refuse("connect ECONNREFUSED 10.0.0.7:443")
  const orders = yield* makeFixture({ serverName: "orders" }, ({ server }) => {
    server.lookUp = () => Effect.succeed("orders.example.com:5672")
  })
  yield* ask(prices.service.connected)
  yield* ask(prices.service.connected)
  const audit = yield* makeFixture({ serverName: "audit" })
  yield* settle
  audit.server.line.drop(Exit.fail(new Refused({ text: "no longer\nsupported" })))
  yield* audit.service.closeWhenCurrentConnectionIsClosed
  yield* pass(7_264)
  orders.server.line.drop()
  yield* pass(20)
  return { prices, orders, audit }
})
