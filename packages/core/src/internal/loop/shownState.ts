import * as Option from "effect/Option"
import type { ConnectionState } from "../../ConnectionState.js"
import { summary } from "../base/cause.js"
import { redact } from "../base/redact.js"

/**
 * A state as logs may see it: without the connection, which may hold anything.
 *
 * @internal
 */
export const shownState = (state: ConnectionState<unknown, unknown>) => ({
  ...withoutConnection(state),
  address: Option.map(state.address, redact),
  lastCause: Option.map(state.lastCause, summary),
  ..."reason" in state && "cause" in state.reason
    ? { reason: { ...state.reason, cause: summary(state.reason.cause) } }
    : {}
})

const withoutConnection = (state: ConnectionState<unknown, unknown>) => {
  if (!("connection" in state)) return state
  const { connection: _, ...rest } = state
  return rest
}
