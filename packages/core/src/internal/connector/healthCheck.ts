import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { constUndefined, dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { Connector, HealthCheckOptions } from "../../Connector.js"
import { interruptAsDefect } from "../base/cause.js"
import { interrupt, ownRuntime, withoutFailureLog } from "../base/effect3.js"
import * as Options from "../base/options.js"
import { now, sleep, sleepUntil } from "../base/time.js"
import { make } from "./connector.js"

/** Every interval is shortened by a random part of it, up to this one. */
const jitter = 0.25

/** A deadline that comes later than it should, by more than this part of it, has been kept from coming. */
const tolerance = 0.1

interface Settings<Connection, E, R> {
  readonly probe: (connection: Connection) => Effect.Effect<unknown, E, R>
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly onTimeout: (serverName: string) => E
  readonly activity: (connection: Connection) => unknown
}

/** Whose probe a fiber is a part of. */
const probing = FiberRef.unsafeMake<ReadonlyArray<unknown>>([])

/**
 * The health of one connection, and all that runs to find out about it. There is one prober, from the beginning of the
 * connection until its release or the verdict, however many watches there are.
 *
 * Nobody here waits for the code of others: the connector's own watch and a probe may both hang when they are
 * interrupted. What is left of them is waited for when everything else of the connection has been released.
 */
class Health<Connection, E, R> {
  private isReleased = false
  /** Why the connection counts as lost, whatever its connector says. */
  private verdict: Exit.Exit<never, E> | undefined
  /** The connector has said that it is lost, if only by the end of `closed`. */
  private hasEnded = false
  /** The examination under way. There is one at a time, so there is one probe at a time. */
  private examination: Fiber.RuntimeFiber<void, E> | undefined
  private readonly watches = new Set<(exit: Exit.Exit<unknown, E>) => void>()
  private readonly running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()

  constructor(
    private readonly settings: Settings<Connection, E, R>,
    private readonly serverName: string,
    private readonly clock: Clock.Clock,
    private readonly runtime: Runtime.Runtime<R>
  ) {}

  begin(connection: Connection): void {
    this.judge(this.fork(Effect.suspend(() => this.rounds(connection, this.settings.activity(connection)))))
  }

  get isClosed(): boolean {
    return this.isReleased || this.hasEnded || this.verdict !== undefined
  }

  /** Ends as `closed` does, or with the verdict. */
  watch(closed: Effect.Effect<unknown, E>): Effect.Effect<unknown, E> {
    return Effect.suspend(() => {
      if (this.verdict !== undefined) return this.verdict
      if (this.isReleased) return closed
      return Effect.async<unknown, E>((resume) => {
        this.watches.add(resume)
        const fiber = this.fork(closed)
        fiber.addObserver((exit) => {
          if (!this.watches.delete(resume)) return
          this.hasEnded = true
          resume(exit)
        })
        return Effect.sync(() => {
          this.watches.delete(resume)
          interrupt(fiber)
        })
      })
    })
  }

  /** Asks the peer whether it is there. Whoever asks while somebody does shares the answer. */
  check(connection: Connection): Effect.Effect<void, E> {
    return Effect.flatMap(FiberRef.get(probing), (all) => {
      if (this.verdict !== undefined) return this.verdict
      // A probe that asks for a probe would wait for itself (D7).
      if (all.includes(this)) return Effect.void
      const examination = this.examination ?? this.startExamination(connection)
      return Effect.flatMap(
        Fiber.await(examination),
        (exit) => this.verdict ?? Exit.mapErrorCause(exit, interruptAsDefect)
      )
    })
  }

  /** There is nothing to be found out any more. */
  readonly end = Effect.sync(() => {
    this.isReleased = true
    this.running.forEach(interrupt)
  })

  /** Waits until everything has ended. */
  readonly ended: Effect.Effect<void> = Effect.suspend(() =>
    this.running.size === 0 ? Effect.void : Effect.zipRight(Fiber.awaitAll(this.running), this.ended)
  )

  /** Not a generator, which would be kept as long as the connection lives. */
  private rounds(connection: Connection, heard: unknown): Effect.Effect<never, E> {
    return Effect.flatMap(this.pause, () =>
      Effect.flatMap(
        Object.is(heard, this.settings.activity(connection)) ? this.check(connection) : Effect.void,
        () => this.rounds(connection, this.settings.activity(connection))
      ))
  }

  private get pause(): Effect.Effect<void> {
    return Effect.flatMap(
      Random.next,
      (part) => sleep(this.clock, Duration.times(this.settings.interval, 1 - jitter * part))
    )
  }

  private startExamination(connection: Connection): Fiber.RuntimeFiber<void, E> {
    const fiber = this.examination = this.fork(this.examine(connection))
    this.judge(fiber)
    fiber.addObserver(() => {
      this.examination = undefined
    })
    return fiber
  }

  private examine(connection: Connection): Effect.Effect<void, E> {
    const { activity, onTimeout, probe } = this.settings
    const timeout = Duration.toMillis(this.settings.timeout)
    return Effect.gen(this, function*() {
      let heard = activity(connection)
      const fiber = this.fork(
        Effect.locallyWith(Effect.suspend(() => probe(connection)), probing, (all) => [...all, this])
      )
      let isNeeded = true
      let wasLate = false
      while (true) {
        const due = now(this.clock) + timeout
        const exit = yield* Effect.raceFirst(
          Effect.asSome(Fiber.await(fiber)),
          Effect.as(sleepUntil(this.clock, due), Option.none())
        )
        // If the connector has noticed the end of the connection in the same turn, it has said so by now.
        if (Option.isSome(exit)) {
          return isNeeded
            ? yield* Exit.asVoid(Exit.mapErrorCause(exit.value, interruptAsDefect))
            : undefined
        }
        if (!Object.is(heard, activity(connection))) {
          // Who is heard is there: the answer may be stuck behind what is being said. Only a probe that cannot be
          // interrupted goes on, and it must not hide a silence that begins now.
          heard = activity(connection)
          isNeeded = false
          interrupt(fiber)
        } else {
          // After sleep, or where timers are throttled, the answer may be here, and nobody has looked yet.
          const isLate = now(this.clock) - due > timeout * tolerance
          if (wasLate || !isLate) return yield* Effect.fail(onTimeout(this.serverName))
          wasLate = true
        }
      }
    })
  }

  /** If the fiber fails, the connection counts as lost. */
  private judge(fiber: Fiber.RuntimeFiber<void, E>): void {
    fiber.addObserver((exit) => {
      if (Exit.isSuccess(exit) || this.isReleased || this.verdict !== undefined) return
      const verdict = this.verdict = Exit.failCause(exit.cause)
      this.watches.forEach((resume) => resume(verdict))
      this.watches.clear()
      this.running.forEach(interrupt)
    })
  }

  private fork<A, E2>(effect: Effect.Effect<A, E2, R>): Fiber.RuntimeFiber<A, E2> {
    const fiber = Runtime.runFork(this.runtime, withoutFailureLog(effect))
    this.running.add(fiber)
    fiber.addObserver(() => this.running.delete(fiber))
    return fiber
  }
}

/** @internal */
export const healthCheck = dual<
  <Connection extends object, E2, R2>(
    options: HealthCheckOptions<Connection, E2, R2>
  ) => <Address, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>>,
  <Address, Connection extends object, E, R, E2, R2>(
    self: Connector<Address, Connection, E, R>,
    options: HealthCheckOptions<Connection, E2, R2>
  ) => Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>>
>(2, <Address, Connection extends object, E, R, E2, R2>(
  { closed, connect, isClosed, terminate }: Connector<Address, Connection, E, R>,
  options: HealthCheckOptions<Connection, E2, R2>
) => {
  type Failure = E | E2 | Cause.TimeoutException
  type Requirements = Exclude<R2, Scope.Scope>

  const timeout = Options.positive("timeout", options.timeout)
  const settings: Settings<Connection, Failure, Requirements> = {
    probe: (connection) => Effect.scoped(options.probe(connection)),
    interval: Options.positive("interval", options.interval),
    timeout,
    onTimeout: (serverName) =>
      new Cause.TimeoutException(
        `No answer from "${serverName}" to a health check within ${Duration.format(timeout)}`
      ),
    activity: options.activity ?? constUndefined
  }
  const healths = new WeakMap<Connection, Health<Connection, Failure, Requirements>>()
  const healthOf = (connection: Connection) => {
    const health = healths.get(connection)
    if (health === undefined) throw new Cause.IllegalArgumentException("The connection is not one of this connector's")
    return health
  }
  return make<Address, Connection, Failure, Failure, R | Requirements | Scope.Scope>({
    connect: (address, attempt) =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const runtime = yield* ownRuntime<Requirements>()
        const health = new Health(settings, attempt.serverName, yield* Effect.clock, runtime)
        // The last finalizer to run, as a probe that cannot be interrupted may well end with the connection …
        yield* Scope.addFinalizer(scope, health.ended)
        const connection = yield* connect(address, attempt)
        // … and the first.
        yield* Scope.addFinalizer(scope, health.end)
        healths.set(connection, health)
        health.begin(connection)
        return connection
      }),
    closed: (connection) => Effect.suspend(() => healthOf(connection).watch(closed(connection))),
    isClosed: (connection) => healthOf(connection).isClosed || isClosed?.(connection) === true,
    probe: (connection) => Effect.suspend(() => healthOf(connection).check(connection)),
    terminate
  })
})
