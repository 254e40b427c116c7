import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Attempt, Connector } from "../../Connector.js"
import * as Options from "../base/options.js"
import { withVerdict } from "./verdict.js"

/** @internal */
export const runInBackground = <Address, Connection extends object, E, R, E2, R2>(
  self: Connector<Address, Connection, E, R>,
  work: (connection: Connection, address: Address, attempt: Attempt<Address>) => Effect.Effect<unknown, E2, R2>
): Connector<Address, Connection, E | E2, R | Exclude<R2, Scope.Scope>> => {
  Options.func("work", work)
  return withVerdict<Address, Connection, E, R, E2, Exclude<R2, Scope.Scope>>(
    self,
    (verdict, connection, address, attempt) =>
      Effect.suspend(() => {
        const fiber = verdict.fork(Effect.scoped(Effect.suspend(() => work(connection, address, attempt))))
        verdict.judge(fiber)
        // Waits before the connection is released, because the end of the work may still use it.
        return Effect.addFinalizer(() =>
          fiber.unsafePoll() === null
            ? Effect.zipRight(verdict.end, Effect.flatMap(Fiber.await(fiber), reported))
            : Effect.void
        )
      })
  )
}

/** Reports a defect during the interruption of the work, like a defect of a finalizer. */
const reported = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Option.match(Exit.isFailure(exit) ? Cause.keepDefects(exit.cause) : Option.none(), {
    onNone: () => Effect.void,
    onSome: Effect.failCause
  })
