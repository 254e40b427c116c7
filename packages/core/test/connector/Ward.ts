/**
 * Connections under observation: a server whose peers answer pings as the test says, a machine that can fall asleep,
 * and an account of what is asked, and of what is left running.
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
import { type Asked, askNow, describeCause, type Line, type Refused, Server } from "../support/Life.js"

export type Failure = Refused | Cause.TimeoutException

export type CheckOptions = Partial<Connector.HealthCheckOptions<Line, Refused>>

type Checked = Connector.Connector<string, Line, Failure>

/** A clock that counts who sleeps, and that the machine can put to sleep: then its timers come late. */
export class Machine implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  sleepers = 0
  private missed = 0
  private setBy = 0

  constructor(private readonly clock: Clock.Clock) {}

  /** So many seconds pass for everybody else. */
  sleepFor(seconds: number): void {
    this.missed += seconds * 1_000
  }

  /** The wall clock is set forward, or back if the number is negative. */
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

/** A server whose peers can be pinged. */
export class Ward {
  readonly server: Server
  /** When which connection was asked, in seconds. */
  readonly pings: Array<string> = []
  /** How many pings are out, and how many were at most. */
  out = 0
  mostOut = 0
  /** What a peer does about a ping. */
  ping: (line: Line) => Effect.Effect<unknown, Refused> = () => Effect.void
  private readonly received = new Map<Line, number>()

  constructor(readonly machine: Machine) {
    this.server = new Server(() => this.now)
  }

  get now(): number {
    return this.machine.unsafeCurrentTimeMillis() / 1_000
  }

  /** Something is received. */
  hear(line: Line): void {
    this.received.set(line, this.activity(line) + 1)
  }

  readonly activity = (line: Line): number => this.received.get(line) ?? 0

  readonly probe = (line: Line): Effect.Effect<unknown, Refused> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        this.pings.push(`${this.now} ${line.number}`)
        this.mostOut = Math.max(this.mostOut, ++this.out)
      }),
      () => this.ping(line),
      () => Effect.sync(() => this.out--)
    )

  /** Asks once every 30 seconds, for 10 seconds, unless the options say otherwise. */
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

const makeWard: Effect.Effect<Ward> = Effect.map(Effect.clock, (clock) => new Ward(new Machine(clock)))

/** Chance always draws this: 0 for the whole interval, almost 1 for the shortest. */
export const drawing = (part: number): Random.Random => ({ ...Random.make("any"), next: Effect.succeed(part) })

/** One connection, without a persistent connection around it. */
export interface Patient {
  readonly ward: Ward
  readonly line: Line
  readonly connector: Checked
  readonly closed: Effect.Effect<unknown, Failure>
  readonly isClosed: () => boolean
  /** As a wake-up does. */
  readonly probe: Effect.Effect<unknown, Failure>
  /** Closes the scope of the connection. */
  readonly release: Effect.Effect<void>
}

interface Admission extends CheckOptions {
  readonly prepare?: (ward: Ward) => void
  readonly random?: Random.Random
}

export const admit = ({ prepare, random = drawing(0), ...options }: Admission = {}): Effect.Effect<
  Patient,
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const ward = yield* makeWard
    prepare?.(ward)
    const connector = ward.connector(options)
    // Not waited for: some do not end.
    const scope = yield* Effect.acquireRelease(
      Scope.make(),
      (scope) => Effect.forkDaemon(Scope.close(scope, Exit.void))
    )
    const line = yield* Scope.extend(connector.connect("a", makeAttempt()), scope).pipe(
      Effect.withClock(ward.machine),
      Effect.withRandom(random),
      Effect.orDie
    )
    return {
      ward,
      line,
      connector,
      closed: connector.closed(line),
      isClosed: () => connector.isClosed!(line),
      probe: connector.probe!(line),
      release: Scope.close(scope, Exit.void)
    }
  })

/** Somebody watches for the end of the connection. */
export const watch = ({ closed }: Patient): Effect.Effect<Asked<unknown, Failure>> => askNow(closed)

/** How a watch has ended, in a few words; undefined if it has not. */
export const ending = ({ exit }: Asked<unknown, unknown>): string | undefined =>
  exit && (Exit.isSuccess(exit) ? "closed" : describeCause(exit.cause))

type Service = PersistentConnection.PersistentConnection<Line, Failure>

/** A persistent connection under observation. */
export interface Stay {
  readonly ward: Ward
  readonly service: Service
  /** The connections, each with the second at which it came and went, and why. */
  readonly diary: Array<string>
}

interface StayOptions extends Partial<PersistentConnection.Options<string, Line, Refused, Failure>> {
  readonly check?: CheckOptions
  readonly prepare?: (ward: Ward) => void
  /** What else is put on the connector. */
  readonly combine?: (connector: Checked) => Checked
}

/** Begins one: 10 seconds between attempts, unless the options say otherwise. */
export const stay = (
  { check, combine = (connector) => connector, onEvent, prepare, ...options }: StayOptions = {}
): Effect.Effect<Stay, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ward = yield* makeWard
    prepare?.(ward)
    const diary: Array<string> = []
    const service = yield* PersistentConnection.make({
      serverName: "test",
      address: ward.server.address,
      connector: combine(ward.connector(check)),
      retry: RetryPolicy.fixed("10 seconds"),
      ...options,
      onEvent: (event) => {
        const line = describeEvent(event)
        if (line !== undefined) diary.push(`${ward.now} ${line}`)
        return onEvent?.(event) ?? Effect.void
      }
    }).pipe(Effect.withClock(ward.machine), Effect.withRandom(drawing(0)))
    return { ward, service, diary }
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
