import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Attempt, AttemptFailure, Connector } from "../../Connector.js"
import { interruptAsDefect } from "../base/cause.js"
import { Deadline } from "../base/deadline.js"
import { type Fibers, interrupt, isPartOf, isSameOrChildOf } from "../base/fibers.js"
import { printableCause } from "../base/render.js"
import { sleep } from "../base/sleep.js"
import { withoutFailureLog } from "../base/withoutFailureLog.js"
import { type AttemptSpan, withAttemptSpan } from "./attemptSpan.js"

/** @internal */
export interface DialSettings<Address, Connection, E, R> {
  readonly serverName: string
  readonly lookUp: (attempt: Attempt<Address>) => Effect.Effect<Address, E, R>
  readonly connector: Connector<Address, Connection, E, R>
  readonly attemptTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
}

/**
 * What a connect has led to, and where what it acquired is.
 *
 * @internal
 */
export interface Dialled<Connection> {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
}

/** The look-up or the connect under way. */
interface Step {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly scope: Scope.CloseableScope | undefined
  /** The fibers that run it at this moment, each waiting for the next. */
  readonly diallers: ReadonlySet<Fiber.RuntimeFiber<unknown, unknown>>
}

/**
 * Opens connections, one at a time, and releases them. The look-up, the connect and the release run in fibers of their
 * own: they survive who waits for them, so that what is acquired too late is not lost sight of, and they hold up nobody
 * who does not ask to wait (D4).
 *
 * @internal
 */
export class Dialer<Address, Connection, E, R> {
  private step: Step | undefined
  /** That of the attempt under way. */
  private deadline: Deadline | undefined

  constructor(
    private readonly settings: DialSettings<Address, Connection, E, R>,
    private readonly clock: Clock.Clock,
    private readonly fibers: Fibers<R>,
    /** Told how an attempt has ended, at the stroke at which it is over; one that is abandoned, with an interruption. */
    private readonly onEnd: (exit: Exit.Exit<unknown, AttemptFailure<E>>) => void
  ) {}

  /**
   * One look-up and one connect. What comes of it has to be told to `take` or to `fail`, and whoever interrupts this has
   * to `abandon` what it leaves behind.
   */
  dial(options: {
    readonly attempt: Omit<Attempt<Address>, "untimed">
    readonly onAddress: (address: Address) => Effect.Effect<void>
    readonly onDeadline: (at: Option.Option<number>) => void
    /** The current connection stays if it fails. */
    readonly isRefresh?: boolean
  }): Effect.Effect<Exit.Exit<Dialled<Connection>, AttemptFailure<E>>, never, R> {
    const deadline: Deadline = new Deadline(this.clock, this.settings.attemptTimeout, (at) => {
      if (this.deadline === deadline) options.onDeadline(at)
    })
    this.deadline = deadline
    const attempt = { ...options.attempt, untimed: deadline.untimed }
    const { connector, lookUp } = this.settings

    const dialled = (span: AttemptSpan) =>
      Effect.gen(this, function*() {
        const find = Effect.suspend(() => Effect.scoped(lookUp(attempt)))
        const address = yield* this.perform(deadline, span.lookUp(find))
        this.step = undefined
        yield* options.onAddress(address)
        const scope = yield* Scope.make()
        const connect = Effect.suspend(() => connector.connect(address, attempt))
        const connection = yield* this.perform(deadline, span.connect(address, Scope.extend(connect, scope)), scope)
        return { connection, scope }
      })
    return Effect.exit(withAttemptSpan(attempt, options.isRefresh === true, dialled))
  }

  /** Who has dialled takes over the connection. */
  take(): void {
    this.end(Exit.void)
  }

  /** The attempt has failed: lets go of what it leaves behind, as `abandon` does. */
  fail(cause: Cause.Cause<AttemptFailure<E>>): void {
    const { step } = this
    this.end(Exit.failCause(cause))
    this.letGo(step)
  }

  /**
   * Lets go of what is under way, however far it is: it is interrupted, and what it has acquired, or still acquires
   * because it cannot be interrupted, is released. Starts at once; the effect waits for the end. If the caller is a part
   * of it, it is interrupted a turn later, so that whoever asks hears that it was heard.
   */
  abandon(caller?: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> {
    const { step } = this
    this.end(Exit.interrupt(FiberId.none))
    return this.letGo(step, caller)
  }

  private letGo(step: Step | undefined, caller?: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> {
    if (step === undefined) return Effect.void
    const { diallers, fiber, scope } = step
    const isFromWithin = caller !== undefined && isPartOf(caller, diallers)
    if (!isFromWithin) interrupt(fiber)
    const ended = Effect.suspend(() => {
      if (isFromWithin) interrupt(fiber)
      return Fiber.await(fiber)
    })
    return this.background(
      Effect.flatMap(ended, (exit) => scope === undefined ? Effect.void : Scope.close(scope, exit)),
      fiber
    )
  }

  /** Releases a connection. Starts at once; the effect waits for the end. */
  release(scope: Scope.CloseableScope, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return this.background(Scope.close(scope, exit))
  }

  /** Is it a fiber that the look-up or the connect under way waits for? */
  waitsFor(fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<boolean> {
    return Effect.exists(this.step?.diallers ?? [], (dialler) => isSameOrChildOf(fiber, dialler))
  }

  private end(exit: Exit.Exit<unknown, AttemptFailure<E>>): void {
    const isUnderWay = this.deadline !== undefined
    this.step = undefined
    this.deadline = undefined
    if (isUnderWay) this.onEnd(exit)
  }

  private perform<A>(
    deadline: Deadline,
    effect: Effect.Effect<A, E, R>,
    scope?: Scope.CloseableScope
  ): Effect.Effect<A, AttemptFailure<E>> {
    return deadline.timed(Effect.suspend(() => {
      const diallers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
      const fiber = this.fibers.forkDialler(withoutFailureLog(effect), diallers)
      this.step = { fiber, scope, diallers }
      const end = Effect.flatMap(Fiber.await(fiber), Exit.mapErrorCause(interruptAsDefect))
      return deadline.isFinite ? Effect.raceFirst(end, Effect.andThen(deadline.passed, this.timeout)) : end
    }))
  }

  private get timeout(): Effect.Effect<never, Cause.TimeoutException> {
    const { attemptTimeout, serverName } = this.settings
    return Effect.fail(
      new Cause.TimeoutException(
        `Looking up and connecting to "${serverName}" took longer than ${Duration.format(attemptTimeout)}`
      )
    )
  }

  private background(effect: Effect.Effect<void>, also?: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> {
    const { closeTimeout, serverName } = this.settings
    const annotated = Effect.annotateLogs("server_name", serverName)
    const work = this.fibers.forkAwaited(
      Effect.catchAllCause(
        effect,
        (cause) =>
          annotated(Effect.logError(`A finalizer of a connection to "${serverName}" failed`, printableCause(cause)))
      )
    )
    const ended = Fiber.await(work)
    if (!Duration.isFinite(closeTimeout)) return Effect.asVoid(ended)
    const tooLong = Effect.zipRight(
      sleep(this.clock, closeTimeout),
      Effect.suspend(() => {
        this.fibers.forget(work)
        if (also !== undefined) this.fibers.forget(also)
        return annotated(Effect.logWarning(
          `Closing a connection to "${serverName}" took longer than ${
            Duration.format(closeTimeout)
          }; not waiting for it`
        ))
      })
    )
    return Effect.asVoid(Fiber.await(this.fibers.fork(Effect.raceFirst(ended, tooLong))))
  }
}
