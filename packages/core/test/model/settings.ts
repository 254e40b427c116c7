/**
 * Every property has a fixed seed. `MODEL_SEED` sets another one, and `MODEL_RUNS` is how many times as many cases to run:
 *
 *     MODEL_RUNS=50 MODEL_SEED=$RANDOM npx vitest run --config vitest.workspace.ts --project core model
 */
import * as FastCheck from "effect/FastCheck"

const seed = Number(process.env["MODEL_SEED"] ?? 20_261_122)

const factor = Number(process.env["MODEL_RUNS"] ?? 1)

/** How many cases to run where by default there are so many. */
export const runs = (byDefault: number): number => Math.ceil(byDefault * factor)

/** For a test that takes a few seconds by default, on a machine that may have other things to do. */
export const timeout = 300_000 * Math.max(1, factor)

/** Checks a property in so many cases by default. Real time goes on now and then, so that the runner can be heard. */
export const assert = async <T>(property: FastCheck.IProperty<T>, byDefault: number): Promise<void> => {
  const batch = 500
  for (let done = 0; done < runs(byDefault); done += batch) {
    FastCheck.assert(property, {
      seed: seed + done,
      numRuns: Math.min(batch, runs(byDefault) - done),
      // Where a failure is shrunk there has to be an end of it.
      interruptAfterTimeLimit: 50_000,
      markInterruptAsFailure: true
    })
    await new Promise((resolve) => setImmediate(resolve))
  }
}
