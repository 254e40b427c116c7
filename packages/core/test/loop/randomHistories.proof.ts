import { VirtualClock } from "#internal/testing/virtualClock.js"
import { describe, expect, it } from "@effect/vitest"
import * as State from "@persistent-connection/core/ConnectionState"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Fixture, type Line, makeFixture, refuse, Refused, sleep } from "../support/Fixture.js"
import { cases, seed, turn } from "../support/proof.js"
import { type AnyState, documented, transitions } from "./transitions.js"

describe("a random history", () => {
  /** Runs a random history, and returns the observed events, states and results. */
  const live = (number: number) => {
    const clock = new VirtualClock()
    const random = Effect.runSync(
      Effect.map(Random.make(`history ${number}`).next, () => Random.make(`history ${number}`))
    )
    const chance = () => Effect.runSync(random.next)
    const often = (part: number) => chance() < part
    const upTo = (seconds: number) => Effect.sleep(often(0.3) ? 0 : Math.round(chance() * seconds * 1_000))
    const pick = <A>(...options: ReadonlyArray<A>): A => options[Math.floor(chance() * options.length)]!
    const atOnce = <A, E>(effect: Effect.Effect<A, E>): A => {
      const exit = clock.run(effect).unsafePoll()
      if (exit === null || Exit.isFailure(exit)) throw new Error("It did not complete at once")
      return exit.value
    }

    /** An uninterruptible effect must end by itself. */
    const outcome = (isUninterruptible = false) =>
      Effect.suspend(() => {
        const hang = isUninterruptible ? Effect.sleep(50_000) : Effect.never
        return pick<Effect.Effect<void, Refused>>(
          Effect.void,
          Effect.void,
          refuse("no"),
          refuse("full"),
          Effect.die("bug"),
          often(0.3) ? hang : Effect.void
        )
      })
    const scope = atOnce(Scope.make())
    const fixture: Fixture = atOnce(
      makeFixture({
        retry: often(0.3)
          ? Schedule.intersect(RetryPolicy.fixed("2 seconds"), Schedule.recurs(3))
          : RetryPolicy.fixed(pick("100 millis", "1 seconds", "5 seconds")),
        attemptTimeout: pick<Duration.DurationInput>("1 seconds", "10 seconds", Duration.infinity),
        minUptime: pick("0 seconds", "3 seconds"),
        onEvent: () =>
          Effect.suspend(() =>
            often(0.3) ? Effect.zipRight(upTo(3), often(0.3) ? Effect.die("bug") : act()) : Effect.void
          )
      }).pipe(
        Effect.withRandom(random),
        Logger.withMinimumLogLevel(LogLevel.None),
        Scope.extend(scope)
      )
    )
    const { server, service } = fixture
    server.lookUp = () =>
      Effect.suspend(() => {
        server.isUninterruptible = often(0.2)
        return Effect.zipRight(upTo(1), Effect.as(outcome(), pick("a", "b")))
      })
    server.connect = () => Effect.zipRight(upTo(2), outcome(server.isUninterruptible))
    server.closed = (line) =>
      Effect.raceFirst(line.lost, Effect.zipRight(sleep(0.5), Effect.zipRight(upTo(10), outcome())))
    server.release = () => pick<Effect.Effect<unknown>>(Effect.void, upTo(1), Effect.die("bug"))

    const act = (): Effect.Effect<unknown> =>
      Effect.suspend(() => {
        const line = server.lines.at(-1)
        return pick<Effect.Effect<unknown, unknown>>(
          service.connected,
          service.connectedOrClosed,
          service.connectedOrFailedToConnect,
          service.closeFinished,
          Effect.sync(() => line?.drop()),
          Effect.sync(() => line?.drop(Exit.fail(new Refused({ text: "reset" })))),
          often(0.1) ? service.close : Effect.void,
          often(0.1) ? service.closeWhenCurrentConnectionIsClosed : Effect.void,
          often(0.2) ? server.attempt?.abort(new Refused({ text: "enough" })) ?? Effect.void : Effect.void
        ).pipe(Effect.ignore)
      })

    const states: Array<AnyState> = []
    const contradictions: Array<string> = []
    const check = () => {
      const state = atOnce(service.state.get)
      const isClosed = atOnce(service.isClosed)
      const current = Option.getOrUndefined(atOnce(service.currentConnection))
      const claim = (name: string, holds: boolean) => {
        if (!holds) contradictions.push(`${clock.now}: ${name} in ${state._tag}`)
      }
      claim("isClosed", isClosed === (state._tag === "Closing" || state._tag === "Closed"))
      claim("currentConnection", current === Option.getOrUndefined(State.connection(state)))
      claim("the last observed state", states.at(-1) === state)
      claim("since", state.since <= clock.now)
      claim("generation", state.generation === server.lines.filter((line) => everCurrent.has(line)).length)
      if (state._tag === "Connecting") {
        claim("deadline", Option.getOrElse(state.deadline, () => Infinity) >= clock.now)
      }
    }
    const everCurrent = new Set<Line>()

    clock.run(Stream.runForEach(service.state.changes, (state) =>
      Effect.sync(() => {
        states.push(state)
        if (state._tag === "Connected") everCurrent.add(state.connection)
      })))
    clock.flush()
    for (let step = 0; step < 40; step++) {
      clock.advanceTo(clock.now + Math.round(chance() * 3_000))
      check()
      clock.run(act())
      clock.flush()
      check()
    }
    const leaving = clock.run(Scope.close(scope, Exit.void))
    clock.advanceTo(clock.now + 100_000)
    return { fixture, states, contradictions, hasLeft: leaving.unsafePoll() !== null }
  }

  it("C1 to X6: all state transitions are documented, the states are correct, and the events are in order", async () => {
    const total = cases(30, 3_000)
    for (let number = seed; number < seed + total; number++, await turn()) {
      const { contradictions, hasLeft, fixture: { eventLog, server }, states } = live(number)
      for (const transition of transitions(states)) expect(documented).toContain(transition)
      expect(contradictions, `history ${number}`).toEqual([])
      expect(hasLeft, `the scope of history ${number} has closed`).toBe(true)
      expect(states.at(-1)?._tag).toBe("Closed")
      expect(server.lines.map(({ released }) => released)).toEqual(server.lines.map(() => 1))
      expectGrammar(eventLog.map((entry) => entry.split(" ")[1]!))
    }
  })

  /** The grammar of the events: cycles, of which the last one may end anywhere (C2, C4, C5, E1, X3). */
  const expectGrammar = (events: ReadonlyArray<string>) => {
    const letters = events.map((event) =>
      ({
        AttemptingToConnect: "A",
        ObtainedAddress: "o",
        FailedToConnect: "f",
        Connected: "C",
        Disconnected: "D"
      })[event]
    )
    expect(letters.join("")).toMatch(/^(A[of]*CD)*(A[of]*)?$/)
  }
})
