import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { loopOf } from "../loop/service.js"
import type { Observer } from "../loop/status.js"

/**
 * Observes a persistent connection for as long as it exists. A scope of the caller would be left before that of the
 * connection, and the observer would miss the end: so the scope made here is never closed.
 *
 * @internal
 */
export const watch = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  observer: Observer<Connection, E>
): Effect.Effect<void> =>
  Effect.flatMap(Scope.make(), (scope) => Scope.extend(loopOf(self).status.observe(observer), scope))
