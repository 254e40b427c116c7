import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Equivalence from "effect/Equivalence"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { renderCause, summary } from "./render.js"

/**
 * Do two causes say the same (C5, D12)? They do if their texts look the same to a person.
 *
 * @internal
 */
export const equalCause: Equivalence.Equivalence<Cause.Cause<unknown>> = (self, that) =>
  self === that || renderCause(self) === renderCause(that)

/**
 * As `equalCause`, but compares typed failures with the given equivalence; if that throws, they differ. Defects are
 * compared by their texts.
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
 * Is this the cause of a regular close (D13)? Every error must have a field `isRegularEnd` that is true. An empty cause
 * does not count.
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
 * How a connection ended, after its name: "was lost: …", or that it was closed.
 *
 * @internal
 */
export const describeEnd = (cause: Cause.Cause<unknown>): string => {
  if (Cause.isEmpty(cause)) return "was closed"
  return isRegularEnd(cause) ? `was closed by the server: ${summary(cause)}` : `was lost: ${summary(cause)}`
}

/**
 * Turns an interruption into a defect: user code that interrupts itself has failed. Passed on unchanged, its cause
 * would make the fiber that gets it look interrupted too.
 *
 * @internal
 */
export const interruptAsDefect = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.isInterruptedOnly(cause) && !Cause.isEmpty(cause)
    ? Cause.die(new Cause.InterruptedException("It was interrupted from within"))
    : cause
