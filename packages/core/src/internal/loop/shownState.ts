import * as Option from "effect/Option"
import type { ConnectionState } from "../../ConnectionState.js"
import { render, summary } from "../base/render.js"

/**
 * A state for people and logs: without the connection, which may hold anything, and with the causes in words.
 *
 * @internal
 */
export const shownState = (state: ConnectionState<unknown, unknown>) => {
  const { connection: _, ...rest }: typeof state & { readonly connection?: unknown } = state
  return {
    ...rest,
    address: Option.map(state.address, render),
    lastCause: Option.map(state.lastCause, summary),
    ..."reason" in state && "cause" in state.reason
      ? { reason: { ...state.reason, cause: summary(state.reason.cause) } }
      : {}
  }
}
