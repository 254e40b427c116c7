/**
 * Races of two actions on a connection: every pair, in every situation, some turns apart. In every order, each
 * connection is released once, no caller waits forever, and a closed persistent connection stays closed.
 */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import { describe, expect, it } from "@effect/vitest"
import type { ConnectionEvent } from "@persistent-connection/core/ConnectionEvent"
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import { Line, refuse, Refused } from "../support/Fixture.js"
import { isLong, seed } from "../support/proof.js"

const gate = () => Deferred.unsafeMake<void, Refused>(FiberId.none)

/** A persistent connection with its server and its callers. */
class Race {
  readonly clock = new VirtualClock()
  readonly wires: Array<Line> = []
  readonly events: Array<ConnectionEvent<Line, Refused>> = []
  readonly states: Array<ConnectionState<Line, Refused>> = []
  readonly callers: Array<readonly [string, Fiber.RuntimeFiber<unknown, unknown>]> = []
  /** The gates of a connect, of the `Connected` handler and of a use. */
  connecting: Deferred.Deferred<void, Refused> | undefined
  handling: Deferred.Deferred<void, Refused> | undefined
  using = gate()
  private abortion: Effect.Effect<void> = Effect.void
  private readonly scope = Effect.runSync(Scope.make())
  private readonly supervisor = Effect.runSync(Supervisor.track)
  readonly service: PersistentConnection.PersistentConnection<Line, Refused>

  constructor({ isUninterruptible, knowsIfClosed }: Variant) {
    const connector = Connector.make({
      connect: (_: void, attempt: Connector.Attempt<void>) => {
        this.abortion = Effect.ignore(attempt.abort(new Refused({ text: "aborted" })))
        const connect = Effect.zipRight(
          Effect.suspend(() => this.connecting === undefined ? Effect.void : Deferred.await(this.connecting)),
          Effect.acquireRelease(
            Effect.sync(() => {
              const wire = new Line(this.wires.length + 1, "a")
              this.wires.push(wire)
              return wire
            }),
            (wire) => Effect.sync(() => wire.released++)
          )
        )
        return isUninterruptible ? Effect.uninterruptible(connect) : connect
      },
      closed: (wire: Line) => wire.lost,
      probe: () => Effect.zipRight(Effect.yieldNow(), refuse("no answer")),
      ...(knowsIfClosed ? { isClosed: (wire: Line) => wire.isLost } : {})
    })
    const made = this.clock.run(
      PersistentConnection.make({
        serverName: "races",
        address: Effect.void,
        connector,
        retry: RetryPolicy.fixed(1_000),
        slowHandlerThreshold: Infinity,
        onEvent: (event) =>
          Effect.suspend(() => {
            this.events.push(event)
            return event._tag === "Connected" && this.handling !== undefined
              ? Effect.ignore(Deferred.await(this.handling))
              : Effect.void
          })
      }).pipe(
        Scope.extend(this.scope),
        Effect.supervised(this.supervisor),
        // An abort is logged.
        Logger.withMinimumLogLevel(LogLevel.None)
      )
    ).unsafePoll()
    if (made === null || Exit.isFailure(made)) throw new Error("make did not complete at once")
    this.service = made.value
    this.clock.run(Stream.runForEach(this.service.state.changes, (state) => Effect.sync(() => this.states.push(state))))
    this.clock.flush()
  }

  /** Runs an effect in its own fiber, and remembers the fiber by its name. */
  call(name: string, effect: Effect.Effect<unknown, unknown>): void {
    this.callers.push([name, this.clock.run(Effect.supervised(effect, this.supervisor))])
  }

  readonly abort = () => this.call("abort", this.abortion)
  readonly leave = () => this.call("leave", Scope.close(this.scope, Exit.void))
  readonly use = () =>
    this.call(
      "use",
      PersistentConnection.use(this.service, () => Effect.zipRight(Effect.yieldNow(), Deferred.await(this.using)))
    )

  pass(millis: number): void {
    this.clock.advanceTo(this.clock.now + millis)
  }

  get state(): ConnectionState<Line, Refused> {
    return Effect.runSync(this.service.state.get)
  }

  get fibers(): ReadonlyArray<unknown> {
    return Effect.runSync(this.supervisor.value)
  }
}

