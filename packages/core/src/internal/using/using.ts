import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { type ConnectionClosed, type ConnectionLost, NotConnected } from "../../ConnectionError.js"
import type { Hold, PersistentConnection, UseOptions } from "../../PersistentConnection.js"
import { asCaller, type Caller } from "../base/effect3.js"
import * as option from "../base/options.js"
import type { Loop } from "../loop/loop.js"
import { loopOf } from "../loop/service.js"
import type { Session, SessionEnd } from "../loop/session.js"
import { Holding, isTorn, whileOpen } from "./work.js"

/** What to do with a session, after closing has begun, and while disconnected. */
interface Visit<C, E, A, E2, R> {
  /** Called in the turn in which the session is found open. `again` starts from the beginning. */
  readonly onSession: (
    session: Session<C, E>,
    caller: Caller,
    again: () => Effect.Effect<A, E2, R>
  ) => Effect.Effect<A, E2, R>
  /** Called once closing has begun. */
  readonly onClosed: (closed: ConnectionClosed<E>) => Effect.Effect<A, E2>
  /** Called instead of waiting for a connection. */
  readonly onDisconnected?: (() => Effect.Effect<A, E2>) | undefined
}

/** Runs a visit on the current session, or on the next one. */
const withSession = <C, E, A, E2, R>(
  self: PersistentConnection<C, E>,
  { onClosed, onDisconnected, onSession }: Visit<C, E, A, E2, R>
): Effect.Effect<A, E2, R> =>
  asCaller((caller) => {
    const loop = loopOf(self)
    const visit = (): Effect.Effect<A, E2, R> => {
      const { openSession } = loop
      if (openSession !== undefined) return onSession(openSession, caller, visit)
      if (loop.isClosing) return onClosed(loop.closedError)
      if (onDisconnected !== undefined) return onDisconnected()
      return Effect.flatMap(caller.restore(loop.waitFor(caller.fiber, loop.connectionChanged.next)), visit)
    }
    return visit()
  })

/** @internal */
export const use = <C, E, A, E2, R>(
  self: PersistentConnection<C, E>,
  f: (connection: C) => Effect.Effect<A, E2, R>,
  options?: UseOptions
): Effect.Effect<A, E2 | ConnectionLost<E> | ConnectionClosed<E> | NotConnected<E>, R> => {
  option.func("f", f)
  // Without options, reading them would take much of the time of a short use.
  const whenDisconnected = options === undefined ? "wait" : option.read(options, readers).whenDisconnected
  return withSession<C, E, A, E2 | ConnectionLost<E> | ConnectionClosed<E> | NotConnected<E>, R>(self, {
    onSession: (session, caller) =>
      Effect.flatMap(
        whileOpen(session, caller, applied(f, session.connection)),
        (exit) => resultOf(session, exit)
      ),
    onClosed: Effect.fail,
    onDisconnected: whenDisconnected === "fail" ? () => Effect.fail(notConnected(loopOf(self))) : undefined
  })
}

/** @internal */
export const unsafeHold = <C, E>(
  self: PersistentConnection<C, E>,
  onEnd: (connection: C, reason: SessionEnd<E>) => void
): Exit.Exit<Hold<C, E>, NotConnected<E> | ConnectionClosed<E>> => {
  option.func("onEnd", onEnd)
  const loop = loopOf(self)
  const { openSession } = loop
  if (openSession !== undefined) return Exit.succeed(new Holding(openSession, onEnd))
  return Exit.fail(loop.isClosing ? loop.closedError : notConnected(loop))
}

/** Like `Effect.suspend`, but calls the function now: what it returns may need no fiber. */
const applied = <C, A, E, R>(f: (connection: C) => Effect.Effect<A, E, R>, connection: C): Effect.Effect<A, E, R> => {
  try {
    return f(connection)
  } catch (defect) {
    return Exit.die(defect)
  }
}

/** The error without a connection. A dead connection counts as lost, even before its end is reported. */
const notConnected = <C, E>({
  failedAttempts,
  session,
  settings: { serverName },
  state: { generation, lastCause }
}: Loop<unknown, C, E, unknown>): NotConnected<E> => {
  const cause = session === undefined ? lastCause : Option.some(session.loss)
  return new NotConnected({ serverName, generation, failedAttempts, lastCause: cause })
}

/** The result of a use. If the end of the connection has interrupted it, it fails with that end. */
const resultOf = <C, E, A, E2>(
  { endedWith }: Session<C, E>,
  exit: Exit.Exit<A, E2>
): Exit.Exit<A, E2 | SessionEnd<E>> => {
  if (Exit.isSuccess(exit) || endedWith === undefined || !isTorn(exit.cause)) return exit
  const cause = Cause.fail(endedWith)
  return Exit.failCause(Option.match(Cause.keepDefects(exit.cause), {
    onNone: () => cause,
    onSome: (defects) => Cause.sequential(cause, defects)
  }))
}

const readers = {
  whenDisconnected: option.optional(option.oneOf("wait", "fail"))
}

/** @internal */
export const useRetrying = <C, E, A, E2, R>(
  self: PersistentConnection<C, E>,
  f: (connection: C) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E2 | ConnectionClosed<E>, R> => {
  option.func("f", f)
  return withSession<C, E, A, E2 | ConnectionClosed<E>, R>(self, {
    onSession: (session, caller, again) =>
      Effect.flatMap(whileOpen(session, caller, applied(f, session.connection)), (exit) => {
        if (Exit.isSuccess(exit) || hasDefects(exit.cause)) return exit
        if (session.endedWith !== undefined && isTorn(exit.cause)) return again()
        if (session.supersededBy?._tag === "ConnectionClosed") return exit
        // The failure may come from a loss that the loop has not noticed yet.
        return Effect.flatMap(hasBeenLost(loopOf(self), session), (isLost) => isLost ? again() : exit)
      }),
    onClosed: Effect.fail
  })
}

/**
 * Is the connection lost? Called right after a failure on it. First the watch gets some turns to notice a loss that has
 * happened already: enough for a `closed` made of a few combinators.
 */
const hasBeenLost = <C, E>(
  loop: Loop<unknown, C, E, unknown>,
  session: Session<C, E>,
  turns = 32
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const hasEnded = loop.hasEnded(session)
    // A replaced connection ends when it has been drained, which is not a loss.
    return hasEnded || session.supersededBy !== undefined || turns === 0
      ? Effect.succeed(hasEnded)
      : Effect.zipRight(Effect.yieldNow(), hasBeenLost(loop, session, turns - 1))
  })

/**
 * Has the session been superseded, or its connection lost? Called like `hasBeenLost`.
 *
 * @internal
 */
export const isSuperseded = <C, E>(
  loop: Loop<unknown, C, E, unknown>,
  session: Session<C, E>
): Effect.Effect<boolean> => session.supersededBy === undefined ? hasBeenLost(loop, session) : Effect.succeed(true)

/** @internal */
export const hasDefects = (cause: Cause.Cause<unknown>): boolean => Option.isSome(Cause.keepDefects(cause))
