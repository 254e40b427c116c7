import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { ClosedReason } from "../../ConnectionError.js"
import * as Event from "../../ConnectionEvent.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import type { Entry, Recorder, Writable } from "../../testing/Recorder.js"
import * as option from "../base/options.js"
import { summary } from "../base/render.js"
import { Signal } from "../base/signal.js"
import { loopOf } from "../loop/service.js"

class Impl<A extends { readonly _tag: string }> implements Writable<A> {
  private readonly all: Array<Entry<A>> = []
  private readonly added = new Signal<void>()

  constructor(private readonly clock: Clock.Clock, private readonly describe: (value: A) => string) {}

  write(value: A, at = this.clock.unsafeCurrentTimeMillis()): void {
    this.all.push({ at, value })
    this.added.notify(Exit.void)
  }

  readonly record = (value: A) => Effect.sync(() => this.write(value))

  // The yield lets the recording fiber write the events that are already published.
  readonly entries = Effect.map(Effect.yieldNow(), () => [...this.all])

  readonly render = Effect.map(
    this.entries,
    (entries) => table(entries.map(({ at, value }) => [`${at} ms`, this.describe(value)]))
  )

  waitFor<Tag extends A["_tag"]>(tag: Tag): Effect.Effect<Entry<Extract<A, { readonly _tag: Tag }>>>
  waitFor<B extends A>(refinement: Predicate.Refinement<A, B>): Effect.Effect<Entry<B>>
  waitFor(predicate: Predicate.Predicate<A>): Effect.Effect<Entry<A>>
  waitFor(wanted: A["_tag"] | Predicate.Predicate<A>): Effect.Effect<Entry<A>> {
    asWanted("The argument of waitFor", wanted)
    const isIt = typeof wanted === "string" ? (value: A) => value._tag === wanted : wanted
    return Effect.suspend(() => {
      const found = this.all.find((entry) => isIt(entry.value))
      return found ? Effect.succeed(found) : Effect.andThen(this.added.next, this.waitFor(isIt))
    })
  }
}

const asWanted = option.kind("a tag or a function", (input) => Predicate.isString(input) || Predicate.isFunction(input))

/** Rows with the first column aligned. */
const table = (rows: ReadonlyArray<readonly [string, string]>): string => {
  const width = Math.max(...rows.map(([at]) => at.length))
  return rows.map(([at, text]) => `${at.padEnd(width)}  ${text}`.trimEnd()).join("\n")
}

const start = <A extends { readonly _tag: string }>(describe: (value: A) => string): Effect.Effect<Impl<A>> =>
  Effect.map(Effect.clock, (clock) => new Impl(clock, describe))

/** @internal */
export const make = <Connection, E, Address>(): Effect.Effect<
  Writable<Event.ConnectionEvent<Connection, E, Address>>
> => start<Event.ConnectionEvent<Connection, E, Address>>(Event.message)

/** @internal */
export const events = <Connection, E>(
  self: PersistentConnection<Connection, E>
): Effect.Effect<Recorder<Event.ConnectionEvent<Connection, E, void>>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const recorder = yield* start<Event.ConnectionEvent<Connection, E, void>>(Event.message)
    const queue = yield* self.subscribe
    const follow: Effect.Effect<never> = Effect.flatMap(Queue.takeBetween(queue, 1, Infinity), (events) => {
      for (const event of events) recorder.write(event)
      return follow
    })
    yield* Effect.forkScoped(follow)
    return recorder
  })

/** @internal */
export const states = <Connection, E>(
  self: PersistentConnection<Connection, E>
): Effect.Effect<Recorder<ConnectionState<Connection, E>>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const recorder = yield* start<ConnectionState<Connection, E>>(describeState)
    yield* loopOf(self).status.observe({
      // The first call reports the current state as a transition to itself.
      onTransition: (previous, next) => recorder.write(next, previous === next ? next.since : undefined)
    })
    return recorder
  })

const describeState = (state: ConnectionState<unknown, unknown>): string =>
  `${state._tag.padEnd("Connecting".length)}  ${detailsOf(state)}`

const detailsOf = (state: ConnectionState<unknown, unknown>): string => {
  switch (state._tag) {
    case "Connecting":
      return Option.match(state.deadline, {
        onNone: () => `attempt ${state.attempt}`,
        onSome: (at) => `attempt ${state.attempt}, deadline at ${at} ms`
      })
    case "Connected":
      return `generation ${state.generation}${state.isLast ? ", the last one" : ""}`
    case "Waiting": {
      const cause = summary(Option.getOrElse(state.lastCause, () => Cause.empty))
      return Option.match(state.nextAttemptAt, {
        onNone: () => `no further attempt, after ${cause}`,
        onSome: (at) => `until ${at} ms, after ${cause}`
      })
    }
    case "Closing":
    case "Closed":
      return describeReason(state.reason)
  }
}

const describeReason = (reason: ClosedReason<unknown>): string =>
  reason._tag === "ClosedByOwner" ? reason._tag : `${reason._tag}: ${summary(reason.cause)}`
