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
import { Line, refuse, Refused } from "../support/Life.js"
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

  constructor({ isStubborn, knowsIfClosed }: Variant) {
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
        return isStubborn ? Effect.uninterruptible(connect) : connect
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
  readonly act: A
}

const situations: ReadonlyArray<Named<(world: Race) => void>> = [
  { name: "idle", act: () => {} },
  { name: "in use", act: (world) => world.use() },
  {
    name: "refreshing",
    act: (world) => {
      world.connecting = gate()
      world.call("refresh", PersistentConnection.refresh(world.service, { drain: 5_000 }))
    }
  },
  {
    name: "draining",
    act: (world) => {
      world.use()
      world.pass(10)
      world.call("refresh", PersistentConnection.refresh(world.service, { drain: 5_000 }))
    }
  },
  {
    name: "refreshing during a handler",
    act: (world) => {
      world.handling = gate()
      world.wires.at(-1)!.drop()
      world.pass(2_000)
      world.connecting = gate()
      world.call("refresh", PersistentConnection.refresh(world.service, { drain: 5_000 }))
    }
  },
  {
    name: "waiting for the next attempt",
    act: (world) => {
      world.connecting = Deferred.unsafeMake(FiberId.none)
      Deferred.unsafeDone(world.connecting, Exit.fail(new Refused({ text: "refused" })))
      world.wires.at(-1)!.drop()
      world.pass(0)
      world.connecting = undefined
      world.use()
    }
  },
  {
    name: "closing gracefully",
    act: (world) => {
      world.use()
      world.pass(10)
      world.call("closeGracefully", PersistentConnection.closeGracefully(world.service, 5_000))
    }
  },
  {
    name: "the last connection",
    act: (world) => {
      world.use()
      world.pass(10)
      world.call("closeWhenCurrentConnectionIsClosed", world.service.closeWhenCurrentConnectionIsClosed)
    }
  }
]

const open = (exit: Exit.Exit<void, Refused>) => (world: Race) => {
  if (world.connecting !== undefined) Deferred.unsafeDone(world.connecting, exit)
}

const acts: ReadonlyArray<Named<(world: Race) => void>> = [
  {
    name: "the connection is lost",
    act: (world) => world.wires.at(-1)?.drop(Exit.fail(new Refused({ text: "reset" })))
  },
  { name: "the first connection is lost", act: (world) => world.wires[0]?.drop() },
  { name: "the attempt succeeds", act: open(Exit.void) },
  { name: "the attempt fails", act: open(Exit.fail(new Refused({ text: "refused" }))) },
  { name: "the use ends", act: (world) => Deferred.unsafeDone(world.using, Exit.void) },
  {
    name: "the handler ends",
    act: (world) => world.handling !== undefined && Deferred.unsafeDone(world.handling, Exit.void)
  },
  { name: "close", act: (world) => world.call("close", world.service.close) },
  {
    name: "closeGracefully",
    act: (world) => world.call("closeGracefully", PersistentConnection.closeGracefully(world.service, 3_000))
  },
  {
    name: "closeWhenCurrentConnectionIsClosed",
    act: (world) => world.call("closeWhenCurrentConnectionIsClosed", world.service.closeWhenCurrentConnectionIsClosed)
  },
  { name: "abort", act: (world) => world.abort() },
  { name: "leave", act: (world) => world.leave() },
  {
    name: "refresh",
    act: (world) => world.call("refresh", PersistentConnection.refresh(world.service, { drain: 2_000 }))
  },
  {
    name: "refresh",
    act: (world) =>
      world.call("refresh", PersistentConnection.reconnectNow(world.service, { whenConnected: "refresh" }))
  },
  {
    name: "probe",
    act: (world) => world.call("probe", PersistentConnection.reconnectNow(world.service, { whenConnected: "probe" }))
  },
  { name: "use", act: (world) => world.use() },
  {
    name: "the first caller is interrupted",
    act: (world) => world.callers[0]?.[1].unsafeInterruptAsFork(FiberId.none)
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
  /** A connect cannot be interrupted. */
  readonly isStubborn: boolean
}

const ending = new Set(["close", "closeGracefully", "leave"])
const last = new Set([...ending, "abort", "closeWhenCurrentConnectionIsClosed"])

const play = (
  situation: Named<(world: Race) => void>,
  first: Named<(world: Race) => void>,
  second: Named<(world: Race) => void>,
  turns: number,
  variant: Variant
) => {
  const world = new Race(variant)
  world.pass(100)
  situation.act(world)
  world.pass(10)
  first.act(world)
  if (turns === 0) second.act(world)
  else {
    world.clock.run(Effect.zipRight(
      Effect.repeatN(Effect.yieldNow(), turns - 1),
      Effect.sync(() => second.act(world))
    ))
  }
  world.pass(60_000)

  // Opens all gates, and waits for a quiet minute.
  for (const pending of [world.using, world.connecting, world.handling]) {
    if (pending !== undefined) Deferred.unsafeDone(pending, Exit.void)
  }
  world.connecting = world.handling = undefined
  world.pass(60_000)
  const called = world.callers.map(([name]) => name)
  if (called.some((name) => ending.has(name))) expect(world.state._tag).toBe("Closed")
  else if (called.some((name) => last.has(name))) {
    expect(world.state._tag === "Closed" || (world.state._tag === "Connected" && world.state.isLast)).toBe(true)
  } else expect(world.state._tag).toBe("Connected")
  const waiting = world.callers.filter(([, fiber]) => fiber.unsafePoll() === null)
  expect(waiting.map(([name]) => name), "no caller waits").toEqual([])

  world.leave()
  world.pass(60_000)
  expect(world.state._tag).toBe("Closed")
  expect(world.wires.map(({ released }) => released), "released once").toEqual(world.wires.map(() => 1))
  expect(world.fibers, "no fiber is left").toEqual([])
  checkHistory(world)
}

const variants: ReadonlyArray<Variant> = [
  { knowsIfClosed: true, isStubborn: false },
  { knowsIfClosed: false, isStubborn: false },
  { knowsIfClosed: true, isStubborn: true }
]

/** The distances of a pair, in turns. The short form runs only every fourth pair, once. */
const turnsOf = (first: number, second: number): ReadonlyArray<number> => {
  if (isLong) return [0, 1, 2, 3, 4, 5, 6, 7, 8]
  return (first + second) % 4 === 0 ? [second % 3] : []
}

for (const situation of situations) {
  describe(`while ${situation.name}`, () => {
    acts.forEach((first, i) => {
      it(`${first.name}, and each other action a few turns later`, () => {
        acts.forEach((second, j) => {
          for (const turns of turnsOf(i, j)) {
            const variant = variants[(i + j + turns + seed) % variants.length]!
            try {
              play(situation, first, second, turns, variant)
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
