import * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { FailoverOptions, LookUp } from "../../Addresses.js"
import type { Attempt } from "../../Connector.js"
import { equalContent } from "../base/equalContent.js"
import * as Options from "../base/options.js"
import * as time from "../base/time.js"

/**
 * A look-up with a separate state for each persistent connection that uses it. The state is dropped with the persistent
 * connection.
 */
const remembering = <S, Address>(
  initial: () => S,
  next: (state: S, attempt: Attempt<unknown>) => Effect.Effect<Address>
): LookUp<Address> => {
  const states = new WeakMap<object, S>()
  return (attempt) =>
    Effect.suspend(() => {
      const state = states.get(attempt.owner) ?? initial()
      states.set(attempt.owner, state)
      return next(state, attempt)
    })
}

/** @internal */
export const roundRobin = <Address>(addresses: Arr.NonEmptyReadonlyArray<Address>): LookUp<Address> => {
  const list = Arr.copy(Options.nonEmptyArray("addresses", addresses))
  return remembering(
    () => ({ turn: 0 }),
    (state) => Effect.sync(() => Arr.unsafeGet(list, state.turn++ % list.length))
  )
}

/** @internal */
export const shuffled = <Address>(addresses: Arr.NonEmptyReadonlyArray<Address>): LookUp<Address> => {
  const list = Arr.dedupeWith(Options.nonEmptyArray("addresses", addresses), equalContent)
  return remembering(
    () => ({ round: Arr.empty<Address>(), turn: 0 }),
    (state) =>
      Effect.gen(function*() {
        if (state.turn === state.round.length) {
          state.round = yield* shuffle(list, state.round.at(-1))
          state.turn = 0
        }
        return Arr.unsafeGet(state.round, state.turn++)
      })
  )
}

/**
 * A random order that does not begin with the given element, if there is another. All such orders are equally likely.
 */
const shuffle = <A>(list: ReadonlyArray<A>, notFirst: A | undefined): Effect.Effect<Array<A>> =>
  Effect.gen(function*() {
    const order = Arr.fromIterable(yield* Random.shuffle(list))
    const first = Arr.unsafeGet(order, 0)
    if (first === notFirst && order.length > 1) {
      const other = yield* Random.nextIntBetween(1, order.length)
      order[0] = Arr.unsafeGet(order, other)
      order[other] = first
    }
    return order
  })

const readers = {
  failBackAfter: Options.withDefault(Options.duration, Infinity),
  failoverWhen: Options.optional(Options.func)
}

/** @internal */
export const failover = <Address>(
  addresses: Arr.NonEmptyReadonlyArray<Address>,
  options?: FailoverOptions
): LookUp<Address> => {
  const list = Arr.dedupeWith(Options.nonEmptyArray("addresses", addresses), equalContent)
  const { failBackAfter, failoverWhen } = Options.read(options, readers)
  const after = (index: number) => (index + 1) % list.length
  return remembering(
    () => ({
      index: -1,
      leftPreferredAt: 0,
      generation: 0,
      connected: -1,
      number: 0,
      lastCause: Option.none<Cause.Cause<unknown>>()
    }),
    (state, attempt) =>
      Effect.map(Effect.clock, (clock) => {
        const now = time.now(clock)
        const last = state.index
        // The generation has changed, so the last address led to a connection.
        if (attempt.generation !== state.generation) state.connected = last
        state.generation = attempt.generation
        // An attempt that is made again, as `reconnectNow` can do, has not failed.
        const isAgain = attempt.number === state.number && attempt.lastCause === state.lastCause
        state.number = attempt.number
        state.lastCause = attempt.lastCause
        const isLeft = !isAgain &&
          (failoverWhen === undefined ? attempt.number > 1 : Option.exists(attempt.lastCause, failoverWhen))
        if (attempt.number === 1 && last > 0 && now - state.leftPreferredAt >= Duration.toMillis(failBackAfter)) {
          state.index = 0
        } else if (isLeft || last === -1) {
          state.index = after(last)
        }
        if (attempt.elsewhere && state.index === state.connected) state.index = after(state.index)
        if (last === 0) state.leftPreferredAt = now
        return Arr.unsafeGet(list, state.index)
      })
  )
}
