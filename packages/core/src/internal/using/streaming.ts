import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { PersistentConnection, Resumed, ResumeOptions, StreamOptions } from "../../PersistentConnection.js"
import { awaitCallback, type Callback, isCallback } from "../base/callback.js"
import { interruptAsDefect } from "../base/cause.js"
import { type AnyFiber, interrupt, ownRuntime, resumable, resumeNow } from "../base/effect3.js"
import { Handoff } from "../base/handoff.js"
import * as option from "../base/options.js"
import { Signal } from "../base/signal.js"
import { now, sleepUntil } from "../base/time.js"
import type { Loop } from "../loop/loop.js"
import type { Follower } from "../loop/loopState.js"
import { loopOf } from "../loop/service.js"
import type { Session, Work } from "../loop/session.js"
import { endOf } from "./following.js"
import { giveAll, scoped } from "./giving.js"
import { hasDefects, isSuperseded } from "./using.js"

type Output<A> = Pick<Handoff<A, never>, "give" | "demand" | "onDemand">

/** Delivers the elements of one session, until its own stream has ended. It is called in the fiber of the turn. */
type Deliver<C, E, A, E2, R> = (session: Session<C, E>, handoff: Output<A>) => Effect.Effect<void, E2, R>

/** A session whose elements are delivered now or later. */
interface Turn<C, E> {
  readonly session: Session<C, E>
  readonly work: Work
  fiber: AnyFiber | undefined
  /** Stops the wait for a stream with a poll. */
  stopWaiting: (() => void) | undefined
  /** Ends the turn if the session has been superseded and its stream gives nothing any more. */
  guard: AnyFiber | undefined
}

/** How the stream of a session ended, and whether its session had been superseded by then. */
interface Result<E2> {
  readonly exit: Exit.Exit<void, E2>
  readonly isSuperseded: boolean
}

/**
 * One stream over all sessions, in order (S1). Each session has its turn, in a separate fiber; a stream with a poll
 * takes none while it is read. The turn of a session that has ended goes on until its stream has ended, or has given
 * nothing for `drainTimeout` ms while the consumer waited. The connection is not released before that.
 */
class Delivery<C, E, A, E2, R> implements Follower<C, E> {
  readonly handoff = new Handoff<A, E2 | ConnectionClosed<E>>(Infinity, resumeNow)
  private readonly queue: Array<Turn<C, E>> = []
  private turn: Turn<C, E> | undefined
  private isIdle = false
  private isOver = false

  constructor(
    private readonly loop: Loop<unknown, C, E, unknown>,
    private readonly clock: Clock.Clock,
    private readonly fork: <B>(effect: Effect.Effect<B, never, R>) => Fiber.RuntimeFiber<B>,
    private readonly drainTimeout: number,
    private readonly deliver: Deliver<C, E, A, E2, R>,
    private readonly onSuperseded: () => void
  ) {}

  begin(): void {
    const { loop } = this
    const { openSession } = loop
    ;(loop.followers ??= new Set()).add(this)
    if (openSession === undefined) this.advance()
    else this.onSession(openSession)
  }

  onSession(session: Session<C, E>): void {
    const turn: Turn<C, E> = {
      session,
      work: {
        kind: "delivery",
        onSuperseded: () => {
          this.onSuperseded()
          if (this.turn === turn) this.leaveSoon(turn)
        },
        onReleased: () => this.stop(turn)
      },
      fiber: undefined,
      stopWaiting: undefined,
      guard: undefined
    }
    session.enter(turn.work)
    this.queue.push(turn)
    this.advance()
  }

  onClosing(): void {
    this.advance()
  }

