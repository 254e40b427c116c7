import type * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Receiver } from "../../Connector.js"
import { isCallback, listen } from "../base/callback.js"
import { type BareFork, bareFork } from "../base/effect3.js"
import { isStream, type Pull, pullOf } from "../base/pull.js"

/** @internal */
export const readInBackground = <A, E, E2, E3>(
  stream: Stream.Stream<A, E>,
  closed: Effect.Effect<unknown, E2>,
  receiver: Receiver<A, E, E2, E3>
): Effect.Effect<void, never, Scope.Scope> => {
  const reader = new Reader(isStream("stream", stream), receiver)
  return Effect.zip(Effect.scope, bareFork).pipe(
    Effect.flatMap(([scope, fork]) => reader.begin(scope, fork, closed)),
    Effect.uninterruptible
  )
}

/** Most effects are made when they begin: an idle connection keeps little memory. */
class Reader<A, E, E2, E3> {
  private chunks = 0

  constructor(
    private readonly stream: Stream.Stream<A, E>,
    private readonly receiver: Receiver<A, E, E2, E3>
  ) {}

  begin(scope: Scope.Scope, fork: BareFork, closed: Effect.Effect<unknown, E2>): Effect.Effect<void> {
    const pull = pullOf(this.stream)
    const reading = pull === undefined
      ? forkInScope(scope, Effect.flatMap(Effect.exit(this.readStream), (exit) => this.onRead(exit)))
      : forkBare(scope, fork, Effect.flatMap(Effect.exit(this.readPull(pull)), (exit) => this.onRead(exit)))
    return Effect.zipRight(reading, this.watch(scope, fork, closed))
  }

  private watch(scope: Scope.Scope, fork: BareFork, closed: Effect.Effect<unknown, E2>): Effect.Effect<void> {
    const onClosed = (exit: Exit.Exit<unknown, E2>) => this.receiver.onClosed(exit)
    if (!isCallback(closed)) {
      return forkInScope(scope, Effect.map(Effect.zipLeft(Effect.exit(closed), this.caughtUp), onClosed))
    }
    const cancel = listen(closed, (exit) => fork(Effect.zipLeft(exit, this.caughtUp)), onClosed)
    return Scope.addFinalizer(scope, Effect.sync(cancel))
  }

  private get readStream(): Effect.Effect<void, E | E3> {
    return Stream.runForEachChunk(this.stream, (chunk) => this.take(chunk))
  }

  private readPull(pull: Pull<A, E>): Effect.Effect<void, E | E3> {
    return Effect.matchEffect(pull, {
      onSuccess: (chunk) => Effect.zipRight(this.take(chunk), this.readPull(pull)),
      onFailure: Option.match({ onNone: () => Effect.void, onSome: Effect.fail })
    })
  }

  private take(chunk: Chunk.Chunk<A>): Effect.Effect<void, E3> {
    this.chunks++
    return this.receiver.take(chunk)
  }

  private onRead(exit: Exit.Exit<void, E | E3>): Effect.Effect<void> {
    return Effect.sync(() => this.receiver.onRead(exit))
  }

  /** Waits until all that has arrived is taken: the reader has a turn whenever this fiber yields. */
  private get caughtUp(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { chunks } = this
      return Effect.flatMap(Effect.yieldNow(), () => this.chunks === chunks ? Effect.void : this.caughtUp)
    })
  }
}

/** Forks with the least memory. For effects that need no `FiberRef`s, such as the clock. */
const forkBare = (scope: Scope.Scope, fork: BareFork, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => Scope.addFinalizer(scope, Fiber.interrupt(fork(effect))))

/**
 * The fiber is interruptible even if the attempt is not, and does not inherit the context of the attempt, such as its
 * span.
 */
const forkInScope = (scope: Scope.Scope, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.mapInputContext(effect, (_: Context.Context<never>) => Context.empty()).pipe(
    Effect.interruptible,
    Effect.forkIn(scope),
    Effect.asVoid
  )
