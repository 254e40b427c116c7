import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { ClosedReason } from "../../ConnectionError.js"
import * as Event from "../../ConnectionEvent.js"
import * as State from "../../ConnectionState.js"
import type { Attempt, AttemptFailure } from "../../Connector.js"
import { type AnyFiber, interrupt } from "../base/effect3.js"
import { now, sleep, toWallTime } from "../base/time.js"
import { Cycle } from "./cycle.js"
import { Dial, type DialSettings } from "./dial.js"
import { Draining } from "./draining.js"
import { Events, type EventSettings } from "./events.js"
import { Fibers } from "./fibers.js"
import { LoopState } from "./loopState.js"
import { Replacement } from "./replacement.js"
import { reportEnd } from "./reportEnd.js"
import { RetryDriver, type RetrySettings } from "./retryDriver.js"
import { Session } from "./session.js"
import { Status } from "./status.js"

/** @internal */
export interface Settings<A, C, E, R>
  extends DialSettings<A, C, E, R>, RetrySettings<AttemptFailure<E>, R>, EventSettings<A, C, E, R>
{
  readonly addressEquivalence: Equivalence.Equivalence<A>
  readonly causeEquivalence: Equivalence.Equivalence<Cause.Cause<AttemptFailure<E>>>
  readonly maxUndelivered: number
}

/** The phase of the loop, with the data of that phase. The public `ConnectionState` is a view of it. */
type Phase<A, C, E, R> =
  /** `dial` is undefined while the `AttemptingToConnect` handler runs. */
  | { readonly _tag: "Connecting"; readonly dial: Dial<A, C, E, R> | undefined }
  | { readonly _tag: "Connected"; readonly session: Session<C, E>; readonly replacement: Replacement<A, C, E, R> }
  | { readonly _tag: "Waiting"; readonly next: Effect.Effect<void> }
  /** Also when it is closed. */
  | { readonly _tag: "Closing" }

/**
 * The life of a persistent connection: Connecting → Connected → Waiting → Connecting …, until it is Closed.
 *
 * Every change of the phase is synchronous, so there are no locks. The waits of a phase run in one fiber, `current`,
 * which the next phase interrupts (`switchTo`). A connected loop has no such fiber: the watch of the session wakes it.
 * A late result is ignored: an attempt or a session that is no longer part of the phase changes nothing.
 *
 * @internal
 */
export class Loop<A, C, E, R> extends LoopState<C, E> {
  readonly fibers: Fibers<R>
  readonly status: Status<C, E>
  readonly events: Events<A, C, E, R>
  private readonly draining: Draining<C, E, R>
  private readonly retry: RetryDriver<AttemptFailure<E>, R>
  private readonly owner = {}
  private phase: Phase<A, C, E, R> = { _tag: "Connecting", dial: undefined }
  private current: AnyFiber | undefined
  private cycle: Cycle<A, AttemptFailure<E>>
  private address: Option.Option<A> = Option.none()
  /**
   * The server of the current connection has announced a shutdown: the next connection should be at another address.
   */
  elsewhere = false
  /** When the last attempt began, in ms of monotonic time. */
  private attemptBegunAt = 0
  /** The next attempt must be made as soon as the end of the connection has been reported. */
  private isUrgent = false
  /** There was an abort, or `closeWhenCurrentConnectionIsClosed`: only the first counts (X5). */
  private isDecided = false

  constructor(readonly settings: Settings<A, C, E, R>, readonly clock: Clock.Clock, runtime: Runtime.Runtime<R>) {
    super()
    this.fibers = new Fibers(runtime)
    this.events = new Events(this)
    this.draining = new Draining(this)
    this.retry = new RetryDriver(settings, clock)
    this.cycle = new Cycle(settings.addressEquivalence, settings.causeEquivalence)
    this.status = new Status(clock)
    // Yields first: a fiber that is forked right after `make` to follow the events misses none.
    this.switchTo(Effect.zipRight(Effect.yieldNow(), Effect.suspend(() => this.beginCycle())))
  }

  // Connecting ---------------------------------------------------------------------------------------------------

  private beginCycle(): Effect.Effect<void> {
    this.cycle = new Cycle(this.settings.addressEquivalence, this.settings.causeEquivalence)
    this.phase = { _tag: "Connecting", dial: undefined }
    this.showConnecting()
    const reported = this.report(Event.AttemptingToConnect({ generation: this.state.generation + 1 }))
    return Effect.map(reported, () => this.attempt())
  }

