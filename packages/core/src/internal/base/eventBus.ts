import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Signal } from "./signal.js"

/** How far a subscriber may fall behind before it loses the oldest events. */
const capacity = 64

/**
 * A `PubSub` that remembers the most recent element (E2), is made when somebody first subscribes, and may have an end.
 *
 * @internal
 */
export class EventBus<A> {
  private last: Option.Option<A> = Option.none()
  private hub: PubSub.PubSub<A> | undefined
  private isEnded = false
  private readonly ending = new Signal<void>()

  /** Never waits for a subscriber (E1). */
  publish(event: A): void {
    this.last = Option.some(event)
    // Not `unsafeOffer`, which drops the newest element of a full sliding hub instead of the oldest.
    if (this.hub !== undefined) Effect.runSync(PubSub.publish(this.hub, event))
  }

  /** There will be no other event. */
  end(): void {
    this.isEnded = true
    this.ending.notify(Exit.void)
  }

  get subscribe(): Effect.Effect<Queue.Dequeue<A>, never, Scope.Scope> {
    return Effect.suspend(() => {
      if (this.hub === undefined) {
        this.hub = Effect.runSync(PubSub.sliding<A>({ capacity, replay: 1 }))
        if (Option.isSome(this.last)) this.publish(this.last.value)
      }
      return PubSub.subscribe(this.hub)
    })
  }

  /**
   * The end must not overtake what is still in the queue, which a shutdown would drop: so the stream ends by itself
   * with the last event, and the queue is shut down only under a consumer that has taken everything already.
   */
  get stream(): Stream.Stream<A> {
    return Stream.unwrapScoped(Effect.gen(this, function*() {
      const queue = yield* this.subscribe
      const isOver = () => this.isEnded && Option.contains(queue.unsafeSize(), 0)
      yield* Effect.suspend(() => this.isEnded ? Effect.void : this.ending.next).pipe(
        Effect.andThen(Effect.suspend(() => isOver() ? Queue.shutdown(queue) : Effect.void)),
        Effect.forkScoped
      )
      return Stream.fromQueue(queue, { maxChunkSize: 1 }).pipe(Stream.takeUntil(isOver))
    }))
  }
}
