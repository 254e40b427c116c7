import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Equivalence from "effect/Equivalence"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { renderCause, summary } from "./render.js"

/**
 * Two causes are equal if their rendered texts are equal (C5, D12).
 *
 * @internal
 */
export const equalCause: Equivalence.Equivalence<Cause.Cause<unknown>> = (self, that) =>
  self === that || renderCause(self) === renderCause(that)

/**
 * Like `equalCause`, but compares typed failures with the given equivalence. If that throws, the causes differ. Defects
 * are compared by their texts.
 *
 * @internal
 */
export const equalCauseBy = <E>(
  errorEquivalence: Equivalence.Equivalence<E>
): Equivalence.Equivalence<Cause.Cause<E>> => {
  const failures = Arr.getEquivalence(errorEquivalence)
  return (self, that) => {
    try {
      return equalCause(defectsOf(self), defectsOf(that)) &&
        failures(Chunk.toReadonlyArray(Cause.failures(self)), Chunk.toReadonlyArray(Cause.failures(that)))
    } catch {
      return false
    }
  }
}

const defectsOf = (cause: Cause.Cause<unknown>): Cause.Cause<never> =>
  Option.getOrElse(Cause.keepDefects(cause), () => Cause.empty)

/**
 * True for the cause of a regular close (D13): it is not empty, and every error has a field `isRegularEnd` that is
 * true.
 *
 * @internal
 */
export const isRegularEnd = (cause: Cause.Cause<unknown>): boolean => {
  const failures = Chunk.toReadonlyArray(Cause.failures(cause))
  return failures.length > 0 && Chunk.isEmpty(Cause.defects(cause)) && failures.every(saysRegularEnd)
}

const saysRegularEnd = (error: unknown): boolean =>
  Predicate.hasProperty(error, "isRegularEnd") && error.isRegularEnd === true

/**
 * The end of a connection as the rest of a sentence: "was closed", or "was lost: …".
 *
 * @internal
 */
export const describeEnd = (cause: Cause.Cause<unknown>): string => {
  if (Cause.isEmpty(cause)) return "was closed"
  return isRegularEnd(cause) ? `was closed by the server: ${summary(cause)}` : `was lost: ${summary(cause)}`
}

/**
 * Gives an error a message that is made when it is read: every loss makes an error, but few programs print it.
 *
 * @internal
 */
export const setMessage = (error: Error, message: () => string): void => {
  Object.defineProperty(error, "message", { get: message, enumerable: true, configurable: true })
}

/**
 * Turns an interruption into a defect: user code that interrupts itself has failed. Otherwise the fiber that fails with
 * this cause would look interrupted too.
 *
 * @internal
 */
export const interruptAsDefect = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.isInterruptedOnly(cause) && !Cause.isEmpty(cause)
    ? Cause.die(new Cause.InterruptedException("The code interrupted itself"))
    : cause
