/** Runs a scenario in virtual time, and logs it in the format of the traces. */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import * as Scope from "effect/Scope"
import { Refused } from "../support/refused.js"
import * as Context from "./Context.js"
import { describeEvent, perform, subscribe } from "./ops.js"
import type { ConnectCall, Final, HandlerCall, Lanes, LookUpCall, Scenario, Trace } from "./Trace.js"
import { TraceConnection } from "./TraceConnection.js"

/** The log of a run, the pending ops and the final state. */
export interface Replayed {
  readonly lanes: Lanes
  readonly pending: ReadonlyArray<string>
  readonly final: Final
}

/** Replays the scenario of a trace, up to the time given by compareUntil. */
export const replay = ({ compareUntil, scenario }: Trace): Replayed => {
  const end = compareUntil === null ? scenario.until : compareUntil - 1
  const clock = new VirtualClock()
  const { lanes, context } = Context.make(clock)
  const scope = atOnce(clock, Scope.make())
  const service = atOnce(clock, Scope.extend(makeService(context, scenario), scope))
  context.persistentConnection = service
  subscribe(context, service)
  clock.flush()

  const actions = scenario.actions.map((action, index) => ({ ...action, id: String(index) }))
  for (const action of actions.sort((a, b) => a.at - b.at)) {
    if (action.at > end) break
    clock.advanceTo(action.at)
    perform(context, action.do, action.id)
    clock.flush()
  }
  clock.advanceTo(end)

  // The run ends here: the following calls must not be logged.
  const logged = Object.fromEntries(
    Object.entries(lanes).map(([lane, entries]) => [lane, entries.filter((entry) => entry.t <= end)])
  )
  const final = finalState(context, service)
  clock.run(Scope.close(scope, Exit.void))
  clock.flush()
  return { lanes: logged, pending: pendingOps(logged), final }
}

/** Runs an effect that must complete at once. */
const atOnce = <A>(clock: VirtualClock, effect: Effect.Effect<A>): A => {
  const exit = clock.run(effect).unsafePoll()
  if (exit === null) throw new Error("The effect did not complete at once")
  return Exit.getOrElse(exit, (cause) => {
    throw new Error("The effect failed", { cause })
  })
}

const pendingOps = (lanes: Lanes): ReadonlyArray<string> =>
  Object.values(lanes).flat()
    .filter((entry) => entry.ev === "call" && lanes[`op:${entry["id"]}`]?.every(({ ev }) => ev !== "result"))
    .map((entry) => String(entry["id"]))

const finalState = (
  { attempt, clock }: Context.ReplayContext,
  service: PersistentConnection.PersistentConnection<TraceConnection, Refused>
): Final => {
  const closeFinished = clock.run(service.closeFinished)
  clock.flush()
  return {
    is_closed: atOnce(clock, service.isClosed),
    close_finished: closeFinished.unsafePoll() !== null,
    current_connection: Option.match(atOnce(clock, service.currentConnection), {
      onNone: () => null,
      onSome: ({ id }) => ({ conn: id })
    }),
    attempts: attempt === undefined ? null : atOnce(clock, attempt.failedAttempts)
  }
}

