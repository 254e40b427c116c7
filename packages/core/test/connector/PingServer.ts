/**
 * Fixtures for health checks: a server whose peers answer pings as scripted, and a clock that simulates a suspended
 * machine. Records the pings and the running timers.
 */
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { makeAttempt } from "../support/attempt.js"
import { type Asked, askNow, describeCause, type Line, type Refused, Server } from "../support/Fixture.js"

export type Failure = Refused | Cause.TimeoutException

export type CheckOptions = Partial<Connector.HealthCheckOptions<Line, Refused>>

type Checked = Connector.Connector<string, Line, Failure>

/** A clock that counts its sleeping fibers and can simulate a suspension of the machine. Its timers then fire late. */
export class SuspendableClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  sleepers = 0
  private missed = 0
  private setBy = 0

  constructor(private readonly clock: Clock.Clock) {}

  /** Suspends the machine for this many seconds: the clock jumps, but timers do not advance. */
  suspendFor(seconds: number): void {
    this.missed += seconds * 1_000
  }

  /** Moves the wall clock, forward or back. */
  setWallClock(seconds: number): void {
    this.setBy += seconds * 1_000
  }

  unsafeCurrentTimeMillis(): number {
    return this.clock.unsafeCurrentTimeMillis() + this.missed + this.setBy
  }

  unsafeCurrentTimeNanos(): bigint {
    return this.clock.unsafeCurrentTimeNanos() + BigInt(this.missed) * 1_000_000n
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.sleepers++),
      () => this.clock.sleep(duration),
      () => Effect.sync(() => this.sleepers--)
    )
  }
}

/** A server whose peers answer pings. */
export class PingServer {
  readonly server: Server
  /** The pings: the time in seconds and the number of the connection. */
  readonly pings: Array<string> = []
  /** The number of running pings, and its maximum. */
  inFlight = 0
  maxInFlight = 0
  /** Answers a ping. */
  ping: (line: Line) => Effect.Effect<unknown, Refused> = () => Effect.void
  private readonly received = new Map<Line, number>()

  constructor(readonly machine: SuspendableClock) {
    this.server = new Server(() => this.now)
  }

  get now(): number {
    return this.machine.unsafeCurrentTimeMillis() / 1_000
  }

  /** Receives data on the connection. */
  receive(line: Line): void {
    this.received.set(line, this.activity(line) + 1)
  }

  readonly activity = (line: Line): number => this.received.get(line) ?? 0

  readonly probe = (line: Line): Effect.Effect<unknown, Refused> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        this.pings.push(`${this.now} ${line.number}`)
        this.maxInFlight = Math.max(this.maxInFlight, ++this.inFlight)
      }),
      () => this.ping(line),
      () => Effect.sync(() => this.inFlight--)
    )

  /** Default: one probe every 30 seconds, with a timeout of 10 seconds. */
  connector(options: CheckOptions = {}): Checked {
    return Connector.healthCheck(this.server.connector, {
      probe: this.probe,
      interval: "30 seconds",
      timeout: "10 seconds",
      missedProbes: 1,
      ...options
    })
  }
}

const makePingServer: Effect.Effect<PingServer> = Effect.map(
  Effect.clock,
  (clock) => new PingServer(new SuspendableClock(clock))
)

/** A random generator that always draws this value: 0 for the whole interval, almost 1 for the shortest. */
export const fixedRandom = (part: number): Random.Random => ({ ...Random.make("any"), next: Effect.succeed(part) })

/** One connection with a health check, without a persistent connection. */
export interface CheckedConnection {
  readonly pingServer: PingServer
  readonly line: Line
  readonly connector: Checked
  readonly closed: Effect.Effect<unknown, Failure>
  readonly isClosed: () => boolean
  /** Probes on demand, like a wake-up. */
  readonly probe: Effect.Effect<unknown, Failure>
  /** Closes the scope of the connection. */
  readonly release: Effect.Effect<void>
}

interface CheckedOptions extends CheckOptions {
  readonly prepare?: (pingServer: PingServer) => void
  readonly random?: Random.Random
}

export const connectChecked = ({ prepare, random = fixedRandom(0), ...options }: CheckedOptions = {}): Effect.Effect<
  CheckedConnection,
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const pingServer = yield* makePingServer
    prepare?.(pingServer)
    const connector = pingServer.connector(options)
    // Does not wait for the close, because some tests have a close that never ends.
    const scope = yield* Effect.acquireRelease(
      Scope.make(),
      (scope) => Effect.forkDaemon(Scope.close(scope, Exit.void))
    )
    const line = yield* Scope.extend(connector.connect("a", makeAttempt()), scope).pipe(
      Effect.withClock(pingServer.machine),
      Effect.withRandom(random),
      Effect.orDie
    )
    return {
      pingServer,
      line,
      connector,
      closed: connector.closed(line),
      isClosed: () => connector.isClosed!(line),
      probe: connector.probe!(line),
      release: Scope.close(scope, Exit.void)
    }
  })

/** Calls `closed` in its own fiber. */
export const watch = ({ closed }: CheckedConnection): Effect.Effect<Asked<unknown, Failure>> => askNow(closed)

/** A short text for the end of a call of `closed`; undefined while it runs. */
export const endOf = ({ exit }: Asked<unknown, unknown>): string | undefined =>
  exit && (Exit.isSuccess(exit) ? "closed" : describeCause(exit.cause))

type Service = PersistentConnection.PersistentConnection<Line, Failure>

/** A persistent connection with a health check. */
export interface CheckedFixture {
  readonly pingServer: PingServer
  readonly service: Service
  /** The connections, each with its start and end in seconds and the cause. */
  readonly eventLog: Array<string>
}

interface CheckedFixtureOptions extends Partial<PersistentConnection.Options<string, Line, Refused, Failure>> {
  readonly check?: CheckOptions
  readonly prepare?: (pingServer: PingServer) => void
  /** Applies further combinators to the connector. */
  readonly combine?: (connector: Checked) => Checked
}

/** Makes a fixture. Default: 10 seconds between attempts. */
export const makeCheckedFixture = (
  { check, combine = (connector) => connector, onEvent, prepare, ...options }: CheckedFixtureOptions = {}
): Effect.Effect<CheckedFixture, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pingServer = yield* makePingServer
    prepare?.(pingServer)
    const eventLog: Array<string> = []
    const service = yield* PersistentConnection.make({
      serverName: "test",
      address: pingServer.server.address,
      connector: combine(pingServer.connector(check)),
      retry: RetryPolicy.fixed("10 seconds"),
      ...options,
      onEvent: (event) => {
        const line = describeEvent(event)
        if (line !== undefined) eventLog.push(`${pingServer.now} ${line}`)
        return onEvent?.(event) ?? Effect.void
      }
    }).pipe(Effect.withClock(pingServer.machine), Effect.withRandom(fixedRandom(0)))
    return { pingServer, service, eventLog }
  })

const describeEvent = (event: ConnectionEvent<Line, Failure>): string | undefined => {
  switch (event._tag) {
    case "Connected":
      return `Connected ${event.connection.number}`
    case "Disconnected":
      return `Disconnected ${event.generation} ${Cause.isEmpty(event.cause) ? "cleanly" : describeCause(event.cause)}`
    case "FailedToConnect":
      return `FailedToConnect ${describeCause(event.cause)}`
    default:
      return undefined
  }
}
