/** Runs tests of streams twice: with streams that are run, and with streams that are polled. */
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import type * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { it as once } from "./virtualTime.js"

const isPolled = FiberRef.unsafeMake(false)

/** The stream of a mailbox, one element at a time. In the second test, it can be polled. */
export const streamOf = <A, E>(mailbox: Mailbox.Mailbox<A, E>): Effect.Effect<Stream.Stream<A, E>> =>
  Effect.map(FiberRef.get(isPolled), (isPolled) => isPolled ? polled(mailbox) : oneByOne(mailbox))

const oneByOne = <A, E>(mailbox: Mailbox.Mailbox<A, E>): Stream.Stream<A, E> =>
  Stream.repeatEffectOption(
    Effect.mapError(mailbox.take, (error) => Cause.isNoSuchElementException(error) ? Option.none() : Option.some(error))
  )

/** The stream of a mailbox that is filled with its `unsafe` methods: wraps them, to notice what arrives. */
export const polled = <A, E>(mailbox: Mailbox.Mailbox<A, E>): Stream.Stream<A, E> => {
  const listeners = new Set<() => void>()
  const notifying =
    <Arguments extends Array<never>, B>(method: (...args: Arguments) => B) => (...args: Arguments): B => {
      const result = method.apply(mailbox, args)
      for (const listener of listeners) listener()
      return result
    }
  Object.assign(mailbox, {
    unsafeOffer: notifying(mailbox.unsafeOffer),
    unsafeOfferAll: notifying(mailbox.unsafeOfferAll),
    unsafeDone: notifying(mailbox.unsafeDone)
  })
  return Connector.withPoll(oneByOne(mailbox), {
    poll: () => {
      if (Option.contains(mailbox.unsafeSize(), 0)) return undefined
      // Ends at once, because the mailbox is not empty, or has ended.
      const taken = Effect.runSyncExit(mailbox.take)
      return Exit.isSuccess(taken)
        ? Chunk.of(taken.value)
        : Exit.failCause(
          Cause.map(taken.cause, (error) => Cause.isNoSuchElementException(error) ? Option.none() : Option.some(error))
        )
    },
    onArrival: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    }
  })
}

export const it: Pick<typeof once, "scoped"> = {
  scoped: (name, run) => {
    once.scoped(name, run)
    once.scoped(`${name} (polled)`, () => Effect.locally(run(), isPolled, true))
  }
}
