import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/**
 * Reads a time option. What is no duration, and what is negative (which `Duration.decode` would take for zero), throws
 * an `IllegalArgumentException` that names the option.
 *
 * @internal
 */
export const duration = (
  option: string,
  input: Duration.DurationInput | undefined,
  otherwise: Duration.DurationInput
): Duration.Duration => {
  const value = input === undefined ? otherwise : input
  const decoded = isNegative(value) ? Option.none() : Duration.decodeUnknown(value)
  check(Option.isSome(decoded), option, "a duration of 0 or more", input)
  return Option.getOrThrow(decoded)
}

const isNegative = (input: unknown): boolean => {
  if (typeof input === "number") return !(input >= 0)
  if (typeof input === "bigint") return input < 0n
  if (typeof input === "string") return input.startsWith("-")
  return Array.isArray(input) && !(input[0] * 1e9 + input[1] >= 0)
}

/**
 * Reads after how many whole seconds the system is to keep a connection alive; undefined for never. Node rounds down,
 * and takes 0 for the system's own time; Linux has no more than 32767, and Node does not say that it refuses.
 *
 * @internal
 */
export const keepAliveSeconds = (input: Duration.DurationInput | false | undefined): number | undefined => {
  if (input === false) return undefined
  const value = duration("keepAlive", input, "1 minute")
  if (!Duration.isFinite(value)) return undefined
  const makesSense = Duration.between(value, { minimum: "1 seconds", maximum: "32767 seconds" })
  check(makesSense, "keepAlive", "a duration from 1 second to 32767 seconds", input)
  return Math.ceil(Duration.toSeconds(value))
}

/**
 * Reads an amount of bytes, which may be infinite.
 *
 * @internal
 */
export const bytes = (option: string, input: number | undefined, otherwise: number): number => {
  const value = input === undefined ? otherwise : input
  check(typeof value === "number" && value > 0, option, "a number of bytes above 0", input)
  return value
}

/** @internal */
export const boolean = (option: string, input: boolean | undefined, otherwise: boolean): boolean => {
  const value = input === undefined ? otherwise : input
  check(typeof value === "boolean", option, "true or false", input)
  return value
}

/**
 * Refuses what is given in the place of options.
 *
 * @internal
 */
export const record = (option: string, input: object): void =>
  check(Predicate.isRecord(input), option, "an object", input)

/** @internal */
export const functionLike = (option: string, input: unknown): void =>
  check(typeof input === "function", option, "a function", input)

/** @internal */
export const positive = (
  option: string,
  input: Duration.DurationInput | undefined,
  otherwise: Duration.DurationInput
): Duration.Duration => {
  const value = duration(option, input, otherwise)
  check(Duration.toMillis(value) > 0, option, "a duration of more than 0", input)
  return value
}

/** @internal */
export const count = (option: string, input: number | undefined, otherwise: number): number => {
  const value = input === undefined ? otherwise : input
  check(Number.isInteger(value) && value > 0, option, "a whole number of 1 or more", input)
  return value
}

/** @internal */
export const check = (makesSense: boolean, option: string, expected: string, value: unknown): void => {
  if (makesSense) return
  const shown = Inspectable.toStringUnknown(value, 0)
  throw new Cause.IllegalArgumentException(`${option} must be ${expected}, but is ${shown}`)
}