  /** Ends the stream, and waits until its fiber has ended. */
  get dispose(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { turn } = this
      this.finish(Exit.void)
      return turn?.fiber === undefined ? Effect.void : Effect.asVoid(Fiber.await(turn.fiber))
    })
  }

  private advance(): void {
    if (this.isOver || this.turn !== undefined) return
    const next = this.queue.shift()
    if (next !== undefined) this.start(next)
    else if (this.loop.isClosing) this.finish(endOf(this.loop.closedError))
    else this.setIdle(true)
  }

  private start(turn: Turn<C, E>): void {
    const { session } = turn
    this.turn = turn
    this.setIdle(false)
    this.handoff.goAhead(false)
    this.run(
      turn,
      Effect.suspend(() => {
        const delivered = this.deliver(session, this.handoff)
        if (!isCallback(delivered)) return this.resultOf(turn, delivered)
        this.wait(turn, delivered)
        return Effect.succeed(undefined)
      })
    )
    if (session.supersededBy !== undefined) this.leaveSoon(turn)
  }

  private run(turn: Turn<C, E>, effect: Effect.Effect<Result<E2> | undefined, never, R>): void {
    const fiber = turn.fiber = this.fork(effect)
    fiber.addObserver((exit) => this.ended(turn, exit))
  }

  /** Goes on without the present fiber, until the stream has ended. */
  private wait(turn: Turn<C, E>, delivered: Callback<void, E2>): void {
    turn.fiber = undefined
    turn.stopWaiting = awaitCallback(delivered, (exit) => this.run(turn, this.resultOf(turn, exit)))
  }

  private resultOf(
    { session }: Turn<C, E>,
    delivered: Effect.Effect<void, E2, R>
  ): Effect.Effect<Result<E2>, never, R> {
    const ended = (exit: Exit.Exit<void, E2>): Effect.Effect<Result<E2>> =>
      Effect.map(isSuperseded(this.loop, session), (isSuperseded) => ({ exit, isSuperseded }))
    return Effect.matchCauseEffect(delivered, {
      onFailure: (cause) => ended(Exit.failCause(cause)),
      onSuccess: () => ended(Exit.void)
    })
  }

  private ended(turn: Turn<C, E>, ended: Exit.Exit<Result<E2> | undefined>): void {
    // The turn goes on without a fiber.
    if (Exit.isSuccess(ended) && ended.value === undefined) return
    if (turn.guard !== undefined) interrupt(turn.guard)
    turn.session.leave(turn.work)
    this.turn = undefined
    if (Exit.isFailure(ended)) {
      // It was interrupted by the guard or the release of the connection.
      return hasDefects(ended.cause) ? this.finish(Exit.failCause(ended.cause)) : this.advance()
    }
    const { exit, isSuperseded } = ended.value!
    if (!isSuperseded || Exit.isFailure(exit) && hasDefects(exit.cause)) {
      return this.finish(Exit.mapErrorCause(exit, interruptAsDefect))
    }
    // The stream may have ended before the loop noticed the loss.
    this.onSuperseded()
    this.advance()
  }

  /**
   * The session has been superseded: pulls ahead of the consumer, to learn soon whether its stream has ended. Stops the
   * turn once the consumer has waited for `drainTimeout` without an element.
   */
  private leaveSoon(turn: Turn<C, E>): void {
    const { clock, drainTimeout, handoff } = this
    handoff.goAhead(true)
    const awaited = new Signal<void>()
    let since = now(clock)
    handoff.onWait = () => {
      since = now(clock)
      awaited.notify(Exit.void)
    }
    const untilSilent: Effect.Effect<void> = Effect.suspend(() => {
      if (!handoff.isAwaited) return Effect.zipRight(awaited.next, untilSilent)
      const from = since
      return Effect.zipRight(
        sleepUntil(clock, from + drainTimeout),
        Effect.suspend(() => handoff.isAwaited && since === from ? Effect.void : untilSilent)
      )
    })
    turn.guard = this.fork(Effect.map(untilSilent, () => this.stop(turn)))
  }

  private stop(turn: Turn<C, E>): void {
    if (turn.fiber !== undefined) return interrupt(turn.fiber)
    if (turn.stopWaiting !== undefined) {
      turn.stopWaiting()
      // In a later turn, as the interruption of a fiber.
      return this.run(turn, Effect.interrupt)
    }
    this.queue.splice(this.queue.indexOf(turn), 1)
    turn.session.leave(turn.work)
  }

  private finish(exit: Exit.Exit<void, E2 | ConnectionClosed<E>>): void {
    this.isOver = true
    this.setIdle(false)
    this.loop.followers!.delete(this)
    while (this.queue.length > 0) this.stop(this.queue[0]!)
    if (this.turn !== undefined) this.stop(this.turn)
    this.handoff.finish(exit)
  }

  /** A stream without a session counts as waiting for a connection. */
  private setIdle(isIdle: boolean): void {
    if (isIdle !== this.isIdle) this.loop.status.countWaiting(isIdle ? 1 : -1)
    this.isIdle = isIdle
  }
}

