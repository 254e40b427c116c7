import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { Attempt, Connector } from "../../Connector.js"
import { interruptAsDefect } from "../base/cause.js"
import { interrupt, ownRuntime, withoutFailureLog } from "../base/effect3.js"
import { connector, make } from "./connector.js"

/**
 * Lets fibers declare the loss of a connection, even if its connector does not notice it. No loss is declared once the
 * release of the connection has begun.
 *
 * A `closed` that hangs when it is interrupted does not delay the release, except at its end: that waits for all fibers
 * when everything else has been released.
 *
 * @internal
 */
export class Verdict<E, R> {
  /** The declared loss. */
  lost: Exit.Exit<never, E> | undefined
  isReleased = false
  /** The connector's own `closed` has ended. */
  private hasEnded = false
  private readonly watches = new Set<(exit: Exit.Exit<unknown, E>) => void>()
  private readonly running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()

  /** `start` starts a fiber for user code. */
  constructor(
    private readonly start: <A, E2>(effect: Effect.Effect<A, E2, R>) => Fiber.RuntimeFiber<A, E2>,
    private readonly onLost: (cause: Cause.Cause<E>) => void = () => {}
  ) {}

  get isClosed(): boolean {
    return this.isReleased || this.hasEnded || this.lost !== undefined
  }

  /** Ends with the result of `closed` or with the declared loss, whichever comes first. */
  watch(closed: Effect.Effect<unknown, E>): Effect.Effect<unknown, E> {
    return Effect.suspend(() => {
      if (this.lost !== undefined) return this.lost
      if (this.isReleased) return closed
      return Effect.async<unknown, E>((resume) => {
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

  /** Starts a fiber of the connection. It is interrupted when the connection is released, or its loss is declared. */
  fork<A, E2>(effect: Effect.Effect<A, E2, R>): Fiber.RuntimeFiber<A, E2> {
    return this.own(this.start(withoutFailureLog(effect)))
  }

  /** Like `fork`, for a fiber that already runs. */
  own<A, E2>(fiber: Fiber.RuntimeFiber<A, E2>): Fiber.RuntimeFiber<A, E2> {
    this.running.add(fiber)
    fiber.addObserver(() => this.running.delete(fiber))
    return fiber
  }

  /** Declares the loss when the fiber fails. */
  judge(fiber: Fiber.RuntimeFiber<unknown, E>): void {
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) this.declare(interruptAsDefect(exit.cause))
    })
  }

  /** Declares the loss: the connection counts as lost from now on. Only the first cause counts. */
  declare(cause: Cause.Cause<E>): void {
    if (this.isReleased || this.lost !== undefined) return
    const lost = this.lost = Exit.failCause(cause)
    this.onLost(cause)
    this.watches.forEach((resume) => resume(lost))
    this.watches.clear()
    this.running.forEach(interrupt)
  }

  /** Called when the release of the connection begins. */
  readonly end = Effect.sync(() => {
    this.isReleased = true
    this.running.forEach(interrupt)
  })

  /** Waits until all fibers of the connection have ended. */
  readonly ended: Effect.Effect<void> = Effect.suspend(() =>
    this.running.size === 0 ? Effect.void : Effect.zipRight(Fiber.awaitAll(this.running), this.ended)
  )
}

/**
 * A connector whose connections can be declared lost by the fibers that `begin` starts for each of them.
 *
 * @internal
 */
export const withVerdict = <Address, Connection extends object, E, R, E2, R2>(
  self: Connector<Address, Connection, E, R>,
  begin: (
    verdict: Verdict<E | E2, R2>,
    connection: Connection,
    address: Address,
    attempt: Attempt<Address>
  ) => Effect.Effect<unknown, never, Scope.Scope>
): Connector<Address, Connection, E | E2, R | Exclude<R2, Scope.Scope>> => {
  const { closed, connect, isClosed, probe } = connector("self", self)
  const verdicts = new WeakMap<Connection, Verdict<E | E2, R2>>()
  const verdictOf = (connection: Connection) => {
    const verdict = verdicts.get(connection)
    if (verdict === undefined) {
      throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
    }
    return verdict
  }
  return make<Address, Connection, E | E2, E | E2, R | R2 | Scope.Scope>({
    ...self,
    connect: (address, attempt) =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const runtime = yield* ownRuntime<R2>()
        const verdict = new Verdict<E | E2, R2>((effect) => Runtime.runFork(runtime, effect))
        // Added first, so it runs last: a fiber that cannot be interrupted may end with the connection.
        yield* Scope.addFinalizer(scope, verdict.ended)
        const connection = yield* connect(address, attempt)
        // Added late, so only the finalizers of `begin` run before it.
        yield* Scope.addFinalizer(scope, verdict.end)
        verdicts.set(connection, verdict)
        yield* begin(verdict, connection, address, attempt)
        return connection
      }),
    closed: (connection) => Effect.suspend(() => verdictOf(connection).watch(closed(connection))),
    isClosed: (connection) => verdictOf(connection).isClosed || isClosed?.(connection) === true,
    probe: probe && ((connection) => Effect.suspend(() => verdictOf(connection).lost ?? probe(connection)))
  })
}
