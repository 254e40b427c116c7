import { globalValue } from "effect/GlobalValue"
import type { PersistentConnection } from "../../PersistentConnection.js"

/**
 * Every persistent connection of the process whose scope has not been left, whichever copy of the library made it.
 *
 * @internal
 */
export const registry: Set<PersistentConnection<unknown, unknown>> = globalValue(
  Symbol.for("~persistent-connection/registry"),
  () => new Set()
)
