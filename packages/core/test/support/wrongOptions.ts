/**
 * Invalid options: tries many values on every option of every public constructor and combinator, from one table. Detects
 * exports that are missing from the table.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** A secret that no message may show. */
export const secret = "hunter2"

const throws = () => {
  throw new TypeError(secret)
}

const circular: Array<unknown> = []
circular.push(circular)

const everyTrap = Object.fromEntries(Object.getOwnPropertyNames(Reflect).map((trap) => [trap, throws]))
const revoked = Proxy.revocable({}, {})
revoked.revoke()

class Account {
  readonly password = secret
}

/** Values of all kinds. Each one is valid for a few options only. */
export const values: Record<string, unknown> = {
  "undefined": undefined,
  "null": null,
  "true": true,
  "false": false,
  "0": 0,
  "1": 1,
  "1.5": 1.5,
  "-1": -1,
  "-0.5": -0.5,
  "NaN": Number.NaN,
  "Infinity": Infinity,
  "-Infinity": -Infinity,
  "1e308": 1e308,
  "2 ** 53": 2 ** 53,
  "-1n": -1n,
  "5n": 5n,
  "10n ** 400n": 10n ** 400n,
  "an empty string": "",
  "a blank": " \n",
  "a word": "soon",
  "a number in a string": "1e3",
  "a duration": "5 seconds",
  "a negative duration": "-3 seconds",
  "an unknown unit": "5 parsecs",
  "a URL with a secret": `wss://me:${secret}@example.com/?token=${secret}`,
  "a token": `${secret}-${secret}-${secret}-${secret}`,
  "a symbol": Symbol(secret),
  "[]": [],
  "[1]": [1],
  "[-1, 0]": [-1, 0],
  "[NaN, 0]": [Number.NaN, 0],
  "[1, 2, 3]": [1, 2, 3],
  "an array of secrets": [secret, secret],
  "an array in itself": circular,
  "{}": {},
  "an object with a secret": { password: secret },
  "an object like a duration": { _tag: "Millis", millis: 5 },
  "an object without a prototype": Object.create(null),
  "an arrow function": () => 5,
  "an async function": async () => 5,
  "a class": Account,
  "an object of a class": new Account(),
  "a date": new Date(0),
  "a promise": Promise.resolve(secret),
  "a regular expression": /hunter2/,
  "an error": new Error(secret),
  "a map": new Map([[secret, secret]]),
  "a set": new Set([secret]),
  "bytes": new TextEncoder().encode(secret),
  "a URL": new URL(`wss://me:${secret}@example.com`),
  "a boxed number": new Number(5),
  "a boxed string": new String(secret),
  "an effect": Effect.void,
  "an option": Option.some(secret),
  "a redacted value": Redacted.make(secret),
  "a cause": Cause.fail(secret),
  "a schedule": Schedule.recurs(1),
  "a stream": Stream.void,
  "a schema": Schema.String,
  "a finite duration": Duration.seconds(5),
  "an infinite duration": Duration.infinity,
  "an object whose getters throw": Object.defineProperties({}, {
    message: { get: throws, enumerable: true },
    serverName: { get: throws, enumerable: true },
    [Symbol.toStringTag]: { get: throws }
  }),
  "an object that cannot be printed": {
    toString: throws,
    toJSON: throws,
    valueOf: throws,
    [Symbol.toPrimitive]: throws,
    [Symbol.iterator]: throws
  },
  "a proxy that throws": new Proxy({}, everyTrap),
  "a revoked proxy": revoked.proxy
}

/** The valid values of an option, with examples. */
interface Kind {
  readonly takes: (value: unknown) => boolean
  readonly right: ReadonlyArray<unknown>
}

const isBetween = (least: number, most: number) => (value: unknown) =>
  typeof value === "number" && value >= least && value <= most

const isCount = (value: unknown) => isBetween(1, Number.MAX_SAFE_INTEGER)(value) && Number.isInteger(value)

