import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constant, constVoid } from "effect/Function"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import { ConnectionLost } from "../../ConnectionError.js"
import type { Attempt, Connector, ConnectTimeout, Prepared } from "../../Connector.js"
import { attempted } from "../base/callback.js"
import { Deadline } from "../base/deadline.js"
import { withoutFailureLog } from "../base/effect3.js"
import * as Options from "../base/options.js"

/** @internal */
export const TypeId = "~persistent-connection/Connector" as const

const Proto: Pipeable & { readonly [TypeId]: typeof TypeId } = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/** @internal */
export const make = <Address, Connection, E, E2, R>(options: {
  readonly connect: (address: Address, attempt: Attempt<Address>) => Effect.Effect<Connection, E, R>
  readonly closed: (connection: Connection) => Effect.Effect<unknown, E2>
  readonly isClosed?: ((connection: Connection) => boolean) | undefined
  readonly probe?: ((connection: Connection) => Effect.Effect<unknown, E2>) | undefined
  readonly terminate?: ((connection: Connection) => Effect.Effect<void>) | undefined
  readonly close?: ((connection: Connection) => Effect.Effect<unknown, E2>) | undefined
}): Connector<Address, Connection, E | E2, Exclude<R, Scope.Scope>> => {
  const { close, closed, connect, isClosed, probe, terminate } = Options.read(options, readers)
  return Object.assign(Object.create(Proto), {
    // `bind`, because the options may be an object with methods.
    connect: connect.bind(options),
    closed: closed.bind(options),
    isClosed: isClosed?.bind(options),
    probe: probe?.bind(options),
    terminate: terminate?.bind(options),
    close: close?.bind(options)
  })
}

const optional = Options.optional(Options.func)
const readers = {
  connect: Options.func,
  closed: Options.func,
  isClosed: optional,
  probe: optional,
  terminate: optional,
  close: optional
}

/** @internal */
export const connector = Options.kind("a Connector", (input) => Predicate.hasProperty(input, TypeId))

const asTimeout = (input: Duration.DurationInput): Duration.Duration => Options.duration("connectTimeout", input)

/** @internal */
export const connectTimeout = <Address, Connection, E, R>(
  self: Connector<Address, Connection, E, R>,
  input: ConnectTimeout
): Connector<Address, Connection, E | Cause.TimeoutException, R> => {
  const timeoutOf = typeof input === "function"
    ? (attempt: Attempt<unknown>) => asTimeout(input(attempt))
    : constant(asTimeout(input))
  return make({
    ...connector("self", self),
    connect: (address, attempt) =>
      Effect.flatMap(Effect.clock, (clock) => {
        const timeout = timeoutOf(attempt)
        const deadline = new Deadline(clock, timeout, constVoid)
        deadline.start()
        return within(
          Effect.suspend(() => self.connect(address, alsoUntimed(attempt, deadline))),
          deadline.passed,
          () =>
            new Cause.TimeoutException(
              `No connection to "${attempt.serverName}" within ${Duration.format(timeout)}`
            )
        )
      })
  })
}

const alsoUntimed = <Address>(attempt: Attempt<Address>, deadline: Deadline): Attempt<Address> => ({
  ...attempt,
  untimed: (effect) => attempt.untimed(deadline.untimed(effect))
})

/**
 * Runs a scoped effect for at most the given time, and does not wait for it after that. An effect that cannot be
 * interrupted goes on in a separate scope, and is released when it ends. The outer scope closes only then, but no
 * caller waits for that.
 */
const within = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  passed: Effect.Effect<void>,
  onTimeout: () => E2
): Effect.Effect<A, E | E2, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const outer = yield* Effect.scope
      const inner = yield* Scope.make()
      const fiber = yield* Effect.forkDaemon(restore(withoutFailureLog(Scope.extend(self, inner))))
      const late: Late = { release: undefined }
      yield* Scope.addFinalizerExit(outer, closing(inner, late))
      const isInTime = yield* restore(
        // Always interruptible, because a race waits for its loser.
        Effect.raceFirst(
          Effect.interruptible(Effect.as(Fiber.await(fiber), true)),
          Effect.interruptible(Effect.as(passed, false))
        )
      ).pipe(Effect.onInterrupt(() => Fiber.interrupt(fiber)))
      if (isInTime) return yield* Fiber.join(fiber)
      const timeout = Exit.fail(onTimeout())
      late.release = yield* Effect.forkDaemon(Effect.zipRight(Fiber.interrupt(fiber), Scope.close(inner, timeout)))
      return yield* timeout
    })
  )

interface Late {
  /** The fiber that waits for a late effect and releases what it acquired. */
  release: Fiber.Fiber<void> | undefined
}

/** A separate function, so that the finalizer keeps nothing else of the attempt in memory. */
const closing = (scope: Scope.CloseableScope, late: Late) => (exit: Exit.Exit<unknown, unknown>) =>
  late.release === undefined ? Scope.close(scope, exit) : Fiber.join(late.release)

/** @internal */
export const setup = <Address, Connection, E, R, A extends object | void, E2, R2>(
  self: Connector<Address, Connection, E, R>,
  f: (connection: Connection, address: Address, attempt: Attempt<Address>) => Effect.Effect<A, E2, R2>
) => {
  Options.func("f", f)
  return derive(self, (connection, address, attempt) => {
    const prepared = (result: A) => (result === undefined ? connection : result) as Prepared<Connection, A>
    return Effect.flatMap(Effect.scope, (scope) =>
      whileAlive(
        Effect.suspend(() => Scope.extend(Effect.map(f(connection, address, attempt), prepared), scope)),
        Effect.suspend(() => self.closed(connection)),
        attempt
      ))
  })
}

