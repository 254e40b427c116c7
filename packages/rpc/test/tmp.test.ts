import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RpcConnector from "@persistent-connection/rpc/RpcConnector"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"

it.scoped("a loss that a combinator of the transport declares ends the connection", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    const silent = Connector.make({
      connect: (_: string) => Effect.succeed({ messages: Stream.never as Stream.Stream<string, "x">, send: () => Effect.never as Effect.Effect<void, "x">, received: () => 0 }),
      closed: () => Effect.never as Effect.Effect<void, "x">
    }).pipe(Connector.runInBackground(() => Effect.delay(Effect.fail("x" as const), "1 second")))
    yield* PersistentConnection.make({ serverName: "a", address: Effect.succeed("a"), connector: RpcConnector.make(silent, { ping: false }),
      onEvent: (event) => Effect.sync(() => events.push(event._tag)) }).pipe(Effect.provide(RpcSerialization.layerJson))
    yield* TestClock.adjust("5 seconds")
    assert.include(events, "Disconnected")
  }))
