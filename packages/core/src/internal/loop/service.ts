import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Inspectable from "effect/Inspectable"
import type * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { ConnectionEvent } from "../../ConnectionEvent.js"
import * as State from "../../ConnectionState.js"
import type { AttemptFailure, Connector } from "../../Connector.js"
import type { Options, PersistentConnection } from "../../PersistentConnection.js"
import { standard } from "../../RetryPolicy.js"
import { equalCause, equalCauseBy } from "../base/cause.js"
import { type AnyFiber, ownRuntime } from "../base/effect3.js"
import { equalContent } from "../base/equalContent.js"
import type { EventBus } from "../base/eventBus.js"
import type { Inferred } from "../base/inferred.js"
import * as option from "../base/options.js"
import { never } from "../base/time.js"
import { connector } from "../connector/connector.js"
import { schedule } from "../connector/retryPolicy.js"
import { Loop, type Settings } from "./loop.js"
import { registry } from "./registry.js"
import { shownState } from "./shownState.js"

/** @internal */
export const TypeId = "~persistent-connection/PersistentConnection" as const

/**
 * The operations. Each reads the state of the loop, and waits for a signal of the loop if there is no answer yet.
 */
class Service<A, C, E, R> extends Inspectable.Class implements PersistentConnection<C, E> {
  /** Kept, because `connected` is the operation that programs run most often. */
  private whenConnected: Effect.Effect<C> | undefined

  constructor(readonly loop: Loop<A, C, E, R>) {
    super()
  }

  get [TypeId](): typeof TypeId {
    return TypeId
  }

  get serverName(): string {
    return this.loop.settings.serverName
  }

  get connected(): Effect.Effect<C> {
    return this.whenConnected ??= Effect.suspend(() => this.loop.openSession?.result ?? this.untilConnected)
  }

  private get untilConnected(): Effect.Effect<C> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      if (!loop.isClosing) {
        return Effect.zipRight(loop.waitFor(fiber as AnyFiber, loop.connectionChanged.next), this.connected)
      }
      // A3: it never answers once closed. But a fiber that closing waits for must not wait for ever (D7).
      return loop.fibers.whereIs(fiber as AnyFiber) === "inside"
        ? Effect.die(loop.closedError)
        : loop.waitFor(fiber as AnyFiber, never)
    })
  }

  get connectedOrClosed(): Effect.Effect<C, ConnectionClosed<E>> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      const { openSession } = loop
      if (openSession !== undefined) return openSession.result
      return loop.isClosing
        ? Effect.zipRight(this.closeFinished, Effect.failSync(() => loop.closedError))
        : Effect.zipRight(loop.waitFor(fiber as AnyFiber, loop.connectionChanged.next), this.connectedOrClosed)
    })
  }

  get connectedOrFailedToConnect(): Effect.Effect<C, AttemptFailure<E> | ConnectionClosed<E>> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      const { openSession } = loop
      if (openSession !== undefined) return openSession.result
      return loop.willNotReconnect ? loop.closedExit : loop.waitFor(fiber as AnyFiber, loop.attemptEnded.next)
    })
  }

  get currentConnection(): Effect.Effect<Option.Option<C>> {
    return Effect.sync(() => State.connection(this.loop.state))
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.loop.close()
      return this.closeFinished
    })
  }

  get isClosed(): Effect.Effect<boolean> {
    return Effect.sync(() => this.loop.isClosing)
  }

  get closeFinished(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      const { loop } = this
      if (loop.hasClosed) return Effect.void
      const isAwaited = loop.fibers.whereIs(fiber as AnyFiber) === "inside"
      // Closing waits for fibers that are inside, so they wait only for its beginning (D7b).
      if (isAwaited && loop.isClosing) return Effect.void
      const next = isAwaited ? Effect.zipRight(loop.connectionChanged.next, this.closeFinished) : loop.closeEnded.next
      return loop.waitFor(fiber as AnyFiber, next)
    })
  }

  get closeWhenCurrentConnectionIsClosed(): Effect.Effect<void> {
    return Effect.sync(() => this.loop.closeAfterCurrent({ _tag: "ClosedByOwner" }))
  }

  get current(): Subscribable.Subscribable<Option.Option<C>> {
    return Subscribable.make({
      get: this.currentConnection,
      changes: this.following(() => this.loop.status.currentChanges)
    })
  }

  get state(): Subscribable.Subscribable<State.ConnectionState<C, E>> {
    return Subscribable.make({
      get: Effect.sync(() => this.loop.state),
      changes: this.following(() => this.loop.status.changes)
    })
  }

  get events(): Stream.Stream<ConnectionEvent<C, E, void>> {
    return this.following(() => this.loop.events.bus)
  }

  get subscribe(): Effect.Effect<Queue.Dequeue<ConnectionEvent<C, E, void>>, never, Scope.Scope> {
    return this.loop.events.bus.subscribe
  }

  /** The loop does not wait for a handler that follows the events or the state (D7a). */
  private following<B>(bus: () => EventBus<B>): Stream.Stream<B> {
    // Channels, because `Stream.unwrapScoped` adds 10 kB to a program, and 6 kB of heap to each consumer.
    return Stream.fromChannel(Channel.unwrapScoped(Effect.withFiberRuntime((fiber) => {
      this.loop.fibers.letHandlersGo(fiber as AnyFiber)
      return bus().follow
    })))
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  toJSON() {
    return { _id: "PersistentConnection", serverName: this.serverName, state: shownState(this.loop.state) }
  }
}

