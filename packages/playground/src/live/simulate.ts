/** Plays a scenario: on any server, or to its end in virtual time on the simulated one. */
import type * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Client from "./client.js"
import type { Action, Scenario, Settings } from "./scenario.js"
import * as SimulatedServer from "./simulatedServer.js"
import { VirtualClock } from "./virtualClock.js"
import * as World from "./world.js"

/** The first seed of the generator of a client. Each client has its own, so that no client depends on the others. */
export const seedOf = (client: number): string => `playground/${client}`

/** The clients of a scenario, in the same world. */
export const makeClients = <E>(
  world: World.World<E>,
  settings: Settings
): Effect.Effect<ReadonlyArray<Client.Client<E>>, never, Scope.Scope> =>
  Effect.forEach(Arr.range(1, settings.clients), (client) =>
    Client.make(world, settings, `client ${client}`).pipe(
      Effect.withRandom(Random.make(seedOf(client))),
      // A scenario may well end a client; the page shows it.
      Logger.withMinimumLogLevel(LogLevel.None)
    ))

/** Does what an action says, to the world or to the clients. */
export const perform = <E>(
  world: World.World<E>,
  clients: ReadonlyArray<PersistentConnection.PersistentConnection<unknown, unknown>>,
  action: Action
): Effect.Effect<void> =>
  action.tag === "close"
    ? Effect.forEach(clients, (client) => client.close, { concurrency: "unbounded", discard: true })
    : world.apply(action)

/** Performs the steps of a scenario at their times, counted from now. */
export const play = (
  { steps }: Scenario,
  perform: (action: Action, at: number) => Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.flatMap(Effect.clock, (clock) => {
    const start = clock.unsafeCurrentTimeMillis()
    return Effect.forEach(steps, ({ action, at }) =>
      Effect.suspend(() => Effect.sleep(Math.max(0, start + at - clock.unsafeCurrentTimeMillis()))).pipe(
        Effect.zipRight(perform(action, at))
      ), { discard: true })
  })

/** What the first client did. */
export interface Outcome {
  /** The events, one line each, with their times. */
  readonly events: string
  readonly phase: string
  readonly generation: number
  /** When the attempts of all clients began, in whole ms. */
  readonly attempts: ReadonlyArray<number>
}

/** Plays a scenario to its end, in virtual time. */
export const simulate = (scenario: Scenario): Outcome => {
  const clock = new VirtualClock()
  const end = clock.run(Effect.scoped(Effect.gen(function*() {
    const server = yield* SimulatedServer.make
    const world = yield* World.make(server)
    const clients = yield* makeClients(world, scenario.settings)
    const events = yield* Recorder.events(clients[0]!)
    yield* play(scenario, (action) => perform(world, clients, action))
    yield* Effect.sleep(Math.max(0, scenario.until - clock.unsafeCurrentTimeMillis()))
    const state = yield* clients[0]!.state.get
    return {
      events: yield* events.render,
      phase: state._tag,
      generation: state.generation,
      attempts: (yield* server.attempts).map((attempt) => Math.round(attempt.begunAt))
    }
  })))
  // A little longer, because closing the clients may take time.
  clock.advanceTo(scenario.until + 60_000)
  return Effect.runSync(Fiber.join(end))
}
