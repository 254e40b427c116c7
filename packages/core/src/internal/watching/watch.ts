import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { loopOf } from "../loop/service.js"
import type { Observer } from "../loop/status.js"

/**
 * Observes a persistent connection until its end. Uses a scope that is never closed: a scope of the caller could close
 * before the connection, and the observer would miss the end.
 *
 * @internal
 */
export const watch = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  observer: Observer<Connection, E>
): Effect.Effect<void> =>
  Effect.flatMap(Scope.make(), (scope) => Scope.extend(loopOf(self).status.observe(observer), scope))
