import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import { type ConnectionEvent, mapAddress } from "../../ConnectionEvent.js"
import { type AnyFiber, interrupt } from "../base/effect3.js"
import { EventBus } from "../base/eventBus.js"
import { printableCause } from "../base/render.js"
import { Signal } from "../base/signal.js"
import { now, sleepUntil } from "../base/time.js"
import type { Fibers } from "./fibers.js"
import type { Status } from "./status.js"

/** @internal */
export const handlerDefects = Metric.counter("persistent_connection_handler_defects", {
  description: "Calls of onEvent that ended in a defect, by server_name",
  incremental: true
})

/** @internal */
export const slowHandlers = Metric.counter("persistent_connection_slow_handlers", {
  description: "Calls of onEvent that held up the loop for longer than slowHandlerThreshold, by server_name",
  incremental: true
})

/** @internal */
export interface EventSettings<A, C, E, R> {
  readonly serverName: string
  readonly onEvent: ((event: ConnectionEvent<C, E, A>) => Effect.Effect<unknown, never, R>) | undefined
  readonly slowHandlerThreshold: Duration.Duration
}

/** A call of the handler, for which the loop waits. */
interface Call {
  readonly event: string
  /** When a warning is due, in ms of monotonic time: undefined until the loop waits, infinite after the warning. */
  warnAt: number | undefined
}

/**
 * The queue of events. Each event is published to the bus, then given to the handler. The next event waits until that
 * call has ended or has been let go (E1). Each call has its own fiber: closing does not interrupt it (D1), leaving the
 * scope does (D8).
 *
 * @internal
 */
export class Events<A, C, E, R> {
  readonly bus = new EventBus<ConnectionEvent<C, E, void>>()
  private queue: Array<ConnectionEvent<C, E, A>> = []
  private call: Call | undefined
  private readonly settling = new Signal<void>()
  private running: Set<AnyFiber> | undefined
  private isLeft = false

  constructor(
    private readonly context: {
      readonly settings: EventSettings<A, C, E, R>
      readonly clock: Clock.Clock
      readonly fibers: Fibers<R>
      readonly status: Status<C, E>
    }
  ) {}

  emit(event: ConnectionEvent<C, E, A>): void {
    this.queue.push(event)
    this.advance()
  }

  get isSettled(): boolean {
    return this.call === undefined
  }

  /** Waits until every event so far has been handled. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { call } = this
      if (call === undefined) return Effect.void
      const next = Effect.zipRight(this.settling.next, this.settled)
      call.warnAt ??= now(this.context.clock) + Duration.toMillis(this.context.settings.slowHandlerThreshold)
      return Effect.raceFirst(next, Effect.zipRight(sleepUntil(this.context.clock, call.warnAt), this.warn(call)))
    })
  }

  /** Interrupts the running calls at once, and later calls after their first turn. */
  interruptAll(): void {
    this.isLeft = true
    this.running?.forEach(interrupt)
  }

  private advance(): void {
    while (this.call === undefined && this.queue.length > 0) {
      const event = this.queue.shift()!
      this.context.status.happened(event)
      this.bus.publish(mapAddress(event, () => undefined))
      if (this.context.settings.onEvent !== undefined) this.start(event, this.context.settings.onEvent)
    }
  }

  private start(
    event: ConnectionEvent<C, E, A>,
    onEvent: NonNullable<EventSettings<A, C, E, R>["onEvent"]>
  ): void {
    const call: Call = { event: event._tag, warnAt: undefined }
    this.call = call
    const handled = Effect.suspend(() => onEvent(event)).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.void
          : this.report(
            handlerDefects,
            event._tag,
            Effect.logError(
              `The onEvent handler of "${this.context.settings.serverName}" failed on ${event._tag}`,
              printableCause(cause)
            )
          )
      ),
      Effect.asVoid
    )
    const fiber = this.context.fibers.forkHandler(handled, { letGo: () => this.settle(call) })
    const running = this.running ??= new Set()
    running.add(fiber)
    fiber.addObserver(() => {
      running.delete(fiber)
      this.settle(call)
    })
    if (this.isLeft) interrupt(fiber)
  }

  private settle(call: Call): void {
    if (this.call !== call) return
    this.call = undefined
    this.advance()
    this.settling.notify(Exit.void)
  }

  private warn(call: Call): Effect.Effect<void> {
    return Effect.suspend(() => {
      // The call may have ended, or another fiber that waits for it may have warned already.
      const isDue = this.call === call && call.warnAt !== Infinity
      call.warnAt = Infinity
      const warning = this.report(
        slowHandlers,
        call.event,
        Effect.logWarning(
          `The onEvent handler of "${this.context.settings.serverName}" has held up the loop on ${call.event} for ${
            Duration.format(this.context.settings.slowHandlerThreshold)
          }`
        )
      )
      return Effect.zipRight(isDue ? warning : Effect.void, this.settled)
    })
  }

  private report(metric: Metric.Metric.Counter<number>, event: string, log: Effect.Effect<void>): Effect.Effect<void> {
    const { serverName } = this.context.settings
    return log.pipe(
      Effect.annotateLogs({ server_name: serverName, event }),
      Effect.zipRight(Metric.increment(Metric.tagged(metric, "server_name", serverName)))
    )
  }
}
