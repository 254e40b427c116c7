import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Poll } from "../../Connector.js"
import { callback } from "../base/callback.js"
import type { Handoff } from "../base/handoff.js"
import { endOf, pollOf } from "../base/poll.js"

/** The part of a handoff that says when the consumer wants more. */
type Demand = Pick<Handoff<never, never>, "demand" | "onDemand">

/**
 * Gives the elements of a stream, chunk after chunk, to the end. For a stream with a poll, this is a callback.
 *
 * @internal
 */
export const giveAll = <A, E, R>(
  demand: Demand,
  stream: Stream.Stream<A, E, R>,
  give: (elements: Chunk.Chunk<A>) => void
): Effect.Effect<void, E, Exclude<R, Scope.Scope>> => {
  const source = pollOf(stream)
  return source === undefined ? givePulled(demand, stream, give) : givePolled(demand, source, give)
}

/** The first pull subscribes, so it does not wait for the consumer; each later one does. */
const givePulled = <A, E, R>(
  { demand }: Demand,
  stream: Stream.Stream<A, E, R>,
  give: (elements: Chunk.Chunk<A>) => void
): Effect.Effect<void, E, Exclude<R, Scope.Scope>> =>
  scoped(
    // Its pulls take 1 kB less while they wait than those of `Stream.toPull`.
    Effect.flatMap(Channel.toPull(Stream.toChannel(stream)), (pull) => {
      const gave = (elements: Chunk.Chunk<A>) => {
        give(elements)
        return next
      }
      const pulled = Effect.flatMap(pull, (one) => Either.isRight(one) ? gave(one.right) : Effect.void)
      const next: Effect.Effect<void, E, R> = Effect.zipRight(demand, pulled)
      return Effect.flatMap(
        pull,
        (one) => Either.isRight(one) ? Effect.flatMap(demand, () => gave(one.right)) : Effect.void
      )
    })
  )

/** The elements pass no fiber: what arrives while the consumer waits is given in the same turn. */
const givePolled = <A, E>(
  demand: Demand,
  source: Poll<A, E>,
  give: (elements: Chunk.Chunk<A>) => void
): Effect.Effect<void, E> =>
  callback((resume) => {
    let isOver = false
    /** Does the consumer wait for an arrival? */
    let isWaiting = false
    const stop = () => {
      isOver = true
      removeListener()
    }
    const end = (exit: Exit.Exit<void, E>) => {
      stop()
      resume(exit)
    }
    const next = () => {
      if (isOver) return
      try {
        const arrived = source.poll()
        isWaiting = arrived === undefined
        if (arrived === undefined) return
        if ("_tag" in arrived) return end(endOf(arrived))
        give(arrived)
      } catch (defect) {
        return end(Exit.die(defect))
      }
      demand.onDemand(next)
    }
    const removeListener = source.onArrival(() => {
      if (isWaiting) next()
    })
    demand.onDemand(next)
    return stop
  })

/**
 * Runs an effect in a scope of its own.
 *
 * @internal
 */
export const scoped = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.scopedWith((scope) => Scope.extend(effect, scope))
