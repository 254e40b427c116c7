import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import type { ConnectionState } from "../ConnectionState.js"
import { EventBus } from "./eventBus.js"

/**
 * Told of every transition at the stroke at which it happens, and of how many wait for a connection.
 *
 * @internal
 */
export interface Observer<Connection, E> {
  readonly onTransition: (previous: ConnectionState<Connection, E>, next: ConnectionState<Connection, E>) => void
  readonly onWaiting: (waiting: number) => void
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
  private waiting = 0

  constructor(public state: ConnectionState<Connection, E>) {}

  enter(state: ConnectionState<Connection, E>): void {
    const previous = this.state
    this.state = state
    this.observers?.forEach((observer) => observer.onTransition(previous, state))
    this.changes?.publish(state)
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
        observer.onTransition(this.state, this.state)
        observer.onWaiting(this.waiting)
      }),
      () => Effect.sync(() => this.observers?.delete(observer))
    ))
  }

  /** Runs an effect that waits for a connection. */
  whileWaiting<A, E2>(effect: Effect.Effect<A, E2>): Effect.Effect<A, E2> {
    const count = (difference: number) =>
      Effect.sync(() => {
        this.waiting += difference
        this.observers?.forEach((observer) => observer.onWaiting(this.waiting))
      })
    return Effect.acquireUseRelease(count(1), () => effect, () => count(-1))
  }
}