const overSessions = <C, E, A, E2, R>(
  self: PersistentConnection<C, E>,
  drainTimeout: Duration.Duration,
  deliver: Deliver<C, E, A, E2, R>,
  onSuperseded: () => void = () => {}
): Stream.Stream<A, E2 | ConnectionClosed<E>, R> =>
  // Channels, because `Stream.unwrapScoped` takes 6 kB for each consumer.
  Stream.fromChannel(Channel.suspend(() => {
    const loop = loopOf(self)
    let delivery: Delivery<C, E, A, E2, R> | undefined
    const begun = Effect.gen(function*() {
      const clock = yield* Effect.clock
      const runtime = loop.fibers.runtimeFor(resumable(yield* ownRuntime<R>()))
      yield* Effect.withFiberRuntime<void>((fiber) => {
        if (loop.openSession === undefined) return loop.waitFor(fiber as AnyFiber, Effect.void)
        loop.fibers.letHandlersGo(fiber as AnyFiber)
        return Effect.void
      })
      delivery = new Delivery(
        loop,
        clock,
        (effect) => Runtime.runFork(runtime, effect, { immediate: false }),
        Duration.toMillis(drainTimeout),
        deliver,
        onSuperseded
      )
      delivery.begin()
      return delivery.handoff.channel
    })
    return Channel.ensuring(Channel.unwrap(begun), Effect.suspend(() => delivery?.dispose ?? Effect.void))
  }))

/** @internal */
export const stream = <C, E, A, E2, R>(
  self: PersistentConnection<C, E>,
  f: (connection: C) => Stream.Stream<A, E2, R>,
  options?: StreamOptions
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  option.func("f", f)
  const { drainTimeout } = option.read(options, streamReaders)
  return overSessions(
    self,
    drainTimeout,
    ({ connection }, handoff: Output<A>) => giveAll(handoff, f(connection), (elements) => handoff.give(elements))
  )
}

const streamReaders = { drainTimeout: option.withDefault(option.duration, "1 second") }

/** @internal */
export const resumableStream = <C, E, A, Cursor, E2, R, E3, R2>(
  self: PersistentConnection<C, E>,
  options: ResumeOptions<C, A, Cursor, E2, R, E3, R2>
): Stream.Stream<Resumed<A>, E2 | E3 | ConnectionClosed<E>, Exclude<R | R2, Scope.Scope>> => {
  const { cursor: cursorOf, drainTimeout, subscribe, whenRefused } = option.read(options, resumeReaders)
  return Stream.unwrap(Effect.map(Effect.clock, (clock) => {
    let cursor: Option.Option<Cursor> = Option.none()
    let hasSubscribed = false
    /** When the gap began, if its mark has not been given yet. */
    let lostAt: Option.Option<number> = Option.none()
    const lost = () => {
      if (hasSubscribed && Option.isNone(lostAt)) lostAt = Option.some(clock.unsafeCurrentTimeMillis())
    }
    const giveElements = (handoff: Output<Resumed<A>>) => (elements: Chunk.Chunk<A>) => {
      const last = Option.map(Chunk.last(elements), cursorOf)
      handoff.give(Chunk.map(elements, (value): Resumed<A> => ({ _tag: "Element", value })))
      cursor = Option.orElse(last, () => cursor)
    }
    return overSessions(self, drainTimeout, (session, handoff: Output<Resumed<A>>) =>
      scoped(Effect.gen(function*() {
        const { connection, generation } = session
        const subscribed = yield* Effect.exit(subscribe(connection, cursor))
        if (Exit.isFailure(subscribed)) {
          const loop = loopOf(self)
          // A connection that has ended by itself keeps its own cause (D13).
          if (whenRefused === "reconnect" && !hasDefects(subscribed.cause) && !(yield* isSuperseded(loop, session))) {
            loop.connectionLost(session, Cause.die(Cause.squash(subscribed.cause)))
          }
          return yield* subscribed
        }
        const restoredAt = clock.unsafeCurrentTimeMillis()
        yield* handoff.demand
        if (Option.isSome(lostAt)) {
          handoff.give(Chunk.of({ _tag: "Gap", generation, lostAt: lostAt.value, restoredAt }))
          lostAt = Option.none()
          yield* handoff.demand
        }
        hasSubscribed = true
        // The session has ended meanwhile: the next gap has begun.
        if (session.supersededBy !== undefined) lost()
        return yield* giveAll(handoff, subscribed.value, giveElements(handoff))
      })), lost)
  }))
}

const resumeReaders = {
  ...streamReaders,
  subscribe: option.func,
  cursor: option.func,
  whenRefused: option.optional(option.oneOf("fail", "reconnect"))
}