const makeService = (context: Context.ReplayContext, scenario: Scenario) =>
  PersistentConnection.make({
    serverName: "conformance",
    address: lookUp(context, scenario),
    connector: connector(context, scenario),
    retry: retry(scenario),
    attemptTimeout: Duration.infinity,
    onEvent: onEvent(context, scenario)
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

/** A script as a function that returns the next call and its number, starting at 0. */
const script = <Call extends HandlerCall>(calls: ReadonlyArray<Call>, absent: Call) => {
  let count = 0
  return () => {
    const number = count++
    return { call: calls[Math.min(number, calls.length - 1)] ?? absent, number }
  }
}

/** Runs the common parts of all calls: their ops and their completion. `early` is the context of their first turn. */
const play = <A, E, R>(
  context: Context.ReplayContext,
  call: HandlerCall,
  id: string,
  completion: Effect.Effect<A, E, R>,
  early = context
): Effect.Effect<A, E, R> => {
  perform(early, call.do, `${id}.do`)
  if (call.never === true) return Effect.never
  const complete = Effect.suspend(() => {
    perform(call.after === undefined ? early : context, call.do_end, `${id}.do_end`)
    return completion
  })
  return call.after === undefined ? complete : Effect.zipRight(Effect.sleep(Duration.millis(call.after)), complete)
}

/** Completes a look-up or a connect. */
const complete = <A, R>(
  { error, raise }: LookUpCall | ConnectCall,
  log: (outcome: object) => void,
  succeed: Effect.Effect<A, never, R>
): Effect.Effect<A, Refused, R> =>
  Effect.suspend(() => {
    if (raise !== undefined) {
      log({ raise })
      throw new Error(raise)
    }
    if (error !== undefined) {
      log({ error })
      return Effect.fail(new Refused({ text: error }))
    }
    return succeed
  })

const lookUp = (context: Context.ReplayContext, { get_address }: Scenario) => {
  const next = script(get_address, {})
  return Effect.suspend(() => {
    const { call, number } = next()
    const log = (outcome: object) => context.log("loop", { ev: "get_address_done", n: number, ...outcome })
    const { ok = "a:1" } = call
    const succeed = Effect.sync(() => {
      log({ addr: ok })
      return ok
    })
    context.log("loop", { ev: "get_address", n: number })
    return play(context, call, `get_address#${number}`, complete(call, log, succeed))
  })
}

const connector = (context: Context.ReplayContext, { connect }: Scenario) => {
  const next = script(connect, {})
  let connections = 0
  return Connector.make({
    connect: (address: string, attempt: Connector.Attempt<string>) =>
      Effect.flatMap(attempt.failedAttempts, (attempts) => {
        const { call, number } = next()
        const log = (outcome: object) => context.log("loop", { ev: "connect_done", n: number, ...outcome })
        const open = Effect.sync(() => {
          const connection = new TraceConnection(context, ++connections, call)
          context.connection = connection
          log({ conn: connection.id })
          return connection
        })
        const succeed = Effect.acquireRelease(open, (connection) => connection.close("kernel"))
        context.attempt = attempt
        context.log("loop", { ev: "connect", n: number, addr: address, attempts })
        return play(context, call, `connect#${number}`, complete(call, log, succeed))
      }),
    closed: (connection) => connection.closeFinished,
    isClosed: (connection) => connection.isClosed
  })
}

const onEvent = (context: Context.ReplayContext, { on_event }: Scenario) => {
  let count = 0
  const next = {
    attempting: script(on_event.attempting, {}),
    obtained_address: script(on_event.obtained_address, {}),
    failed_to_connect: script(on_event.failed_to_connect, {}),
    connected: script(on_event.connected, {}),
    disconnected: script(on_event.disconnected, {})
  }
  return (event: ConnectionEvent<TraceConnection, Refused, string>) =>
    Effect.suspend(() => {
      const described = describeEvent(event)
      const { kind } = described
      const { call, number } = next[kind]()
      const n = count++
      const completion = Effect.sync(() => {
        const { raise } = call
        context.log("loop", { ev: "on_event_done", n, kind, ...(raise === undefined ? {} : { raise }) })
        if (raise !== undefined) throw new Error(raise)
      })
      const address = event._tag === "ObtainedAddress" ? { addr: event.address } : {}
      context.log("loop", { ev: "on_event", n, ...described, ...address })
      // The original calls its first handler before `create` returns, so the ops of that handler have no persistent
      // connection.
      const early = n === 0 ? { ...context, persistentConnection: undefined } : context
      return play(context, call, `on_event.${kind}#${number}`, completion, early)
    })
}

/**
 * The scripted delays, one per attempt. The counter is not part of the schedule's state, because a success restarts
 * that.
 */
const retry = ({ retry_delay }: Scenario) => {
  const delays = typeof retry_delay === "number" ? [retry_delay] : retry_delay
  let count = 0
  return Schedule.makeWithState<void, unknown, number>(undefined, (now) =>
    Effect.sync(() => {
      const delay = delays[Math.min(count++, delays.length - 1)] ?? 0
      return [undefined, delay, ScheduleDecision.continueWith(ScheduleInterval.after(now + delay))]
    }))
}
