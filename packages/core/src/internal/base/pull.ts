import type * as Chunk from "effect/Chunk"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Stream from "effect/Stream"

/** Takes the next elements of a stream. Fails with None after the last ones, or with the error of the stream. */
type Pull<A, E, R> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>, R>

const key: unique symbol = Symbol.for("~persistent-connection/pull")

/** @internal */
export const withPull = <A, E, R>(stream: Stream.Stream<A, E, R>, pull: Pull<A, E, R>): Stream.Stream<A, E, R> =>
  Object.assign(stream, { [key]: pull })

/** @internal */
export const pullOf = <A, E, R>(stream: Stream.Stream<A, E, R>): Pull<A, E, R> | undefined =>
  Predicate.hasProperty(stream, key) ? stream[key] as Pull<A, E, R> : undefined
