/**
 * Texts for results, events and states. The model and the implementation use the same texts, so that they can be
 * compared.
 */
import type { ClosedReason } from "@persistent-connection/core/ConnectionError"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Refused } from "../support/refused.js"
import type { ScriptedConnection } from "./ScriptedConnection.js"

/** A scripted defect. */
export class ScriptedDefect extends Error {}

export const fail = (text: string) => `fail ${text}`
export const die = (text: string) => `die ${text}`
export const timeout = "timeout"
export const itself = die("waits for itself")
export const fromWithin = die("interrupted itself")
export const done = "done"
export const clean = "clean"
export const interrupted = "interrupted"
export const byOwner = "closed by its owner"
export const aborted = (error: string) => `aborted, ${error}`
export const gaveUp = (cause: string) => `gave up, ${cause}`
export const connection = (number: number) => `connection ${number}`

/** The text of a cause. A scripted cause has only one failure. */
export const ofCause = (cause: Cause.Cause<unknown>): string => {
  for (const error of Cause.failures(cause)) {
    if (error instanceof Refused) return fail(error.text)
    if (error instanceof ConnectionClosed) return ofReason(error.reason)
    return Cause.isTimeoutException(error) ? timeout : `strange ${String(error)}`
  }
  for (const defect of Cause.defects(cause)) {
    if (defect instanceof ScriptedDefect) return die(defect.message)
    if (defect instanceof ConnectionClosed) return die(ofReason(defect.reason))
    if (Cause.isInterruptedException(defect)) return fromWithin
    return Cause.isRuntimeException(defect) && defect.message.includes("waits for itself")
      ? itself
      : `strange ${String(defect)}`
  }
  return Cause.isEmpty(cause) ? clean : interrupted
}

/**
 * True if the cause has only scripted failures, or errors for a call that waits for itself or for a closed persistent
 * connection.
 */
export const isScripted = (cause: Cause.Cause<unknown>): boolean =>
  [...Cause.failures(cause), ...Cause.defects(cause)].every((error) =>
    error instanceof Refused || error instanceof ScriptedDefect || error instanceof ConnectionClosed ||
    Cause.isRuntimeException(error) || Cause.isInterruptedException(error)
  )

export const ofReason = (reason: ClosedReason<unknown>): string => {
  switch (reason._tag) {
    case "ClosedByOwner":
      return byOwner
    case "Aborted":
      return aborted(ofCause(reason.cause))
    case "GaveUp":
      return gaveUp(ofCause(reason.cause))
  }
}

export const ofAnswer = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.match(exit, { onFailure: ofCause, onSuccess: (value) => value === undefined ? done : String(value) })

/** The texts of an event on the bus and for the handler. */
export interface EventWords {
  readonly onBus: string
  readonly toHandler: string
}

export const attempting = (generation: number): EventWords => both(`AttemptingToConnect ${generation}`)
export const obtained = (attempt: number, address: string): EventWords => {
  const onBus = `ObtainedAddress ${attempt}`
  return { onBus, toHandler: `${onBus} ${address}` }
}
export const failed = (attempt: number, cause: string): EventWords => both(`FailedToConnect ${attempt} ${cause}`)
export const connected = (generation: number, number: number): EventWords =>
  both(`Connected ${generation} ${connection(number)}`)
export const disconnected = (generation: number, cause: string): EventWords =>
  both(`Disconnected ${generation} ${cause}`)

const both = (words: string): EventWords => ({ onBus: words, toHandler: words })

export const ofEvent = (event: ConnectionEvent<ScriptedConnection, unknown>): EventWords => {
  switch (event._tag) {
    case "AttemptingToConnect":
      return attempting(event.generation)
    case "ObtainedAddress":
      return obtained(event.attempt, String(event.address))
    case "FailedToConnect":
      return failed(event.attempt, ofCause(event.cause))
    case "Connected":
      return connected(event.generation, event.connection.number)
    case "Disconnected":
      return disconnected(event.generation, ofCause(event.cause))
  }
}

/** A state as plain data. */
export interface StateWords {
  readonly tag: ConnectionState<unknown, unknown>["_tag"]
  readonly since: number
  readonly generation: number
  readonly attempt: number
  readonly address: string | undefined
  readonly lastCause: string | undefined
  /** The fields of the phase: the connection, the deadline, the time of the next attempt, or the reason. */
  readonly details: ReadonlyArray<string | number | boolean | undefined>
}

export const ofState = (state: ConnectionState<ScriptedConnection, unknown>): StateWords => ({
  tag: state._tag,
  since: state.since,
  generation: state.generation,
  attempt: state.attempt,
  address: Option.getOrUndefined(Option.map(state.address, String)),
  lastCause: Option.getOrUndefined(Option.map(state.lastCause, ofCause)),
  details: details(state)
})

const details = (state: ConnectionState<ScriptedConnection, unknown>): StateWords["details"] => {
  switch (state._tag) {
    case "Connecting":
      return [Option.getOrUndefined(state.deadline)]
    case "Connected":
      return [state.connection.number, state.isLast]
    case "Waiting":
      return [Option.getOrUndefined(state.nextAttemptAt)]
    case "Closing":
      return [Option.getOrUndefined(state.connection)?.number, ofReason(state.reason)]
    case "Closed":
      return [ofReason(state.reason)]
  }
}
