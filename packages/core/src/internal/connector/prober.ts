import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { constUndefined } from "effect/Function"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as Option from "effect/Option"
import type * as Random from "effect/Random"

import * as Scope from "effect/Scope"
import type { HealthCheckOptions, Monitor, MonitorOptions } from "../../Connector.js"
import { interruptAsDefect } from "../base/cause.js"
import { type AnyFiber, bareFork, interrupt, makeMark, withMark, withoutFailureLog } from "../base/effect3.js"
import * as Options from "../base/options.js"
import { now, sleep } from "../base/time.js"

/** Every interval is shortened by a random part of it, up to this one. */
const jitter = 0.25

/** A deadline that comes later than it should, by more than this part of it, has been kept from coming. */
const tolerance = 0.1

/** @internal */
export const roundTripTime = Metric.histogram(
  "persistent_connection_round_trip_time_seconds",
  MetricBoundaries.fromIterable([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]),
  "Seconds until a peer has answered a probe, by server_name"
)

/** @internal */
export interface Settings<in Connection, E, R> {
  readonly probe: (connection: Connection) => Effect.Effect<unknown, E, R>
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly missedProbes: number
  readonly activity: (connection: Connection) => unknown
}

const readers = {
  probe: Options.func,
  interval: Options.positive,
  timeout: Options.positive,
  missedProbes: Options.optional(Options.count),
  activity: Options.optional(Options.func)
}

const monitorReaders = { ...readers, onFailure: Options.func }

/** @internal */
export const settingsOf = <Connection, E, R>(
  options: HealthCheckOptions<Connection, E, R>
): Settings<Connection, E, Exclude<R, Scope.Scope>> => {
  const { activity = constUndefined, missedProbes = 2, probe, ...times } = Options.read(options, readers)
  return { ...times, missedProbes, activity, probe: (connection) => Effect.scoped(probe(connection)) }
}

/** Whose probe a fiber is a part of. */
const probing = makeMark<ReadonlyArray<unknown>>([])

/**
 * Where a prober runs: with the clock and the chance of the attempt.
 *
 * @internal
 */
export interface Origin<in R> {
  readonly serverName: string
  readonly clock: Clock.Clock
  readonly random: Random.Random
  /** Starts a fiber for what needs no services. */
  readonly forkBare: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Starts a fiber for user code. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E, R>) => Fiber.RuntimeFiber<A, E>
}

/**
 * Where the prober of an attempt's connection runs; `fork` starts fibers with the attempt's services.
 *
 * @internal
 */
export const originOf = <R>(serverName: string, fork: Origin<R>["fork"]): Effect.Effect<Origin<R>> =>
  Effect.map(
    Effect.all([Effect.clock, Effect.random, bareFork]),
    ([clock, random, forkBare]) => ({ serverName, clock, random, fork, forkBare })
  )

/** With next to nothing: the runtime of an attempt takes kilobytes. */
const bareOrigin = (serverName: string): Effect.Effect<Origin<never>> =>
  Effect.map(
    Effect.all([Effect.clock, Effect.random, FiberRef.get(FiberRef.currentMetricLabels), bareFork]),
    ([clock, random, labels, forkBare]) => ({
      serverName,
      clock,
      random,
      forkBare,
      fork: (effect) =>
        forkBare(
          Effect.locally(
            Effect.withRandom(Effect.withClock(effect, clock), random),
            FiberRef.currentMetricLabels,
            labels
          )
        )
    })
  )

/**
 * Asks the peer of one connection from time to time, and on demand, until it is released or found to be gone.
 *
 * Nobody here waits for the code of others: a probe may hang when it is interrupted. `ended` waits for what is left.
 *
 * @internal
 */
export class Prober<Connection, E, R> implements Monitor<E | Cause.TimeoutException> {
  private isReleased = false
  /** Why the connection counts as lost. */
  private verdict: Exit.Exit<never, E | Cause.TimeoutException> | undefined
  /** The examination under way. There is one at a time, so there is one probe at a time. */
  private examination: Fiber.RuntimeFiber<void, E | Cause.TimeoutException> | undefined
  private running: Set<Fiber.RuntimeFiber<unknown, unknown>> | undefined

  constructor(
    private readonly connection: Connection,
    private readonly settings: Settings<Connection, E, R>,
    private readonly origin: Origin<R>,
    /** Called once, when the peer is found to be gone. */
    private readonly onFailure: (connection: Connection, cause: Cause.Cause<E | Cause.TimeoutException>) => void
  ) {}

  begin(): void {
    this.guard(() => this.lookAfter(1))
  }

  /** Asks the peer now. If it is being asked already, this shares the answer. */
  get ask(): Effect.Effect<void, E | Cause.TimeoutException> {
    return Effect.withFiberRuntime((fiber) => {
      if (this.verdict !== undefined) return this.verdict
      // A probe that asks for a probe would wait for itself (D7).
      if (probing.of(fiber as AnyFiber).includes(this)) return Effect.void
      const examination = this.examination ?? this.startExamination()
      return Effect.flatMap(
        Fiber.await(examination),
        (exit) => this.verdict ?? Exit.mapErrorCause(exit, interruptAsDefect)
      )
    })
  }

  /** Stops probing. */
  end(): void {
    this.isReleased = true
    this.stop()
  }

