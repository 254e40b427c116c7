import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"

const connector = Connector.make({
  connect: (address: string) => Effect.succeed(`connected to ${address}`),
  closed: () => Effect.never
})

const program = Effect.gen(function*() {
  const server = yield* PersistentConnection.make({
    serverName: "server",
    address: Effect.succeed("localhost"),
    connector
  })
  yield* server.connected
  const state = yield* server.state.get
  console.log(state._tag)
})

void Effect.runPromise(Effect.scoped(program))
