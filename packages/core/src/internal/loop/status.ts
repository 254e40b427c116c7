import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Equivalence from "effect/Equivalence"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { ConnectionEvent } from "../../ConnectionEvent.js"
import { Connecting, connection, type ConnectionState } from "../../ConnectionState.js"
import type { AttemptFailure } from "../../Connector.js"
import { EventBus } from "../base/eventBus.js"
import { now } from "../base/time.js"

/**
 * Its functions are called synchronously at every change.
 *
 * @internal
 */
export interface Observer<C, E> {
  /** `at` is in ms of monotonic time. An observer is first called with the present state as both arguments. */
  readonly onTransition: (previous: ConnectionState<C, E>, next: ConnectionState<C, E>, at: number) => void
  /** An event, with the address, when it is published (E1). */
  readonly onEvent?: (event: ConnectionEvent<C, E>) => void
  /** An attempt has ended; an abandoned one with an interruption. A failed refresh causes no transition. */
  readonly onAttempt?: (exit: Exit.Exit<unknown, AttemptFailure<E>>, isRefresh: boolean) => void
  /** The number of fibers that wait for a connection has changed. */
  readonly onWaiting?: (waiting: number) => void
}

/** A time without a connection. */
interface Outage {
  /** When it began: in ms of wall time, and of monotonic time. */
  readonly since: number
  readonly begunAt: number
  /** The number of the last attempt; 0 if there has been none since the loss. */
  attempt: number
}

/**
 * The state and its observers. The buses are made on first use.
 *
 * @internal
 */
export class Status<C, E> {
  /** How many fibers wait for a connection. */
  waiting = 0
  private states: EventBus<ConnectionState<C, E>> | undefined
  private connections: EventBus<Option.Option<C>> | undefined
  private observers: Set<Observer<C, E>> | undefined

  state: ConnectionState<C, E>
  /** When this phase began, in ms of monotonic time. */
  enteredAt: number
  /** The present time without a connection; undefined while there is one. */
  outage: Outage | undefined

  constructor(clock: Clock.Clock) {
    const none = Option.none()
    const since = clock.unsafeCurrentTimeMillis()
    this.state = Connecting({ since, generation: 0, attempt: 1, address: none, lastCause: none, deadline: none })
    this.enteredAt = now(clock)
    this.outage = { since, begunAt: this.enteredAt, attempt: 1 }
  }

  enter(state: ConnectionState<C, E>, at: number): void {
    const previous = this.state
    this.state = state
    if (previous._tag !== state._tag || previous.since !== state.since) this.enteredAt = at
    if (state._tag === "Connected") this.outage = undefined
    else this.outage ??= { since: state.since, begunAt: at, attempt: 0 }
    if (state._tag === "Connecting" && this.outage !== undefined) this.outage.attempt = state.attempt
    this.observers?.forEach((observer) => observer.onTransition(previous, state, at))
    this.states?.publish(state)
    if (!isSame(connection(state), connection(previous))) this.connections?.publish(connection(state))
  }

  happened(event: ConnectionEvent<C, E>): void {
    this.observers?.forEach((observer) => observer.onEvent?.(event))
  }

  attempted(exit: Exit.Exit<unknown, AttemptFailure<E>>, isRefresh: boolean): void {
    this.observers?.forEach((observer) => observer.onAttempt?.(exit, isRefresh))
  }

  /** The states, from the present one on. */
  get changes(): EventBus<ConnectionState<C, E>> {
    return this.states ??= new EventBus(Option.some(this.state))
  }

  /** The current connections, from the present one on (A1, A2). */
  get currentChanges(): EventBus<Option.Option<C>> {
    return this.connections ??= new EventBus(Option.some(connection(this.state)))
  }

  /** Calls the observer from now on, first with the present state, until the scope is closed. */
  observe(observer: Observer<C, E>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() => {
        const observers = this.observers ??= new Set()
        observers.add(observer)
        observer.onTransition(this.state, this.state, this.enteredAt)
        observer.onWaiting?.(this.waiting)
        return observers
      }),
      (observers) => Effect.sync(() => observers.delete(observer))
    ))
  }

  countWaiting(difference: number): void {
    this.waiting += difference
    this.observers?.forEach((observer) => observer.onWaiting?.(this.waiting))
  }
}

const isSame = Option.getEquivalence<unknown>(Equivalence.strict())
