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
import type * as Scope from "effect/Scope"
import type { HealthCheckOptions, Monitor, MonitorOptions } from "../../Connector.js"
import { Alarms } from "../base/alarms.js"
import { interruptAsDefect } from "../base/cause.js"
import { type AnyFiber, type BareFork, bareFork, interrupt, makeMark, withMark } from "../base/effect3.js"
import * as Options from "../base/options.js"
import { now, sleep } from "../base/time.js"
import { Verdict } from "./verdict.js"

/** Every interval is shortened by a random part of it, at most this one. */
const jitter = 0.25

/** A timeout that fires late by more than this part of it was delayed by a sleep or by throttling. */
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

/** The probers whose probe a fiber is part of. */
const probing = makeMark<ReadonlyArray<unknown>>([])

/**
 * Asks the peer of one connection from time to time, and on demand, until the connection is released or the peer is
 * found to be gone. Then the verdict declares the loss.
 *
 * It never waits for user code: a probe may hang when it is interrupted.
 *
 * @internal
 */
export class Prober<Connection, E, R> implements Monitor<E | Cause.TimeoutException> {
  /** The examination under way: at most one at a time, so there is at most one probe at a time. */
  private examination: Fiber.RuntimeFiber<void, E | Cause.TimeoutException> | undefined

  private constructor(
    private readonly connection: Connection,
    private readonly serverName: string,
    private readonly settings: Settings<Connection, E, R>,
    private readonly verdict: Pick<
      Verdict<E | Cause.TimeoutException, R>,
      "attempt" | "callAt" | "declare" | "fork" | "isOver" | "lost"
    >,
    private readonly clock: Clock.Clock,
    private readonly random: Random.Random,
    /** Starts a cheap fiber without services, which is enough to draw a random number. */
    private readonly forkBare: BareFork
  ) {}

  /** Begins to ask, with the `Clock` and the `Random` of this fiber. */
  static begin<Connection, E, R>(
    connection: Connection,
    serverName: string,
    settings: Settings<Connection, E, R>,
    verdict: Prober<Connection, E, R>["verdict"]
  ): Effect.Effect<Prober<Connection, E, R>> {
    return Effect.map(Effect.all([Effect.clock, Effect.random, bareFork]), (services) => {
      const prober = new Prober(connection, serverName, settings, verdict, ...services)
      verdict.attempt(() => prober.lookAfter(1))
      return prober
    })
  }

  /** Asks the peer now. If it is being asked already, this shares the answer. */
  get ask(): Effect.Effect<void, E | Cause.TimeoutException> {
    return Effect.withFiberRuntime((fiber) => {
      if (this.verdict.lost !== undefined) return this.verdict.lost
      // A probe that asks the same prober would wait for itself (D7).
      if (probing.of(fiber as AnyFiber).includes(this)) return Effect.void
      const examination = this.examination ?? this.startExamination()
      return Effect.flatMap(
        Fiber.await(examination),
        (exit) => this.verdict.lost ?? Exit.mapErrorCause(exit, interruptAsDefect)
      )
    })
  }

  /** Looks at the connection after this part of an interval. */
  private lookAfter(part: number): void {
    const before = this.heard
    const begun = now(this.clock)
    const interval = part * Duration.toMillis(this.settings.interval)
    this.forkBare(this.random.next).addObserver((drawn) => {
      if (Exit.isFailure(drawn)) return this.verdict.declare(drawn.cause)
      this.verdict.callAt(begun + interval * (1 - jitter * drawn.value), () => this.look(before))
    })
  }

  /**
   * Asks if nothing was received since the last look. The next look is one interval after the answer. If something was
   * received, it is half an interval later, because that may have come just after the last look.
   */
  private look(before: unknown): void {
    if (!Object.is(before, this.heard)) return this.lookAfter(0.5)
    const examination = this.examination ?? this.startExamination()
    // If it fails, the loss has been declared before, and this does nothing.
    examination.addObserver(() => this.verdict.attempt(() => this.lookAfter(1)))
  }

  private get heard(): unknown {
    return this.settings.activity(this.connection)
  }

  private startExamination(): Fiber.RuntimeFiber<void, E | Cause.TimeoutException> {
    const fiber = this.examination = this.verdict.fork(this.examine())
    fiber.addObserver((exit) => {
      this.examination = undefined
      if (Exit.isFailure(exit)) this.verdict.declare(exit.cause)
    })
    return fiber
  }

  private examine(): Effect.Effect<void, E | Cause.TimeoutException> {
    const { clock, serverName } = this
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
        // If the connector noticed the end of the connection in the same turn, it has declared that by now.
        if (Option.isSome(exit)) {
          if (interruptedFor === "heard") return
          if (interruptedFor === undefined) {
            return yield* Exit.asVoid(Exit.mapErrorCause(exit.value, interruptAsDefect))
          }
          interruptedFor = undefined
          probe = this.startProbe()
          continue
        }
        if (!Object.is(before, this.heard)) {
          // Something was received, so the peer is there: the answer may be queued behind other data. A probe that
          // cannot be interrupted goes on; it must not hide a silence that begins now.
          before = this.heard
          missed = 0
          interruptedFor = "heard"
          interrupt(probe)
          continue
        }
        // After a sleep of the machine, or with throttled timers, the answer may have arrived but not been read yet.
        const isLate = now(clock) - begun > Duration.toMillis(timeout) * (1 + tolerance)
        if (isLate && !wasLate) {
          wasLate = true
        } else if (++missed < missedProbes) {
          // The next probe starts when this one has ended, so there is never more than one.
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
    const { clock, serverName } = this
    return this.verdict.fork(
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
    Effect.uninterruptible(Effect.flatMap(monitorVerdict<E | Cause.TimeoutException>(), (makeVerdict) => {
      const verdict = makeVerdict((cause) => onFailure(connection, cause))
      return Effect.zipRight(
        Effect.addFinalizer(() => Effect.zipRight(verdict.end, verdict.ended)),
        Prober.begin(connection, serverName, settings, verdict)
      )
    }))
}

/** Keeps only some parts of the fiber: the runtime of an attempt holds kilobytes. */
const monitorVerdict = <E>(): Effect.Effect<(onLost: (cause: Cause.Cause<E>) => void) => Verdict<E, never>> =>
  Effect.map(
    Effect.all([Effect.clock, Effect.random, FiberRef.get(FiberRef.currentMetricLabels), bareFork, Alarms.current]),
    ([clock, random, labels, forkBare, alarms]) => {
      const fork = <A, E2>(effect: Effect.Effect<A, E2>) =>
        forkBare(Effect.locally(
          Effect.withRandom(Effect.withClock(effect, clock), random),
          FiberRef.currentMetricLabels,
          labels
        ))
      return (onLost) => new Verdict<E, never>(alarms, fork, onLost)
    }
  )
