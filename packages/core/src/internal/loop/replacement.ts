import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { AttemptFailure } from "../../Connector.js"
import { type Fibers, interrupt } from "../base/fibers.js"
import { Signal } from "../base/signal.js"
import { sleep } from "../base/sleep.js"
import type { Dialer, Dialled } from "./dial.js"

type Result<Connection, E> = Exit.Exit<Dialled<Connection>, AttemptFailure<E>>

/**
 * Make before break: the attempt at a connection that is to succeed the current one, and the connections that have been
 * succeeded and are being drained and closed.
 *
 * @internal
 */
export class Succession<Address, Connection, E, R> {
  private heir:
    | { readonly dialer: Dialer<Address, Connection, E, R>; readonly fiber: Fiber.RuntimeFiber<void> }
    | undefined
  /** How many attempts in a row have failed to replace the current connection, and the last of them why. */
  failures = 0
  lastCause: Option.Option<Cause.Cause<AttemptFailure<E>>> = Option.none()
  private readonly retiring = new Set<Fiber.RuntimeFiber<void>>()
  /** No more draining. */
  private isHurried = false
  private readonly hurried = new Signal<void>()

  constructor(private readonly clock: Clock.Clock, private readonly fibers: Fibers<R>) {}

  get isUnderWay(): boolean {
    return this.heir !== undefined
  }

  waitsFor(fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<boolean> {
    return this.heir === undefined ? Effect.succeed(false) : this.heir.dialer.waitsFor(fiber)
  }

  /** Dials for a successor. What comes of it is handed on at one stroke. */
  start(
    dialer: Dialer<Address, Connection, E, R>,
    dialled: Effect.Effect<Result<Connection, E>, never, R>,
    then: (result: Result<Connection, E>) => void
  ): void {
    const fiber = this.fibers.fork(Effect.map(dialled, (result) => {
      this.heir = undefined
      this.count(result)
      then(result)
    }))
    this.heir = { dialer, fiber }
  }

  /** No successor, for the time being. Starts at once; the effect waits until everything has been let go of. */
  cancel(caller?: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> {
    const { heir } = this
    this.heir = undefined
    this.count(Exit.void)
    if (heir === undefined) return Effect.void
    interrupt(heir.fiber)
    return heir.dialer.abandon(caller)
  }

  private count(result: Exit.Exit<unknown, AttemptFailure<E>>): void {
    this.failures = Exit.isSuccess(result) ? 0 : this.failures + 1
    this.lastCause = Exit.causeOption(result)
  }

  /** Drains and then releases what has been succeeded. */
  retire(drained: Effect.Effect<void>, release: () => Effect.Effect<void>): void {
    const fiber = this.fibers.fork(Effect.flatMap(drained, release))
    this.retiring.add(fiber)
    fiber.addObserver(() => this.retiring.delete(fiber))
  }

  /** Waits for something, at most for the given time, and not when time is short. */
  atMost(time: Duration.Duration, drained: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.isHurried || Duration.equals(time, Duration.zero)
        ? Effect.void
        : Effect.raceAll([drained, sleep(this.clock, time), this.hurried.next])
    )
  }

  /** From now on nothing is drained any longer. */
  hurry(): void {
    this.isHurried = true
    this.hurried.notify(Exit.void)
  }

  /** The same in a while, unless that is not needed any more. */
  hurryAfter(time: Duration.Duration, over: Effect.Effect<void>): void {
    if (Duration.equals(time, Duration.zero)) return this.hurry()
    this.fibers.fork(Effect.map(this.atMost(time, over), () => this.hurry()))
  }

  /** Waits until everything that was succeeded has been released. */
  get retired(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.asVoid(Fiber.awaitAll(this.retiring)))
  }
}
