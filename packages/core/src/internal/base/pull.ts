import type * as Chunk from "effect/Chunk"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as options from "./options.js"

/**
 * Takes the next elements of a stream. Fails with None after the last ones, or with the error of the stream.
 *
 * @internal
 */
export type Pull<A, E> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>>

const key: unique symbol = Symbol.for("~persistent-connection/pull")

/** @internal */
export const isStream = options.kind("a Stream", (input) => Predicate.hasProperty(input, Stream.StreamTypeId))

/** @internal */
export const withPull = <A, E>(stream: Stream.Stream<A, E>, pull: Pull<A, E>): Stream.Stream<A, E> =>
  // The stream itself may be shared, such as `Stream.empty`.
  Object.create(isStream("stream", stream), { [key]: { value: pull } })

/** @internal */
export const pullOf = <A, E>(stream: Stream.Stream<A, E>): Pull<A, E> | undefined =>
  Predicate.hasProperty(stream, key) ? stream[key] as Pull<A, E> : undefined
