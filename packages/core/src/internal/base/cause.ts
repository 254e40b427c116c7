import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Equivalence from "effect/Equivalence"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { renderCause, summary } from "./render.js"

/**
 * Do two causes say the same (C5, D12)? They do if a person who reads their texts sees no difference.
 *
 * @internal
 */
export const equalCause: Equivalence.Equivalence<Cause.Cause<unknown>> = (self, that) =>
  self === that || renderCause(self) === renderCause(that)

/**
 * The same, but for typed failures the given equivalence decides; if it throws, they differ. Defects are compared by
 * their texts.
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
 * Has a connection that ended like this been closed in the regular way, with a code or a reason that say so (D13)?
 * Every error has to say it, by a field `isRegularEnd` that is true. An end without any error says nothing.
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
 * User code that interrupts itself has failed like any other. Handing its cause on as it is would make whoever gets it
 * look interrupted too.
 *
 * @internal
 */
export const interruptAsDefect = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.isInterruptedOnly(cause) && !Cause.isEmpty(cause)
    ? Cause.die(new Cause.InterruptedException("It was interrupted from within"))
    : cause
