import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { ConnectionClosed } from "../../ConnectionError.js"
import * as Event from "../../ConnectionEvent.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { equalCause, summary } from "../base/cause.js"
import { redact, redactCause } from "../base/redact.js"
import { Cycle } from "../loop/cycle.js"
import { loopOf } from "../loop/service.js"
import type { Observer } from "../loop/status.js"
import * as human from "./human.js"
import { watch } from "./watch.js"

type State = ConnectionState<unknown, unknown>
type StateOf<Tag extends State["_tag"]> = Extract<State, { readonly _tag: Tag }>

interface Line {
  readonly level: LogLevel.LogLevel
  readonly message: string
  readonly annotations: Record<string, unknown>
  readonly cause: Cause.Cause<unknown>
}

/** After a connection that has lasted so long, in ms, the failure that came before it is news again. */
const forgetAfter = 60_000

/** Tells what happens from the transitions: they come at once, are never lost, and know the address (E3). */
class Reporter implements Observer<unknown, unknown> {
  private cycle: Cycle<unknown, unknown>
  /** The one obtained last, in this cycle. */
  private address: Option.Option<unknown> = Option.none()
  /** How many attempts of this cycle have failed. */
  private failures = 0
  /** When the connection that is being closed was established, if that has been seen. */
  private connectedSince: number | undefined
  /** The failure that was logged last. */
  private failure: Option.Option<Cause.Cause<unknown>> = Option.none()

  constructor(
    private readonly serverName: string,
    private readonly newCycle: () => Cycle<unknown, unknown>,
    private readonly write: (line: Line) => void
  ) {
    this.cycle = newCycle()
  }

  readonly onTransition = (previous: State, next: State): void => {
    switch (next._tag) {
      case "Connecting":
        if (previous._tag !== "Connecting" || previous === next) return this.connecting(next)
        if (previous.address !== next.address) this.obtained(next)
        return
      case "Connected":
        if (previous.generation !== next.generation) return this.connected(next)
        return
      case "Waiting":
        if (previous._tag === "Connecting") this.failed(next)
        if (previous._tag === "Connected") this.lost(previous, next)
        return
      case "Closing":
        if (previous._tag === "Connected") this.connectedSince = previous.since
        return
      case "Closed":
        if (previous._tag !== "Closing") return
        if (Option.isSome(previous.connection)) this.disconnected(previous)
        return this.closed(next)
    }
  }

  /** The connection stays if a refresh fails, so it is no more than a warning. */
  readonly onAttempt = (exit: Exit.Exit<unknown, unknown>, isRefresh: boolean): void => {
    if (!isRefresh || Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return
    if (!this.isNewFailure(exit.cause)) return
    this.line(
      LogLevel.Warning,
      `The connection to "${this.serverName}" could not be refreshed, and stays: ${summary(exit.cause)}`,
      { event: "FailedToRefresh" },
      exit.cause
    )
  }

  private connecting({ attempt, generation }: StateOf<"Connecting">): void {
    // A retry is no event (C2).
    if (attempt > 1) return
    this.cycle = this.newCycle()
    this.address = Option.none()
    this.failures = 0
    const next = { generation: generation + 1 }
    this.event(Event.AttemptingToConnect(next), `Connecting to "${this.serverName}"`, next)
  }

  private obtained({ address, attempt, generation }: StateOf<"Connecting">): void {
    this.address = address
    if (Option.isNone(address) || !this.cycle.isNewAddress(address.value)) return
    this.event(
      Event.ObtainedAddress({ address: address.value, attempt }),
      `The address of "${this.serverName}" is ${redact(address.value)}`,
      { generation: generation + 1, attempt, ...shown(address) }
    )
  }

  private failed({ attempt, generation, lastCause, nextAttemptAt, since }: StateOf<"Waiting">): void {
    this.failures++
    const cause = Option.getOrElse(lastCause, () => Cause.empty)
    if (!this.isNewFailure(cause)) return
    const then = Option.match(nextAttemptAt, {
      onNone: () => "there will be no other",
      onSome: (at) => `the next one is ${human.fromNow(at - since)}`
    })
    this.event(
      Event.FailedToConnect({ cause, attempt }),
      `Attempt ${attempt} to connect to "${this.serverName}" failed: ${summary(cause)}; ${then}`,
      { generation: generation + 1, attempt, ...shown(this.address) },
      cause
    )
  }

  private connected({ address, connection, generation }: StateOf<"Connected">): void {
    const { failures } = this
    this.failures = 0
    const after = failures === 0 ? "" : ` after ${failures} failed attempt${failures === 1 ? "" : "s"}`
    this.event(
      Event.Connected({ connection, generation }),
      `Connected to "${this.serverName}"${after}`,
      { generation, ...shown(address) }
    )
  }

  private lost(connected: StateOf<"Connected">, { generation, lastCause, since }: StateOf<"Waiting">): void {
    const cause = Option.getOrElse(lastCause, () => Cause.empty)
    const lasted = since - connected.since
    if (lasted >= forgetAfter) this.failure = Option.none()
    this.event(
      Event.Disconnected({ cause, generation }),
      `The connection to "${this.serverName}" was lost after ${human.duration(lasted)}: ${summary(cause)}`,
      { generation },
      cause
    )
  }

  private disconnected({ generation, since }: StateOf<"Closing">): void {
    const after = this.connectedSince === undefined ? "" : ` after ${human.duration(since - this.connectedSince)}`
    this.event(
      Event.Disconnected({ cause: Cause.empty, generation }),
      `The connection to "${this.serverName}" was closed${after}`,
      { generation }
    )
  }

  private closed({ reason }: StateOf<"Closed">): void {
    // Any other end is logged without being asked for.
    if (reason._tag !== "ClosedByOwner") return
    const { message } = new ConnectionClosed({ serverName: this.serverName, reason })
    this.line(LogLevel.Info, message, { event: "Closed", reason: reason._tag }, Cause.empty)
  }

  private isNewFailure(cause: Cause.Cause<unknown>): boolean {
    if (Option.exists(this.failure, (failure) => equalCause(failure, cause))) return false
    this.failure = Option.some(cause)
    return true
  }

  private event(
    event: Event.ConnectionEvent<unknown, unknown>,
    message: string,
    annotations: Record<string, unknown>,
    cause: Cause.Cause<unknown> = Cause.empty
  ): void {
    this.line(Event.logLevel(event), message, { event: event._tag, ...annotations }, cause)
  }

  private line(
    level: LogLevel.LogLevel,
    message: string,
    annotations: Record<string, unknown>,
    cause: Cause.Cause<unknown>
  ): void {
    this.write({
      level,
      message,
      annotations: { server_name: this.serverName, ...annotations },
      cause: redactCause(cause)
    })
  }
}

const shown = (address: Option.Option<unknown>) =>
  Option.match(address, { onNone: () => ({}), onSome: (address) => ({ address: redact(address) }) })

/** @internal */
export const track = <Connection, E>(self: PersistentConnection<Connection, E>): Effect.Effect<void> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) => {
    const { addressEquivalence } = loopOf(self).settings
    // In a fiber that has ended when this returns, so that a logger that throws harms nobody.
    const write = ({ annotations, cause, level, message }: Line) => {
      const line = Effect.logWithLevel(level, message, ...Cause.isEmpty(cause) ? [] : [cause])
      Runtime.runFork(runtime, Effect.annotateLogs(line, annotations))
    }
    return watch(self, new Reporter(self.serverName, () => new Cycle(addressEquivalence), write))
  })
