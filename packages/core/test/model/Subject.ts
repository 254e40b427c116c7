/** The real implementation in a simulated world. Runs a scenario and records everything observable. */
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import * as State from "@persistent-connection/core/ConnectionState"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Refused } from "../support/refused.js"
import {
  type Call,
  type Connect,
  deadlineOf,
  type Extra,
  type Handling,
  mostDeaths,
  type Op,
  type Scenario,
  type Step,
  tick,
  toMillis
} from "./Scenario.js"
import { ScriptedConnection } from "./ScriptedConnection.js"
import * as words from "./words.js"
import { ScriptedDefect } from "./words.js"
import type { World } from "./World.js"

type Service = PersistentConnection.PersistentConnection<ScriptedConnection, Refused>
type Attempt = Connector.Attempt<string>

/** The functions of user code that the persistent connection calls. */
export type Callback =
  | "lookUp"
  | "connect"
  | "closed"
  | "finalizer"
  | "handler"
  | "schedule"
  | "isClosed"
  | "addressEquivalence"

/** The fault of a call. A function that does not return an effect always throws. */
export type Fault = "throw" | "die" | "interrupt" | "never"

export interface Options {
  /** True to observe the streams of events and states too. They cost as much as all the rest. Default: true. */
  readonly streams?: boolean | undefined
  /** The time after which a slow handler is logged, in ticks. Default: never. */
  readonly slowHandlerThreshold?: number | undefined
  /** The time that closing waits for a finalizer, in ticks. Default: no limit. */
  readonly closeTimeout?: number | undefined
  /** The fault of a call. Calls are numbered from 0 over all functions. */
  readonly inject?: ((callback: Callback, call: number) => Fault | undefined) | undefined
}

/** A running connect. */
interface Connecting {
  readonly number: number
  readonly isUninterruptible: boolean
  /** The deadline of its attempt, without the time of handlers. */
  deadline: number
}

/** An op with a waiting caller. */
export interface Asked {
  readonly op: Op | Extra | "leave"
  readonly by: "user" | "handler" | "step" | "finalizer"
}

export class Subject {
  readonly service: Service
  /** The events as the handler got them. */
  readonly events: Array<words.EventWords & { readonly at: number }> = []
  readonly bus: Array<string> = []
  /** The events of the stream, including its end. */
  readonly streamed: Array<string> = []
  readonly states: Array<State.ConnectionState<ScriptedConnection, Refused>> = []
  /** Look-ups and connects. */
  readonly calls: Array<string> = []
  readonly answers = new Map<string, string>()
  readonly asked = new Map<string, Asked>()
  readonly connections: Array<ScriptedConnection> = []
  /** The running calls of user code, with their ids. */
  readonly running = new Map<symbol, string>()
  readonly violations: Array<string> = []
  callbacks = 0
  leftAt = Infinity
  /** True if a connection may have been replaced directly by another one. */
  isReplaced = false
  attempt: Attempt | undefined

  private readonly scope = Effect.runSync(Scope.make())
  private readonly asking = new Map<string, Fiber.RuntimeFiber<unknown>>()
  private readonly connecting = new Set<Connecting>()
  private readonly closing = new Set<ScriptedConnection>()
  private sawClosing = false
  private lookUps = 0
  private connects = 0
  private handlings = 0
  private faults = 0
  private deaths = 0
  private attemptBegunAt = 0

  constructor(readonly world: World, readonly scenario: Scenario, private readonly options: Options = {}) {
    const made = world.runUndisturbed(world.watched(Scope.extend(this.make, this.scope))).unsafePoll()
    if (made === null || Exit.isFailure(made)) throw new Error("make did not complete at once", { cause: made })
    this.service = made.value
    this.pump(this.service.subscribe, this.bus)
    if (options.streams === false) return
    world.runUndisturbed(
      Stream.runForEach(this.service.state.changes, (state) => Effect.sync(() => this.states.push(state)))
    )
    const streamed = Stream.runForEach(
      this.service.events,
      (event) => Effect.sync(() => this.streamed.push(words.ofEvent(event).onBus))
    )
    world.runUndisturbed(Effect.zipRight(streamed, Effect.sync(() => this.streamed.push("end"))))
  }

