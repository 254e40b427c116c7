import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"

/**
 * Throws an `IllegalArgumentException` that names the option, unless it makes sense.
 *
 * @internal
 */
export const check = (makesSense: boolean, option: string, expected: string, value: unknown): void => {
  if (!makesSense) throw new Cause.IllegalArgumentException(`${option} must be ${expected}, but is ${show(value)}`)
}

/**
 * As `check`, for what is too large to be shown, or may hold secrets.
 *
 * @internal
 */
export const checkKind = (makesSense: boolean, option: string, expected: string, value: unknown): void => {
  const kind = value === null ? "null" : typeof value
  if (!makesSense) throw new Cause.IllegalArgumentException(`${option} must be ${expected}, but is of type ${kind}`)
}

const show = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value)
  // `JSON.stringify` would show what is not a finite number as null, and throw at a bigint.
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`
  return Inspectable.toStringUnknown(value, 0)
}

/**
 * A duration of 0 or more, which may be infinite.
 *
 * @internal
 */
export const duration = (option: string, input: Duration.DurationInput): Duration.Duration => {
  const decoded = isNegative(input) ? Option.none() : Duration.decodeUnknown(input)
  check(Option.isSome(decoded), option, "a duration of 0 or more", input)
  return Option.getOrThrow(decoded)
}

/** Asked before decoding, which takes what is negative, or not a number, for 0. */
const isNegative = (input: unknown): boolean => {
  if (typeof input === "number") return !(input >= 0)
  if (typeof input === "bigint") return input < 0n
  if (typeof input === "string") return input.startsWith("-")
  return Array.isArray(input) && !(input[0] * 1e9 + input[1] >= 0)
}

/**
 * A duration of more than 0, which may be infinite.
 *
 * @internal
 */
export const positive = (option: string, input: Duration.DurationInput): Duration.Duration => {
  const decoded = duration(option, input)
  check(Duration.toMillis(decoded) > 0, option, "a duration of more than 0", input)
  return decoded
}

/**
 * A duration of 0 or more that is not infinite, in ms.
 *
 * @internal
 */
export const finiteMillis = (option: string, input: Duration.DurationInput): number => {
  const millis = Duration.toMillis(duration(option, input))
  check(millis <= Number.MAX_SAFE_INTEGER, option, "a finite duration", input)
  return millis
}

/**
 * A string with something in it.
 *
 * @internal
 */
export const nonEmpty = (option: string, input: string): string => {
  check(typeof input === "string" && input.trim() !== "", option, "a string that is not empty", input)
  return input
}

/**
 * A non-empty array, copied, so that no later change of the original shows.
 *
 * @internal
 */
export const nonEmptyArray = <A>(option: string, input: Arr.NonEmptyReadonlyArray<A>): Arr.NonEmptyReadonlyArray<A> => {
  check(Array.isArray(input) && input.length > 0, option, "an array that is not empty", input)
  return Arr.copy(input)
}
