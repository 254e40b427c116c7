import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import type * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { ConnectionEvent } from "../../ConnectionEvent.js"
import * as State from "../../ConnectionState.js"
import * as Connector from "../../Connector.js"
import type { Options, PersistentConnection } from "../../PersistentConnection.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import { equalCause, equalCauseBy } from "../base/cause.js"
import { equalContent } from "../base/equalContent.js"
import { ownRuntime } from "../base/fibers.js"
import * as option from "../base/options.js"
import { never } from "../base/sleep.js"
import { Loop, type Settings } from "./loop.js"
import { registry } from "./registry.js"
import { awaitingEnd } from "./session.js"
import { shownState } from "./shownState.js"

/** @internal */
export const TypeId = "~persistent-connection/PersistentConnection" as const

/**
 * The operations: each reads the loop's fields at one stroke, and waits for one of its signals if the answer is not
 * there yet.
 */
class Impl<Address, Connection, E, R> extends Inspectable.Class implements PersistentConnection<Connection, E> {
  constructor(readonly loop: Loop<Address, Connection, E, R>) {
    super()
  }

  get [TypeId](): typeof TypeId {
    return TypeId
  }

  get serverName(): string {
    return this.loop.settings.serverName
  }

  get connected(): Effect.Effect<Connection> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      if (loop.isOpen()) return Effect.succeed(loop.session.connection)
      if (!loop.isClosing) return Effect.zipRight(loop.waitFor(fiber, loop.changed.next), this.connected)
      // A3: never. But what closing itself waits for must not wait for ever (D7).
      return loop.fibers.isAwaited(fiber)
        ? Effect.die(loop.closed)
        : Effect.zipRight(loop.beforeWaiting(fiber, "connection"), awaitingEnd(fiber, never))
    })
  }

  get connectedOrClosed(): Effect.Effect<Connection, ConnectionClosed<E>> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      if (loop.isOpen()) return Effect.succeed(loop.session.connection)
      if (loop.hasFinished) return Effect.fail(loop.closed)
      return loop.isClosing
        ? Effect.zipRight(this.closeFinished, Effect.failSync(() => loop.closed))
        : Effect.zipRight(loop.waitFor(fiber, loop.changed.next), this.connectedOrClosed)
    })
  }

  get connectedOrFailedToConnect(): Effect.Effect<Connection, Connector.AttemptFailure<E> | ConnectionClosed<E>> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      if (loop.isOpen()) return Effect.succeed(loop.session.connection)
      if (loop.isClosing || loop.isAborted) return loop.refusal
      return loop.waitFor(fiber, loop.results.next)
    })
  }

  get currentConnection(): Effect.Effect<Option.Option<Connection>> {
    return Effect.sync(() => State.connection(this.loop.state))
  }

  get close(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      this.loop.beginClosing(fiber)
      return this.closeFinished
    })
  }

  get isClosed(): Effect.Effect<boolean> {
    return Effect.sync(() => this.loop.isClosing)
  }

  get closeFinished(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      if (loop.hasFinished) return Effect.void
      const finished = awaitingEnd(fiber, loop.finished.next)
      // What closing waits for cannot wait for the end of closing: it gets as far as the beginning (D7).
      if (loop.isClosing) return loop.fibers.isAwaited(fiber) ? Effect.void : finished
      return Effect.zipRight(
        loop.beforeWaiting(fiber, "end"),
        loop.fibers.isAwaited(fiber) ? Effect.zipRight(loop.changed.next, this.closeFinished) : finished
      )
    })
  }

  get closeWhenCurrentConnectionIsClosed(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      this.loop.end({ _tag: "ClosedByOwner" }, fiber)
      return Effect.void
    })
  }

  get state(): Subscribable.Subscribable<State.ConnectionState<Connection, E>> {
    const { changes, get } = this.loop.status.subscribable
    return Subscribable.make({ get, changes: this.following(changes) })
  }

  get events(): Stream.Stream<ConnectionEvent<Connection, E, void>> {
    return this.following(this.loop.bus.stream)
  }

  get subscribe(): Effect.Effect<Queue.Dequeue<ConnectionEvent<Connection, E, void>>, never, Scope.Scope> {
    return this.loop.bus.subscribe
  }

  /** What it tells comes from the loop, which therefore must not wait for a handler that follows it (D7). */
  private following<A>(stream: Stream.Stream<A>): Stream.Stream<A> {
    const letGo = Effect.withFiberRuntime<void>((fiber) => this.loop.letHandlerGo(fiber))
    return Stream.unwrap(Effect.as(letGo, stream))
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  toJSON() {
    return { _id: "PersistentConnection", serverName: this.serverName, state: shownState(this.loop.state) }
  }
}

/**
 * The loop of a persistent connection, for what is built on it in this package.
 *
 * @internal
 */
export const loopOf = <Connection, E>(
  self: PersistentConnection<Connection, E>
): Loop<unknown, Connection, E, unknown> => (self as Impl<unknown, Connection, E, unknown>).loop

/** @internal */
export const make = <Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>
): Effect.Effect<PersistentConnection<Connection, EA | EC>, never, RA | RC | RS | RH | Scope.Scope> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const settings = yield* Effect.sync(() => decode(options))
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    const runtime = yield* ownRuntime<RA | RC | RS | RH>()
    const self = new Impl(new Loop(settings, clock, runtime))
    registry.add(self)
    yield* Scope.addFinalizer(scope, Effect.zipRight(self.loop.leave, Effect.sync(() => registry.delete(self))))
    return self
  }))

const isFunction = (value: unknown) => typeof value === "function"

const decode = <Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>
): Settings<Address, Connection, EA | EC, RA | RC | RS | RH> => {
  const { address, connector, errorEquivalence, onEvent, retry = RetryPolicy.standard } = options
  const serverName = option.nonEmpty("serverName", options.serverName)
  // Otherwise every attempt would fail, or every policy be taken for one that dies, for ever.
  option.checkKind(Effect.isEffect(address) || isFunction(address), "address", "an effect or a function", address)
  option.checkKind(Predicate.hasProperty(connector, Connector.TypeId), "connector", "a Connector", connector)
  option.checkKind(Schedule.isSchedule(retry), "retry", "a Schedule", retry)
  option.checkKind(onEvent === undefined || isFunction(onEvent), "onEvent", "a function", onEvent)
  const isEquivalence = errorEquivalence === undefined || isFunction(errorEquivalence)
  option.checkKind(isEquivalence, "errorEquivalence", "a function", errorEquivalence)
  return {
    serverName,
    lookUp: Effect.isEffect(address) ? () => address : address,
    connector,
    schedule: retry,
    minUptime: option.duration("minUptime", options.minUptime ?? Duration.zero),
    reconnectJitter: Duration.millis(option.finiteMillis("reconnectJitter", options.reconnectJitter ?? Duration.zero)),
    attemptTimeout: option.positive("attemptTimeout", options.attemptTimeout ?? Duration.seconds(30)),
    closeTimeout: option.duration("closeTimeout", options.closeTimeout ?? Duration.infinity),
    slowHandlerThreshold: option.duration("slowHandlerThreshold", options.slowHandlerThreshold ?? Duration.seconds(10)),
    onEvent,
    addressEquivalence: options.addressEquivalence ?? equalContent,
    causeEquivalence: errorEquivalence === undefined ? equalCause : equalCauseBy(errorEquivalence)
  }
}
