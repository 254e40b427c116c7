import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import { equalContent } from "./equalContent.js"
import { redactMessage } from "./redact.js"

/**
 * Do two causes say the same (rule C5)? Failures are compared with failures and defects with defects; who was
 * interrupted by whom, spans and stack traces are not part of what an error says.
 *
 * @internal
 */
export const equalCause = (self: Cause.Cause<unknown>, that: Cause.Cause<unknown>): boolean =>
  equalContent(Chunk.toReadonlyArray(Cause.failures(self)), Chunk.toReadonlyArray(Cause.failures(that))) &&
  equalContent(Chunk.toReadonlyArray(Cause.defects(self)), Chunk.toReadonlyArray(Cause.defects(that)))

/**
 * A cause in one line, for messages and logs; without credentials. Never throws.
 *
 * @internal
 */
export const summary = (cause: Cause.Cause<unknown>): string => {
  if (Cause.isEmpty(cause)) return "a close without an error"
  const errors = [...Cause.failures(cause), ...Cause.defects(cause)]
  return errors.length === 0 ? "an interruption" : errors.map(redactMessage).join(", ")
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
