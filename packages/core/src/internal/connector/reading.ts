import type * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Reading } from "../../Connector.js"
import { attempted, isCallback, listen } from "../base/callback.js"
import { bareFork } from "../base/effect3.js"
import { pullOf } from "../base/pull.js"

/** @internal */
export const readInBackground = <A, E, E2, E3>(
  { closed, onClosed, onRead, stream, take }: Reading<A, E, E2, E3>
): Effect.Effect<void, never, Scope.Scope> => {
  let chunks = 0
  const takeNext = (chunk: Chunk.Chunk<A>): Effect.Effect<void, E3> => {
    chunks++
    return take(chunk)
  }
  /** Waits until the reader has taken what has arrived: it has a turn whenever this fiber yields. */
  const caughtUp: Effect.Effect<void> = Effect.suspend(() => {
    const before = chunks
    return Effect.flatMap(Effect.yieldNow(), () => chunks === before ? Effect.void : caughtUp)
  })
  return Effect.zipRight(
    forkWithConnection(forEachChunk(stream, takeNext), onRead),
    watch(attempted(closed), caughtUp, onClosed)
  )
}

/** As `Stream.runForEachChunk`, but if the stream has a pull, it waits without a running stream. */
const forEachChunk = <A, E, E2>(
  stream: Stream.Stream<A, E>,
  f: (chunk: Chunk.Chunk<A>) => Effect.Effect<void, E2>
): Effect.Effect<void, E | E2> => {
  const pull = pullOf(stream)
  if (pull === undefined) return Stream.runForEachChunk(stream, f)
  const all: Effect.Effect<void, E | E2> = Effect.matchEffect(pull, {
    onSuccess: (chunk) => Effect.zipRight(f(chunk), all),
    onFailure: Option.match({ onNone: () => Effect.void, onSome: Effect.fail })
  })
  return all
}

/** Calls the listener with the exit of `closed` when the reader has caught up. */
const watch = <E>(
  closed: Effect.Effect<unknown, E>,
  caughtUp: Effect.Effect<void>,
  listener: (exit: Exit.Exit<unknown, E>) => void
): Effect.Effect<unknown, never, Scope.Scope> =>
  isCallback(closed)
    ? Effect.flatMap(bareFork, (fork) =>
      Effect.acquireRelease(
        Effect.sync(() => listen(closed, (exit) => fork(Effect.zipLeft(exit, caughtUp)), listener)),
        (cancel) => Effect.sync(cancel)
      ))
    : forkWithConnection(Effect.flatten(Effect.zipLeft(Effect.exit(closed), caughtUp)), listener)

/**
 * Forks into the scope of the connection. The fiber is interruptible even if the attempt is not, and does not inherit
 * the context of the attempt, such as its span. A release interrupts it, without a call of the listener.
 */
const forkWithConnection = <A, E>(
  effect: Effect.Effect<A, E>,
  listener: (exit: Exit.Exit<A, E>) => void
): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.map(Effect.exit(effect), listener).pipe(
    Effect.mapInputContext((_: Context.Context<never>) => Context.empty()),
    Effect.interruptible,
    Effect.forkScoped
  )
