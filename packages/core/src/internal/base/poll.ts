import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { Poll } from "../../Connector.js"
import * as options from "./options.js"

const key: unique symbol = Symbol.for("~persistent-connection/poll")

/** @internal */
export const isStream = options.kind("a Stream", (input) => Predicate.hasProperty(input, Stream.StreamTypeId))

/** @internal */
export const withPoll = <A, E>(stream: Stream.Stream<A, E>, poll: Poll<A, E>): Stream.Stream<A, E> =>
  // The stream itself may be shared, such as `Stream.empty`.
  Object.create(isStream("stream", stream), { [key]: { value: poll } })

/** @internal */
export const pollOf = <A, E, R>(stream: Stream.Stream<A, E, R>): Poll<A, E> | undefined =>
  Predicate.hasProperty(stream, key) ? stream[key] as Poll<A, E> : undefined

/**
 * How a poll ends the stream.
 *
 * @internal
 */
export const endOf = <E>(end: Exit.Exit<never, Option.Option<E>>): Exit.Exit<void, E> =>
  Exit.isSuccess(end)
    ? Exit.void
    : Option.match(Cause.flipCauseOption(end.cause), { onNone: () => Exit.void, onSome: Exit.failCause })
