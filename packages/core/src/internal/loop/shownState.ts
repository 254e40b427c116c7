import * as Option from "effect/Option"
import type { ClosedReason } from "../../ConnectionError.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { ConnectionStatus } from "../../ConnectionStatus.js"
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
    ...shownReason(state)
  }
}

/**
 * A status for people and logs, with the causes in words.
 *
 * @internal
 */
export const shownStatus = (status: ConnectionStatus<unknown>) => ({
  ...status,
  ..."lastCause" in status ? { lastCause: Option.map(status.lastCause, summary) } : {},
  ...shownReason(status)
})

const shownReason = (self: { readonly _tag: string; readonly reason?: ClosedReason<unknown> }) =>
  self.reason !== undefined && "cause" in self.reason
    ? { reason: { ...self.reason, cause: summary(self.reason.cause) } }
    : {}