interface Named<A> {
  readonly name: string
  readonly run: A
}

const situations: ReadonlyArray<Named<(race: Race) => void>> = [
  { name: "idle", run: () => {} },
  { name: "in use", run: (race) => race.use() },
  {
    name: "refreshing",
    run: (race) => {
      race.connecting = gate()
      race.call("refresh", PersistentConnection.refresh(race.service, { drain: 5_000 }))
    }
  },
  {
    name: "draining",
    run: (race) => {
      race.use()
      race.pass(10)
      race.call("refresh", PersistentConnection.refresh(race.service, { drain: 5_000 }))
    }
  },
  {
    name: "refreshing during a handler",
    run: (race) => {
      race.handling = gate()
      race.wires.at(-1)!.drop()
      race.pass(2_000)
      race.connecting = gate()
      race.call("refresh", PersistentConnection.refresh(race.service, { drain: 5_000 }))
    }
  },
  {
    name: "waiting for the next attempt",
    run: (race) => {
      race.connecting = Deferred.unsafeMake(FiberId.none)
      Deferred.unsafeDone(race.connecting, Exit.fail(new Refused({ text: "refused" })))
      race.wires.at(-1)!.drop()
      race.pass(0)
      race.connecting = undefined
      race.use()
    }
  },
  {
    name: "closing gracefully",
    run: (race) => {
      race.use()
      race.pass(10)
      race.call("closeGracefully", PersistentConnection.closeGracefully(race.service, 5_000))
    }
  },
  {
    name: "the current connection is the last one",
    run: (race) => {
      race.use()
      race.pass(10)
      race.call("closeWhenCurrentConnectionIsClosed", race.service.closeWhenCurrentConnectionIsClosed)
    }
  }
]

const open = (exit: Exit.Exit<void, Refused>) => (race: Race) => {
  if (race.connecting !== undefined) Deferred.unsafeDone(race.connecting, exit)
}

const actions: ReadonlyArray<Named<(race: Race) => void>> = [
  {
    name: "the connection is lost",
    run: (race) => race.wires.at(-1)?.drop(Exit.fail(new Refused({ text: "reset" })))
  },
  { name: "the first connection is lost", run: (race) => race.wires[0]?.drop() },
  { name: "the attempt succeeds", run: open(Exit.void) },
  { name: "the attempt fails", run: open(Exit.fail(new Refused({ text: "refused" }))) },
  { name: "the use ends", run: (race) => Deferred.unsafeDone(race.using, Exit.void) },
  {
    name: "the handler ends",
    run: (race) => race.handling !== undefined && Deferred.unsafeDone(race.handling, Exit.void)
  },
  { name: "close", run: (race) => race.call("close", race.service.close) },
  {
    name: "closeGracefully",
    run: (race) => race.call("closeGracefully", PersistentConnection.closeGracefully(race.service, 3_000))
  },
  {
    name: "closeWhenCurrentConnectionIsClosed",
    run: (race) => race.call("closeWhenCurrentConnectionIsClosed", race.service.closeWhenCurrentConnectionIsClosed)
  },
  { name: "abort", run: (race) => race.abort() },
  { name: "leave", run: (race) => race.leave() },
  {
    name: "refresh",
    run: (race) => race.call("refresh", PersistentConnection.refresh(race.service, { drain: 2_000 }))
  },
  {
    name: "refresh",
    run: (race) => race.call("refresh", PersistentConnection.reconnectNow(race.service, { whenConnected: "refresh" }))
  },
  {
    name: "probe",
    run: (race) => race.call("probe", PersistentConnection.reconnectNow(race.service, { whenConnected: "probe" }))
  },
  { name: "use", run: (race) => race.use() },
  {
    name: "the first caller is interrupted",
    run: (race) => race.callers[0]?.[1].unsafeInterruptAsFork(FiberId.none)
  }
]

const transitions: { readonly [K in ConnectionState<Line, Refused>["_tag"]]: ReadonlyArray<string> } = {
  Connecting: ["Connecting", "Connected", "Waiting", "Closing"],
  // From Connected to Connected: it was replaced, or became the last connection.
  Connected: ["Connected", "Waiting", "Closing"],
  Waiting: ["Connecting", "Closing"],
  Closing: ["Closing", "Closed"],
  Closed: ["Closed"]
}

