import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"
import type { ClosedReason } from "../../ConnectionError.js"
import * as Event from "../../ConnectionEvent.js"
import * as State from "../../ConnectionState.js"
import type { Attempt, AttemptFailure } from "../../Connector.js"
import { interruptAsDefect } from "../base/cause.js"
import { EventBus } from "../base/eventBus.js"
import { Fibers, interrupt, isSameOrChildOf } from "../base/fibers.js"
import { sleep } from "../base/sleep.js"
import { Cycle } from "./cycle.js"
import { Dialer, type Dialled, type DialSettings } from "./dial.js"
import { Handlers, type HandlerSettings } from "./handlers.js"
import { Standing } from "./loopState.js"
import { Succession } from "./replacement.js"
import { reportEnd } from "./reportEnd.js"
import { RetryDriver, type RetrySettings } from "./retryDriver.js"
import { Session } from "./session.js"

/** @internal */
export interface Settings<Address, Connection, E, R>
  extends
    DialSettings<Address, Connection, E, R>,
    RetrySettings<AttemptFailure<E>, R>,
    HandlerSettings<Event.ConnectionEvent<Connection, E, Address>, R>
{
  readonly serverName: string
  readonly addressEquivalence: Equivalence.Equivalence<Address>
  readonly causeEquivalence: Equivalence.Equivalence<Cause.Cause<AttemptFailure<E>>>
}

/**
 * The loop, and what the operations share with it.
 *
 * One fiber at a time, the *leg*, walks from stage to stage: `beginCycle`, `attempt`, then `failed` and back to
 * `attempt`, or `established`, `watch`, `lost` and back to `beginCycle`. It can be interrupted everywhere, and what it
 * does between two effects it does at one stroke. So whoever closes needs no lock: it takes the loop over by
 * interrupting the leg and sending off another one (`go`), and what it finds in these fields is the whole truth.
 * Look-ups, connects and releases (`Dialer`) and handlers (`Handlers`) run in fibers of their own, which survive the leg
 * that waits for them.
 *
 * @internal
 */
export class Loop<Address, Connection, E, R> extends Standing<Connection, E> {
  readonly fibers: Fibers<R>
  readonly bus = new EventBus<Event.ConnectionEvent<Connection, E, void>>()

  private readonly dialer: Dialer<Address, Connection, E, R>
  private succession: Succession<Address, Connection, E, R> | undefined
  private readonly handlers: Handlers<Event.ConnectionEvent<Connection, E, Address>, R> | undefined
  private readonly retry: RetryDriver<AttemptFailure<E>, R>
  private readonly owner = {}
  private leg: Fiber.RuntimeFiber<void> | undefined
  /** The stage that comes after the wait for the next attempt. */
  private next: () => Effect.Effect<void, never, R> = () => this.beginCycle()
  private cycle: Cycle<Address, AttemptFailure<E>>
  private address: Option.Option<Address> = Option.none()
  private failedAttempts = 0
  private attemptBegunAt = 0

  constructor(
    readonly settings: Settings<Address, Connection, E, R>,
    private readonly clock: Clock.Clock,
    runtime: Runtime.Runtime<R>
  ) {
    super(clock.unsafeCurrentTimeMillis())
    this.fibers = new Fibers(runtime)
    this.dialer = new Dialer(settings, clock, this.fibers, (exit) => this.status.attempted(exit, false))
    this.handlers = Handlers.make(settings, clock, this.fibers)
    this.retry = new RetryDriver(settings, clock)
    this.cycle = new Cycle(settings.addressEquivalence, settings.causeEquivalence)
    this.go(this.beginCycle())
  }

  // The stages ---------------------------------------------------------------------------------------------------

