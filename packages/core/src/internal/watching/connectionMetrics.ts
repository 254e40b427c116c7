import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import type * as Metric from "effect/Metric"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type { AttemptOutcome, Phase } from "../../ConnectionMetrics.js"
import type { ConnectionState } from "../../ConnectionState.js"
import type { PersistentConnection } from "../../PersistentConnection.js"
import { handlerDefects, slowHandlers } from "../loop/events.js"
import type { Observer } from "../loop/status.js"
import * as metrics from "./metrics.js"
import { watch } from "./watch.js"

type State = ConnectionState<unknown, unknown>
type Labels = ReadonlyArray<MetricLabel.MetricLabel>

const outcomes: ReadonlyArray<AttemptOutcome> = ["success", "failure", "timeout", "defect", "interrupted"]

const phaseOf = {
  Connecting: "connecting",
  Connected: "connected",
  Waiting: "waiting",
  Closing: "closing",
  Closed: undefined
} as const satisfies Record<State["_tag"], Phase | undefined>

const phases: ReadonlyArray<Phase> = Object.values(phaseOf).filter((phase) => phase !== undefined)

/**
 * The metric labels for one server name. All persistent connections of the name share them, because a metric identifies
 * its series by the identity of the label array.
 */
class Series {
  private readonly byOutcome: ReadonlyMap<AttemptOutcome, Labels>
  private readonly byPhase: ReadonlyMap<Phase, Labels>
  private readonly labels: Labels

  constructor(serverName: string, others: Labels) {
    const name = MetricLabel.make("server_name", serverName)
    const by = <A extends string>(key: string, values: ReadonlyArray<A>) =>
      new Map(values.map((value) => [value, [name, MetricLabel.make(key, value), ...others]]))
    this.labels = [name, ...others]
    this.byOutcome = by("outcome", outcomes)
    this.byPhase = by("phase", phases)
    // Creates all series at once, so that they start at 0 instead of missing.
    for (const metric of counted) metric.unsafeValue(this.labels)
    for (const labels of this.byOutcome.values()) metrics.attempts.unsafeValue(labels)
    for (const labels of this.byPhase.values()) metrics.state.unsafeValue(labels)
  }

  count(metric: Metric.Metric.Counter<number>): void {
    metric.unsafeUpdate(1, this.labels)
  }

  time(metric: Metric.Metric.Histogram<number>, millis: number): void {
    metric.unsafeUpdate(millis / 1_000, this.labels)
  }

  attempt(outcome: AttemptOutcome): void {
    metrics.attempts.unsafeUpdate(1, this.byOutcome.get(outcome)!)
  }

  phase(phase: Phase | undefined, difference: number): void {
    if (phase !== undefined) metrics.state.unsafeModify(difference, this.byPhase.get(phase)!)
  }

  waiting(difference: number): void {
    metrics.waiting.unsafeModify(difference, this.labels)
  }
}

const counted = [
  metrics.connections,
  metrics.losses,
  metrics.timeToConnect,
  metrics.uptime,
  metrics.timeDisconnected,
  metrics.waiting,
  handlerDefects,
  slowHandlers
]

/**
 * The series by the labels of the fiber (usually none) and by the server name. Like all metrics they live as long as
 * the process.
 */
const allSeries = new WeakMap<Labels, Map<string, Series>>()

const seriesOf = (serverName: string, labels: Labels): Series => {
  const byName = allSeries.get(labels) ?? new Map<string, Series>()
  allSeries.set(labels, byName)
  const series = byName.get(serverName) ?? new Series(serverName, labels)
  byName.set(serverName, series)
  return series
}

/** Times are monotonic, in ms. */
class Tracker implements Observer<unknown, unknown> {
  private phase: Phase | undefined
  /** When the current phase began. */
  private since = 0
  private disconnectedSince: number | undefined
  private waiting = 0

  constructor(private readonly series: Series) {}

  readonly onTransition = (previous: State, next: State, at: number): void => {
    if (previous === next) this.begin(next, at)
    else this.count(previous, next, at)
    const phase = phaseOf[next._tag]
    if (phase !== this.phase) {
      this.series.phase(this.phase, -1)
      this.series.phase(phase, 1)
      this.phase = phase
    }
  }

  readonly onAttempt = (exit: Exit.Exit<unknown, unknown>): void => this.series.attempt(outcomeOf(exit))

  readonly onWaiting = (waiting: number): void => {
    this.series.waiting(waiting - this.waiting)
    this.waiting = waiting
  }

  private begin(state: State, at: number): void {
    this.since = at
    if (state._tag === "Connecting" || state._tag === "Waiting") this.disconnectedSince = at
  }

  private count(previous: State, next: State, at: number): void {
    // Still the same phase.
    if (previous._tag === next._tag && previous.generation === next.generation) return
    const lasted = at - this.since
    this.since = at
    if (previous._tag === "Connected") this.series.time(metrics.uptime, lasted)
    switch (next._tag) {
      case "Connected":
        this.series.count(metrics.connections)
        if (previous._tag === "Connecting") this.series.time(metrics.timeToConnect, lasted)
        return this.reconnected(at)
      case "Waiting":
        if (previous._tag === "Connecting") return
        this.series.count(metrics.losses)
        this.disconnectedSince = at
        return
      case "Closing":
        return this.reconnected(at)
    }
  }

  /** Called when a connection is established, or when none will follow. */
  private reconnected(at: number): void {
    if (this.disconnectedSince === undefined) return
    this.series.time(metrics.timeDisconnected, at - this.disconnectedSince)
    this.disconnectedSince = undefined
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): AttemptOutcome => {
  if (Exit.isSuccess(exit)) return "success"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) return Cause.isTimeoutException(failure.value) ? "timeout" : "failure"
  return Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "defect"
}

/** @internal */
export const track = <Connection, E>(self: PersistentConnection<Connection, E>): Effect.Effect<void> =>
  Effect.flatMap(
    FiberRef.get(FiberRef.currentMetricLabels),
    (labels) => watch(self, new Tracker(seriesOf(self.serverName, labels)))
  )