  private attempt(): void {
    this.cycle.attempt++
    const dial = new Dial(this, this.describeAttempt(this.cycle.attempt, this.state.lastCause), {
      ready: Effect.map(this.draining.hasRoom, () => void (this.attemptBegunAt = this.now)),
      onAddress: (address) => this.obtained(address),
      onDeadline: (at) => this.showConnecting(at),
      onConnected: (connection, scope) => {
        this.failedAttempts = 0
        this.makeCurrent(connection, scope)
      },
      onFailed: (cause) => this.switchTo(this.failed(cause)),
      onEnd: (exit) => this.status.attempted(exit, false)
    })
    this.phase = { _tag: "Connecting", dial }
    this.showConnecting()
  }

  private obtained(address: A): Effect.Effect<void> | undefined {
    const { state } = this
    this.address = Option.some(address)
    if (state._tag === "Connecting") this.enter(State.Connecting({ ...state, address: this.address }))
    if (this.cycle.isNewAddress(address)) {
      this.events.emit(Event.ObtainedAddress({ address, attempt: this.cycle.attempt }))
    }
    return this.events.isSettled ? undefined : this.events.settled
  }

  private failed(cause: Cause.Cause<AttemptFailure<E>>): Effect.Effect<void, never, R> {
    this.failedAttempts++
    const isNew = this.cycle.isNewCause(cause)
    return Effect.flatMap(this.retry.afterFailure(this.attemptBegunAt, cause), (due) => {
      if (Option.isNone(due)) this.ending = { _tag: "GaveUp", cause }
      const wait = this.enterWaiting(due, cause, Effect.sync(() => this.attempt()))
      this.attemptEnded.notify(Exit.failCause(cause))
      const reported = isNew ? this.report(Event.FailedToConnect({ cause, attempt: this.cycle.attempt })) : Effect.void
      return Effect.zipRight(reported, wait)
    })
  }

  // Connected ----------------------------------------------------------------------------------------------------

  /** All waiting callers get the connection before its `Connected` event is published (A1). */
  private makeCurrent(connection: C, scope: Scope.CloseableScope): void {
    const { serverName } = this.settings
    const generation = this.state.generation + 1
    const since = this.clock.unsafeCurrentTimeMillis()
    const session = new Session<C, E>(this.fibers, serverName, connection, generation, since, this.now, scope)
    this.phase = { _tag: "Connected", session, replacement: new Replacement() }
    this.current = undefined
    this.elsewhere = false
    this.isUrgent = false
    this.enter(State.Connected({ ...this.common("Connected"), since, generation, connection, isLast: false }))
    this.followers?.forEach((follower) => follower.onSession(session))
    this.attemptEnded.notify(session.result)
    this.connectionChanged.notify(Exit.succeed(session))
    session.watch(this.settings.connector.closed, (cause) => this.connectionLost(session, cause))
    // Last, because the handler runs its first turn now, and may close.
    this.events.emit(Event.Connected({ connection, generation }))
  }

  /** Treats the connection as lost. The policy decides when the next attempt is due, unless `atOnce`. */
  connectionLost(session: Session<C, E>, cause: Cause.Cause<E>, atOnce = false): void {
    if (session.endedWith !== undefined) return
    session.end(session.lossError(cause))
    const { phase } = this
    // Another connection has replaced it, or it is being closed, perhaps by the `onEnd` of a hold.
    if (phase._tag !== "Connected" || phase.session !== session) return
    phase.replacement.abandon()
    const uptime = this.now - session.establishedAt
    this.retry.lived(uptime)
    const next = atOnce ? Effect.succeedSome(this.now) : this.retry.afterLoss(this.attemptBegunAt, uptime, cause)
    this.switchTo(Effect.zipRight(this.events.settled, Effect.suspend(() => this.lost(session, cause, next))))
  }

  private lost(
    session: Session<C, E>,
    cause: Cause.Cause<E>,
    next: Effect.Effect<Option.Option<number>, never, R>
  ): Effect.Effect<void, never, R> {
    return Effect.flatMap(this.ending === undefined ? next : Effect.succeedNone, (next) => {
      if (Option.isNone(next)) this.ending ??= { _tag: "GaveUp", cause }
      // While the policy decided, there may have been an abort or `closeWhenCurrentConnectionIsClosed`.
      const due = this.ending === undefined ? next : Option.none()
      this.draining.add(session, session.endedWith!, { wasLost: true })
      const wait = this.enterWaiting(due, cause, Effect.suspend(() => this.beginCycle()))
      const reported = this.report(Event.Disconnected({ cause, generation: session.generation }))
      return Effect.zipRight(reported, wait)
    })
  }

