/** Plays a scenario: on any server, or to its end in virtual time on the simulated one. */
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import type * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Client from "./client.js"
import type { Action, Scenario, Settings } from "./scenario.js"
import * as SimulatedServer from "./simulatedServer.js"
import { VirtualClock } from "./virtualClock.js"
import * as World from "./world.js"

/** The first seed of the generator of a client. Each client has its own, so that no client depends on the others. */
export const seedOf = (client: number): string => `playground/${client}`

/** The clients of a scenario, from this number on, in the same world. */
export const makeClients = <E>(
  world: World.World<E>,
  settings: Settings,
  first = 1
): Effect.Effect<ReadonlyArray<Client.Client<E>>, never, Scope.Scope> =>
  Effect.forEach(Arr.range(first, settings.clients), (client) =>
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
      Effect.suspend(() =>
        Effect.sleep(Math.max(0, start + at - clock.unsafeCurrentTimeMillis()))
      ).pipe(
        Effect.zipRight(perform(action, at))
      ), { discard: true })
  })

/** What the first client did. */
export interface Outcome {
  /** The events as lines, with their times in whole ms. */
  readonly events: ReadonlyArray<string>
  readonly phase: string
  readonly generation: number
  /** When the attempts of all clients began, in whole ms. */
  readonly attempts: ReadonlyArray<number>
}

/** Plays a scenario to its end, in virtual time. Like a test, it lets everything happen that is due before a step. */
export const simulate = ({ settings, steps, until }: Scenario): Outcome => {
  const clock = new VirtualClock()
  const scope = Effect.runSync(Scope.make())
  const run = <A>(effect: Effect.Effect<A, never, Scope.Scope>): A =>
    Effect.runSync(Fiber.join(clock.run(Scope.extend(effect, scope))))
  const server = run(SimulatedServer.make)
  const world = run(World.make(server))
  const [clients, first, events] = run(Effect.gen(function*() {
    const clients = yield* makeClients(world, settings)
    const first = clients[0]!
    // In the same turn, so that it gets the first event.
    return [clients, first, yield* Recorder.events(first)] as const
  }))
  for (const { action, at } of steps) {
    clock.advanceTo(at)
    clock.run(perform(world, clients, action))
  }
  clock.advanceTo(until)
  const state = run(first.state.get)
  const outcome = {
    events: run(events.entries).map(({ at, value }) => `${Math.round(at)} ms  ${ConnectionEvent.message(value)}`),
    phase: state._tag,
    generation: state.generation,
    attempts: run(server.attempts).map((attempt) => Math.round(attempt.begunAt))
  }
  clock.run(Scope.close(scope, Exit.void))
  return outcome
}
