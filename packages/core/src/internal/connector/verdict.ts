import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { Attempt, Connector } from "../../Connector.js"
import { type Alarm, Alarms } from "../base/alarms.js"
import { attempted, callback, listen } from "../base/callback.js"
import { interruptAsDefect } from "../base/cause.js"
import { interrupt, ownRuntime, withoutFailureLog } from "../base/effect3.js"
import { connector, make } from "./connector.js"

/**
 * Lets fibers declare a loss of a connection that its connector does not notice. After the release of the connection
 * has begun, no loss is declared.
 *
 * If an interrupted `closed` hangs, it delays only the end of the release: this waits for all fibers, after everything
 * else has been released.
 *
 * @internal
 */
export class Verdict<E, R> {
  /** Why the connection counts as lost. */
  lost: Exit.Exit<never, E> | undefined
  isReleased = false
  /** The connector's own `closed` has ended. */
  private hasEnded = false
  private watches: Set<(exit: Exit.Exit<unknown, E>) => void> | undefined
  private running: Set<Fiber.RuntimeFiber<unknown, unknown>> | undefined
  private alarm: Alarm | undefined

  /** `fork` starts a fiber for user code. */
  constructor(
    private readonly alarms: Alarms,
    private readonly forkWork: <A, E2>(effect: Effect.Effect<A, E2, R>) => Fiber.RuntimeFiber<A, E2>,
    private readonly onLost: ((cause: Cause.Cause<E>) => void) | undefined = undefined
  ) {}

  get isClosed(): boolean {
    return this.isOver || this.hasEnded
  }

  /** No loss can be declared any more. */
  get isOver(): boolean {
    return this.isReleased || this.lost !== undefined
  }

  /** Ends like `closed`, or with the declared loss. */
  watch(closed: Effect.Effect<unknown, E>): Effect.Effect<unknown, E> {
    // No fiber may start after the release.
    if (this.isReleased) return this.lost ?? closed
    return callback((resume) => {
      if (this.lost !== undefined) {
        resume(this.lost)
        return constVoid
      }
      const watches = this.watches ??= new Set()
      watches.add(resume)
      const stop = listen(closed, (effect) => this.fork(effect), (exit) => {
        if (!watches.delete(resume)) return
        this.hasEnded = true
        resume(exit)
      })
      return () => {
        watches.delete(resume)
        stop()
      }
    })
  }

  /** Starts a fiber of the connection. It is interrupted when the connection is released, or its loss is declared. */
  fork<A, E2>(effect: Effect.Effect<A, E2, R>): Fiber.RuntimeFiber<A, E2> {
    const fiber = this.forkWork(withoutFailureLog(effect))
    const running = this.running ??= new Set()
    running.add(fiber)
    fiber.addObserver(() => running.delete(fiber))
    return fiber
  }

  /**
   * Calls the function at this moment, in ms of monotonic time, unless the connection is released or lost before. A
   * later call replaces an earlier one. A defect of the function is the loss.
   */
  callAt(at: number, f: () => void): void {
    this.cancel()
    if (this.isOver) return
    const alarm: Alarm = this.alarm = {
      at,
      ring: () => {
        this.alarm = undefined
        this.attempt(f)
      }
    }
    this.alarms.set(alarm)
  }

  /** Calls the function, unless the connection is released or lost. A defect of the function is the loss. */
  attempt(f: () => void): void {
    if (this.isOver) return
    try {
      f()
    } catch (defect) {
      this.declare(Cause.die(defect))
    }
  }

  /** Declares the loss when the fiber fails. */
  judge(fiber: Fiber.RuntimeFiber<unknown, E>): void {
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) this.declare(interruptAsDefect(exit.cause))
    })
  }

  /** Declares the loss: the connection counts as lost from now on. Only the first cause counts. */
  declare(cause: Cause.Cause<E>): void {
    if (this.isOver) return
    const lost = this.lost = Exit.failCause(cause)
    this.onLost?.(cause)
    const { watches } = this
    this.watches = undefined
    watches?.forEach((resume) => {
      watches.delete(resume)
      resume(lost)
    })
    this.stop()
  }

  /** Called when the release of the connection begins. */
  get end(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.isReleased = true
      this.stop()
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

  private stop(): void {
    this.cancel()
    this.running?.forEach(interrupt)
  }

  private cancel(): void {
    const { alarm } = this
    this.alarm = undefined
    if (alarm !== undefined) this.alarms.cancel(alarm)
  }
}

/** A separate function, so that its fibers retain nothing else of the attempt. */
const makeVerdict = <E, R>(alarms: Alarms, runtime: Runtime.Runtime<R>): Verdict<E, R> =>
  new Verdict(alarms, (effect) => Runtime.runFork(runtime, effect))

/**
 * A connector whose connections can be declared lost by the fibers that `begin` starts for each of them.
 *
 * @internal
 */
export const withVerdict = <Address, Connection extends object, E, R, E2, R2>(
  self: Connector<Address, Connection, E, R>,
  begin: (
    verdict: Verdict<E | E2, R2>,
    connection: Connection,
    address: Address,
    attempt: Attempt<Address>
  ) => Effect.Effect<unknown, never, Scope.Scope>
): Connector<Address, Connection, E | E2, R | Exclude<R2, Scope.Scope>> => {
  const { closed, connect, isClosed, probe } = connector("self", self)
  const verdicts = new WeakMap<Connection, Verdict<E | E2, R2>>()
  const verdictOf = (connection: Connection) => {
    const verdict = verdicts.get(connection)
    if (verdict === undefined) {
      throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
    }
    return verdict
  }
  return make<Address, Connection, E | E2, E | E2, R | R2 | Scope.Scope>({
    ...self,
    connect: (address, attempt) =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const runtime = yield* ownRuntime<R2>()
        const verdict = makeVerdict<E | E2, R2>(yield* Alarms.current, runtime)
        // Added first, so it runs last: a fiber that cannot be interrupted may end with the connection.
        yield* Scope.addFinalizer(scope, verdict.ended)
        const connection = yield* connect(address, attempt)
        // Added late, so only the finalizers of `begin` run before it.
        yield* Scope.addFinalizer(scope, verdict.end)
        verdicts.set(connection, verdict)
        yield* begin(verdict, connection, address, attempt)
        return connection
      }),
    closed: (connection) => attempted(() => verdictOf(connection).watch(closed(connection))),
    isClosed: (connection) => verdictOf(connection).isClosed || isClosed?.(connection) === true,
    probe: probe && ((connection) => Effect.suspend(() => verdictOf(connection).lost ?? probe(connection)))
  })
}