  get hasLeft(): boolean {
    return this.leftAt < Infinity
  }

  get hasStreams(): boolean {
    return this.options.streams !== false
  }

  get state(): State.ConnectionState<ScriptedConnection, Refused> {
    return Effect.runSync(this.service.state.get)
  }

  /** Performs an op as a user would. */
  ask(op: Op | Extra, id: string): void {
    const fiber = this.world.run(Effect.ignore(this.perform(op, id, "user")))
    this.asking.set(id, fiber)
    fiber.addObserver((exit) => {
      if (!this.answers.has(id)) this.answered(id, exit)
    })
  }

  /** Interrupts the caller of the given op; by default the first waiting caller. */
  interrupt(id = [...this.asking.keys()].find((id) => !this.answers.has(id))): void {
    const fiber = this.asking.get(id ?? "")
    fiber?.unsafeInterruptAsFork(fiber.id())
  }

  doAction(does: Op | Extra | "leave" | "interrupt", id: string): void {
    if (does === "leave") this.leave(id)
    else if (does === "interrupt") this.interrupt()
    else this.ask(does, id)
  }

  subscribe(): ReadonlyArray<string> {
    const seen: Array<string> = []
    this.pump(this.service.subscribe, seen)
    return seen
  }

  leave(id: string): void {
    this.leftAt = this.world.now
    this.asked.set(id, { op: "leave", by: "user" })
    this.world.run(
      Effect.onExit(Scope.close(this.scope, Exit.void), (exit) => Effect.sync(() => this.answered(id, exit)))
    )
  }

  /** Checks the invariants of every moment. */
  checkNow(): void {
    const { state } = this
    const isClosing = state._tag === "Closing" || state._tag === "Closed"
    if (this.sawClosing && !isClosing) this.violation(`${state._tag} after closing`)
    this.sawClosing ||= isClosing
    const current = Option.getOrUndefined(State.connection(state))
    if (current === undefined) return
    if (isClosing) this.closing.add(current)
    else if (current.releases > 0) this.violation(`${current} was released while it was current`)
  }

  violation(text: string): void {
    this.violations.push(`${this.world.now} ${text}`)
  }

  // Ops ------------------------------------------------------------------------------------------------------------

  private perform(op: Op | Extra, id: string, by: Asked["by"]): Effect.Effect<unknown, unknown> {
    return Effect.suspend(() => {
      this.checkNow()
      const isLate = this.sawClosing
      this.asked.set(id, { op, by })
      return Effect.onExit(this.effectOf(op), (exit) =>
        Effect.sync(() => {
          this.answered(id, exit)
          if (!Exit.isSuccess(exit)) return
          if (exit.value instanceof ScriptedConnection) this.checkReturned(op, exit.value, isLate)
          if (by === "user" && (op === "close" || op === "closeFinished" || op === "closeGracefully")) {
            this.checkClosed(op)
          }
        }))
    })
  }

