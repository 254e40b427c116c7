import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { interruptAsDefect } from "../base/cause.js"
import { asCaller } from "../base/effect3.js"
import * as option from "../base/options.js"
import { never } from "../base/time.js"
import { loopOf } from "../loop/service.js"
import { type Session } from "../loop/session.js"
import { hasDefects, isSuperseded } from "./using.js"
import { whileCurrent } from "./work.js"

/** @internal */
export const forEachConnection = <C, E, E2, R>(
  self: PersistentConnection<C, E>,
  f: (connection: C) => Effect.Effect<unknown, E2, R>
): Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  option.func("f", f)
  return forEachSession(self, ({ connection }) => f(connection))
}

/**
 * Runs an effect for every session when it begins, with a scope that lasts until the session is superseded. Ignores a
 * failure that comes from the loss of the connection.
 *
 * @internal
 */
export const forEachSession = <C, E, E2, R>(
  self: PersistentConnection<C, E>,
  f: (session: Session<C, E>) => Effect.Effect<unknown, E2, R>
): Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  const loop = loopOf(self)
  type Result = Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>>

  return asCaller((caller) => {
    // Counts as waiting for connections, even if there always is one (D7a).
    loop.fibers.letHandlersGo(caller.fiber)
    // `arrived`: a session that began during the wait is not skipped, even if it has ended since.
    const from = (arrived?: Session<C, E>): Result => {
      const session = arrived ?? loop.openSession
      if (session === undefined) {
        return loop.isClosing
          ? endOf(loop.closedError)
          : Effect.flatMap(caller.restore(loop.waitFor(caller.fiber, loop.connectionChanged.next)), from)
      }
      const run = Effect.scoped(Effect.zipRight(Effect.suspend(() => f(session)), never))
      return Effect.flatMap(whileCurrent(session, caller, run), (exit): Result => {
        if (Exit.isSuccess(exit)) return from()
        if (hasDefects(exit.cause)) return exit
        const failure = Exit.failCause(interruptAsDefect(exit.cause))
        return Effect.flatMap(isSuperseded(loop, session), (isSuperseded) => isSuperseded ? from() : failure)
      })
    }
    return Effect.suspend(() => from())
  })
}

/**
 * How a follower ends when the persistent connection closes: with a failure, unless the owner closed it.
 *
 * @internal
 */
export const endOf = <E>(closed: ConnectionClosed<E>): Exit.Exit<void, ConnectionClosed<E>> =>
  closed.reason._tag === "ClosedByOwner" ? Exit.void : Exit.fail(closed)
