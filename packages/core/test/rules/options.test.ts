import { describe, expect, it } from "@effect/vitest"
import type * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { begin, type Line, type Options, pass, type Refused, settle } from "../support/Life.js"

/** What `make` has to say of an option. */
const complaint = (options: Options) =>
  Effect.map(Effect.exit(begin(options)), (exit) => {
    expect(Exit.isFailure(exit) && Cause.isDie(exit.cause), "a defect").toBe(true)
    const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    expect(Cause.isIllegalArgumentException(defect)).toBe(true)
    return (defect as Cause.IllegalArgumentException).message
  })

type Key = keyof PersistentConnection.Options<string, Line, Refused>

const nonsense: ReadonlyArray<readonly [Key, ReadonlyArray<unknown>]> = [
  ["serverName", ["", "  ", 7, null]],
  ["attemptTimeout", [-1, Number.NaN, "soon", "-1 seconds", {}, [-1, 0]]],
  ["stableFor", [-1, Number.NaN, "long", "-5 seconds"]],
  ["spread", [-1, Number.NaN, "wide", -1n]],
  ["closeTimeout", [-1, Number.NaN, "later"]],
  ["handlerWarning", [-1, Number.NaN, "later"]]
]

describe("an option that makes no sense", () => {
  for (const [option, values] of nonsense) {
    for (const value of values) {
      const shown = typeof value === "bigint" ? `${value}n` : Number.isNaN(value) ? "NaN" : JSON.stringify(value)
      it.scoped(`C1: is a defect that names it: ${option} ${shown}`, () =>
        Effect.gen(function*() {
          expect(yield* complaint({ [option]: value } as Options)).toContain(option)
        }))
    }
  }

  it.scoped("C1: starts nothing", () =>
    Effect.gen(function*() {
      const attempts: Array<number> = []
      yield* Effect.exit(begin({ serverName: "" }, ({ server }) => {
        server.lookUp = ({ number }) => Effect.sync(() => `${attempts.push(number)}`)
      }))
      yield* pass(100)
      expect(attempts).toEqual([])
    }))

  it.scoped("C1: also a window of `spread` that has no end, in which no attempt would ever be made", () =>
    Effect.gen(function*() {
      expect(yield* complaint({ spread: Duration.infinity })).toContain("spread")
    }))
})

describe("an option that makes sense", () => {
  const sense: ReadonlyArray<Options> = [
    { serverName: "a" },
    { attemptTimeout: Duration.infinity },
    { attemptTimeout: "1 minute" },
    { stableFor: 0, spread: 0 },
    { stableFor: Duration.infinity },
    { spread: "1 minute" },
    { retry: undefined, onEvent: undefined, addressEquivalence: undefined, stableFor: undefined, spread: undefined }
  ]

  for (const options of sense) {
    it.scoped(`C1: is taken: ${JSON.stringify(options, (_, value) => value ?? "undefined")}`, () =>
      Effect.gen(function*() {
        const { service } = yield* begin(options)
        yield* settle
        expect(yield* service.connected).toBeDefined()
      }))
  }
})
