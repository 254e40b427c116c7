import type * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { Handoff } from "./handoff.js"

/** How many values a subscriber may fall behind before it loses the oldest ones. */
const capacity = 64

/** Where a subscriber gets the values. */
interface Subscriber<in A> {
  readonly offer: (value: A) => void
  readonly end?: () => void
}

/**
 * Broadcasts values to any number of subscribers. A new subscriber first gets the most recent value (E2). It never
 * waits for subscribers.
 *
 * It is not a `PubSub`: in effect 3, a `PubSub` with `replay` keeps every value since its oldest subscription, and its
 * shutdown drops undelivered values.
 *
 * @internal
 */
export class EventBus<in out A> {
  private subscribers: Set<Subscriber<A>> | undefined
  private isEnded = false

  /** `last` is the most recent value so far. */
  constructor(private last: Option.Option<A> = Option.none()) {}

  publish(value: A): void {
    this.last = Option.some(value)
    this.subscribers?.forEach((subscriber) => subscriber.offer(value))
  }

  /** Ends the streams after they have delivered their remaining values. */
  end(): void {
    this.isEnded = true
    this.subscribers?.forEach((subscriber) => subscriber.end?.())
  }

  get subscribe(): Effect.Effect<Queue.Dequeue<A>, never, Scope.Scope> {
    return Effect.acquireRelease(Queue.sliding<A>(capacity), Queue.shutdown).pipe(
      // A sliding queue never makes the publisher wait. A queue that its owner has shut down interrupts the fiber that
      // offers.
      Effect.tap((queue) => this.register({ offer: (value) => Effect.runSyncExit(Queue.offer(queue, value)) }))
    )
  }

  /** Subscribes, and gives the channel of a stream of the values. */
  get follow(): Effect.Effect<Channel.Channel<Chunk.Chunk<A>>, never, Scope.Scope> {
    return Effect.suspend(() => {
      const handoff = new Handoff<A, never>(capacity)
      return Effect.as(
        this.register({
          offer: (value) => handoff.give(Chunk.of(value)),
          end: () => handoff.finish(Exit.void)
        }),
        handoff.channel
      )
    })
  }

  private register(subscriber: Subscriber<A>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() => {
        if (Option.isSome(this.last)) subscriber.offer(this.last.value)
        if (this.isEnded) subscriber.end?.()
        else (this.subscribers ??= new Set()).add(subscriber)
      }),
      () => Effect.sync(() => this.subscribers?.delete(subscriber))
    ))
  }
}
