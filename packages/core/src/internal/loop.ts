import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Equivalence from "effect/Equivalence"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { type ClosedReason, ConnectionClosed } from "../ConnectionError.js"
import * as Event from "../ConnectionEvent.js"
import * as State from "../ConnectionState.js"
import type { Attempt, AttemptFailure, Connector } from "../Connector.js"
import { orDefect, saysTheSame } from "./cause.js"
import { Deadline } from "./deadline.js"
import { EventBus } from "./eventBus.js"
import { Fibers, interrupt } from "./fibers.js"
import { Handlers } from "./handlers.js"
import { RetryDriver, type RetrySettings } from "./retryDriver.js"
import { Signal } from "./signal.js"
import { Steps } from "./steps.js"

/** @internal */
export interface Settings<Address, Connection, E, R> extends RetrySettings<AttemptFailure<E>, R> {
  readonly serverName: string
  readonly lookUp: (attempt: Attempt<Address, E>) => Effect.Effect<Address, E, R>
  readonly connector: Connector<Address, Connection, E, R>
  readonly attemptTimeout: Duration.Duration
  readonly onEvent:
    | ((event: Event.ConnectionEvent<Connection, E, Address>) => Effect.Effect<unknown, never, R>)
    | undefined
  readonly addressEquivalence: Equivalence.Equivalence<Address>
}

/** The current connection, and what it takes to let go of it. */
interface Session<Connection> {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
}

/** What is remembered for one cycle and forgotten with it (C4, C5). */
interface Cycle<Address, E> {
  attempt: number
  address: Option.Option<Address>
  cause: Option.Option<Cause.Cause<AttemptFailure<E>>>
}

const newCycle = (): Cycle<never, never> => ({ attempt: 0, address: Option.none(), cause: Option.none() })

/**
 * The loop, and what the operations share with it.
 *
 * One fiber at a time, the *leg*, walks from stage to stage: `beginCycle`, `attempt`, then `failed` and back to
 * `attempt`, or `watch`, `lost` and back to `beginCycle`. It can be interrupted everywhere, and what it does between
 * two effects it does at one stroke. So whoever closes needs no lock: it takes the loop over by interrupting the leg and
 * sending off another one (`go`), and what it finds in these fields is the whole truth. Look-ups, connects, releases
 * (`Steps`) and handlers (`Handlers`) run in fibers of their own, which survive the leg that waits for them.
 *
 * @internal
 */
export class Loop<Address, Connection, E, R> {
  state: State.ConnectionState<Connection, E>
  /** Closing has finished (X1). `state` may not be `Closed` yet: a `Connected` handler can still be running (A2). */
  hasFinished = false

  readonly fibers: Fibers<R>
  readonly bus = new EventBus<Event.ConnectionEvent<Connection, E, void>>()
  /** A connection has been established, or there will be no other. */
  readonly changed = new Signal<void>()
  /** An attempt has ended, or there will be no other. */
  readonly results = new Signal<Connection, AttemptFailure<E> | ConnectionClosed<E>>()
  readonly finished = new Signal<void>()

  private readonly steps: Steps<R>
  private readonly handlers: Handlers<Event.ConnectionEvent<Connection, E, Address>, R> | undefined
  private readonly retry: RetryDriver<AttemptFailure<E>, R>
  private readonly key = {}
  private leg: Fiber.RuntimeFiber<void> | undefined
  private session: Session<Connection> | undefined
  /** Why there will be no other connection, unless `close` is the reason: the first to say so is heard (X4, X5, D11). */
  private ending: ClosedReason<E> | undefined
  private cycle: Cycle<Address, E> = newCycle()
  private address: Option.Option<Address> = Option.none()
  private failedAttempts = 0
  private attemptBegunAt = 0
  private deadline: Deadline | undefined
  private published: SubscriptionRef.SubscriptionRef<State.ConnectionState<Connection, E>> | undefined

  constructor(
    readonly settings: Settings<Address, Connection, E, R>,
    private readonly clock: Clock.Clock,
    runtime: Runtime.Runtime<R>
  ) {
    this.state = State.Connecting({
      since: clock.unsafeCurrentTimeMillis(),
      generation: 0,
      attempt: 1,
      address: Option.none(),
      lastCause: Option.none(),
      deadline: Option.none()
    })
    this.fibers = new Fibers(runtime)
    this.steps = new Steps(settings.serverName, this.fibers)
    this.handlers = settings.onEvent && new Handlers(settings.serverName, settings.onEvent, this.fibers)
    this.retry = new RetryDriver(settings, clock)
    this.go(this.beginCycle())
  }

