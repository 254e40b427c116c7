/**
 * The phases of a persistent connection in which a test ends it or calls an operation: one for each place where the
 * loop can wait.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Event, type Fixture, makeFixture, type Options, pass, refuse, settle } from "./Fixture.js"

export interface Phase {
  readonly name: string
  /** True if there is a current connection. */
  readonly isConnected: boolean
  /** True if a handler is running that never ends. */
  readonly isInHandler: boolean
  /** Makes a fixture and runs it until it reaches the phase. */
  readonly reach: (options?: Options) => Effect.Effect<Fixture, never, Scope.Scope>
}

interface Script {
  /** The event whose handler never ends. */
  readonly stuckIn?: Event["_tag"]
  readonly prepare?: (fixture: Fixture) => void
  readonly then?: (fixture: Fixture) => Effect.Effect<unknown>
}

const phase = (name: string, isConnected: boolean, { prepare, stuckIn, then }: Script): Phase => ({
  name,
  isConnected,
  isInHandler: stuckIn !== undefined,
  reach: (options = {}) =>
    Effect.gen(function*() {
      let isStuck = false
      const onEvent = (event: Event) =>
        Effect.suspend(() => event._tag === stuckIn && isStuck ? Effect.never : options.onEvent?.(event) ?? Effect.void)
      const fixture = yield* makeFixture({ ...options, onEvent })
      // One attempt was made before, so that a test can abort.
      fixture.server.lookUp = () => refuse("not yet")
      yield* settle
      fixture.server.lookUp = () => Effect.succeed("a")
      prepare?.(fixture)
      isStuck = true
      yield* then?.(fixture) ?? pass(10)
      return fixture
    })
})

const refused = ({ server }: Fixture) => server.refuse("no")

const lose = (fixture: Fixture) =>
  Effect.gen(function*() {
    yield* pass(10)
    fixture.server.line.drop()
    yield* settle
  })

export const phases: ReadonlyArray<Phase> = [
  phase("in the AttemptingToConnect handler", false, {
    stuckIn: "AttemptingToConnect",
    then: (fixture) => Effect.zipRight(lose(fixture), pass(10))
  }),
  phase("during the look-up", false, {
    prepare: ({ server }) => {
      server.lookUp = () => Effect.never
    }
  }),
  phase("in the ObtainedAddress handler", false, { stuckIn: "ObtainedAddress" }),
  phase("during connect", false, {
    prepare: ({ server }) => {
      server.connect = () => Effect.never
    }
  }),
  phase("in the FailedToConnect handler", false, { stuckIn: "FailedToConnect", prepare: refused }),
  phase("in a backoff", false, { prepare: refused }),
  phase("in the Connected handler", true, { stuckIn: "Connected" }),
  phase("in the Connected handler after the loss of the connection", true, { stuckIn: "Connected", then: lose }),
  phase("while connected", true, {}),
  phase("in the Disconnected handler", false, { stuckIn: "Disconnected", then: lose }),
  phase("in the backoff after a loss", false, { then: lose })
]
