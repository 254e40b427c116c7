import * as Effect from "effect/Effect"
import type { AttemptLimiter, Connector } from "../../Connector.js"
import { FairSemaphore } from "../base/fairSemaphore.js"
import * as Options from "../base/options.js"
import { connector, make } from "./connector.js"

/** @internal */
export const LimiterTypeId = "~persistent-connection/Connector/AttemptLimiter" as const

class Limiter extends FairSemaphore implements AttemptLimiter {
  readonly [LimiterTypeId] = LimiterTypeId
}

/** @internal */
export const makeAttemptLimiter = (permits: number): AttemptLimiter => new Limiter(Options.count("permits", permits))

const isLimiter = Options.kind("a limiter made by makeAttemptLimiter", (input) => input instanceof Limiter)

/** @internal */
export const limitAttempts = <Address, Connection, E, R>(
  self: Connector<Address, Connection, E, R>,
  input: AttemptLimiter
): Connector<Address, Connection, E, R> => {
  const limiter = isLimiter("limiter", input) as Limiter
  return make({
    ...connector("self", self),
    connect: (address, attempt) =>
      // The wait for a permit does not count against the deadlines of the attempt.
      limiter.withPermit(attempt.untimed, Effect.suspend(() => self.connect(address, attempt)))
  })
}
