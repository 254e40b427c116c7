/**
 * The length and the seed of the proofs; see `test/support/proof.ts` of core.
 *
 *     PROOF_SEED=$RANDOM npm run proof -- platform
 */
import * as Effect from "effect/Effect"

export const isLong = process.env["PROOF"] === "long"

const seed = Number(process.env["PROOF_SEED"])

/** The number of cases, or the time, of the short or the long form. */
export const cases = (short: number, long: number): number =>
  Math.ceil((isLong ? long : short) * Number(process.env["PROOF_RUNS"] ?? 1))

/** A seeded random generator. The sockets are real, so only its decisions are reproducible, not the timing. */
export class SeededRandom {
  private state: number

  constructor(salt: number) {
    this.state = seed + salt * 0x9e3779b1
  }

  /** A number from 0 to 1, excluding 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 to `max`. */
  upTo(max: number): number {
    return Math.floor(this.next() * (max + 1))
  }

  boolean(probability: number): boolean {
    return this.next() < probability
  }

  pick<A>(...options: ReadonlyArray<A>): A {
    return options[this.upTo(options.length - 1)]!
  }

  sleep(maxMillis: number): Effect.Effect<void> {
    return Effect.suspend(() => Effect.sleep(this.upTo(maxMillis)))
  }
}

/** Prints the result of a proof, with its duration and seed. */
export const measured = (what: string, since: number): Effect.Effect<void> =>
  Effect.sync(() => {
    const seconds = ((performance.now() - since) / 1_000).toFixed(1)
    // oxlint-disable-next-line no-console -- Information for the reader of the output.
    console.log(`${what}; ${seconds} s, seed ${seed}`)
  })
