/**
 * The fixture of most tests: one persistent connection with a scripted server and a log of its events, and helpers to
 * call its operations.
 */
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { refuse, type Refused } from "./refused.js"
import { pass, settle } from "./virtualTime.js"

/** A connection. The test ends it with `drop`; its release is counted. */
export class Line {
  isLost = false
  released = 0
  private readonly end = Deferred.unsafeMake<void, Refused>(FiberId.none)
  readonly lost = Deferred.await(this.end)

  constructor(readonly number: number, readonly address: string) {}

  /** The peer ends the connection, with or without an error. */
  drop(exit: Exit.Exit<void, Refused> = Exit.void): void {
    this.isLost = true
    Deferred.unsafeDone(this.end, exit)
  }
}

export type Attempt = Connector.Attempt<string>
export type Event = ConnectionEvent<Line, Refused, string>
type Service = PersistentConnection.PersistentConnection<Line, Refused>

/** A server that accepts all connections at the address "a", until the test changes its behaviour. */
export class Server {
  lookUp: (attempt: Attempt) => Effect.Effect<string, Refused> = () => Effect.succeed("a")
  /** Runs before a connect succeeds. */
  connect: (attempt: Attempt, line: Line) => Effect.Effect<unknown, Refused, Scope.Scope> = () => Effect.void
  /** Runs at the start of the release of a connection. */
  release: (line: Line) => Effect.Effect<unknown> = () => Effect.void
  closed: (line: Line) => Effect.Effect<unknown, Refused> = (line) => line.lost
  /** The `terminate` of the connector. */
  terminate: (line: Line) => Effect.Effect<void> = () => Effect.void
  /** The `close` of the connector. */
  close: (line: Line) => Effect.Effect<unknown, Refused> = () => Effect.void
  /** True if a connect is uninterruptible. */
  isUninterruptible = false

  /** The start times of the attempts, in seconds. */
  readonly attempts: Array<number> = []
  readonly lines: Array<Line> = []
  /** The latest attempt. */
  attempt: Attempt | undefined
  connects = 0
  opened = 0
  released = 0

  constructor(private readonly now: () => number) {}

  /** The latest connection. */
  get line(): Line {
    const line = this.lines.at(-1)
    if (line === undefined) throw new Error("There has been no connection yet")
    return line
  }

  /** Refuses all connections from now on. */
  refuse(text: string): void {
    this.connect = () => refuse(text)
  }

  /** Accepts all connections from now on. */
  accept(): void {
    this.connect = () => Effect.void
  }

  /** Aborts the latest attempt, without failing with the error. */
  abort(error: Refused): Effect.Effect<void> {
    return Effect.suspend(() => Effect.ignore(this.attempt!.abort(error)))
  }

  readonly address = (attempt: Attempt): Effect.Effect<string, Refused> => {
    this.attempts.push(this.now())
    this.attempt = attempt
    return this.lookUp(attempt)
  }

  readonly connector = Connector.make({
    connect: (address: string, attempt: Attempt) => {
      this.connects++
      const line = new Line(this.lines.length + 1, address)
      const open = Effect.sync(() => {
        this.opened++
        this.lines.push(line)
        return line
      })
      const release = Effect.zipRight(Effect.suspend(() => this.release(line)), Effect.void).pipe(
        Effect.ensuring(Effect.sync(() => {
          line.released++
          this.released++
        }))
      )
      const connect = Effect.zipRight(
        Effect.suspend(() => this.connect(attempt, line)),
        Effect.acquireRelease(open, () => release)
      )
      return this.isUninterruptible ? Effect.uninterruptible(connect) : connect
    },
    closed: (line: Line) => this.closed(line),
    isClosed: (line) => line.isLost,
    terminate: (line) => this.terminate(line),
    close: (line: Line) => this.close(line)
  })
}

/** A persistent connection with its server and the log of its events. */
export interface Fixture {
  readonly service: Service
  readonly server: Server
  /** The events as the handler got them, each with its time in seconds. */
  readonly eventLog: Array<string>
}

export type Options = Partial<
  PersistentConnection.Options<string, Line, Refused, Refused, never, never, never, never>
>

