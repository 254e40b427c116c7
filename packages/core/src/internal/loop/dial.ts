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
import { type AnyFiber, interrupt, withoutFailureLog } from "../base/effect3.js"
import { withAttemptSpan } from "./attemptSpan.js"
import type { Fibers } from "./fibers.js"
import { releaseInBackground, type ReleaseSettings } from "./release.js"

/** @internal */
export interface DialSettings<A, C, E, R> extends ReleaseSettings {
  readonly lookUp: (attempt: Attempt<A>) => Effect.Effect<A, E, R>
  readonly connector: Connector<A, C, E, R>
  readonly attemptTimeout: Duration.Duration
}

/** @internal */
export interface DialContext<A, C, E, R> {
  readonly settings: DialSettings<A, C, E, R>
  readonly clock: Clock.Clock
  readonly fibers: Fibers<R>
}

/**
 * The callbacks of an attempt to the loop. None is called once the attempt is over.
 *
 * @internal
 */
export interface DialListener<A, C, E> {
  /** The look-up waits for this. */
  readonly ready: Effect.Effect<void>
  /** The look-up has succeeded. The connect waits for this effect, if there is one. Its time does not count. */
  readonly onAddress: (address: A) => Effect.Effect<void> | undefined
  /** The deadline runs until this moment of monotonic time; none while it is paused. */
  readonly onDeadline?: (at: Option.Option<number>) => void
  /** The connection and its scope now belong to the listener. */
  readonly onConnected: (connection: C, scope: Scope.CloseableScope) => void
  readonly onFailed: (cause: Cause.Cause<AttemptFailure<E>>) => void
  /** The attempt has ended; an abandoned one with an interruption. Called before `onConnected` and `onFailed`. */
  readonly onEnd: (exit: Exit.Exit<unknown, AttemptFailure<E>>) => void
}

/**
 * One attempt: a look-up and a connect, in a fiber of their own. It owns what the connect acquires, until the listener
 * takes over the connection. Otherwise it releases everything, however late the connect ends.
 *
 * @internal
 */
export class Dial<A, C, E, R> {
  private readonly deadline: Deadline
  private readonly fiber: Fiber.RuntimeFiber<C, E>
  private readonly timer: AnyFiber | undefined
  private scope: Scope.CloseableScope | undefined
  /** How the attempt ended. Its fiber may still go on. */
  private outcome: Exit.Exit<unknown, AttemptFailure<E>> | undefined

  constructor(
    private readonly context: DialContext<A, C, E, R>,
    description: Omit<Attempt<A>, "untimed">,
    private readonly listener: DialListener<A, C, E>,
    isRefresh = false
  ) {
    const { clock, fibers, settings } = context
    this.deadline = new Deadline(clock, settings.attemptTimeout, (at) => {
      if (this.outcome === undefined) listener.onDeadline?.(at)
    })
    this.fiber = fibers.fork(withoutFailureLog(this.run({ ...description, untimed: this.deadline.untimed }, isRefresh)))
    this.fiber.addObserver((exit) => {
      // A success changes the state at once, so it needs no such change before.
      if (Exit.isFailure(exit)) this.deadline.stop()
      this.end(Exit.mapErrorCause(exit, interruptAsDefect))
    })
    if (this.deadline.isFinite) {
      this.timer = fibers.fork(Effect.map(this.deadline.passed, () => this.end(Exit.fail(this.timeout))))
    }
  }

  get isOver(): boolean {
    return this.outcome !== undefined
  }

  /** Is it the fiber of the look-up and the connect, while the attempt is not over? */
  runsIn(fiber: AnyFiber): boolean {
    return this.outcome === undefined && fiber === this.fiber
  }

  /**
   * Ends the attempt at once, and begins to release what it has acquired. The effect waits for the end of the release.
   */
  abandon(): Effect.Effect<void> {
    return this.outcome !== undefined
      ? Effect.void
      : Effect.asVoid(Fiber.await(this.giveUp(Exit.interrupt(FiberId.none))))
  }

  private run(attempt: Attempt<A>, isRefresh: boolean): Effect.Effect<C, E, R> {
    const { connector, lookUp } = this.context.settings
    return withAttemptSpan(attempt, isRefresh, () => this.outcome, (span) =>
      Effect.gen(this, function*() {
        yield* this.listener.ready
        this.deadline.start()
        const address = yield* span.lookUp(this.unlessOver(() => Effect.scoped(lookUp(attempt))))
        const reported = this.outcome === undefined ? this.listener.onAddress(address) : Effect.interrupt
        if (reported !== undefined) yield* this.deadline.untimed(reported)
        const scope = this.scope = yield* Scope.make()
        const connected = this.unlessOver(() => connector.connect(address, attempt))
        return yield* span.connect(address, Scope.extend(connected, scope))
      }))
  }

  /** The interruption of the fiber comes a turn after the end of the attempt. No step may begin in between. */
  private unlessOver<B, E2, R2>(next: () => Effect.Effect<B, E2, R2>): Effect.Effect<B, E2, R2> {
    return Effect.suspend(() => this.outcome === undefined ? next() : Effect.interrupt)
  }

  private end(exit: Exit.Exit<C, AttemptFailure<E>>): void {
    if (this.outcome !== undefined) return
    if (Exit.isSuccess(exit)) {
      this.finish(exit)
      // No yield here: neither the attempt nor a session owns the connection, so a close would leak it.
      return this.listener.onConnected(exit.value, this.scope!)
    }
    this.giveUp(Exit.failCause(exit.cause))
    this.listener.onFailed(exit.cause)
  }

  private giveUp(exit: Exit.Exit<never, AttemptFailure<E>>): AnyFiber {
    this.finish(exit)
    const { fiber } = this
    return releaseInBackground(
      this.context,
      Effect.suspend(() => {
        // In a separate turn, so that a caller that aborts from inside the attempt still gets its result.
        interrupt(fiber)
        return Effect.flatMap(
          Fiber.await(fiber),
          (ended) => this.scope === undefined ? Effect.void : Scope.close(this.scope, ended)
        )
      })
    )
  }

  private finish(exit: Exit.Exit<unknown, AttemptFailure<E>>): void {
    this.outcome = exit
    if (this.timer !== undefined) interrupt(this.timer)
    this.listener.onEnd(exit)
  }

  private get timeout(): Cause.TimeoutException {
    const { attemptTimeout, serverName } = this.context.settings
    return new Cause.TimeoutException(
      `Looking up and connecting to "${serverName}" took longer than ${Duration.format(attemptTimeout)}`
    )
  }
}
