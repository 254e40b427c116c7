import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Metric from "effect/Metric"
import { type Fibers, interrupt, ofOneFiber, waitsFor } from "../base/fibers.js"
import { printableCause } from "../base/render.js"
import { sleepUntil } from "../base/sleep.js"
import { handlerDefects, slowHandlers } from "./metrics.js"

/** @internal */
export interface HandlerSettings<Event, R> {
  readonly serverName: string
  readonly onEvent: ((event: Event) => Effect.Effect<unknown, never, R>) | undefined
  readonly slowHandlerThreshold: Duration.Duration
}

/** A call of the handler, and the end of the loop's interest in it. */
interface Call {
  readonly event: string
  fiber: Fiber.RuntimeFiber<void> | undefined
  /** When it is to be warned of, in ms: known once the loop waits for it, and never again once it has been. */
  warnAt: number | undefined
  /** It has ended; or it waits for a connection, which does not come while the loop waits for it. */
  readonly over: Deferred.Deferred<void>
  /** The same; or it waits for the end of closing, which does not come of itself before closing begins. */
  readonly settled: Deferred.Deferred<void>
}

/** The calls of which a fiber is a part: the innermost last. */
const partOf = FiberRef.unsafeMake<ReadonlyArray<Call>>([], ofOneFiber)

/**
 * The calls of one handler. Each runs in a fiber of its own: closing does not tear it (D1), and leaving the scope does
 * (D8).
 *
 * @internal
 */
export class Handlers<Event extends { readonly _tag: string }, R> {
  private readonly running = new Set<Fiber.RuntimeFiber<void>>()
  private last: Call | undefined
  private isOver = false

  static make<Event extends { readonly _tag: string }, R>(
    { slowHandlerThreshold, onEvent, serverName }: HandlerSettings<Event, R>,
    clock: Clock.Clock,
    fibers: Fibers<R>
  ): Handlers<Event, R> | undefined {
    return onEvent && new Handlers(serverName, onEvent, slowHandlerThreshold, clock, fibers)
  }

  private constructor(
    private readonly serverName: string,
    private readonly handler: (event: Event) => Effect.Effect<unknown, never, R>,
    private readonly warning: Duration.Duration,
    private readonly clock: Clock.Clock,
    private readonly fibers: Fibers<R>
  ) {}

  call(event: Event): void {
    const call: Call = {
      event: event._tag,
      fiber: undefined,
      warnAt: undefined,
      over: Deferred.unsafeMake(FiberId.none),
      settled: Deferred.unsafeMake(FiberId.none)
    }
    this.last = call
    const fiber = this.fibers.forkNow(Effect.locallyWith(this.guarded(event), partOf, (calls) => [...calls, call]))
    call.fiber = fiber
    this.running.add(fiber)
    fiber.addObserver(() => {
      this.running.delete(fiber)
      this.finish(call)
    })
    if (this.isOver) interrupt(fiber)
  }

  /** Until the loop may go on from the last event. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const call = this.last
      if (call === undefined) return Effect.void
      const settled = Deferred.await(call.settled)
      // Whoever takes the loop over goes on with the wait, and with its time.
      const warnAt = call.warnAt ??= this.clock.unsafeCurrentTimeMillis() + Duration.toMillis(this.warning)
      if (warnAt === Infinity) return settled
      const warned = Effect.zipRight(sleepUntil(this.clock, warnAt), this.warn(call))
      return Effect.raceFirst(settled, Effect.zipRight(warned, settled))
    })
  }

  /** The same, while closing. */
  get over(): Effect.Effect<void> {
    return Effect.suspend(() => this.last === undefined ? Effect.void : Deferred.await(this.last.over))
  }

  /**
   * The fiber is about to wait for a connection, or for the end of closing. If it is the call that the loop waits for,
   * or a fiber that the call waits for, neither might ever go on: so the loop does not wait for that call any longer
   * (D7). What a call has left behind is no reason (E1).
   */
  letGo(fiber: Fiber.RuntimeFiber<unknown, unknown>, reason: "connection" | "end"): Effect.Effect<void> {
    const call = this.last
    if (call === undefined || !fiber.getFiberRef(partOf).includes(call)) return Effect.void
    const release = () => {
      if (reason === "connection") this.finish(call)
      else Deferred.unsafeDone(call.settled, Exit.void)
    }
    // In its first turn the call does not know its own fiber yet.
    const caller = call.fiber
    if (caller === undefined) return Effect.sync(release)
    return Effect.flatMap(waitsFor(caller, fiber), (isAwaited) => isAwaited ? Effect.sync(release) : Effect.void)
  }

  /** Interrupts the calls that are running, and those to come after their first turn. */
  interruptAll(): void {
    this.isOver = true
    this.running.forEach(interrupt)
  }

  private warn(call: Call): Effect.Effect<void> {
    return Effect.suspend(() => {
      // Two can wait for the same call.
      if (call.warnAt === Infinity) return Effect.void
      call.warnAt = Infinity
      return this.report(
        slowHandlers,
        call.event,
        Effect.logWarning(
          `The onEvent handler of "${this.serverName}" has held up the loop on ${call.event} for ${
            Duration.format(this.warning)
          }`
        )
      )
    })
  }

  private report(metric: Metric.Metric.Counter<number>, event: string, log: Effect.Effect<void>): Effect.Effect<void> {
    return log.pipe(
      Effect.annotateLogs({ server_name: this.serverName, event }),
      Effect.zipRight(Metric.increment(Metric.tagged(metric, "server_name", this.serverName)))
    )
  }

  private finish(call: Call): void {
    if (this.last === call) this.last = undefined
    Deferred.unsafeDone(call.settled, Exit.void)
    Deferred.unsafeDone(call.over, Exit.void)
  }

  /** E4, D6: whatever a handler throws, and whenever, is reported and does no other harm. */
  private guarded(event: Event): Effect.Effect<void, never, R> {
    return Effect.suspend(() => this.handler(event)).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.void
          : this.report(
            handlerDefects,
            event._tag,
            Effect.logError(
              `The onEvent handler of "${this.serverName}" failed on ${event._tag}`,
              printableCause(cause)
            )
          )
      ),
      Effect.asVoid
    )
  }
}
