import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import type { ConnectionEvent } from "../../ConnectionEvent.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { AttemptFailure } from "../../Connector.js"
import { EventBus } from "../base/eventBus.js"

/**
 * Told of what happens at the stroke at which it happens.
 *
 * @internal
 */
export interface Observer<Connection, E> {
  readonly onTransition?: (previous: ConnectionState<Connection, E>, next: ConnectionState<Connection, E>) => void
  /** An event, with the address, at the moment at which it is published (E1). */
  readonly onEvent?: (event: ConnectionEvent<Connection, E>) => void
  /** An attempt has ended; by an interruption, if it was abandoned. One of a refresh is no transition if it fails. */
  readonly onAttempt?: (exit: Exit.Exit<unknown, AttemptFailure<E>>, isRefresh: boolean) => void
  /** So many wait for a connection. */
  readonly onWaiting?: (waiting: number) => void
}

/**
 * The state, the one source of truth, and those who look at it. For each way of looking nothing is made before
 * somebody looks.
 *
 * It does what a `SubscriptionRef` does, for readers, but in one respect: a `SubscriptionRef` is set behind a semaphore,
 * hence in a later turn, and in between would say what is no longer true.
 *
 * @internal
 */
export class Status<Connection, E> {
  private changes: EventBus<ConnectionState<Connection, E>> | undefined
  private observers: Set<Observer<Connection, E>> | undefined
  /** How many wait for a connection. */
  waiting = 0

  constructor(public state: ConnectionState<Connection, E>) {}

  enter(state: ConnectionState<Connection, E>): void {
    const previous = this.state
    this.state = state
    this.observers?.forEach((observer) => observer.onTransition?.(previous, state))
    this.changes?.publish(state)
  }

  happened(event: ConnectionEvent<Connection, E>): void {
    this.observers?.forEach((observer) => observer.onEvent?.(event))
  }

  attempted(exit: Exit.Exit<unknown, AttemptFailure<E>>, isRefresh: boolean): void {
    this.observers?.forEach((observer) => observer.onAttempt?.(exit, isRefresh))
  }

  get subscribable(): Subscribable.Subscribable<ConnectionState<Connection, E>> {
    return Subscribable.make({
      get: Effect.sync(() => this.state),
      changes: Stream.suspend(() => {
        if (this.changes === undefined) {
          this.changes = new EventBus()
          this.changes.publish(this.state)
        }
        return this.changes.stream
      })
    })
  }

  /** From now on, beginning with the state as it is, until the scope is closed. */
  observe(observer: Observer<Connection, E>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() => {
        this.observers = (this.observers ?? new Set()).add(observer)
        observer.onTransition?.(this.state, this.state)
        observer.onWaiting?.(this.waiting)
      }),
      () => Effect.sync(() => this.observers?.delete(observer))
    ))
  }

  /** Runs an effect that waits for a connection. */
  whileWaiting<A, E2>(effect: Effect.Effect<A, E2>): Effect.Effect<A, E2> {
    const count = (difference: number) =>
      Effect.sync(() => {
        this.waiting += difference
        this.observers?.forEach((observer) => observer.onWaiting?.(this.waiting))
      })
    return Effect.acquireUseRelease(count(1), () => effect, () => count(-1))
  }
}