  private effectOf(op: Op | Extra): Effect.Effect<unknown, unknown> {
    switch (op) {
      case "use":
        return PersistentConnection.use(this.service, (connection) => {
          if (connection.isReleased) this.violation(`${connection} was used after its release`)
          return Effect.as(sleep(2), words.done)
        })
      case "refresh":
        this.isReplaced = true
        return PersistentConnection.refresh(this.service, { drain: tick })
      case "reconnectNow":
        return PersistentConnection.reconnectNow(this.service)
      case "reconnectAndRefresh":
        this.isReplaced = true
        return PersistentConnection.reconnectNow(this.service, { whenConnected: "refresh" })
      case "restart":
        return Effect.suspend(() => {
          for (const connecting of this.connecting) connecting.deadline = this.world.now
          return PersistentConnection.reconnectNow(this.service, { whenConnecting: "restart" })
        })
      case "drop":
        return Effect.suspend(() => {
          const current = Option.getOrUndefined(State.connection(this.state))
          if (current !== undefined) current.mayBeLost = true
          return PersistentConnection.reconnectNow(this.service, { whenConnected: "drop" })
        })
      case "probe":
        return PersistentConnection.reconnectNow(this.service, { whenConnected: "probe" })
      case "closeGracefully":
        return PersistentConnection.closeGracefully(this.service, tick)
      case "connected":
      case "connectedOrClosed":
      case "connectedOrFailedToConnect":
        return this.service[op]
      case "close":
      case "closeFinished":
        return Effect.as(this.service[op], words.done)
      case "closeWhen":
        return Effect.as(this.service.closeWhenCurrentConnectionIsClosed, words.done)
      case "abort": {
        if (this.attempt === undefined) return Effect.succeed("no attempt")
        return Effect.as(Effect.ignore(this.attempt.abort(new Refused({ text: "aborted" }))), words.done)
      }
      case "lose":
        return Effect.sync(() => {
          const newest = this.connections.reduce<ScriptedConnection | undefined>(
            (newest, each) => newest === undefined || each.number > newest.number ? each : newest,
            undefined
          )
          newest?.lose("clean")
          return newest === undefined ? "no connection" : words.done
        })
    }
  }

  private answered(id: string, exit: Exit.Exit<unknown, unknown>): void {
    if (this.answers.has(id)) this.violation(`${id} was answered twice`)
    this.answers.set(id, `${this.world.now} ${words.ofAnswer(exit)}`)
  }

  /**
   * Checks A3, A4 and D3 for a returned connection. Results may be delayed by the rest of their turn, except those of
   * `connected`.
   */
  private checkReturned(op: Op | Extra, connection: ScriptedConnection, isLate: boolean): void {
    this.checkNow()
    if (isLate) this.violation(`${op} answered, after closing, with ${connection}`)
    if (op === "connectedOrFailedToConnect" || this.world.isPreemptive) return
    if (this.sawClosing) this.violation(`${op} answered while closing, with ${connection}`)
    if (connection.isLost && this.scenario.knowsDeath) this.violation(`${op} answered with the dead ${connection}`)
  }

  /** Checks X1 for a completed close. */
  private checkClosed(op: Op | Extra): void {
    this.checkNow()
    if (!this.sawClosing) this.violation(`${op} finished before the close began`)
    for (const connection of this.closing) {
      if (!connection.isReleased) this.violation(`${op} finished before the release of ${connection}`)
    }
  }

  // User code ------------------------------------------------------------------------------------------------------

  private get make(): Effect.Effect<Service, never, Scope.Scope> {
    const { attemptTimeout, knowsDeath, minUptime } = this.scenario
    return PersistentConnection.make({
      serverName: "model",
      address: (attempt: Attempt) => this.lookUp(attempt),
      connector: Connector.make({
        connect: (address: string, attempt: Attempt) => this.connect(address, attempt),
        probe: (connection: ScriptedConnection) =>
          Effect.zipRight(sleep(1), connection.isLost ? Effect.fail(new Refused({ text: "dead" })) : Effect.void),
        closed: (connection: ScriptedConnection) => {
          const { faults } = this
          try {
            return this.call("closed", `closed ${connection.number}`, () => connection.closed)
          } finally {
            // A fault here is a loss that the connection object does not know.
            connection.mayBeLost ||= this.faults > faults
          }
        },
        isClosed: knowsDeath
          ? (connection) => {
            this.fault("isClosed")
            return connection.isLost
          }
          : undefined
      }),
      addressEquivalence: (self, that) => {
        this.fault("addressEquivalence")
        return self === that
      },
      retry: this.retry,
      minUptime: minUptime * tick,
      slowHandlerThreshold: (this.options.slowHandlerThreshold ?? Infinity) * tick,
      closeTimeout: (this.options.closeTimeout ?? Infinity) * tick,
      attemptTimeout: attemptTimeout === Infinity ? Infinity : deadlineOf(this.scenario),
      onEvent: (event) => this.handle(event)
    })
  }