  // The stages ---------------------------------------------------------------------------------------------------

  private beginCycle(): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      this.cycle = newCycle()
      this.connecting()
      const event = Event.AttemptingToConnect({ generation: this.state.generation + 1 })
      return Effect.flatMap(this.report(event), () => this.attempt())
    })
  }

  /** One look-up and one connect. */
  private attempt(): Effect.Effect<void, never, R> {
    return Effect.flatten(Effect.gen(this, function*() {
      const { connector, lookUp } = this.settings
      this.attemptBegunAt = this.clock.unsafeCurrentTimeMillis()
      this.cycle.attempt++
      const deadline = this.newDeadline()
      const attempt = this.describeAttempt(deadline)

      const found = yield* this.perform(deadline, Effect.suspend(() => Effect.scoped(lookUp(attempt))))
      if (Exit.isFailure(found)) return this.failed(found.cause)
      const address = found.value
      this.steps.take()
      const isKnown = this.isKnownAddress(address)
      this.address = this.cycle.address = Option.some(address)
      this.connecting()
      if (!isKnown) yield* this.report(Event.ObtainedAddress({ address, attempt: this.cycle.attempt }))

      const scope = yield* Scope.make()
      const connect = Effect.suspend(() => connector.connect(address, attempt))
      const opened = yield* this.perform(deadline, Scope.extend(connect, scope), scope)
      if (Exit.isFailure(opened)) return this.failed(opened.cause)
      return this.established({ connection: opened.value, scope })
    }))
  }

  private failed(cause: Cause.Cause<AttemptFailure<E>>): Effect.Effect<void, never, R> {
    this.steps.abandon()
    this.failedAttempts++
    const { attempt, cause: previous } = this.cycle
    const isKnown = Option.exists(previous, (previous) => saysTheSame(previous, cause))
    const lastCause = this.cycle.cause = Option.some(cause)
    return Effect.flatMap(this.retry.afterFailure(this.attemptBegunAt, cause), (nextAttemptAt) => {
      if (Option.isNone(nextAttemptAt)) this.ending = { _tag: "GaveUp", cause }
      this.enter(State.Waiting({ ...this.common("Waiting"), lastCause, nextAttemptAt }))
      this.results.notify(Exit.failCause(cause))
      const reported = isKnown ? Effect.void : this.report(Event.FailedToConnect({ cause, attempt }))
      return Effect.flatMap(reported, () => this.onward(() => this.attempt()))
    })
  }

  private established(session: Session<Connection>): Effect.Effect<void, never, R> {
    const { connection } = session
    // From step to session at one stroke: what is neither would not be released by a close.
    this.steps.take()
    this.session = session
    this.deadline = undefined
    this.failedAttempts = 0
    const generation = this.state.generation + 1
    this.enter(State.Connected({ ...this.common("Connected"), generation, connection, isLast: false }))
    this.results.notify(Exit.succeed(connection))
    this.changed.notify(Exit.void)
    return this.watch(session)
  }

  private watch(session: Session<Connection>): Effect.Effect<void, never, R> {
    const { connection } = session
    const reported = this.report(Event.Connected({ connection, generation: this.state.generation }))
    const closed = Effect.exit(Effect.suspend(() => this.settings.connector.closed(connection)))
    return Effect.flatMap(reported, () => Effect.flatMap(closed, (exit) => this.lost(session, exit)))
  }

  private lost(session: Session<Connection>, exit: Exit.Exit<unknown, E>): Effect.Effect<void, never, R> {
    const { generation, since } = this.state
    const cause = Exit.isFailure(exit) ? orDefect(exit.cause) : Cause.empty
    const next = this.ending === undefined
      ? this.retry.afterLoss(this.attemptBegunAt, since, cause)
      : Effect.succeedNone
    return Effect.flatMap(next, (nextAttemptAt) => {
      if (Option.isNone(nextAttemptAt)) this.ending ??= { _tag: "GaveUp", cause }
      this.session = undefined
      this.steps.release(session.scope, exit)
      this.enter(State.Waiting({ ...this.common("Waiting"), lastCause: Option.some(cause), nextAttemptAt }))
      const reported = this.report(Event.Disconnected({ cause, generation }))
      return Effect.flatMap(reported, () => this.onward(() => this.beginCycle()))
    })
  }

  /** Waits until the next attempt is due, if there is to be one. */
  private onward(next: () => Effect.Effect<void, never, R>): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      if (this.state._tag !== "Waiting" || Option.isNone(this.state.nextAttemptAt) || this.ending !== undefined) {
        return Effect.sync(() => this.beginClosing())
      }
      const delay = this.state.nextAttemptAt.value - this.clock.unsafeCurrentTimeMillis()
      return Effect.flatMap(delay > 0 ? this.clock.sleep(Duration.millis(delay)) : Effect.yieldNow(), next)
    })
  }

  // Ending -------------------------------------------------------------------------------------------------------

  /** There will be no other attempt, and the current connection is closed: `close` (X1), or the end of X4, X5, D11. */
  beginClosing(): void {
    if (this.isClosing) return
    const connection = State.connection(this.state)
    this.enter(State.Closing({ ...this.common("Closing"), connection, reason: this.reason }))
    this.results.notify(this.refusal)
    this.changed.notify(Exit.void)
    this.go(this.shutDown)
  }

  /** There will be no other connection after the current one, if there is one (X4, X5). */
  end(reason: ClosedReason<E>): void {
    if (this.ending !== undefined) return
    this.ending = reason
    switch (this.state._tag) {
      case "Connecting":
      case "Waiting":
        return this.beginClosing()
      case "Connected":
        this.enter({ ...this.state, isLast: true })
        // Those who wait for the next attempt, because they found the current connection dead, wait for nothing.
        if (reason._tag === "Aborted") this.results.notify(this.refusal)
        return
      case "Closing":
      case "Closed":
        if (reason._tag === "Aborted") this.enter({ ...this.state, reason })
    }
  }

  private get shutDown(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      yield* this.steps.abandon()
      const { session } = this
      if (session !== undefined) {
        yield* this.steps.release(session.scope, Exit.void)
        // The connection stays current until its `Connected` handler has ended (A2), for which `close` must not wait
        // (D7): closing has finished before the state says so.
        this.finish()
        if (this.handlers !== undefined) yield* this.handlers.settled
      }
      this.session = undefined
      this.enter(State.Closed({ ...this.common("Closed"), reason: this.reason }))
      this.finish()
      if (session !== undefined) {
        this.emit(Event.Disconnected({ cause: Cause.empty, generation: this.state.generation }))
      }
      this.bus.end()
    })
  }

  private finish(): void {
    this.hasFinished = true
    this.finished.notify(Exit.void)
  }

  /** Leaving the scope (D8). */
  get leave(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      this.beginClosing()
      this.handlers?.interruptAll()
      return this.isPartOf(fiber) ? Effect.void : this.fibers.join
    })
  }

  /** Is there a connection to hand out (A3, A4)? */
  isOpen(): this is { readonly state: { readonly _tag: "Connected"; readonly connection: Connection } } {
    return this.state._tag === "Connected" && !this.isKnownDead(this.state.connection)
  }

  private isKnownDead(connection: Connection): boolean {
    try {
      return this.settings.connector.isClosed?.(connection) === true
    } catch {
      return false
    }
  }

  get isClosing(): boolean {
    return this.state._tag === "Closing" || this.state._tag === "Closed"
  }

  get isAborted(): boolean {
    return this.ending?._tag === "Aborted"
  }

  private get reason(): ClosedReason<E> {
    return this.ending ?? { _tag: "ClosedByOwner" }
  }

  /** What everyone gets who asks for a connection that there will not be. */
  get closed(): ConnectionClosed<E> {
    return new ConnectionClosed({ serverName: this.settings.serverName, reason: this.reason }) as ConnectionClosed<E>
  }

  /** What `connectedOrFailedToConnect` answers once aborted or closed (A5, X5). */
  get refusal(): Exit.Exit<never, E | ConnectionClosed<E>> {
    return this.ending?._tag === "Aborted" ? Exit.failCause(this.ending.cause) : Exit.fail(this.closed)
  }

  // The loop and those who wait for it ---------------------------------------------------------------------------

  /** Is the fiber part of something that closing waits for: of an attempt, or of the release of a connection? */
  isPartOf(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return this.steps.includes(fiber)
  }

  /**
   * To be called before a fiber waits for the loop to get on. If the loop itself waits for that fiber, neither would
   * ever go on: so the loop does not wait for that handler any longer, and for an attempt it is a mistake (D7).
   */
  beforeWaiting(fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> {
    this.handlers?.letGo(fiber)
    return this.steps.isCurrent(fiber)
      ? Effect.die(
        new Cause.RuntimeException(`An attempt to connect to "${this.settings.serverName}" waits for itself`)
      )
      : Effect.void
  }

  /** `state` for everybody to see; made when somebody first looks. */
  get observed(): SubscriptionRef.SubscriptionRef<State.ConnectionState<Connection, E>> {
    return this.published ??= Effect.runSync(SubscriptionRef.make(this.state))
  }

  private enter(state: State.ConnectionState<Connection, E>): void {
    this.state = state
    // At one stroke, unless somebody is just subscribing; then it queues, and the order is kept all the same.
    if (this.published !== undefined) this.fibers.forkNow(SubscriptionRef.set(this.published, state))
  }

  private report(event: Event.ConnectionEvent<Connection, E, Address>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.emit(event)
      return this.handlers === undefined ? Effect.void : this.handlers.settled
    })
  }

  private emit(event: Event.ConnectionEvent<Connection, E, Address>): void {
    this.bus.publish(Event.mapAddress(event, () => undefined))
    this.handlers?.call(event)
  }

  /** Takes the loop over: nothing that the previous leg would have done next will happen. */
  private go(leg: Effect.Effect<void, never, R>): void {
    const previous = this.leg
    this.leg = this.fibers.fork(leg)
    if (previous !== undefined) interrupt(previous)
  }

  // Attempts -----------------------------------------------------------------------------------------------------

  /** Runs a look-up or a connect until it ends or the time is up. */
  private perform<A>(
    deadline: Deadline,
    effect: Effect.Effect<A, E, R>,
    scope?: Scope.CloseableScope
  ): Effect.Effect<Exit.Exit<A, AttemptFailure<E>>> {
    return deadline.timed(Effect.suspend(() => {
      const end = Effect.map(Fiber.await(this.steps.start(effect, scope)), Exit.mapErrorCause(orDefect))
      if (!deadline.isFinite) return end
      return Effect.raceFirst(end, Effect.map(deadline.passed, () => Exit.fail(this.timeout)))
    }))
  }

  private get timeout(): Cause.TimeoutException {
    const { attemptTimeout, serverName } = this.settings
    return new Cause.TimeoutException(
      `Looking up and connecting to "${serverName}" took longer than ${Duration.format(attemptTimeout)}`
    )
  }

  private newDeadline(): Deadline {
    const deadline: Deadline = new Deadline(this.clock, this.settings.attemptTimeout, () => {
      if (this.deadline === deadline && this.state._tag === "Connecting") this.connecting(deadline)
    })
    return this.deadline = deadline
  }

  private describeAttempt(deadline: Deadline): Attempt<Address, E> {
    return {
      serverName: this.settings.serverName,
      key: this.key,
      generation: this.state.generation + 1,
      number: this.cycle.attempt,
      lastCause: this.state.lastCause,
      previousAddress: this.address,
      failedAttempts: Effect.sync(() => this.failedAttempts),
      abort: (error) => Effect.sync(() => this.end({ _tag: "Aborted", cause: Cause.fail(error) })),
      untimed: (effect) => deadline.untimed(effect)
    }
  }

  private isKnownAddress(address: Address): boolean {
    try {
      return Option.exists(this.cycle.address, (known) => this.settings.addressEquivalence(known, address))
    } catch {
      return false
    }
  }

  private connecting(deadline?: Deadline): void {
    this.enter(State.Connecting({
      ...this.common("Connecting"),
      deadline: deadline !== undefined && Number.isFinite(deadline.at) ? Option.some(deadline.at) : Option.none()
    }))
  }

  private common(next: State.ConnectionState<Connection, E>["_tag"]): State.Common<E> {
    const { generation, lastCause, since, _tag } = this.state
    return {
      since: next === _tag ? since : this.clock.unsafeCurrentTimeMillis(),
      generation,
      attempt: Math.max(this.cycle.attempt, 1),
      address: this.address,
      lastCause
    }
  }
}