const millisOf = (value: unknown): number => {
  if (typeof value === "number") return value
  if (typeof value === "bigint") return Number(value) / 1e6
  if (typeof value === "string") return value === "5 seconds" ? 5_000 : Number.NaN
  if (value === values["a finite duration"]) return 5_000
  if (value === values["an infinite duration"]) return Infinity
  if (!Array.isArray(value) || value.length !== 2 || !value.every((part) => typeof part === "number")) return Number.NaN
  const [seconds, nanos]: ReadonlyArray<number> = value
  return Number(seconds) * 1e3 + Number(nanos) / 1e6
}

const durations = (isRight: (millis: number) => boolean, ...right: ReadonlyArray<Duration.DurationInput>): Kind => ({
  takes: (value) => {
    const millis = millisOf(value)
    const isInfinite = millis === Infinity && typeof value !== "bigint"
    return millis >= 0 && (millis <= 9e15 || isInfinite) && isRight(millis)
  },
  right: [1, "5 seconds", 5_000_000n, [1, 0], Duration.minutes(1), ...right]
})

const isText = (value: unknown) => typeof value === "string"

export const only = (...right: ReadonlyArray<unknown>): Kind => ({ takes: (value) => right.includes(value), right })

export const kinds = {
  text: { takes: isText, right: ["", "text"] },
  nonEmptyText: { takes: (value) => isText(value) && String(value).trim() !== "", right: ["a", " b "] },
  duration: durations(() => true, 0, Infinity, Duration.infinity),
  positive: durations((millis) => millis > 0, Infinity, Duration.infinity),
  finite: durations((millis) => millis < Infinity, 0),
  func: { takes: (value) => typeof value === "function", right: [() => Effect.void] },
  boolean: only(true, false),
  count: { takes: isCount, right: [1, 7] },
  limit: { takes: (value) => value === Infinity || isCount(value), right: [1, 7, Infinity] },
  part: { takes: isBetween(0, 1), right: [0, 0.5, 1] },
  anyNumber: { takes: isBetween(0, Infinity), right: [0, 0.1, 2] },
  factor: { takes: isBetween(1, Number.MAX_VALUE), right: [1, 1.6] },
  nonEmptyArray: { takes: (value) => Array.isArray(value) && value.length > 0, right: [["a"], ["a", "b"]] },
  cause: { takes: (value) => value === values["a cause"], right: [Cause.empty, Cause.fail("a")] },
  schedule: only(values["a schedule"], Schedule.forever),
  // An `Option` is a stream too.
  stream: only(values["a stream"], values["an option"], Stream.empty),
  schema: only(values["a schema"], Schema.Number)
} as const satisfies Record<string, Kind>

type KindName = keyof typeof kinds

/** A kind, or its name. A question mark means that the option may be left out. */
type Given = Kind | KindName | `${KindName}?`

/** An option, the kind of its values, and a function that passes a value for it. */
interface Row {
  readonly option: string
  readonly kind: Kind
  readonly give: (value: never) => unknown
}

export type Rows = ReadonlyArray<Row>

const kindOf = (given: Given): Kind => {
  if (typeof given !== "string") return given
  if (!given.endsWith("?")) return kinds[given as KindName]
  return maybe(kinds[given.slice(0, -1) as KindName])
}

/** A kind of option that may be left out. */
export const maybe = ({ right, takes }: Kind): Kind => ({
  takes: (value) => value === undefined || takes(value),
  right: [undefined, ...right]
})

const areOptional = (kindsOf: object): boolean => Object.values(kindsOf).every((kind) => kindOf(kind).takes(undefined))

const hasNoOption = (kindsOf: object, value: unknown): boolean =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
  Reflect.ownKeys(value).every((key) => !Object.hasOwn(kindsOf, key))

/** A value that throws when it is read, such as a proxy, is wrong. */
const isWrong = ({ kind }: Row) => (value: unknown): boolean => {
  try {
    return !kind.takes(value)
  } catch {
    return true
  }
}

/** The rows for an argument of a function. */
export const argument = (option: string, kind: Given, give: (value: never) => unknown): Rows => [
  { option, kind: kindOf(kind), give }
]

