import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Metric from "effect/Metric"
import { type Fibers, interrupt } from "./fibers.js"
import { sleep } from "./sleep.js"

/** @internal */
export interface HandlerSettings<Event, R> {
  readonly serverName: string
  readonly onEvent: ((event: Event) => Effect.Effect<unknown, never, R>) | undefined
  readonly handlerWarning: Duration.Duration
}

const defects = Metric.counter("persistent_connection_handler_defects", {
  description: "Calls of onEvent that ended in a defect, by server_name",
  incremental: true
})

const slow = Metric.counter("persistent_connection_slow_handlers", {
  description: "Calls of onEvent that held up the loop for longer than handlerWarning, by server_name",
  incremental: true
})

/** A call of the handler, and the end of the loop's interest in it. */
interface Call {
  readonly event: string
  readonly fiber: Fiber.RuntimeFiber<void>
  readonly settled: Deferred.Deferred<void>
}

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
    { handlerWarning, onEvent, serverName }: HandlerSettings<Event, R>,
    clock: Clock.Clock,
    fibers: Fibers<R>
  ): Handlers<Event, R> | undefined {
    return onEvent && new Handlers(serverName, onEvent, handlerWarning, clock, fibers)
  }

  private constructor(
    private readonly serverName: string,
    private readonly handler: (event: Event) => Effect.Effect<unknown, never, R>,
    private readonly warning: Duration.Duration,
    private readonly clock: Clock.Clock,
    private readonly fibers: Fibers<R>
  ) {}

  call(event: Event): void {
    const fiber = this.fibers.forkNow(this.guarded(event))
    const call = { event: event._tag, fiber, settled: Deferred.unsafeMake<void>(FiberId.none) }
    this.last = call
    this.running.add(fiber)
    fiber.addObserver(() => {
      this.running.delete(fiber)
      this.settle(call)
    })
    if (this.isOver) interrupt(fiber)
  }

  /** Ends when the last call has ended, or has turned out to wait for who waits for it. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.last === undefined) return Effect.void
      const settled = Deferred.await(this.last.settled)
      return Duration.isFinite(this.warning)
        ? Effect.raceFirst(settled, Effect.zipRight(this.warn(this.last.event), settled))
        : settled
    })
  }

  /**
   * The fiber is about to wait for something that only the loop can bring about. If it is the handler for which the
   * loop waits, neither would ever go on: so the loop waits for it no longer (D7).
   */
  letGo(fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    if (this.last?.fiber === fiber) this.settle(this.last)
  }

  /** Interrupts the calls that are running, and those to come after their first turn. */
  interruptAll(): void {
    this.isOver = true
    this.running.forEach(interrupt)
  }

  private warn(event: string): Effect.Effect<void> {
    return Effect.zipRight(
      sleep(this.clock, this.warning),
      this.report(
        slow,
        event,
        Effect.logWarning(
          `The onEvent handler of "${this.serverName}" has held up the loop on ${event} for ${
            Duration.format(this.warning)
          }`
        )
      )
    )
  }

  private report(metric: Metric.Metric.Counter<number>, event: string, log: Effect.Effect<void>): Effect.Effect<void> {
    return log.pipe(
      Effect.annotateLogs({ server_name: this.serverName, event }),
      Effect.zipRight(Metric.increment(Metric.tagged(metric, "server_name", this.serverName)))
    )
  }

  private settle(call: Call): void {
    if (this.last === call) this.last = undefined
    Deferred.unsafeDone(call.settled, Exit.void)
  }

  /** E4, D6: whatever a handler throws, and whenever, is reported and does no other harm. */
  private guarded(event: Event): Effect.Effect<void, never, R> {
    return Effect.suspend(() => this.handler(event)).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.void
          : this.report(
            defects,
            event._tag,
            Effect.logError(`The onEvent handler of "${this.serverName}" failed on ${event._tag}`, cause)
          )
      ),
      Effect.asVoid
    )
  }
}
