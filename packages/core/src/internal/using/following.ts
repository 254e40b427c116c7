import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { interruptAsDefect } from "../base/cause.js"
import { asCaller } from "../base/effect3.js"
import * as option from "../base/options.js"
import { never } from "../base/time.js"
import { loopOf, waitFor } from "../loop/service.js"
import { type Session } from "../loop/session.js"
import { hasDefects, isSuperseded } from "./using.js"

/** @internal */
export const forEachConnection = <C, E, E2, R>(
  self: PersistentConnection<C, E>,
  f: (connection: C) => Effect.Effect<unknown, E2, R>
): Effect.Effect<void, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> => {
  option.func("f", f)
  return forEachSession(self, ({ connection }) => f(connection))
}

/**
 * Runs an effect for every session, as it comes, with a scope that lasts until another session follows. A failure that
 * the loss of the connection has caused does not count.
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
    // It waits for connections, also when it finds one each time (D7a).
    loop.fibers.letHandlersGo(caller.fiber)
    // A session that comes while this waits is not skipped, even if it has ended by now.
    const from = (arrived?: Session<C, E>): Result => {
      const session = arrived ?? loop.openSession
      if (session === undefined) {
        return loop.isClosing
          ? endOf(loop.closedError)
          : Effect.flatMap(caller.restore(waitFor(loop, caller.fiber, loop.connectionChanged.next)), from)
      }
      const run = Effect.scoped(Effect.zipRight(Effect.suspend(() => f(session)), never))
      return Effect.flatMap(session.follow(caller, run), (exit): Result => {
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
 * The end of what follows a persistent connection: a failure, unless the owner has closed that.
 *
 * @internal
 */
export const endOf = <E>(closed: ConnectionClosed<E>): Exit.Exit<void, ConnectionClosed<E>> =>
  closed.reason._tag === "ClosedByOwner" ? Exit.void : Exit.fail(closed)
