/** A server that sends elements to its subscribers. A connection can have several subscriptions. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Line, Refused } from "../support/Fixture.js"
import { streamOf } from "../support/polled.js"

export class Subscription<A> {
  isOver = false
  constructor(readonly line: Line, private readonly mailbox: Mailbox.Mailbox<A, Refused>) {}

  /** The number of elements that have been sent and not taken. */
  get size(): number {
    const size = this.mailbox.unsafeSize()
    return size._tag === "Some" ? size.value : 0
  }

  send(...elements: ReadonlyArray<A>): void {
    this.mailbox.unsafeOfferAll(elements)
  }

  end(exit: Exit.Exit<void, Refused> = Exit.void): void {
    this.mailbox.unsafeDone(exit)
  }
}

export class Feed<A> {
  readonly subscriptions: Array<Subscription<A>> = []

  /** The latest subscription. */
  get last(): Subscription<A> {
    const last = this.subscriptions.at(-1)
    if (last === undefined) throw new Error("There is no subscription yet")
    return last
  }

  get open(): number {
    return this.subscriptions.filter(({ isOver }) => !isOver).length
  }

  readonly subscribe = (line: Line): Effect.Effect<Stream.Stream<A, Refused>, never, Scope.Scope> =>
    Effect.gen(this, function*() {
      const mailbox = yield* Mailbox.make<A, Refused>()
      const subscription = new Subscription(line, mailbox)
      this.subscriptions.push(subscription)
      yield* Effect.addFinalizer(() => Effect.sync(() => subscription.isOver = true))
      return yield* streamOf(mailbox)
    })

  readonly stream = (line: Line): Stream.Stream<A, Refused> => Stream.unwrapScoped(this.subscribe(line))
}

/** A consumer and the elements that it has got. */
export class Consumer<A> {
  readonly got: Array<A> = []
  /** The work for each element, after it has been got. */
  work: (element: A) => Effect.Effect<unknown> = () => Effect.void

  readonly run = <E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<void, E, R> =>
    Stream.runForEach(stream, (element) =>
      Effect.suspend(() => {
        this.got.push(element)
        return this.work(element)
      }))
}
