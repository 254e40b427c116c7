/**
 * The life of one persistent connection, as a test stages it: a server that does what it is told, a diary of the
 * events, and the few words in which a rule can be written down.
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

/** A connection: lost when the test drops it, released when its scope is closed. */
export class Line {
  isLost = false
  released = 0
  private readonly end = Deferred.unsafeMake<void, Refused>(FiberId.none)
  readonly lost = Deferred.await(this.end)

  constructor(readonly number: number, readonly address: string) {}

  /** The peer ends it: without an error, or with one. */
  drop(exit: Exit.Exit<void, Refused> = Exit.void): void {
    this.isLost = true
    Deferred.unsafeDone(this.end, exit)
  }
}

export type Attempt = Connector.Attempt<string>
export type Event = ConnectionEvent<Line, Refused, string>
type Service = PersistentConnection.PersistentConnection<Line, Refused>

/** A server that accepts everybody at the address "a", until the test gives it something else to do. */
export class Server {
  lookUp: (attempt: Attempt) => Effect.Effect<string, Refused> = () => Effect.succeed("a")
  /** What a connect does before it succeeds. */
  connect: (attempt: Attempt, line: Line) => Effect.Effect<unknown, Refused, Scope.Scope> = () => Effect.void
  /** What the release of a connection does first. */
  release: (line: Line) => Effect.Effect<unknown> = () => Effect.void
  closed: (line: Line) => Effect.Effect<unknown, Refused> = (line) => line.lost
  /** What is done to a connection that is dropped. */
  terminate: (line: Line) => Effect.Effect<void> = () => Effect.void
  /** What is done to a connection of which nothing more is to be received. */
  close: (line: Line) => Effect.Effect<unknown, Refused> = () => Effect.void
  /** A connect cannot be interrupted. */
  isStubborn = false

  /** When the attempts began, in seconds. */
  readonly attempts: Array<number> = []
  readonly lines: Array<Line> = []
  /** The attempt made last. */
  attempt: Attempt | undefined
  connects = 0
  opened = 0
  released = 0

  constructor(private readonly now: () => number) {}

  /** The connection made last. */
  get line(): Line {
    const line = this.lines.at(-1)
    if (line === undefined) throw new Error("There has been no connection yet")
    return line
  }

  /** Refuses everybody from now on. */
  refuse(text: string): void {
    this.connect = () => refuse(text)
  }

  /** Accepts everybody from now on. */
  accept(): void {
    this.connect = () => Effect.void
  }

  /** As the attempt made last does, but without failing with it. */
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
      return this.isStubborn ? Effect.uninterruptible(connect) : connect
    },
    closed: (line: Line) => this.closed(line),
    isClosed: (line) => line.isLost,
    terminate: (line) => this.terminate(line),
    close: (line: Line) => this.close(line)
  })
}

/** A persistent connection with its server. */
export interface Life {
  readonly service: Service
  readonly server: Server
  /** The events as the handler was given them, each with its second. */
  readonly diary: Array<string>
}

export type Options = Partial<
  PersistentConnection.Options<string, Line, Refused, Refused, never, never, never, never>
>

/** Begins one: 10 seconds between attempts, unless the options say otherwise. */
export const begin = (
  options: Options = {},
  prepare: (life: Life) => void = () => {}
): Effect.Effect<Life, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const now = () => Number(clock.unsafeCurrentTimeNanos() / 1_000n) / 1_000_000
    const server = new Server(now)
    const diary: Array<string> = []
    const life = { server, diary } as { -readonly [K in keyof Life]: Life[K] }
    prepare(life)
    life.service = yield* PersistentConnection.make({
      serverName: "test",
      address: server.address,
      connector: server.connector,
      retry: RetryPolicy.fixed("10 seconds"),
      ...options,
      onEvent: (event) => {
        diary.push(`${now()} ${describe(event)}`)
        return options.onEvent?.(event) ?? Effect.void
      }
    })
    return life
  })

/** An event in a few words. */
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

/** What failed, in a few words: the text of a typed error, or that of a defect with a `!`. */
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

/** A handler that does something about one kind of event. */
export const on =
  (tag: Event["_tag"], handle: (event: Event) => Effect.Effect<unknown>) => (event: Event): Effect.Effect<unknown> =>
    Effect.suspend(() => event._tag === tag ? handle(event) : Effect.void)

/** The state as it is now. */
export const stateOf = ({ service }: Life): Effect.Effect<ConnectionState<Line, Refused>> => service.state.get

/** The tag of the state as it is now. */
export const stateTag = (life: Life): Effect.Effect<ConnectionState<Line, Refused>["_tag"]> =>
  Effect.map(stateOf(life), ({ _tag }) => _tag)

/** Yields this many times: others get as many turns. */
export const turns = (count: number): Effect.Effect<void> => Effect.repeatN(Effect.yieldNow(), count)

/** Somebody who asks, and what has become of it. */
export class Asked<A, E> {
  constructor(readonly fiber: Fiber.RuntimeFiber<A, E>) {}

  get exit(): Exit.Exit<A, E> | undefined {
    return this.fiber.unsafePoll() ?? undefined
  }

  get isWaiting(): boolean {
    return this.exit === undefined
  }

  /** The answer; undefined if there is none yet, or it is a failure. */
  get answer(): A | undefined {
    return this.exit?._tag === "Success" ? this.exit.value : undefined
  }

  /** What the answer failed with, in a few words. */
  get failure(): string | undefined {
    return this.exit?._tag === "Failure" ? describeCause(this.exit.cause) : undefined
  }

  /** The typed error that the answer failed with. */
  get error(): E | undefined {
    return this.exit?._tag === "Failure" ? Option.getOrUndefined(Cause.failureOption(this.exit.cause)) : undefined
  }
}

/** Asks, and goes on without waiting for the answer. */
export const ask = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Asked<A, E>, never, R> =>
  Effect.map(Effect.fork(effect), (fiber) => new Asked(fiber))

/** Asks, and lets everything happen that is due now. */
export const askNow = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Asked<A, E>, never, R> =>
  Effect.zipLeft(ask(effect), settle)

/** Leaves a scope, and gives it a minute to end. Has it ended? */
export const hasEnded = (scope: Scope.CloseableScope): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const leaving = yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
    yield* pass(60)
    return leaving.unsafePoll() !== null
  })

/** In a scope that the test leaves by itself, when it wants to. */
export const inScope = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Scope.CloseableScope], E, Exclude<R, Scope.Scope>> =>
  Effect.flatMap(Scope.make(), (scope) => Effect.map(Scope.extend(effect, scope), (value) => [value, scope] as const))
