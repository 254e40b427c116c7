/** One run of the clients in a world, and what the page has seen of it through the public interface. */
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import type * as ConnectionStatus from "@persistent-connection/core/ConnectionStatus"
import * as Inspect from "@persistent-connection/core/Inspect"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../src/live/client.js"
import type { Message } from "../src/live/feed.js"
import * as Rates from "../src/live/rates.js"
import {
  type Action,
  describeAction,
  fleetFrom,
  initialWorld,
  nextWorld,
  type Scenario,
  type Settings,
  type Step,
  type WorldState
} from "../src/live/scenario.js"
import { makeClients, perform, play } from "../src/live/simulate.js"
import * as Timeline from "../src/live/timeline.js"
import * as World from "../src/live/world.js"
import type { Fleet } from "./control.js"
import type { Time } from "./time.js"

/** A time with an unchanged world. */
export interface Era {
  readonly from: number
  readonly to: number | undefined
  readonly world: WorldState
}

export interface LogLine {
  readonly at: number
  readonly kind: "event" | "failure" | "world"
  readonly text: string
}

/** A message that has arrived, or a gap; `missed` is the number of messages that nobody will repeat. */
export type Item =
  | { readonly _tag: "Message"; readonly at: number; readonly number: number; readonly missed: number }
  | { readonly _tag: "Gap"; readonly from: number; readonly to: number; readonly generation: number }

/** True if an action happens at a moment, and leaves the world as it was. */
const isMoment = ({ tag }: Action): boolean => tag === "silence" || tag === "announce" || tag === "close"

/** How long the past is kept, in ms, and how many lines of it. */
const keptTime = 150_000
const keptLines = 400

export class Session {
  readonly start: number
  spans: ReadonlyArray<Timeline.Span> = []
  eras: Array<Era>
  log: Array<LogLine> = []
  items: Array<Item> = []
  steps: Array<Step> = []
  world: WorldState = initialWorld
  status: ConnectionStatus.ConnectionStatus<unknown>["_tag"] = "Connecting"
  summary: Inspect.Summary | undefined
  attempts: Array<number> = []
  expectations: Array<Rates.Expectation> = []
  readonly phases: Array<Timeline.State["_tag"]>
  /** Grows with every change, except that of the time. */
  version = 0

  private readonly delays: Array<Rates.Delays>
  private fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  private clients: ReadonlyArray<PersistentConnection.PersistentConnection<unknown, unknown>> = []
  private perform: (action: Action) => Effect.Effect<void> = () => Effect.void
  private fleet: Fleet | undefined
  private lastNumber: number | undefined

  constructor(readonly time: Time, readonly scenario: Scenario) {
    this.start = time.now()
    this.eras = [{ from: this.start, to: undefined, world: initialWorld }]
    this.phases = Array.from({ length: scenario.settings.clients }, () => "Connecting")
    this.delays = this.phases.map(() => Rates.noDelays)
  }

  /** Begins, and performs the steps of the scenario at their times. */
  run<E>(makeServer: Effect.Effect<World.Server<E>, never, Scope.Scope>, fleet?: Fleet): this {
    if (fleet !== undefined && this.settings.clients >= fleetFrom) {
      this.fleet = fleet
      fleet.start(this.settings, (client, phase) => this.sawPhase(client - 1, phase))
    }
    this.fiber = this.time.run(Effect.scoped(this.main(makeServer)))
    return this
  }

  get settings(): Settings {
    return this.scenario.settings
  }

  /** In ms since the start. */
  get elapsed(): number {
    return this.time.now() - this.start
  }

  /** Something happens to the world or to the clients now. */
  act(action: Action): void {
    this.time.run(this.happens(action, Math.round(this.elapsed)))
  }

