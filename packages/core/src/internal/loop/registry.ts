import { globalValue } from "effect/GlobalValue"
import type { PersistentConnection } from "../../PersistentConnection.js"

/**
 * All persistent connections of the process whose scope has not been left, even if different copies of the library made
 * them.
 *
 * @internal
 */
export const registry: Set<PersistentConnection<unknown, unknown>> = globalValue(
  Symbol.for("~persistent-connection/registry"),
  () => new Set()
)
