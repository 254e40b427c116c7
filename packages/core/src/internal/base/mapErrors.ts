import * as Cause from "effect/Cause"

/**
 * The same cause with other errors and other defects.
 *
 * @internal
 */
export const mapErrors = <E, E2>(
  cause: Cause.Cause<E>,
  f: { readonly error: (error: E) => E2; readonly defect: (defect: unknown) => unknown }
): Cause.Cause<E2> =>
  Cause.match<Cause.Cause<E2>, E>(cause, {
    onEmpty: Cause.empty,
    onFail: (error) => Cause.fail(f.error(error)),
    onDie: (defect) => Cause.die(f.defect(defect)),
    onInterrupt: Cause.interrupt,
    onSequential: Cause.sequential,
    onParallel: Cause.parallel
  })
