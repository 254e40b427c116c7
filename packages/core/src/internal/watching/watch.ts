import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { loopOf } from "../loop/service.js"
import type { Observer } from "../loop/status.js"

/**
 * Observes a persistent connection from now on, as long as it is there. Not until a scope is left, since that would be
 * left before the scope of the connection, and the observer would miss the end: the scope made here is never closed.
 *
 * @internal
 */
export const watch = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  observer: Observer<Connection, E>
): Effect.Effect<void> =>
  Effect.flatMap(Scope.make(), (scope) => Scope.extend(loopOf(self).status.observe(observer), scope))