  /** Stops probing, and waits until everything has ended. */
  get released(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.end()
      return this.ended
    })
  }

  /** Waits until everything has ended. */
  get ended(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.running === undefined || this.running.size === 0
        ? Effect.void
        : Effect.zipRight(Fiber.awaitAll(this.running), this.ended)
    )
  }

  private fork<A, E2>(effect: Effect.Effect<A, E2, R>): Fiber.RuntimeFiber<A, E2> {
    return this.add(this.origin.fork(withoutFailureLog(effect)))
  }

  private add<A, E2>(fiber: Fiber.RuntimeFiber<A, E2>): Fiber.RuntimeFiber<A, E2> {
    const running = this.running ??= new Set()
    running.add(fiber)
    fiber.addObserver(() => running.delete(fiber))
    return fiber
  }

  private stop(): void {
    this.running?.forEach(interrupt)
  }

  /** Looks at the connection after that part of an interval. The wait costs little: most connections do nothing else. */
  private lookAfter(part: number): void {
    const { clock, random } = this.origin
    const before = this.heard
    const pause = Effect.flatMap(
      random.next,
      (drawn) => sleep(clock, Duration.times(this.settings.interval, part * (1 - jitter * drawn)))
    )
    this.add(this.origin.forkBare(pause)).addObserver((exit) => {
      if (Exit.isSuccess(exit)) this.guard(() => this.look(before))
    })
  }

  /**
   * Asks if nothing was heard. The next look is an interval after the answer, but only half of one after something was
   * heard, as it may have been heard just after the last look.
   */
  private look(before: unknown): void {
    if (!Object.is(before, this.heard)) return this.lookAfter(0.5)
    const examination = this.examination ?? this.startExamination()
    examination.addObserver((exit) => {
      if (Exit.isSuccess(exit)) this.guard(() => this.lookAfter(1))
    })
  }

  /** An activity may throw. */
  private guard(next: () => void): void {
    if (this.isReleased || this.verdict !== undefined) return
    try {
      next()
    } catch (defect) {
      this.judge(Exit.die(defect))
    }
  }

  private get heard(): unknown {
    return this.settings.activity(this.connection)
  }

  private startExamination(): Fiber.RuntimeFiber<void, E | Cause.TimeoutException> {
    const fiber = this.examination = this.fork(this.examine())
    fiber.addObserver((exit) => {
      this.examination = undefined
      this.judge(exit)
    })
    return fiber
  }

  private examine(): Effect.Effect<void, E | Cause.TimeoutException> {
    const { clock, serverName } = this.origin
    const { missedProbes, timeout } = this.settings
    return Effect.gen(this, function*() {
      let before = this.heard
      let probe = this.startProbe()
      let interruptedFor: "heard" | "missed" | undefined
      let missed = 0
      let wasLate = false
      while (true) {
        const begun = now(clock)
        const exit = yield* Effect.raceFirst(
          Effect.asSome(Fiber.await(probe)),
          Effect.as(sleep(clock, timeout), Option.none())
        )
        // If the connector has noticed the end of the connection in the same turn, it has said so by now.
        if (Option.isSome(exit)) {
          if (interruptedFor === "heard") return
          if (interruptedFor === undefined || !Exit.isInterrupted(exit.value)) {
            return yield* Exit.asVoid(Exit.mapErrorCause(exit.value, interruptAsDefect))
          }
          interruptedFor = undefined
          probe = this.startProbe()
          continue
        }
        if (!Object.is(before, this.heard)) {
          // A peer that is heard is there: the answer may be stuck behind what is being said. Only a probe that cannot
          // be interrupted goes on, and it must not hide a silence that begins now.
          before = this.heard
          missed = 0
          interruptedFor = "heard"
          interrupt(probe)
          continue
        }
        // After sleep, or where timers are throttled, the answer may be here, and nobody has looked yet.
        const isLate = now(clock) - begun > Duration.toMillis(timeout) * (1 + tolerance)
        if (isLate && !wasLate) {
          wasLate = true
        } else if (++missed < missedProbes) {
          // The next probe starts when this one has ended: there is never more than one.
          interruptedFor ??= "missed"
          interrupt(probe)
        } else {
          const patience = Duration.format(Duration.times(timeout, missedProbes))
          return yield* Effect.fail(
            new Cause.TimeoutException(`No answer from "${serverName}" to a health check within ${patience}`)
          )
        }
      }
    })
  }

  private startProbe(): Fiber.RuntimeFiber<unknown, E> {
    const { clock, serverName } = this.origin
    return this.fork(
      Effect.suspend(() => {
        const begun = now(clock)
        return Effect.zipRight(
          Effect.suspend(() => this.settings.probe(this.connection)),
          Effect.suspend(() =>
            Metric.update(Metric.tagged(roundTripTime, "server_name", serverName), (now(clock) - begun) / 1_000)
          )
        )
      }).pipe((probe) => withMark(probe, probing, (all) => [...all, this]))
    )
  }

  /** After a failure the connection counts as lost. */
  private judge(exit: Exit.Exit<void, E | Cause.TimeoutException>): void {
    if (Exit.isSuccess(exit) || this.isReleased || this.verdict !== undefined) return
    this.verdict = Exit.failCause(exit.cause)
    this.onFailure(this.connection, exit.cause)
    this.stop()
  }
}

/** @internal */
export const monitor = <Connection, E>(
  options: MonitorOptions<Connection, E>
): (
  connection: Connection,
  serverName: string
) => Effect.Effect<Monitor<E | Cause.TimeoutException>, never, Scope.Scope> => {
  const { onFailure, ...rest } = Options.read(options, monitorReaders)
  const settings = settingsOf(rest)
  return (connection, serverName) =>
    Effect.uninterruptible(Effect.gen(function*() {
      const origin = yield* bareOrigin(serverName)
      const monitor = new Prober(connection, settings, origin, onFailure)
      yield* Scope.addFinalizer(yield* Effect.scope, monitor.released)
      monitor.begin()
      return monitor
    }))
}