  /** Make before break: the new connection becomes current before the old one is drained and closed. */
  refresh(drain: Duration.Duration): void {
    const { phase } = this
    if (phase._tag !== "Connected" || this.ending !== undefined || phase.session.endedWith !== undefined) return
    const { replacement, session } = phase
    if (replacement.dial !== undefined) return
    let begunAt: number
    replacement.begin(this, this.describeAttempt(replacement.failures + 1, replacement.lastCause), {
      ready: Effect.map(this.draining.hasRoom, () => void (begunAt = this.now)),
      onAddress: (address) => void (this.address = Option.some(address)),
      onConnected: (connection, scope) => {
        this.retry.lived(this.now - session.establishedAt)
        this.attemptBegunAt = begunAt
        this.makeCurrent(connection, scope)
        const reason = session.lossError(Cause.empty)
        session.supersede(reason)
        this.draining.add(session, reason, { usesUntil: this.now + Duration.toMillis(drain) })
      },
      onFailed: (cause) => this.attemptEnded.notify(Exit.failCause(cause)),
      onEnd: (exit) => this.status.attempted(exit, true)
    })
  }

  // Waiting ------------------------------------------------------------------------------------------------------

  /** The effect waits until the next attempt is due, and makes it. If there is no next attempt, it closes. */
  private enterWaiting(
    dueByPolicy: Option.Option<number>,
    cause: Cause.Cause<AttemptFailure<E>>,
    next: Effect.Effect<void>
  ): Effect.Effect<void> {
    this.phase = { _tag: "Waiting", next }
    const due = this.isUrgent ? Option.map(dueByPolicy, () => this.now) : dueByPolicy
    this.isUrgent = false
    const nextAttemptAt = Option.map(due, (at) => toWallTime(this.clock, at))
    this.enter(State.Waiting({ ...this.common("Waiting"), lastCause: Option.some(cause), nextAttemptAt }))
    return Option.isNone(due)
      ? Effect.sync(() => this.beginClosing())
      : Effect.zipRight(this.retry.until(due.value), next)
  }

  /** Makes the next attempt now, if the loop waits or is about to wait for it. */
  attemptNow(): void {
    const { phase } = this
    if (phase._tag === "Connected") this.isUrgent = this.hasEnded(phase.session)
    // The attempt has failed, and the policy decides about the next one.
    if (phase._tag === "Connecting") this.isUrgent = phase.dial?.isOver === true
    if (phase._tag !== "Waiting" || this.ending !== undefined) return
    this.switchTo(Effect.zipRight(this.events.settled, phase.next))
  }

  /** Gives up the attempt under way, and makes it again: neither the policy nor the number of attempts counts it. */
  restartAttempt(): void {
    const { phase } = this
    if (phase._tag !== "Connecting" || phase.dial === undefined || phase.dial.isOver) return
    phase.dial.abandon()
    this.cycle.attempt--
    this.phase = { _tag: "Connecting", dial: undefined }
    this.switchTo(Effect.map(this.events.settled, () => this.attempt()))
  }

  // Closing ------------------------------------------------------------------------------------------------------

  /** Closes the current connection at once, or after at most the drain time. Makes no other attempt (X1). */
  close(drain = Duration.zero): void {
    this.draining.endBy(this.now + Duration.toMillis(drain))
    this.beginClosing()
  }

  /** Makes the current connection the last one; without one, closes at once (X4, X5). Only the first call counts. */
  closeAfterCurrent(reason: ClosedReason<E>): void {
    if (this.isDecided) return
    this.isDecided = true
    if (this.ending === undefined || reason._tag === "Aborted") this.ending = reason
    const { phase, state } = this
    switch (phase._tag) {
      case "Connecting":
      case "Waiting":
        return this.beginClosing()
      case "Connected":
        if (state._tag === phase._tag) this.enter(State.Connected({ ...state, isLast: true }))
        if (reason._tag === "Aborted" || phase.replacement.dial) this.attemptEnded.notify(this.closedExit)
        return void phase.replacement.abandon()
      default:
        if (reason._tag !== "Aborted") return
        if (state._tag === "Closing") this.enter(State.Closing({ ...state, reason }))
        if (state._tag === "Closed") this.enter(State.Closed({ ...state, reason }))
    }
  }

  private beginClosing(): void {
    if (this.isClosing) return
    const { phase, session } = this
    const connection = Option.map(Option.fromNullable(session), ({ connection }) => connection)
    this.phase = { _tag: "Closing" }
    this.enter(State.Closing({ ...this.common("Closing"), connection, reason: this.reason }))
    const dial = phase._tag === "Connecting" ? phase.dial : phase._tag === "Connected" ? phase.replacement : undefined
    const abandoned = dial === undefined ? Effect.void : dial.abandon()
    this.attemptEnded.notify(this.closedExit)
    this.connectionChanged.notify(Exit.succeed(undefined))
    this.followers?.forEach((follower) => follower.onClosing())
    if (session !== undefined) {
      session.supersede(this.closedError)
      this.draining.add(session, this.closedError)
    }
    this.switchTo(this.finishClosing(session, abandoned))
  }

