/** The ops of a scenario: calls of users on the persistent connection, the attempt and the newest connection. */
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import type { PersistentConnection } from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import { Refused } from "../support/refused.js"
import { describeFailure, type ReplayContext } from "./Context.js"
import type { DetailedOp, Op } from "./Trace.js"
import type { TraceConnection } from "./TraceConnection.js"

/** Runs ops one after another in this turn, each in its own root fiber, without waiting for them. */
export const perform = (context: ReplayContext, ops: ReadonlyArray<Op> | undefined, id: string): void => {
  for (const [index, op] of (ops ?? []).entries()) {
    performOne(context, typeof op === "string" ? { op } : op, `${id}.${index}`)
  }
}

const performOne = (context: ReplayContext, op: DetailedOp, id: string): void => {
  const action = toAction(context, op)
  if (action === undefined) return
  const log = (fields: { readonly ev: string; readonly value?: unknown }) =>
    context.log(`op:${id}`, { ...fields, id, op: op.op })
  if (action.waits) log({ ev: "call" })
  context.clock.run(
    Effect.map(Effect.exit(action.effect), (exit) => {
      log({ ev: "result", value: Exit.isSuccess(exit) ? exit.value : describeFailure(exit.cause) })
      perform(context, op.then, id)
    })
  )
}

interface Action {
  /** True if the call is logged too, not only the result. */
  readonly waits: boolean
  readonly effect: Effect.Effect<unknown, unknown>
}

const atOnce = (effect: Effect.Effect<unknown, unknown>): Action => ({ waits: false, effect })
const waiting = (effect: Effect.Effect<unknown, unknown>): Action => ({ waits: true, effect })

const toAction = (context: ReplayContext, { error, op }: DetailedOp): Action | undefined => {
  const { attempt, connection, persistentConnection } = context
  switch (op) {
    case "abort":
      if (attempt === undefined) return atOnce(Effect.succeed("no_context"))
      return atOnce(Effect.as(Effect.ignore(attempt.abort(new Refused({ text: error ?? "aborted" }))), null))
    case "attempts":
      return atOnce(attempt === undefined ? Effect.succeed("no_context") : attempt.failedAttempts)
    case "peer_close":
      if (connection === undefined) return atOnce(Effect.succeed("no_conn"))
      return waiting(Effect.as(Effect.sync(() => connection.peerClose()), null))
    case "conn_close":
      if (connection === undefined) return atOnce(Effect.succeed("no_conn"))
      return waiting(Effect.as(connection.close("user"), null))
    case "wait_conn_closed":
      if (connection === undefined) return atOnce(Effect.succeed("no_conn"))
      return waiting(Effect.as(connection.closeFinished, null))
    case "subscribe":
      if (persistentConnection === undefined) return undefined
      return waiting(Effect.sync(() => subscribe(context, persistentConnection)))
    default:
      return persistentConnection === undefined ? undefined : toServiceAction(persistentConnection, op)
  }
}

const toServiceAction = (
  service: PersistentConnection<TraceConnection, Refused>,
  op: Exclude<DetailedOp["op"], "abort" | "attempts" | "peer_close" | "conn_close" | "wait_conn_closed" | "subscribe">
): Action => {
  switch (op) {
    case "is_closed":
      return atOnce(service.isClosed)
    case "current_connection":
      return atOnce(Effect.map(service.currentConnection, Option.match({ onNone: () => null, onSome: identify })))
    case "close_when_current_connection_is_closed":
      return atOnce(Effect.as(service.closeWhenCurrentConnectionIsClosed, null))
    case "close":
      return waiting(Effect.as(service.close, null))
    case "close_finished":
      return waiting(Effect.as(service.closeFinished, null))
    case "connected":
      return waiting(Effect.map(service.connected, identify))
    case "expert_connection":
      return waiting(
        Effect.map(service.connectedOrClosed, identify).pipe(
          Effect.catchTag("ConnectionClosed", () => Effect.succeed("close_started"))
        )
      )
    case "connected_or_failed_to_connect":
      return waiting(
        Effect.map(service.connectedOrFailedToConnect, (connection) => ({ ok: identify(connection) })).pipe(
          Effect.catchIf(
            (error) => error._tag === "ConnectionClosed" && error.reason._tag === "ClosedByOwner",
            () => Effect.succeed({ error: "Persistent connection closed" })
          )
        )
      )
  }
}

const identify = (connection: TraceConnection) => ({ conn: connection.id })

/** Adds a subscriber that logs its events. Returns its number. */
export const subscribe = (
  context: ReplayContext,
  service: PersistentConnection<TraceConnection, Refused>
): number => {
  const number = ++context.subscribers
  const logNext = (queue: Queue.Dequeue<ConnectionEvent<TraceConnection, Refused, void>>) =>
    Effect.map(Queue.take(queue), (event) => context.log(`bus${number}`, { ev: "bus", ...describeEvent(event) }))
  context.clock.run(Effect.scoped(Effect.flatMap(service.subscribe, (queue) => Effect.forever(logNext(queue)))))
  return number
}

/** An event in the format of the traces, without its address. */
export const describeEvent = (event: ConnectionEvent<TraceConnection, Refused>) => {
  switch (event._tag) {
    case "AttemptingToConnect":
      return { kind: "attempting" } as const
    case "ObtainedAddress":
      return { kind: "obtained_address" } as const
    case "FailedToConnect":
      return { kind: "failed_to_connect", ...describeFailure(event.cause) } as const
    case "Connected":
      return { kind: "connected", ...identify(event.connection) } as const
    case "Disconnected":
      return { kind: "disconnected" } as const
  }
}
