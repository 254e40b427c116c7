import * as Connector from "@persistent-connection/core/Connector"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

export interface Update {
  readonly number: number
  readonly price: number
  readonly size: number
}

export interface Book {
  /** The number of the last update in it. */
  readonly number: number
  readonly sizes: ReadonlyMap<number, number>
}

export interface Exchange<E> {
  /** Completes when the exchange has accepted the subscription: the stream misses no update after that. */
  readonly subscribe: Effect.Effect<Stream.Stream<Update, E>, E>
  readonly snapshot: Effect.Effect<Book, E>
}

export class SequenceGap extends Data.TaggedError("SequenceGap")<{
  readonly expected: number
  readonly received: number
}> {}

const apply = (book: Book, { number, price, size }: Update): Book => {
  const sizes = new Map(book.sizes)
  if (size === 0) sizes.delete(price)
  else sizes.set(price, size)
  return { number, sizes }
}

/** A connector whose connections are books. A book always has a snapshot, and never a hole. */
export const withBook = <Address, E, R>(exchange: Connector.Connector<Address, Exchange<E>, E, R>) =>
  exchange.pipe(
    Connector.setup(({ snapshot, subscribe }) =>
      Effect.gen(function*() {
        // In this order: an update that arrives before the snapshot waits in the stream.
        const updates = yield* subscribe
        const book = yield* SubscriptionRef.make(yield* snapshot)
        return { book, updates }
      })
    ),
    Connector.runInBackground(({ book, updates }) =>
      Stream.runForEach(updates, (update) =>
        SubscriptionRef.updateEffect(book, (current) => {
          const expected = current.number + 1
          if (update.number < expected) return Effect.succeed(current) // the snapshot has it
          return update.number === expected
            ? Effect.succeed(apply(current, update))
            : Effect.fail(new SequenceGap({ expected, received: update.number }))
        }))
    ),
    Connector.map(({ book }) => book)
  )
