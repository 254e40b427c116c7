/**
 * The feed of the playground: the server numbers its messages by the time, one every half second, and can repeat those
 * of the last 10 seconds. After a restart it can repeat only what it has sent since.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"

export interface Message {
  readonly number: number
}

/** One connection to the feed. */
export interface Feed<E = never> {
  /** The messages after this number, or from now on. */
  readonly subscribe: (after: Option.Option<number>) => Effect.Effect<Stream.Stream<Message>, E>
  readonly ping: Effect.Effect<void, E>
  /** Succeeds when the server has announced a restart. */
  readonly goingAway: Effect.Effect<void>
}

export class FeedError extends Data.TaggedError("FeedError")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

/** The time between two messages, in ms. */
const period = 500

/** How many messages the server can repeat. */
const kept = 20

/** The number of the latest message at this time. */
const numberAt = (millis: number): number => Math.floor(millis / period)

/** When a message is sent, in ms. */
export const timeOf = (number: number): number => number * period

/** The first message for a subscriber at the time `now`, whose last message was `after`. */
export const firstNumber = (after: number | undefined, now: number, upSince: number): number =>
  after === undefined
    ? numberAt(now)
    : Math.max(after + 1, numberAt(now) - kept + 1, numberAt(upSince))