  private lookUp(attempt: Attempt): Effect.Effect<string, Refused> {
    this.attempt = attempt
    this.attemptBegunAt = this.world.now
    const number = this.lookUps++
    const script = entry(this.scenario.lookUps, number)
    const id = `lookUp ${number}`
    this.begin(id, attempt)
    return this.call("lookUp", id, () => this.walk(script, id, Effect.succeed(script.text)))
  }

  private connect(address: string, attempt: Attempt): Effect.Effect<ScriptedConnection, Refused, Scope.Scope> {
    const number = this.connects++
    const script = entry(this.scenario.connects, number)
    const deadline = this.attemptBegunAt + deadlineOf(this.scenario)
    const connecting: Connecting = { number, deadline, isUninterruptible: script.isUninterruptible }
    const id = `connect ${number}`
    this.begin(`${id} to ${address}`, attempt)
    return Effect.ensuring(
      this.call("connect", id, () => {
        this.checkOverlap(connecting)
        const open = this.open(script, number)
        return script.opensFirst
          ? Effect.flatMap(open, (connection) => this.walk(script, id, Effect.succeed(connection)))
          : this.walk(script, id, open)
      }),
      Effect.sync(() => this.connecting.delete(connecting))
    )
  }

  /**
   * Checks that connects do not overlap, except with one that is too late or given up, and an uninterruptible one that
   * is not needed any more.
   */
  private checkOverlap(connecting: Connecting): void {
    for (const { deadline, isUninterruptible, number } of this.connecting) {
      const isLate = deadline <= this.world.now || (this.isReplaced && isUninterruptible)
      if (!isLate) this.violation(`connect ${connecting.number} overlaps with connect ${number}`)
    }
    this.connecting.add(connecting)
  }

  /** Checks that no attempt begins after a close (X1), and records its context (C7). */
  private begin(what: string, { failedAttempts, generation, lastCause, number, previousAddress }: Attempt): void {
    this.checkNow()
    if (this.sawClosing) this.violation(`${what} after closing`)
    const cause = Option.match(lastCause, { onNone: () => "nothing", onSome: words.ofCause })
    const address = Option.getOrElse(previousAddress, () => "nowhere")
    const failures = Effect.runSync(failedAttempts)
    this.calls.push(
      `${this.world.now} ${what}: ${generation}.${number} after ${failures} failures, ${cause}, ${address}`
    )
  }

  private open({ life, loss, release }: Connect, number: number) {
    const acquire = Effect.sync(() => {
      const connection = new ScriptedConnection(number, () => this.world.now)
      this.connections.push(connection)
      if (life === 0) connection.lose(loss)
      else if (life !== undefined) this.world.after(toMillis(life), () => connection.lose(loss))
      return connection
    })
    return Effect.acquireRelease(acquire, (connection) =>
      Effect.suspend(() => {
        connection.releases++
        this.checkNow()
        if (connection.releases > 1) this.violation(`${connection} was released again`)
        const id = `finalizer ${number}`
        return this.call("finalizer", id, () => this.handling(release, id, "finalizer"))
      }).pipe(Effect.ensuring(Effect.sync(() => {
        connection.isReleased = true
      }))))
  }

  private handle(event: ConnectionEvent<ScriptedConnection, Refused, string>): Effect.Effect<unknown> {
    const number = this.handlings++
    this.events.push({ at: this.world.now, ...words.ofEvent(event) })
    if (!this.world.isPreemptive) this.checkEvent(event)
    return this.call(
      "handler",
      `handler ${number}`,
      () => this.handling(entry(this.scenario.handlers, number), `handler ${number}`, "handler")
    )
  }

  /** Checks the state at each event (A1, A2). */
  private checkEvent(event: ConnectionEvent<ScriptedConnection, Refused, string>): void {
    const { state } = this
    const current = Option.getOrUndefined(State.connection(state))
    const isTrue = {
      AttemptingToConnect: state._tag === "Connecting",
      ObtainedAddress: state._tag === "Connecting",
      FailedToConnect: state._tag === "Waiting",
      Connected: event._tag === "Connected" && current === event.connection,
      Disconnected: current === undefined
    }
    if (!isTrue[event._tag]) this.violation(`${event._tag} is reported in ${state._tag}`)
  }