/** Checks the invariants of every history. */
const checkHistory = ({ events, states }: Race) => {
  for (let i = 1; i < states.length; i++) {
    expect(transitions[states[i - 1]!._tag], `${states[i - 1]!._tag} -> ${states[i]!._tag}`).toContain(states[i]!._tag)
  }
  const connected: Array<number> = []
  const disconnected: Array<number> = []
  for (const event of events) {
    if (event._tag === "Connected") {
      // A connection that is replaced while the handler of the previous one runs is not reported.
      expect(event.generation).toBeGreaterThan(connected.at(-1) ?? 0)
      connected.push(event.generation)
    } else if (event._tag === "Disconnected") {
      expect(event.generation, "the lost connection is the latest one").toBe(connected.at(-1))
      expect(disconnected).not.toContain(event.generation)
      disconnected.push(event.generation)
    } else if (event._tag === "AttemptingToConnect") {
      expect(connected.length === 0 ? undefined : connected.at(-1), "every connection has ended").toBe(
        disconnected.at(-1)
      )
    }
  }
}

interface Variant {
  readonly knowsIfClosed: boolean
  /** True if a connect is uninterruptible. */
  readonly isUninterruptible: boolean
}

const ending = new Set(["close", "closeGracefully", "leave"])
const last = new Set([...ending, "abort", "closeWhenCurrentConnectionIsClosed"])

const runPair = (
  situation: Named<(race: Race) => void>,
  first: Named<(race: Race) => void>,
  second: Named<(race: Race) => void>,
  turns: number,
  variant: Variant
) => {
  const race = new Race(variant)
  race.pass(100)
  situation.run(race)
  race.pass(10)
  first.run(race)
  if (turns === 0) second.run(race)
  else {
    race.clock.run(Effect.zipRight(
      Effect.repeatN(Effect.yieldNow(), turns - 1),
      Effect.sync(() => second.run(race))
    ))
  }
  race.pass(60_000)

  // Opens all gates, and waits for a quiet minute.
  for (const pending of [race.using, race.connecting, race.handling]) {
    if (pending !== undefined) Deferred.unsafeDone(pending, Exit.void)
  }
  race.connecting = race.handling = undefined
  race.pass(60_000)
  const called = race.callers.map(([name]) => name)
  if (called.some((name) => ending.has(name))) expect(race.state._tag).toBe("Closed")
  else if (called.some((name) => last.has(name))) {
    expect(race.state._tag === "Closed" || (race.state._tag === "Connected" && race.state.isLast)).toBe(true)
  } else expect(race.state._tag).toBe("Connected")
  const waiting = race.callers.filter(([, fiber]) => fiber.unsafePoll() === null)
  expect(waiting.map(([name]) => name), "no caller waits").toEqual([])

  race.leave()
  race.pass(60_000)
  expect(race.state._tag).toBe("Closed")
  expect(race.wires.map(({ released }) => released), "released once").toEqual(race.wires.map(() => 1))
  expect(race.fibers, "no fiber is left").toEqual([])
  checkHistory(race)
}

const variants: ReadonlyArray<Variant> = [
  { knowsIfClosed: true, isUninterruptible: false },
  { knowsIfClosed: false, isUninterruptible: false },
  { knowsIfClosed: true, isUninterruptible: true }
]

/** The distances of a pair, in turns. The short form runs only every fourth pair, once. */
const turnsOf = (first: number, second: number): ReadonlyArray<number> => {
  if (isLong) return [0, 1, 2, 3, 4, 5, 6, 7, 8]
  return (first + second) % 4 === 0 ? [second % 3] : []
}

for (const situation of situations) {
  describe(`while ${situation.name}`, () => {
    actions.forEach((first, i) => {
      it(`${first.name}, followed by each other action`, () => {
        actions.forEach((second, j) => {
          for (const turns of turnsOf(i, j)) {
            const variant = variants[(i + j + turns + seed) % variants.length]!
            try {
              runPair(situation, first, second, turns, variant)
            } catch (error) {
              const name = `${first.name}, ${turns} turns later ${second.name}, ${JSON.stringify(variant)}`
              if (error instanceof Error) error.message = `${name}: ${error.message}`
              throw error
            }
          }
        })
      })
    })
  })
}
