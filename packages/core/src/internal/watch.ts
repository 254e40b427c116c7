import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { PersistentConnection } from "../PersistentConnection.js"
import { loopOf } from "./persistentConnection.js"
import type { Observer } from "./status.js"

/**
 * Observes a persistent connection from now on until it is closed. Not until a scope is left: it would be left before
 * that of the connection, and the observer would miss the end.
 *
 * @internal
 */
export const watch = <Connection, E>(
  self: PersistentConnection<Connection, E>,
  { onTransition, onWaiting }: Observer<Connection, E>
): Effect.Effect<void> =>
  Effect.flatMap(Scope.make(), (scope) =>
    Scope.extend(
      loopOf(self).status.observe({
        onTransition: (previous, next) => {
          onTransition(previous, next)
          if (next._tag === "Closed") Effect.runSync(Scope.close(scope, Exit.void))
        },
        onWaiting
      }),
      scope
    ))
