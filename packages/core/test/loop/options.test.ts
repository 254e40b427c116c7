import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import { make, type Options as AllOptions } from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type Line, makeFixture, type Options, pass, type Refused, settle } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

/** The message with which `make` rejects an option. */
const complaint = (options: Options) =>
  Effect.map(Effect.exit(makeFixture(options)), (exit) => {
    expect(Exit.isFailure(exit) && Cause.isDie(exit.cause), "a defect").toBe(true)
    const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    expect(Cause.isIllegalArgumentException(defect)).toBe(true)
    return (defect as Cause.IllegalArgumentException).message
  })

type Key = keyof AllOptions<string, Line, Refused>

const nonsense: ReadonlyArray<readonly [Key, ReadonlyArray<unknown>]> = [
  ["serverName", ["", "  ", 7, null]],
  ["attemptTimeout", [0, -1, Number.NaN, "soon", "-1 seconds", {}, [-1, 0]]],
  ["minUptime", [-1, Number.NaN, "long", "-5 seconds"]],
  ["reconnectJitter", [-1, Number.NaN, "wide", -1n]],
  ["closeTimeout", [-1, Number.NaN, "later"]],
  ["slowHandlerThreshold", [-1, Number.NaN, "later"]],
  ["maxUndelivered", [0, -1, Number.NaN]],
  ["retry", [{}, 1_000, "1 second"]],
  ["errorEquivalence", [{}, 1, "same", null]]
]

describe("an invalid option", () => {
  for (const [option, values] of nonsense) {
    for (const value of values) {
      const shown = typeof value === "bigint" ? `${value}n` : Number.isNaN(value) ? "NaN" : JSON.stringify(value)
      it.scoped(`C1: is a defect that names the option: ${option} ${shown}`, () =>
        Effect.gen(function*() {
          expect(yield* complaint({ [option]: value } as Options)).toContain(option)
        }))
    }
  }

  it.scoped("C1: also for values of a wrong type, without showing possible secrets", () =>
    Effect.gen(function*() {
      const connector = Connector.make({ connect: () => Effect.succeed({}), closed: () => Effect.never })
      const good = { serverName: "a", address: Effect.succeed("a"), connector, onEvent: () => Effect.void }
      for (
        const [option, value] of Object.entries({
          address: "wss://me:hush@a",
          connector: { connect: "hush" },
          onEvent: "hush"
        })
      ) {
        const made = yield* Effect.exit(Effect.scoped(make({ ...good, [option]: value } as typeof good)))
        expect(String(made)).toContain(`${option} must be`)
        expect(String(made)).not.toContain("hush")
      }
      expect(() => Connector.make({ closed: () => Effect.never } as never)).toThrow("connect must be a function")
    }))

  it.scoped("C1: starts no attempt", () =>
    Effect.gen(function*() {
      const attempts: Array<number> = []
      yield* Effect.exit(makeFixture({ serverName: "" }, ({ server }) => {
        server.lookUp = ({ number }) => Effect.sync(() => `${attempts.push(number)}`)
      }))
      yield* pass(100)
      expect(attempts).toEqual([])
    }))

  it.scoped("C1: also an infinite `reconnectJitter`, with which no attempt would ever be made", () =>
    Effect.gen(function*() {
      expect(yield* complaint({ reconnectJitter: Duration.infinity })).toContain("reconnectJitter")
    }))
})

describe("a valid option", () => {
  const sense: ReadonlyArray<Options> = [
    { serverName: "a" },
    { attemptTimeout: Duration.infinity },
    { attemptTimeout: "1 minute" },
    { minUptime: 0, reconnectJitter: 0 },
    { minUptime: Duration.infinity },
    { reconnectJitter: "1 minute" },
    { maxUndelivered: Infinity },
    {
      retry: undefined,
      onEvent: undefined,
      addressEquivalence: undefined,
      minUptime: undefined,
      reconnectJitter: undefined
    }
  ]

  for (const options of sense) {
    it.scoped(`C1: is accepted: ${JSON.stringify(options, (_, value) => value ?? "undefined")}`, () =>
      Effect.gen(function*() {
        const { service } = yield* makeFixture(options)
        yield* settle
        expect(yield* service.connected).toBeDefined()
      }))
  }
})
