import type * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** The attempt for a connect that a test calls without a persistent connection. */
export const makeAttempt = (parts: Partial<Connector.Attempt<string>> = {}): Connector.Attempt<string> => ({
  serverName: "test",
  owner: {},
  generation: 1,
  number: 1,
  lastCause: Option.none(),
  previousAddress: Option.none(),
  elsewhere: false,
  failedAttempts: Effect.succeed(0),
  abort: Effect.fail,
  untimed: (effect) => effect,
  ...parts
})