/** Makes a fixture. Default: 10 seconds between attempts. */
export const makeFixture = (
  options: Options = {},
  prepare: (fixture: Fixture) => void = () => {}
): Effect.Effect<Fixture, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const now = () => Number(clock.unsafeCurrentTimeNanos() / 1_000n) / 1_000_000
    const server = new Server(now)
    const eventLog: Array<string> = []
    const fixture = { server, eventLog } as { -readonly [K in keyof Fixture]: Fixture[K] }
    prepare(fixture)
    fixture.service = yield* PersistentConnection.make({
      serverName: "test",
      address: server.address,
      connector: server.connector,
      retry: RetryPolicy.fixed("10 seconds"),
      ...options,
      onEvent: (event) => {
        eventLog.push(`${now()} ${describe(event)}`)
        return options.onEvent?.(event) ?? Effect.void
      }
    })
    return fixture
  })

/** A short text for an event. */
export const describe = (event: ConnectionEvent<Line, Refused>): string => {
  switch (event._tag) {
    case "AttemptingToConnect":
      return "AttemptingToConnect"
    case "ObtainedAddress":
      return event.address === undefined ? "ObtainedAddress" : `ObtainedAddress ${String(event.address)}`
    case "FailedToConnect":
      return `FailedToConnect ${describeCause(event.cause)}`
    case "Connected":
      return `Connected ${event.connection.number}`
    case "Disconnected":
      return Cause.isEmpty(event.cause)
        ? `Disconnected ${event.generation}`
        : `Disconnected ${event.generation} ${describeCause(event.cause)}`
  }
}

/** A short text for a cause: the text of a typed error, or the text of a defect with a `!`. */
export const describeCause = (cause: Cause.Cause<unknown>): string => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  if (error instanceof Cause.TimeoutException) return "timeout"
  if (error !== undefined) return error instanceof Error ? error.message : String(error)
  const defect = Option.getOrUndefined(Cause.dieOption(cause))
  if (defect !== undefined) return `${defect instanceof Error ? defect.message : String(defect)}!`
  return Cause.isInterrupted(cause) ? "interrupted" : "nothing"
}

export { refuse, Refused } from "./refused.js"
export { now, pass, settle, sleep } from "./virtualTime.js"

/** A handler for one kind of event. */
export const on =
  (tag: Event["_tag"], handle: (event: Event) => Effect.Effect<unknown>) => (event: Event): Effect.Effect<unknown> =>
    Effect.suspend(() => event._tag === tag ? handle(event) : Effect.void)

/** The current state. */
export const stateOf = ({ service }: Fixture): Effect.Effect<ConnectionState<Line, Refused>> => service.state.get

/** The tag of the current state. */
export const stateTag = (fixture: Fixture): Effect.Effect<ConnectionState<Line, Refused>["_tag"]> =>
  Effect.map(stateOf(fixture), ({ _tag }) => _tag)

/** Yields this many times, so that other fibers get turns. */
export const turns = (count: number): Effect.Effect<void> => Effect.repeatN(Effect.yieldNow(), count)

/** A call that runs in its own fiber, and its result so far. */
export class Asked<A, E> {
  constructor(readonly fiber: Fiber.RuntimeFiber<A, E>) {}

  get exit(): Exit.Exit<A, E> | undefined {
    return this.fiber.unsafePoll() ?? undefined
  }

  get isWaiting(): boolean {
    return this.exit === undefined
  }

  /** The result; undefined while the call runs, or if it has failed. */
  get answer(): A | undefined {
    return this.exit?._tag === "Success" ? this.exit.value : undefined
  }

  /** A short text for the failure of the call. */
  get failure(): string | undefined {
    return this.exit?._tag === "Failure" ? describeCause(this.exit.cause) : undefined
  }

  /** The typed error of the call. */
  get error(): E | undefined {
    return this.exit?._tag === "Failure" ? Option.getOrUndefined(Cause.failureOption(this.exit.cause)) : undefined
  }
}

/** Starts a call without waiting for its result. */
export const ask = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Asked<A, E>, never, R> =>
  Effect.map(Effect.fork(effect), (fiber) => new Asked(fiber))

/** Starts a call and runs everything that is due now. */
export const askNow = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Asked<A, E>, never, R> =>
  Effect.zipLeft(ask(effect), settle)

/** Closes a scope, and returns true if the close has ended within a minute. */
export const hasEnded = (scope: Scope.CloseableScope): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const leaving = yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
    yield* pass(60)
    return leaving.unsafePoll() !== null
  })

/** Runs an effect in a scope that the test closes. */
export const inScope = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Scope.CloseableScope], E, Exclude<R, Scope.Scope>> =>
  Effect.flatMap(Scope.make(), (scope) => Effect.map(Scope.extend(effect, scope), (value) => [value, scope] as const))
