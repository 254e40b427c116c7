import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import { constFalse, constTrue } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Guard, Read, Reader, Readers } from "../../Options.js"

const refuse = (option: string, expected: string, actual: string): never => {
  throw new Cause.IllegalArgumentException(`${option} must be ${expected}, but is ${actual}`)
}

/** Reads from a value that may be an object whose getters throw. */
const attempt = <A>(read: () => A, otherwise: () => A): A => {
  try {
    return read()
  } catch {
    return otherwise()
  }
}

const guard =
  (expected: string, test: Predicate.Predicate<unknown>, show: (input: unknown) => string): Guard => (option, input) =>
    attempt(() => test(input), constFalse) ? input : refuse(option, expected, show(input))

const typeOf = (input: unknown): string =>
  `of type ${input === null ? "null" : attempt(() => Array.isArray(input), constFalse) ? "array" : typeof input}`

/** A long text or a URL may hold a secret: the caller may have confused two options. */
const show = (input: unknown): string => {
  if (Predicate.isObject(input) || Predicate.isSymbol(input) || !/^[^/@:=?]{0,25}$/.test(String(input))) {
    return typeOf(input)
  }
  return Predicate.isString(input) ? JSON.stringify(input) : String(input)
}

/** @internal */
export const value = /* @__NO_SIDE_EFFECTS__ */ (expected: string, test: Predicate.Predicate<unknown>): Guard =>
  guard(expected, test, show)

/** @internal */
export const kind = /* @__NO_SIDE_EFFECTS__ */ (expected: string, test: Predicate.Predicate<unknown>): Guard =>
  guard(expected, test, typeOf)

/** @internal */
export const optional = (guard: Guard): Guard => (option, input) => input === undefined ? input : guard(option, input)

/** @internal */
export const withDefault = <A>(reader: Reader<A>, otherwise: unknown): Reader<A> => {
  const read = reader("default", otherwise)
  return (option, input) => input === undefined ? read : reader(option, input)
}

const decode = (input: unknown): Option.Option<Duration.Duration> =>
  isNegative(input) ? Option.none() : Duration.decodeUnknown(input)

/** Checked before decoding, which would turn a negative or invalid number into 0. */
const isNegative = (input: unknown): boolean => {
  if (typeof input === "number") return !(input >= 0)
  if (typeof input === "bigint") return input < 0n
  if (typeof input === "string") return input.startsWith("-")
  return Array.isArray(input) && !(input[0] * 1e9 + input[1] >= 0)
}

const durationWhere = /* @__NO_SIDE_EFFECTS__ */ (
  expected: string,
  test: (millis: number) => boolean
): Reader<Duration.Duration> => {
  const right = value(expected, (input) => Option.exists(decode(input), (decoded) => test(Duration.toMillis(decoded))))
  return (option, input) => Option.getOrThrow(decode(short(option, right(option, input))))
}

/** A longer time, added to the present moment, would lose the precision of 1 ms. */
const isShort = (decoded: Duration.Duration): boolean =>
  !Duration.isFinite(decoded) || Duration.toMillis(decoded) <= 9e15

const short = value("infinite, or at most 285,000 years", (input) => Option.exists(decode(input), isShort))

/** @internal */
export const duration = durationWhere("a duration of 0 or more", constTrue)

/** @internal */
export const positive = durationWhere("a duration of more than 0", (millis) => millis > 0)

/**
 * A duration of 0 or more that is not infinite.
 *
 * @internal
 */
export const finite = durationWhere("a finite duration of 0 or more", (millis) => millis < Infinity)

/** @internal */
export const func = kind("a function", Predicate.isFunction)

/** @internal */
export const boolean = value("true or false", Predicate.isBoolean)

const isCount = (input: unknown): boolean => Number.isSafeInteger(input) && Number(input) >= 1

/** @internal */
export const count = value("a whole number of 1 or more", isCount)

/** @internal */
export const limit = value("a whole number of 1 or more, or Infinity", (input) => input === Infinity || isCount(input))

/** @internal */
export const oneOf = (...values: ReadonlyArray<unknown>): Guard =>
  value(`one of ${values.map((value) => JSON.stringify(value)).join(", ")}`, (input) => values.includes(input))

/** @internal */
export const isPart = (input: unknown): boolean => Predicate.isNumber(input) && input >= 0 && input <= 1

/** @internal */
export const part = value("a number from 0 to 1", isPart)

/**
 * A text that is not empty.
 *
 * @internal
 */
export const nonEmpty = value("a string that is not empty", (input) => Predicate.isString(input) && input.trim() !== "")

/**
 * An array that is not empty.
 *
 * @internal
 */
export const nonEmptyArray = value("an array that is not empty", (input) => Array.isArray(input) && input.length > 0)

const inGroup = (name: string, group: string | undefined): string => group === undefined ? name : `${group}.${name}`

const isPlain = (input: object): boolean => [Object.prototype, null].includes(Object.getPrototypeOf(input))

/** @internal */
export const read = <O extends object, R extends Readers<O>>(
  options: O = Object.create(null),
  readers: R,
  group?: string
): Read<O, R> => {
  if (!attempt(() => hasOptions(options, readers), constFalse)) {
    refuse(group ?? "options", "an object of options", typeOf(options))
  }
  // A loop, because `use` reads options at each call.
  const values: Record<string, unknown> = {}
  for (const name of Object.keys(readers)) {
    const option = inGroup(name, group)
    const unreadable = () => refuse(option, "readable", "a getter that throws")
    values[name] = readers[name as keyof R]!(option, attempt(() => Reflect.get(options, name), unreadable))
  }
  return values as Read<O, R>
}

/** An instance of a class, such as a date, a promise or an effect, must have at least one of the options. */
const hasOptions = (input: unknown, readers: object): boolean =>
  Predicate.isRecord(input) && (isPlain(input) || Object.keys(readers).some((option) => option in input))

/** @internal */
export const bytes = value("a number of bytes above 0", (input) => Predicate.isNumber(input) && input > 0)