  private beginCycle(): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      this.cycle = new Cycle(this.settings.addressEquivalence, this.settings.causeEquivalence)
      this.connecting(Option.none())
      const event = Event.AttemptingToConnect({ generation: this.state.generation + 1 })
      return Effect.flatMap(this.report(event), () => this.attempt())
    })
  }

  private attempt(): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      this.attemptBegunAt = this.clock.unsafeCurrentTimeMillis()
      this.cycle.attempt++
      this.connecting(Option.none())
      const dialled = this.dialer.dial({
        attempt: this.describeAttempt(),
        onAddress: (address) => this.obtained(address),
        onDeadline: (at) => {
          if (this.state._tag === "Connecting") this.connecting(at)
        }
      })
      return Effect.flatMap(
        dialled,
        (exit) => Exit.isSuccess(exit) ? this.established(exit.value) : this.failed(exit.cause)
      )
    })
  }

  private obtained(address: Address): Effect.Effect<void> {
    const { attempt } = this.cycle
    const isNew = this.cycle.isNewAddress(address)
    this.address = Option.some(address)
    this.connecting(Option.none())
    return isNew ? this.report(Event.ObtainedAddress({ address, attempt })) : Effect.void
  }

  private failed(cause: Cause.Cause<AttemptFailure<E>>): Effect.Effect<void, never, R> {
    this.dialer.fail(cause)
    this.failedAttempts++
    const { attempt } = this.cycle
    const isNew = this.cycle.isNewCause(cause)
    return Effect.flatMap(this.retry.afterFailure(this.attemptBegunAt, cause), (nextAttemptAt) => {
      if (Option.isNone(nextAttemptAt)) this.ending = { _tag: "GaveUp", cause }
      this.next = () => this.attempt()
      this.enter(State.Waiting({ ...this.common("Waiting"), lastCause: Option.some(cause), nextAttemptAt }))
      this.results.notify(Exit.failCause(cause))
      const reported = isNew ? this.report(Event.FailedToConnect({ cause, attempt })) : Effect.void
      return Effect.flatMap(reported, () => this.onward())
    })
  }

  private established(dialled: Dialled<Connection>): Effect.Effect<void, never, R> {
    this.failedAttempts = 0
    return this.watch(this.adopt(this.dialer, dialled))
  }

  private adopt(
    dialer: Dialer<Address, Connection, E, R>,
    { connection, scope }: Dialled<Connection>
  ): Session<Connection, E> {
    // From the dialer to the session at one stroke: what is in neither would not be released by a close.
    dialer.take()
    const generation = this.state.generation + 1
    const since = this.clock.unsafeCurrentTimeMillis()
    const session = this.session = new Session(this.settings.serverName, connection, generation, since, scope)
    this.enter(State.Connected({ ...this.common("Connected"), since, generation, connection, isLast: false }))
    this.results.notify(Exit.succeed(connection))
    this.changed.notify(Exit.void)
    return session
  }

  /** The end of the connection is watched for even while its `Connected` handler runs, which may be using it. */
  private watch(session: Session<Connection, E>): Effect.Effect<void, never, R> {
    this.announce(session)
    return Effect.flatMap(this.lossOf(session), (cause) => this.gone(session, cause))
  }

  private announce(session: Session<Connection, E>): void {
    if (session.isAnnounced) return
    session.isAnnounced = true
    const { connection, generation } = session
    this.emit(Event.Connected({ connection, generation }))
  }

  /** Waits for the end of the connection. */
  private lossOf(session: Session<Connection, E>): Effect.Effect<Cause.Cause<E>> {
    return Effect.map(
      Effect.exit(Effect.suspend(() => this.settings.connector.closed(session.connection))),
      (exit) => Exit.isFailure(exit) ? interruptAsDefect(exit.cause) : Cause.empty
    )
  }

  private gone(session: Session<Connection, E>, cause: Cause.Cause<E>): Effect.Effect<void, never, R> {
    session.finish(session.lost(cause))
    this.succession?.cancel()
    const uptime = this.clock.unsafeCurrentTimeMillis() - session.since
    return Effect.flatMap(this.handled, () => {
      this.announce(session)
      return Effect.flatMap(this.handled, () => this.lost(session, cause, uptime))
    })
  }

  private lost(
    session: Session<Connection, E>,
    cause: Cause.Cause<E>,
    uptime: number
  ): Effect.Effect<void, never, R> {
    const next = this.ending === undefined
      ? this.retry.afterLoss(this.attemptBegunAt, uptime, cause)
      : Effect.succeedNone
    return Effect.flatMap(next, (next) => {
      if (Option.isNone(next)) this.ending ??= { _tag: "GaveUp", cause }
      // While the policy was asked, somebody may have said that this was the last connection.
      const nextAttemptAt = this.ending === undefined ? next : Option.none()
      this.session = undefined
      this.next = () => this.beginCycle()
      this.release(session, cause)
      this.enter(State.Waiting({ ...this.common("Waiting"), lastCause: Option.some(cause), nextAttemptAt }))
      const reported = this.report(Event.Disconnected({ cause, generation: session.generation }))
      return Effect.flatMap(reported, () => this.onward())
    })
  }

  /** Waits until the next attempt is due, if there is to be one. */
  private onward(): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      if (this.state._tag !== "Waiting" || Option.isNone(this.state.nextAttemptAt)) {
        return Effect.sync(() => this.beginClosing())
      }
      return Effect.flatMap(this.retry.until(this.state.nextAttemptAt.value), this.next)
    })
  }

  /** Releases a connection that has ended like this. Starts at once; the effect waits for the end. */
  private release({ scope }: Session<Connection, E>, cause: Cause.Cause<E>): Effect.Effect<void> {
    return this.dialer.release(scope, Cause.isEmpty(cause) ? Exit.void : Exit.failCause(cause))
  }

  // Intervening --------------------------------------------------------------------------------------------------

  /** Does not wait any longer for the next attempt, if that is what it is doing. */
  hurry(): void {
    if (this.state._tag === "Waiting" && this.ending === undefined) {
      this.go(Effect.flatMap(this.handled, () => this.next()))
    }
  }

  /** The connection is not to be trusted any more: lost, with this cause. */
  drop(session: Session<Connection, E>, cause: Cause.Cause<E>): void {
    // Not if it has been replaced or lost, nor while it is being closed.
    if (session.successor === undefined) this.go(this.gone(session, cause))
  }

  /**
   * Make before break: establishes the next connection, makes it current, and only then drains and closes the old one.
   * If that fails the old one stays. If the old one is lost meanwhile, the loop goes on as always.
   */
  refresh(drain: Duration.Duration): void {
    // A loss that has not been reported yet is one.
    if (this.state._tag !== "Connected" || this.willNotReconnect || this.session?.end !== undefined) return
    const succession = this.succession ??= new Succession(this.clock, this.fibers)
    if (succession.isUnderWay) return
    const dialer = new Dialer(this.settings, this.clock, this.fibers, (exit) => this.status.attempted(exit, true))
    const begunAt = this.clock.unsafeCurrentTimeMillis()
    const dialled = dialer.dial({
      attempt: { ...this.describeAttempt(), number: succession.failures + 1, lastCause: succession.lastCause },
      isRefresh: true,
      onAddress: (address) =>
        Effect.sync(() => {
          this.address = Option.some(address)
        }),
      onDeadline: () => {}
    })
    succession.start(dialer, dialled, (exit) => {
      if (Exit.isSuccess(exit)) return this.replace(succession, dialer, exit.value, begunAt, drain)
      dialer.fail(exit.cause)
      this.results.notify(Exit.failCause(exit.cause))
    })
  }

  private replace(
    succession: Succession<Address, Connection, E, R>,
    dialer: Dialer<Address, Connection, E, R>,
    dialled: Dialled<Connection>,
    begunAt: number,
    drain: Duration.Duration
  ): void {
    const old = this.session!
    const end = old.lost(Cause.empty)
    this.retry.lived(this.clock.unsafeCurrentTimeMillis() - old.since)
    this.attemptBegunAt = begunAt
    const session = this.adopt(dialer, dialled)
    // The handler that is still running may be using the new connection: its loss must not be missed until then.
    const handled = this.fibers.first(this.handled, Effect.zipRight(this.untilLost(session), this.handled))
    this.go(Effect.flatMap(handled, () => this.watch(session)))
    old.supersede(end)
    succession.retire(succession.atMost(drain, this.drained(old)), () => {
      old.finish(end)
      return this.release(old, Cause.empty)
    })
  }

  /** Waits until nobody uses the connection, or can use it any more. */
  private drained(session: Session<Connection, E>): Effect.Effect<void> {
    return this.fibers.first(session.drained, this.untilLost(session))
  }

  /** Waits for the end of the connection, and lets those know who use it. */
  private untilLost(session: Session<Connection, E>): Effect.Effect<void> {
    return Effect.map(this.lossOf(session), (cause) => session.finish(session.lost(cause)))
  }

  // Ending -------------------------------------------------------------------------------------------------------

  /** There will be no other attempt, and the current connection is closed: `close` (X1), or the end of X4, X5, D11. */
  beginClosing(caller?: Fiber.RuntimeFiber<unknown, unknown>, drain = Duration.zero): void {
    const succession = this.succession ??= new Succession(this.clock, this.fibers)
    if (this.isClosing) {
      if (!this.hasFinished) succession.hurryAfter(drain, this.finished.next)
      return
    }
    const connection = State.connection(this.state)
    this.enter(State.Closing({ ...this.common("Closing"), connection, reason: this.reason }))
    // At once: no look-up and no connect is to begin any more, and no successor to become the current connection.
    const abandoned = Effect.zipRight(this.dialer.abandon(caller), succession.cancel(caller))
    this.results.notify(this.refusal)
    this.changed.notify(Exit.void)
    this.session?.supersede(this.closed)
    this.go(this.shutDown(succession, abandoned, drain))
  }

  /** There will be no other connection after the current one, if there is one (X4, X5). */
  end(reason: ClosedReason<E>, caller: Fiber.RuntimeFiber<unknown, unknown>): void {
    // What the owner has closed already is not to be closed once more: a later abort is still to be heard (X5).
    if (this.isClosing && reason._tag === "ClosedByOwner") return
    const isHeard = this.ending === undefined || (this.ending._tag === "GaveUp" && reason._tag === "Aborted")
    if (isHeard) this.ending = reason
    switch (this.state._tag) {
      case "Connecting":
      case "Waiting":
        return this.beginClosing(caller)
      case "Connected":
        if (!isHeard) return
        this.enter(State.Connected({ ...this.state, isLast: true }))
        // Those who wait for the next attempt, because they found the current connection dead, wait for nothing; and
        // so do those who wait for a successor.
        if (reason._tag === "Aborted" || this.succession?.isUnderWay === true) this.results.notify(this.refusal)
        this.succession?.cancel(caller)
        return
      case "Closing":
        if (isHeard && reason._tag === "Aborted") this.enter(State.Closing({ ...this.state, reason }))
        return
      case "Closed":
        if (isHeard && reason._tag === "Aborted") this.enter(State.Closed({ ...this.state, reason }))
    }
  }

  private shutDown(
    succession: Succession<Address, Connection, E, R>,
    abandoned: Effect.Effect<void>,
    drain: Duration.Duration
  ): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { session } = this
      // A loss that has not been reported yet is one.
      const loss = session?.end?._tag === "ConnectionLost" ? session.end.lossCause : Cause.empty
      const over = this.handlers === undefined ? Effect.void : this.handlers.over
      const drained = session === undefined ? Effect.void : this.drained(session)
      yield* succession.atMost(drain, Effect.zipRight(drained, succession.retired))
      succession.hurry()
      session?.finish(this.closed)
      const released = session === undefined ? Effect.void : this.release(session, loss)
      yield* abandoned
      yield* succession.retired
      yield* released
      if (session !== undefined) {
        // The connection stays current until its `Connected` handler has ended (A2), for which `close` must not wait
        // (D7): closing has finished before the state says so.
        this.finish()
        yield* over
        this.announce(session)
        yield* over
      }
      this.session = undefined
      this.enter(State.Closed({ ...this.common("Closed"), reason: this.reason }))
      this.finish()
      if (session !== undefined) {
        this.emit(Event.Disconnected({ cause: loss, generation: session.generation }))
      }
      this.bus.end()
      yield* reportEnd(this.closed)
    })
  }

  /** Leaving the scope (D8). */
  get leave(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      this.beginClosing(fiber)
      this.handlers?.interruptAll()
      // What closing waits for, or the release of a connection, would wait for itself.
      return this.fibers.isAwaited(fiber) ? Effect.void : Effect.zipRight(this.letHandlerGo(fiber), this.joined)
    })
  }

  /** Waits until nothing runs any more; at most for `closeTimeout`, as there may be user code that never ends. */
  private get joined(): Effect.Effect<void> {
    const { closeTimeout } = this.settings
    if (!Duration.isFinite(closeTimeout)) return this.fibers.join
    return Effect.raceFirst(
      Effect.interruptible(this.fibers.join),
      Effect.interruptible(sleep(this.clock, closeTimeout))
    )
  }

  /** Is the connection lost, whether the loop has noticed yet or not? */
  hasLost(session: Session<Connection, E>): Effect.Effect<boolean> {
    return Effect.suspend(() =>
      session.end?._tag === "ConnectionLost" || this.isKnownDead(session.connection)
        ? Effect.succeed(true)
        // The one that is forked first is asked first: it answers, if the connection has closed already.
        : this.fibers.first(Effect.as(this.lossOf(session), true), Effect.as(Effect.yieldNow(), false))
    )
  }

  // The loop and those around it ---------------------------------------------------------------------------------

  /**
   * To be called before a fiber waits for the loop to get on. If the loop itself waits for that fiber, neither would
   * ever go on: so the loop does not wait for that handler any longer, and for an attempt, or for the watch of a
   * connection, it is a mistake (D7).
   */
  beforeWaiting(
    fiber: Fiber.RuntimeFiber<unknown, unknown>,
    reason: "connection" | "end"
  ): Effect.Effect<void> {
    if (!this.fibers.haveStarted(fiber)) return Effect.void
    const mistake = Effect.die(
      new Cause.RuntimeException(`The connection to "${this.settings.serverName}" waits for itself`)
    )
    return Effect.zipRight(
      this.letHandlerGo(fiber, reason),
      Effect.if(this.waitsFor(fiber), { onTrue: () => mistake, onFalse: () => Effect.void })
    )
  }

  /** The fiber, if it is a handler or one that a handler waits for, is about to wait for what comes after that (D7). */
  letHandlerGo(
    fiber: Fiber.RuntimeFiber<unknown, unknown>,
    reason: "connection" | "end" = "connection"
  ): Effect.Effect<void> {
    return this.handlers === undefined ? Effect.void : this.handlers.letGo(fiber, reason)
  }

  private waitsFor(fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<boolean> {
    const { leg, succession } = this
    return Effect.suspend(() => leg === undefined ? Effect.succeed(false) : isSameOrChildOf(fiber, leg)).pipe(
      Effect.filterOrElse((isLeg) => isLeg, () => this.dialer.waitsFor(fiber)),
      Effect.filterOrElse(
        (isDialling) => isDialling,
        () => succession === undefined ? Effect.succeed(false) : succession.waitsFor(fiber)
      )
    )
  }

  /** Waits for a connection, in the given fiber. */
  waitFor<A, E2>(fiber: Fiber.RuntimeFiber<unknown, unknown>, signal: Effect.Effect<A, E2>): Effect.Effect<A, E2> {
    return Effect.zipRight(this.beforeWaiting(fiber, "connection"), this.status.whileWaiting(signal))
  }

  /** Emits an event at this stroke; the effect waits until the loop may go on from it. */
  private report(event: Event.ConnectionEvent<Connection, E, Address>): Effect.Effect<void> {
    this.emit(event)
    return this.handled
  }

  private emit(event: Event.ConnectionEvent<Connection, E, Address>): void {
    this.bus.publish(Event.mapAddress(event, () => undefined))
    this.status.happened(event)
    this.handlers?.call(event)
  }

  private get handled(): Effect.Effect<void> {
    return this.handlers === undefined ? Effect.void : this.handlers.settled
  }

  /** Takes the loop over: nothing that the previous leg would have done next will happen. */
  private go(leg: Effect.Effect<void, never, R>): void {
    const previous = this.leg
    this.leg = this.fibers.fork(leg)
    if (previous !== undefined) interrupt(previous)
  }

  private describeAttempt(): Omit<Attempt<Address>, "untimed"> {
    return {
      serverName: this.settings.serverName,
      owner: this.owner,
      generation: this.state.generation + 1,
      number: this.cycle.attempt,
      lastCause: this.state.lastCause,
      previousAddress: this.address,
      failedAttempts: Effect.sync(() => this.failedAttempts),
      abort: (error) =>
        Effect.withFiberRuntime((caller) => {
          const cause: Cause.Cause<unknown> = Cause.fail(error)
          // What the attempt fails with is an error of the look-up or the connector.
          this.end({ _tag: "Aborted", cause: cause as Cause.Cause<E> }, caller)
          return Effect.fail(error)
        })
    }
  }

  private connecting(deadline: Option.Option<number>): void {
    this.enter(State.Connecting({ ...this.common("Connecting"), deadline }))
  }

  private common(next: State.ConnectionState<Connection, E>["_tag"]): State.Common<E> {
    const { _tag, generation, lastCause, since } = this.state
    return {
      since: next === _tag ? since : this.clock.unsafeCurrentTimeMillis(),
      generation,
      attempt: Math.max(this.cycle.attempt, 1),
      address: this.address,
      lastCause
    }
  }
}
