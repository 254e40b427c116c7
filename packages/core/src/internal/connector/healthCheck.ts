import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Scope from "effect/Scope"
import type { Connector, HealthCheckOptions } from "../../Connector.js"
import { interrupt } from "../base/effect3.js"
import { make } from "./connector.js"
import { fullOrigin, Prober, settingsOf } from "./prober.js"

/**
 * The health of one connection, and all that watches it. There is one prober, from the beginning of the connection until
 * its release or the verdict, however many watches there are.
 *
 * The connector's own watch may hang when it is interrupted. What is left of it is waited for when everything else of
 * the connection has been released.
 */
class Health<Connection, E, R> extends Prober<Connection, E, R> {
  /** The connector has said that it is lost, if only by the end of `closed`. */
  private hasEnded = false
  private readonly watches = new Set<(exit: Exit.Exit<unknown, E | Cause.TimeoutException>) => void>()

  get isClosed(): boolean {
    return this.isReleased || this.hasEnded || this.verdict !== undefined
  }

  /** Ends as `closed` does, or with the verdict. */
  watch(closed: Effect.Effect<unknown, E>): Effect.Effect<unknown, E | Cause.TimeoutException> {
    return Effect.suspend(() => {
      if (this.verdict !== undefined) return this.verdict
      if (this.isReleased) return closed
      return Effect.async<unknown, E | Cause.TimeoutException>((resume) => {
        this.watches.add(resume)
        const fiber = this.fork(closed)
        fiber.addObserver((exit) => {
          if (!this.watches.delete(resume)) return
          this.hasEnded = true
          resume(exit)
        })
        return Effect.sync(() => {
          this.watches.delete(resume)
          interrupt(fiber)
        })
      })
    })
  }

  protected onVerdict(verdict: Exit.Exit<never, E | Cause.TimeoutException>): void {
    this.watches.forEach((resume) => resume(verdict))
    this.watches.clear()
  }
}

/** @internal */
export const healthCheck = dual<
  <Connection extends object, E2, R2>(
    options: HealthCheckOptions<Connection, E2, R2>
  ) => <Address, E, R>(
    self: Connector<Address, Connection, E, R>
  ) => Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>>,
  <Address, Connection extends object, E, R, E2, R2>(
    self: Connector<Address, Connection, E, R>,
    options: HealthCheckOptions<Connection, E2, R2>
  ) => Connector<Address, Connection, E | E2 | Cause.TimeoutException, R | Exclude<R2, Scope.Scope>>
>(2, <Address, Connection extends object, E, R, E2, R2>(
  { closed, connect, isClosed, terminate }: Connector<Address, Connection, E, R>,
  options: HealthCheckOptions<Connection, E2, R2>
) => {
  type Failure = E | E2 | Cause.TimeoutException
  type Requirements = Exclude<R2, Scope.Scope>

  const settings = settingsOf(options)
  const healths = new WeakMap<Connection, Health<Connection, E | E2, Requirements>>()
  const healthOf = (connection: Connection) => {
    const health = healths.get(connection)
    if (health === undefined) throw new Cause.IllegalArgumentException("The connection is not one of this connector's")
    return health
  }
  return make<Address, Connection, Failure, Failure, R | Requirements | Scope.Scope>({
    connect: (address, attempt) =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const origin = yield* fullOrigin<Requirements>(attempt.serverName)
        let health: Health<Connection, E | E2, Requirements> | undefined
        // The last finalizer to run, as a probe that cannot be interrupted may well end with the connection …
        yield* Scope.addFinalizer(scope, Effect.suspend(() => health?.ended ?? Effect.void))
        const connection = yield* connect(address, attempt)
        health = new Health<Connection, E | E2, Requirements>(connection, settings, origin)
        // … and the first.
        yield* Scope.addFinalizer(scope, Effect.sync(() => health?.end()))
        healths.set(connection, health)
        health.begin()
        return connection
      }),
    closed: (connection) => Effect.suspend(() => healthOf(connection).watch(closed(connection))),
    isClosed: (connection) => healthOf(connection).isClosed || isClosed?.(connection) === true,
    probe: (connection) => Effect.suspend(() => healthOf(connection).ask),
    terminate
  })
})