/** The rows for an object of options: one row for each option of its type, and one for the object itself. */
export const optionsOf = <O extends object>(
  kindsOf: { readonly [K in keyof O]-?: undefined extends O[K] ? Kind | `${KindName}?` : Kind | KindName },
  good: NoInfer<O>,
  give: (options: O) => unknown
): Rows => [
  ...Object.entries<Given>(kindsOf).map(([option, kind]) => ({
    option,
    kind: kindOf(kind),
    give: (value: never) => give({ ...good, [option]: value })
  })),
  {
    option: "",
    kind: {
      takes: (value) => areOptional(kindsOf) && (value === undefined || hasNoOption(kindsOf, value)),
      right: [good]
    },
    give
  }
]

/** The exception of a call, or the defect of its effect; undefined if there is none. */
const complaint = async (give: Row["give"], value: unknown): Promise<unknown> => {
  try {
    const given = give(value as never)
    if (!Effect.isEffect(given)) return undefined
    const effect = Effect.scoped(given as Effect.Effect<unknown, unknown, Scope.Scope>)
    const exit = await Effect.runPromiseExit(Effect.provide(effect, silent))
    return Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  } catch (thrown) {
    return thrown
  }
}

const silent = Logger.remove(Logger.defaultLogger)

/** The problem with the message for a wrong value; undefined if the message is good. */
const mistake = async (
  give: Row["give"],
  option: string,
  name: string,
  value: unknown
): Promise<string | undefined> => {
  const error = await complaint(give, value)
  if (!Cause.isIllegalArgumentException(error)) return `${name}: ${error === undefined ? "accepted" : String(error)}`
  const { message } = error
  const isClear = /^\S.* must be .+, but is /.test(message) && message.length < 300
  const isNamed = option === "" || `.${message}`.includes(`.${option} must be `)
  return isClear && isNamed && !message.includes(secret) ? undefined : `${name}: ${message}`
}

/** `table` has the rows of all exports, as `Module.name`. `free` lists the exports without options. */
export const tryWrongOptions = (
  modules: Record<string, object>,
  table: Record<string, Rows>,
  free: Record<string, ReadonlyArray<string>>
): void => {
  it("the table has every public constructor and combinator", () => {
    const exported = Object.entries(modules).flatMap(([module, exports]) =>
      Object.keys(exports).map((name) => `${module}.${name}`)
    )
    const known = Object.entries(free).flatMap(([module, names]) => names.map((name) => `${module}.${name}`))
    // The name of a method of an instance follows a #.
    const listed = [...Object.keys(table).filter((name) => !name.includes("#")), ...known]
    expect(listed.sort()).toEqual(exported.sort())
  })

  describe.each(Object.entries(table))("%s", (_, rows) => {
    const named = rows.map((row) => [row.option || "its options", row] as const)

    it.each(named)("%s: rejects each invalid value of the list", async (_, row) => {
      const wrong = Object.entries(values).filter(([, value]) => isWrong(row)(value))
      expect(wrong.length).toBeGreaterThanOrEqual(35)
      const mistakes = await Promise.all(wrong.map(([name, value]) => mistake(row.give, row.option, name, value)))
      expect(mistakes.filter((mistake) => mistake !== undefined)).toEqual([])
    })

    it.each(named)("%s: rejects random invalid values", async (_, row) => {
      await FastCheck.assert(
        FastCheck.asyncProperty(anything.filter(isWrong(row)), async (value) => {
          expect(await mistake(row.give, "", "it", value)).toBeUndefined()
        }),
        { numRuns: 10 }
      )
    })

    it.each(named)("%s: accepts valid values", async (_, row) => {
      for (const value of row.kind.right) expect(await complaint(row.give, value)).toBeUndefined()
    })
  })
}

const anything = FastCheck.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withNullPrototype: true
})

/** Builds a layer. */
export const built = <A, E>(layer: Layer.Layer<A, E>): Effect.Effect<unknown, E, Scope.Scope> => Layer.build(layer)
