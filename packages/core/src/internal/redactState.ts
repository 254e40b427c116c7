import * as Option from "effect/Option"
import type { ConnectionState } from "../ConnectionState.js"
import { redact, redactCause } from "./redact.js"

/**
 * A state as logs may see it.
 *
 * @internal
 */
export const redactState = (state: ConnectionState<unknown, unknown>) => ({
  ...state,
  address: Option.map(state.address, redact),
  lastCause: Option.map(state.lastCause, redactCause),
  ..."reason" in state && "cause" in state.reason
    ? { reason: { ...state.reason, cause: redactCause(state.reason.cause) } }
    : {}
})
