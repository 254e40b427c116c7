import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const refuse = (name: string, expected: string): never => {
  throw new Cause.IllegalArgumentException(`${name} must be ${expected}`)
}

/** @internal */
export const size = (name: string, input: number | undefined): number | undefined =>
  input === undefined || input > 0 ? input : refuse(name, "a number greater than 0")

/** @internal */
export const duration = (name: string, input: Duration.DurationInput): Duration.Duration =>
  Option.getOrElse(
    Option.filter(Duration.decodeUnknown(input), (decoded) => !isNegative(input, decoded)),
    () => refuse(name, "a duration of 0 or more")
  )

/** `Duration` turns negative numbers into 0. */
const isNegative = (input: Duration.DurationInput, decoded: Duration.Duration): boolean =>
  (typeof input === "number" || typeof input === "bigint") && input < 0 ||
  typeof input === "string" && input.startsWith("-") && Duration.toMillis(decoded) === 0