/**
 * Runs the set-up of a connection, and interrupts it if the connection is lost. `closed` runs until the set-up has
 * ended.
 */
const whileAlive = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  closed: Effect.Effect<unknown, E2>,
  attempt: Attempt<unknown>
): Effect.Effect<A, E | E2 | ConnectionLost, R> =>
  Effect.uninterruptibleMask((restore) =>
    // Disconnected, because a `closed` that is slow to stop must not delay the release.
    Effect.raceWith(
      restore(withoutFailureLog(self)),
      Effect.interruptible(withoutFailureLog(Effect.disconnect(withoutFailureLog(closed)))),
      {
        onSelfDone: (exit, watch) => Effect.zipRight(Fiber.interrupt(watch), exit),
        onOtherDone: (loss, fiber) =>
          Effect.flatMap(Fiber.interrupt(fiber), (exit) => {
            const defects = Exit.isFailure(exit) ? Cause.keepDefects(exit.cause) : Option.none()
            const cause = lossCause(loss, attempt)
            return Effect.failCause(Option.isSome(defects) ? Cause.parallel(cause, defects.value) : cause)
          })
      }
    )
  )

const lossCause = <E>(
  exit: Exit.Exit<unknown, E>,
  { generation, serverName }: Attempt<unknown>
): Cause.Cause<E | ConnectionLost> => {
  const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
  // A `closed` that interrupts itself is a loss; it must not look like an interruption of the attempt.
  return Cause.isEmpty(cause) || Cause.isInterruptedOnly(cause)
    ? Cause.fail(new ConnectionLost({ serverName, generation, lossCause: cause }))
    : cause
}

/** @internal */
export const map = <Address, Connection, E, R, Connection2 extends object>(
  self: Connector<Address, Connection, E, R>,
  f: (connection: Connection) => Connection2
): Connector<Address, Connection2, E, R> => {
  Options.func("f", f)
  return derive(self, (connection) => Effect.sync(() => f(connection)))
}

/** A connector that derives its connections from those of another connector. That connector detects their loss. */
const derive = <Address, Connection, E, R, Connection2, E2, R2>(
  self: Connector<Address, Connection, E, R>,
  f: (
    connection: Connection,
    address: Address,
    attempt: Attempt<Address>
  ) => Effect.Effect<Connection2, E2, R2 | Scope.Scope>
): Connector<Address, Connection2, E | E2, R | R2> => {
  const { close, closed, connect, isClosed, probe, terminate } = connector("self", self)
  const originals = new WeakMap<object, { readonly connection: Connection }>()
  const original = (derived: Connection2): Connection => {
    const found = originals.get(derived as object)
    if (found === undefined) {
      throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
    }
    return found.connection
  }
  return make({
    connect: (address, attempt) =>
      Effect.flatMap(
        connect(address, attempt),
        (connection) =>
          Effect.map(f(connection, address, attempt), (derived) => {
            originals.set(derived as object, { connection })
            return derived
          })
      ),
    closed: (derived) => attempted(() => closed(original(derived))),
    isClosed: isClosed && ((derived) => isClosed(original(derived))),
    probe: probe && ((derived) => Effect.suspend(() => probe(original(derived)))),
    terminate: terminate && ((derived) => Effect.suspend(() => terminate(original(derived)))),
    close: close && ((derived) => Effect.suspend(() => close(original(derived))))
  })
}

/** @internal */
export const mapError = <Address, Connection, E, R, E2>(
  self: Connector<Address, Connection, E, R>,
  f: (error: E) => E2
): Connector<Address, Connection, E2, R> => {
  Options.func("f", f)
  const { close, closed, connect, isClosed, probe, terminate } = connector("self", self)
  const abort = (attempt: Attempt<unknown>, error: unknown) => Effect.suspend(() => attempt.abort(f(error as never)))
  return make({
    connect: (address, attempt) =>
      Effect.mapError(
        connect(address, {
          ...attempt,
          // The attempt fails with the unmapped error, which the outer `mapError` then maps once.
          abort: (error) => Effect.zipRight(Effect.ignore(abort(attempt, error)), Effect.fail(error))
        }),
        f
      ),
    closed: (connection) => Effect.mapError(closed(connection), f),
    isClosed,
    probe: probe && ((connection) => Effect.mapError(probe(connection), f)),
    terminate,
    close: close && ((connection) => Effect.mapError(close(connection), f))
  })
}

/** @internal */
export const mapAddress = <Address, Connection, E, R, Address2>(
  self: Connector<Address, Connection, E, R>,
  f: (address: Address2) => Address
): Connector<Address2, Connection, E, R> => {
  Options.func("f", f)
  return make({
    ...connector("self", self),
    connect: (address, attempt) =>
      Effect.suspend(() =>
        self.connect(f(address), {
          ...attempt,
          // An old address that cannot be mapped must not fail the attempt at a new one.
          previousAddress: Option.flatMap(attempt.previousAddress, Option.liftThrowable(f))
        })
      )
  })
}
