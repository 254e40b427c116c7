import type * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Poll, Receiver } from "../../Connector.js"
import { isCallback, listen } from "../base/callback.js"
import { type BareFork, bareFork, interrupt } from "../base/effect3.js"
import { endOf, isStream, pollOf } from "../base/poll.js"

/** @internal */
export const readInBackground = <A, E, E2, E3>(
  stream: Stream.Stream<A, E>,
  closed: Effect.Effect<unknown, E2>,
  receiver: Receiver<A, E, E2, E3>
): Effect.Effect<void, never, Scope.Scope> => {
  const reading = new Reading(isStream("stream", stream), receiver)
  return Effect.zip(Effect.scope, bareFork).pipe(
    Effect.flatMap(([scope, fork]) => reading.begin(scope, fork, closed)),
    Effect.uninterruptible
  )
}

/** Makes most effects only when they begin, so that an idle connection keeps little memory. */
class Reading<A, E, E2, E3> {
  private chunks = 0

  constructor(
    private readonly stream: Stream.Stream<A, E>,
    private readonly receiver: Receiver<A, E, E2, E3>
  ) {}

  begin(scope: Scope.Scope, fork: BareFork, closed: Effect.Effect<unknown, E2>): Effect.Effect<void> {
    const poll = pollOf(this.stream)
    const begun = poll === undefined
      ? forkInScope(scope, Effect.map(Effect.exit(this.readStream), (exit) => this.receiver.onRead(exit)))
      : this.poll(scope, fork, poll)
    return Effect.zipRight(begun, this.watch(scope, fork, closed))
  }

  private watch(scope: Scope.Scope, fork: BareFork, closed: Effect.Effect<unknown, E2>): Effect.Effect<void> {
    const onClosed = (exit: Exit.Exit<unknown, E2>) => this.receiver.onClosed(exit)
    if (!isCallback(closed)) {
      return forkInScope(scope, Effect.map(Effect.zipLeft(Effect.exit(closed), this.caughtUp), onClosed))
    }
    const cancel = listen(
      closed,
      (exit) => fork(Effect.zipLeft(exit, this.caughtUp)),
      (exit) => report(fork, () => onClosed(exit))
    )
    return Scope.addFinalizer(scope, Effect.sync(cancel))
  }

  private get readStream(): Effect.Effect<void, E | E3> {
    return Stream.runForEachChunk(this.stream, (chunk) => this.take(chunk))
  }

  private poll(scope: Scope.Scope, fork: BareFork, poll: Poll<A, E>): Effect.Effect<void> {
    const reader = new PollReader(poll, fork, this)
    return Effect.zipRight(Scope.addFinalizer(scope, reader.stop), Effect.sync(() => reader.begin()))
  }

  take(chunk: Chunk.Chunk<A>): Effect.Effect<void, E3> {
    this.chunks++
    return this.receiver.take(chunk)
  }

  onRead(exit: Exit.Exit<void, E | E3>): void {
    this.receiver.onRead(exit)
  }

  /** Waits until all that has arrived is taken: the reader has a turn whenever this fiber yields. */
  private get caughtUp(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { chunks } = this
      return Effect.flatMap(Effect.yieldNow(), () => this.chunks === chunks ? Effect.void : this.caughtUp)
    })
  }
}

/** Reads in the turn in which something arrives. Only a `take` that waits needs a fiber. */
class PollReader<A, E, E2, E3> {
  private removeListener = constVoid
  private taking: Fiber.RuntimeFiber<Exit.Exit<void, E3>> | undefined
  /** Is something being taken? What arrives meanwhile comes next. */
  private isBusy = false
  private isStopped = false

  constructor(
    private readonly source: Poll<A, E>,
    private readonly fork: BareFork,
    private readonly reading: Reading<A, E, E2, E3>
  ) {}

  begin(): void {
    this.removeListener = this.source.onArrival(() => {
      if (!this.isBusy) this.read()
    })
    this.read()
  }

  private read(): void {
    this.isBusy = true
    try {
      while (!this.isStopped) {
        const arrived = this.source.poll()
        if (arrived === undefined) {
          this.isBusy = false
          return
        }
        // Cheaper than `Chunk.isChunk`.
        if ("_tag" in arrived) return this.end(endOf(arrived))
        const taken = this.take(arrived)
        if (taken === undefined) return
        if (Exit.isFailure(taken)) return this.end(taken)
      }
    } catch (defect) {
      this.end(Exit.die(defect))
    }
  }

  /** Undefined if the receiver has to wait: the reading goes on when it has taken the chunk. */
  private take(chunk: Chunk.Chunk<A>): Exit.Exit<void, E3> | undefined {
    const taken = this.reading.take(chunk)
    if (Exit.isExit(taken)) return taken as Exit.Exit<void, E3>
    const taking = this.taking = this.fork(Effect.exit(taken))
    const exit = taking.unsafePoll()
    if (exit !== null) return Exit.flatten(exit)
    // Its first turn may have closed the scope.
    if (this.isStopped) interrupt(taking)
    taking.addObserver((exit) => {
      const taken = Exit.flatten(exit)
      if (Exit.isSuccess(taken)) this.read()
      else this.end(taken)
    })
    return undefined
  }

  private end(exit: Exit.Exit<void, E | E3>): void {
    this.removeListener()
    if (!this.isStopped) report(this.fork, () => this.reading.onRead(exit))
  }

  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isStopped = true
      this.removeListener()
      return this.taking === undefined ? Effect.void : Fiber.interrupt(this.taking)
    })
  }
}

/** Calls the receiver in a fiber: what it throws must reach neither the transport nor the process. */
const report = (fork: BareFork, call: () => void): void => void fork(Effect.sync(call))

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