  /** Reads the summary of the first client, and forgets the past. */
  refresh(): void {
    const [first] = this.clients
    if (first !== undefined) this.time.run(Effect.map(Inspect.summarize(first), (summary) => (this.summary = summary)))
    const before = this.time.now() - keptTime
    this.spans = Timeline.forget(this.spans, before)
    this.eras = this.eras.filter(({ to }) => to === undefined || to >= before)
    this.items = this.items.filter((item) => (item._tag === "Message" ? item.at : item.to) >= before)
    this.attempts = this.attempts.filter((at) => at >= before)
    this.expectations = this.expectations.filter(({ to }) => to >= before)
    this.log.splice(0, this.log.length - keptLines)
  }

  stop(): void {
    if (this.fiber !== undefined) this.time.run(Fiber.interruptFork(this.fiber))
  }

  private main<E>(makeServer: Effect.Effect<World.Server<E>, never, Scope.Scope>) {
    return Effect.gen(this, function*() {
      const world = yield* World.make(yield* makeServer)
      const here = this.fleet === undefined ? this.settings.clients : fleetFrom - 1
      const clients = yield* makeClients(world, { ...this.settings, clients: here })
      this.clients = clients
      this.perform = (action) => perform(world, clients, action)
      for (const [index, client] of clients.entries()) {
        yield* this.watch(client.state.changes, (state) => this.sawState(index, state))
      }
      const [first] = clients
      if (first !== undefined) {
        yield* this.watch(first.events, (event) => this.sawEvent(event))
        yield* this.watch(PersistentConnection.status(first).changes, ({ _tag }) => this.status = _tag)
        yield* this.watch(Client.messages(first), (resumed) => this.sawMessage(resumed))
      }
      yield* play(this.scenario, (action, at) => this.happens(action, at))
      yield* Effect.never
    })
  }

  private watch<A, E>(stream: Stream.Stream<A, E>, see: (a: A) => void) {
    const run = Stream.runForEach(stream, (a) =>
      Effect.sync(() => {
        see(a)
        this.version++
      }))
    // A client that gave up ends its streams with an error; the log shows it.
    return Effect.forkScoped(Effect.exit(run))
  }

  private happens(action: Action, at: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.time.now()
      this.steps.push({ at, action })
      this.world = nextWorld(this.world, action, now - this.start)
      if (!isMoment(action)) {
        this.eras = this.eras.map((era) => era.to === undefined ? { ...era, to: now } : era)
        this.eras.push({ from: now, to: undefined, world: this.world })
      }
      this.log.push({ at: now, kind: "world", text: describeAction(action) })
      this.version++
      if (action.tag === "offline" || action.tag === "online" || action.tag === "close") this.fleet?.act(action)
      return this.perform(action)
    })
  }

  private sawState(index: number, state: Timeline.State): void {
    this.sawPhase(index, Rates.phaseOf(state))
    if (index === 0) this.spans = Timeline.addState(this.spans, state, this.time.now())
  }

  private sawPhase(index: number, phase: Rates.Phase): void {
    const { attempt, delays, expectation } = Rates.follow(this.delays[index]!, phase, this.settings)
    this.delays[index] = delays
    this.phases[index] = phase.tag
    if (attempt !== undefined) this.attempts.push(attempt)
    if (expectation !== undefined) this.expectations.push(expectation)
  }

  private sawEvent(event: ConnectionEvent.ConnectionEvent<unknown, unknown>): void {
    this.log.push({
      at: this.time.now(),
      kind: event._tag === "FailedToConnect" || event._tag === "Disconnected" ? "failure" : "event",
      text: ConnectionEvent.message(event)
    })
  }

  private sawMessage(resumed: PersistentConnection.Resumed<Message>): void {
    if (resumed._tag === "Gap") {
      const { generation, lostAt, restoredAt } = resumed
      this.items.push({ _tag: "Gap", from: lostAt, to: restoredAt, generation })
    } else {
      const { number } = resumed.value
      const missed = this.lastNumber === undefined ? 0 : number - this.lastNumber - 1
      this.items.push({ _tag: "Message", at: this.time.now(), number, missed })
      this.lastNumber = number
    }
  }
}