/**
 * The loop of a persistent connection, for other modules of this package.
 *
 * @internal
 */
export const loopOf = <Connection, E>(
  self: PersistentConnection<Connection, E>
): Loop<unknown, Connection, E, unknown> => (service("self", self) as Service<unknown, Connection, E, unknown>).loop

const service = option.kind("a PersistentConnection", (input) => input instanceof Service)

/**
 * How a map of connections changes their connectors.
 *
 * @internal
 */
export type Adapt = <A, C, E, R>(connector: Connector<A, C, E, R>) => Connector<A, C, E, R>

/** @internal */
export function make<Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>,
  adapt?: Adapt
): Effect.Effect<PersistentConnection<Connection, EA | EC>, never, RA | RC | Inferred<RS | RH> | Scope.Scope>
export function make<Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>,
  adapt: Adapt = identity
): Effect.Effect<PersistentConnection<Connection, EA | EC>, never, RA | RC | RS | RH | Scope.Scope> {
  return Effect.uninterruptible(Effect.gen(function*() {
    const settings = yield* Effect.sync(() => decode(options, adapt))
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    const runtime = yield* ownRuntime<RA | RC | RS | RH>()
    const self = new Service(new Loop(settings, clock, runtime))
    registry.add(self)
    yield* Scope.addFinalizer(scope, Effect.zipRight(self.loop.dispose, Effect.sync(() => registry.delete(self))))
    return self
  }))
}

/**
 * The options that a simulation shares.
 *
 * @internal
 */
export const retryReaders = {
  retry: option.optional(schedule),
  minUptime: option.withDefault(option.duration, "5 seconds"),
  reconnectJitter: option.withDefault(option.finite, 0)
}

const readers = {
  ...retryReaders,
  serverName: option.nonEmpty,
  address: option.kind("an effect or a function", (input) => Effect.isEffect(input) || Predicate.isFunction(input)),
  connector,
  attemptTimeout: option.withDefault(option.positive, "30 seconds"),
  closeTimeout: option.withDefault(option.duration, Infinity),
  slowHandlerThreshold: option.withDefault(option.duration, "10 seconds"),
  onEvent: option.optional(option.func),
  maxUndelivered: option.optional(option.limit),
  addressEquivalence: option.optional(option.func),
  errorEquivalence: option.optional(option.func)
}

const decode = <Address, Connection, EA, EC, RA, RC, RS, RH>(
  options: Options<Address, Connection, EA, EC, RA, RC, RS, RH>,
  adapt: Adapt
): Settings<Address, Connection, EA | EC, RA | RC | RS | RH> => {
  const { address, errorEquivalence, ...read } = option.read(options, readers)
  // Name by name: an object that is spread takes twice the memory, and every persistent connection keeps one.
  return {
    serverName: read.serverName,
    connector: adapt(read.connector),
    lookUp: Effect.isEffect(address) ? () => address : address,
    schedule: read.retry ?? standard,
    minUptime: read.minUptime,
    reconnectJitter: read.reconnectJitter,
    attemptTimeout: read.attemptTimeout,
    closeTimeout: read.closeTimeout,
    slowHandlerThreshold: read.slowHandlerThreshold,
    onEvent: read.onEvent,
    maxUndelivered: read.maxUndelivered ?? 8,
    addressEquivalence: read.addressEquivalence ?? equalContent,
    causeEquivalence: errorEquivalence === undefined ? equalCause : equalCauseBy(errorEquivalence)
  }
}