  private finishClosing(session: Session<C, E> | undefined, abandoned: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      yield* abandoned
      yield* this.draining.released
      if (session !== undefined) {
        // It stays current until its `Connected` handler has ended (A2); `close` does not wait for that (D7).
        this.endClose()
        yield* this.events.settled
      }
      this.enter(State.Closed({ ...this.common("Closed"), reason: this.reason }))
      this.endClose()
      if (session !== undefined) {
        this.events.emit(Event.Disconnected({ cause: session.loss, generation: session.generation }))
      }
      this.events.bus.end()
      yield* reportEnd(this.closedError)
    })
  }

  private endClose(): void {
    this.hasClosed = true
    this.closeEnded.notify(Exit.void)
  }

  /** Leaves the scope (D8). From inside it does not wait, because it would wait for itself. */
  get dispose(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      this.close()
      this.events.interruptAll()
      if (this.fibers.whereIs(fiber as AnyFiber) !== "outside") return Effect.void
      const tooLong = sleep(this.clock, this.settings.closeTimeout)
      return Effect.raceFirst(Effect.interruptible(this.fibers.join), Effect.interruptible(tooLong))
    })
  }

  // What all of them need ----------------------------------------------------------------------------------------

  get session(): Session<C, E> | undefined {
    const { phase } = this
    return phase._tag === "Connected" ? phase.session : undefined
  }

  /**
   * Called in the fiber that is about to wait for the loop (D7). The loop stops waiting for handlers that the fiber
   * belongs to. An attempt, a `closed` or a policy that would wait for itself dies.
   */
  waitFor<B, E2>(fiber: AnyFiber, signal: Effect.Effect<B, E2>): Effect.Effect<B, E2> {
    this.fibers.letHandlersGo(fiber)
    return this.waitsFor(fiber)
      ? Effect.die(new Cause.RuntimeException(`The connection to "${this.settings.serverName}" waits for itself`))
      : signal
  }

  private waitsFor(fiber: AnyFiber): boolean {
    const { current, phase } = this
    return fiber === current ||
      phase._tag === "Connecting" && phase.dial?.runsIn(fiber) === true ||
      phase._tag === "Connected" && (fiber === phase.session.watcher || phase.replacement.dial?.runsIn(fiber) === true)
  }

  private get now(): number {
    return now(this.clock)
  }

  /**
   * Starts the fiber of the next phase, and interrupts that of the previous one, as `FiberHandle.run` does.
   */
  private switchTo(next: Effect.Effect<void, never, R>): void {
    const previous = this.current
    this.current = this.fibers.fork(next)
    if (previous !== undefined) interrupt(previous)
  }

  /** Emits an event; the effect waits until it has been handled (E1). */
  private report(event: Event.ConnectionEvent<C, E, A>): Effect.Effect<void> {
    this.events.emit(event)
    return this.events.settled
  }

  private enter(state: State.ConnectionState<C, E>): void {
    this.status.enter(state, this.now)
  }

  private showConnecting(deadline: Option.Option<number> = Option.none()): void {
    const at = Option.map(deadline, (at) => toWallTime(this.clock, at))
    this.enter(State.Connecting({ ...this.common("Connecting"), deadline: at }))
  }

  private common(next: State.ConnectionState<C, E>["_tag"]): State.Common<E> {
    const { _tag, generation, lastCause, since } = this.state
    return {
      since: next === _tag ? since : this.clock.unsafeCurrentTimeMillis(),
      generation,
      attempt: Math.max(this.cycle.attempt, 1),
      address: this.address,
      lastCause
    }
  }

  private describeAttempt(number: number, lastCause: Attempt<A>["lastCause"]): Omit<Attempt<A>, "untimed"> {
    return {
      serverName: this.settings.serverName,
      owner: this.owner,
      generation: this.state.generation + 1,
      number,
      lastCause,
      previousAddress: this.address,
      elsewhere: this.elsewhere && (number === 1 || this.session !== undefined),
      failedAttempts: Effect.sync(() => this.failedAttempts),
      abort: (error) =>
        Effect.suspend(() => {
          // The error of an abort is always one of the look-up or the connector.
          this.closeAfterCurrent({ _tag: "Aborted", cause: Cause.fail(error) as Cause.Cause<never> })
          return Effect.fail(error)
        })
    }
  }
}
