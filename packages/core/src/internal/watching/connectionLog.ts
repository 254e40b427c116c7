import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import * as Exit from "effect/Exit"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { ConnectionClosed } from "../../ConnectionError.js"
import * as Event from "../../ConnectionEvent.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { AttemptFailure } from "../../Connector.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { render, summary } from "../base/render.js"
import { now } from "../base/time.js"
import { loopOf } from "../loop/service.js"
import type { Observer } from "../loop/status.js"
import { watch } from "./watch.js"

type State = ConnectionState<unknown, unknown>

type Write = (level: LogLevel.LogLevel, message: string, annotations: Record<string, unknown>) => void

/**
 * Limits for the time between two reminders of an outage, in ms. Within them, each reminder is due when the outage has
 * lasted twice as long as at the previous line.
 */
const shortest = 60_000
const longest = 6 * 60 * shortest

/**
 * Logs the events with further details. Also logs reminders of an outage, failed refreshes and the end, which are not
 * events.
 */
class Log<E> implements Observer<unknown, E> {
  /** When the connection was established, or lost, in monotonic ms. */
  private since = 0
  /** How long the last connection lasted, in ms; undefined if this log has not observed one. */
  private uptime: number | undefined
  /** The number of failed attempts before the last connection. */
  private failed = 0
  private nextAttempt = ""
  private remindAt = Infinity
  private refreshFailure: Option.Option<Cause.Cause<AttemptFailure<E>>> = Option.none()
  /** The owner has closed the connection. The log line for this comes after the last event. */
  private isClosed = false

  constructor(
    private readonly serverName: string,
    private readonly isSame: Equivalence.Equivalence<Cause.Cause<AttemptFailure<E>>>,
    private readonly clock: Clock.Clock,
    private readonly write: Write
  ) {}

  readonly onTransition = (previous: State, next: State, at: number): void => {
    if (previous === next) {
      this.since = at
      return this.remindLater(now(this.clock))
    }
    if (previous._tag === "Connected" && next.generation === previous.generation && next._tag !== "Connected") {
      this.uptime = at - this.since
      this.since = at
    }
    switch (next._tag) {
      case "Connecting":
        if (previous._tag === "Waiting" && next.attempt > 1 && at >= this.remindAt) this.remind(next, at)
        return
      case "Connected":
        if (previous.generation === next.generation) return
        this.since = at
        this.failed = previous._tag === "Connecting" ? next.attempt - 1 : 0
        this.refreshFailure = Option.none()
        return
      case "Waiting":
        this.nextAttempt = describeNext(Option.map(next.nextAttemptAt, (nextAt) => nextAt - next.since))
        return
      case "Closed":
        if (previous._tag !== "Closing" || next.reason._tag !== "ClosedByOwner") return
        this.isClosed = true
        if (Option.isNone(previous.connection)) this.ended()
    }
  }

  readonly onEvent = (event: Event.ConnectionEvent<unknown, unknown>): void => {
    this.line(Event.logLevel(event), `${Event.message(event)}${this.more(event)}`, {
      event: event._tag,
      ..."generation" in event ? { generation: event.generation } : { attempt: event.attempt },
      ..."address" in event ? { address: render(event.address) } : {}
    })
    if (event._tag === "FailedToConnect") this.remindLater(now(this.clock))
    if (event._tag === "Disconnected") this.ended()
  }

  /** A failed refresh is only a warning, because the connection stays open. */
  readonly onAttempt = (exit: Exit.Exit<unknown, AttemptFailure<E>>, isRefresh: boolean): void => {
    if (!isRefresh || Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return
    if (Option.exists(this.refreshFailure, (failure) => this.isSame(failure, exit.cause))) return
    this.refreshFailure = Option.some(exit.cause)
    const message = `The refresh failed; the connection stays open: ${summary(exit.cause)}`
    this.line(LogLevel.Warning, message, { event: "FailedToRefresh" })
  }

  private more(event: Event.ConnectionEvent<unknown, unknown>): string {
    switch (event._tag) {
      case "FailedToConnect":
        return `; ${this.nextAttempt}`
      case "Connected":
        return this.failed === 0 ? "" : ` after ${count(this.failed, "failed attempt")}`
      case "Disconnected":
        return this.uptime === undefined ? "" : `; it lasted ${duration(this.uptime)}`
      default:
        return ""
    }
  }

  /** Repeated equal failures publish no event (C5), so this line reports them. */
  private remind({ attempt, lastCause }: State, at: number): void {
    const why = Option.match(lastCause, { onNone: () => "", onSome: (cause) => `: ${summary(cause)}` })
    const message = `Still not connected after ${duration(at - this.since)} and ${count(attempt - 1, "failed attempt")}`
    this.line(LogLevel.Error, `${message}${why}`, { event: "FailedToConnect", attempt: attempt - 1 })
    this.remindLater(at)
  }

  private remindLater(at: number): void {
    this.remindAt = at + Math.min(Math.max(at - this.since, shortest), longest)
  }

  private ended(): void {
    if (!this.isClosed) return
    const reason = { _tag: "ClosedByOwner" } as const
    const { message } = new ConnectionClosed({ serverName: this.serverName, reason })
    this.write(LogLevel.Info, message, { event: "Closed", reason: reason._tag })
  }

  private line(level: LogLevel.LogLevel, message: string, annotations: Record<string, unknown>): void {
    this.write(level, `${this.serverName}: ${message}`, annotations)
  }
}

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`

/** Rounded to whole seconds from 10 s. */
const duration = (millis: number): string =>
  Duration.format(Duration.millis(millis < 10_000 ? Math.round(millis) : Math.round(millis / 1_000) * 1_000))

const describeNext = (inMillis: Option.Option<number>): string => {
  if (Option.isNone(inMillis)) return "no further attempt"
  if (inMillis.value === Infinity) return "next attempt only after reconnectNow"
  return `next attempt ${inMillis.value > 0 ? `in ${duration(inMillis.value)}` : "now"}`
}

/** @internal */
export const track = <Connection, E>(self: PersistentConnection<Connection, E>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const runtime = yield* Effect.runtime<never>()
    // A separate fiber, so that a logger that throws does not affect the caller. It has ended when `runFork` returns.
    const write: Write = (level, message, annotations) => {
      const line = Effect.logWithLevel(level, message)
      Runtime.runFork(runtime, Effect.annotateLogs(line, { server_name: self.serverName, ...annotations }))
    }
    yield* watch(self, new Log(self.serverName, loopOf(self).settings.causeEquivalence, clock, write))
  })
