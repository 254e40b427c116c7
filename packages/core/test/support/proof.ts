/**
 * The length and the seed of the proofs. `npm test` runs the short form of each proof, `npm run proof` the long form.
 * `PROOF_SEED` sets another seed, and `PROOF_RUNS` multiplies the number of cases:
 *
 *     PROOF_SEED=$RANDOM PROOF_RUNS=5 npm run proof -- model
 */
import * as FastCheck from "effect/FastCheck"

export const isLong = process.env["PROOF"] === "long"

export const seed = Number(process.env["PROOF_SEED"])

/** The number of cases of the short or the long form. */
export const cases = (short: number, long: number): number =>
  Math.ceil((isLong ? long : short) * Number(process.env["PROOF_RUNS"] ?? 1))

/** Yields to the event loop. Vitest treats a worker that does not yield for a minute as dead. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Checks a property with this many cases. */
export const assertProperty = async <T>(property: FastCheck.IProperty<T>, total: number): Promise<void> => {
  const batch = 100
  for (let done = 0; done < total; done += batch) {
    FastCheck.assert(property, {
      seed: seed + done,
      numRuns: Math.min(batch, total - done),
      // Limits the time for shrinking a failure.
      interruptAfterTimeLimit: 50_000,
      markInterruptAsFailure: true
    })
    await turn()
  }
}
