import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Connector, HealthCheckOptions } from "../../Connector.js"
import { make } from "./connector.js"
import { Prober, settingsOf } from "./prober.js"
import { withVerdict } from "./verdict.js"

/** @internal */
export const healthCheck = <Address, Connection extends object, E, R, E2, R2>(
  self: Connector<Address, Connection, E, R>,
  options: HealthCheckOptions<Connection, E2, R2>
): Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>> => {
  type Requirements = Exclude<R2, Scope.Scope>
  const settings = settingsOf(options)
  // One prober for each connection, for any number of `closed` calls.
  const probers = new WeakMap<Connection, Prober<Connection, E | E2, Requirements>>()
  const checked = withVerdict<Address, Connection, E, R, E2 | Cause.TimeoutException, Requirements>(
    self,
    (verdict, connection, _, attempt) =>
      Effect.map(Prober.begin(connection, attempt.serverName, settings, verdict), (prober) => {
        probers.set(connection, prober)
      })
  )
  return make({
    ...checked,
    probe: (connection) =>
      Effect.suspend(() =>
        probers.get(connection)?.ask ??
          Effect.die(new Cause.IllegalArgumentException("The connection does not belong to this connector"))
      )
  })
}