  private handling(script: Handling, id: string, by: Asked["by"]): Effect.Effect<void> {
    return Effect.zipRight(
      this.callOf(script, id, by),
      script.dies ? Effect.die(new ScriptedDefect(id)) : Effect.void
    )
  }

  private walk<A, R>(script: Step, id: string, value: Effect.Effect<A, never, R>): Effect.Effect<A, Refused, R> {
    const { ends, isUninterruptible, text } = script
    const walk = Effect.zipRight(this.callOf(script, id, "step"), Effect.suspend(() => endings[ends](value, text)))
    return isUninterruptible ? Effect.uninterruptible(walk) : walk
  }

  private callOf({ does, forks, pauses, takes }: Call, id: string, by: Asked["by"]): Effect.Effect<void> {
    const effect = does === undefined ? Effect.void : Effect.ignore(this.perform(does, id, by))
    return sleep(pauses).pipe(
      Effect.zipRight(forks ? Effect.flatMap(Effect.fork(effect), Fiber.join) : effect),
      Effect.zipRight(sleep(takes))
    )
  }

  private get retry() {
    const { policyTakes, retry } = this.scenario
    return Schedule.makeWithState(0, (now, _, turn) => {
      const fault = this.fault("schedule")
      return Effect.zipRight(
        fault,
        Effect.map(sleep(policyTakes), () => {
          const next = retry[Math.min(turn, retry.length - 1)]!
          if (next === "die" && this.deaths++ < mostDeaths) throw new ScriptedDefect("retry")
          const decision = next === "end"
            ? ScheduleDecision.done
            : ScheduleDecision.continueWith(ScheduleInterval.after(now + (next === "die" ? 1 : next) * tick))
          return [turn + 1, undefined, decision] as const
        })
      )
    })
  }

  /** Runs a call of user code, registers it as running, and injects its fault. */
  private call<A, E, R>(callback: Callback, id: string, body: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const fault = this.fault(callback)
    const key = Symbol(id)
    return Effect.suspend(() => {
      this.running.set(key, id)
      return Effect.zipRight(fault, Effect.suspend(body))
    }).pipe(Effect.ensuring(Effect.sync(() => this.running.delete(key))))
  }

  private fault(callback: Callback): Effect.Effect<void> {
    const call = this.callbacks++
    const fault = this.options.inject?.(callback, call)
    if (fault !== undefined) this.faults++
    switch (fault) {
      case undefined:
        return Effect.void
      case "throw":
        throw new ScriptedDefect(`${callback} ${call}`)
      case "die":
        return Effect.die(new ScriptedDefect(`${callback} ${call}`))
      case "interrupt":
        return Effect.interrupt
      case "never":
        return Effect.never
    }
  }

  // --------------------------------------------------------------------------------------------------------------

  private pump(subscribe: Service["subscribe"], seen: Array<string>): void {
    const take = (queue: Queue.Dequeue<ConnectionEvent<ScriptedConnection, Refused, void>>) =>
      Effect.forever(Effect.map(Queue.take(queue), (event) => seen.push(words.ofEvent(event).onBus)))
    this.world.runUndisturbed(Effect.scoped(Effect.flatMap(subscribe, take)))
  }
}

const sleep = (ticks: number) => ticks === 0 ? Effect.void : Effect.sleep(toMillis(ticks))

const entry = <A>(script: ReadonlyArray<A>, call: number): A => script[call % script.length]!

const endings: Readonly<
  Record<
    Step["ends"],
    <A, R>(value: Effect.Effect<A, never, R>, text: string) => Effect.Effect<A, Refused, R>
  >
> = {
  succeed: (value) => value,
  fail: (_, text) => Effect.fail(new Refused({ text })),
  die: (_, text) => Effect.die(new ScriptedDefect(text)),
  interrupt: () => Effect.interrupt,
  never: () => Effect.never
}
