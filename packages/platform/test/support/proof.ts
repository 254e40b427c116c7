/**
 * How long a proof goes on, and with which seed; see `test/support/proof.ts` of the core.
 *
 *     PROOF_SEED=$RANDOM npm run proof -- platform
 */
import * as Effect from "effect/Effect"

export const isLong = process.env["PROOF"] === "long"

const seed = Number(process.env["PROOF_SEED"])

/** The number of cases, or the time, of the short form or of the long one. */
export const cases = (short: number, long: number): number =>
  Math.ceil((isLong ? long : short) * Number(process.env["PROOF_RUNS"] ?? 1))

/** Chance with a seed: the sockets are real, so only what is asked of it can be had again. */
export class Chance {
  private state: number

  constructor(salt: number) {
    this.state = seed + salt * 0x9e3779b1
  }

  /** From 0 to 1, without 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 to `most`. */
  upTo(most: number): number {
    return Math.floor(this.next() * (most + 1))
  }

  often(part: number): boolean {
    return this.next() < part
  }

  pick<A>(...options: ReadonlyArray<A>): A {
    return options[this.upTo(options.length - 1)]!
  }

  sleep(mostMillis: number): Effect.Effect<void> {
    return Effect.suspend(() => Effect.sleep(this.upTo(mostMillis)))
  }
}

/** Prints what a proof has measured, with its time and seed. */
export const measured = (what: string, since: number): Effect.Effect<void> =>
  Effect.sync(() => {
    const seconds = ((performance.now() - since) / 1_000).toFixed(1)
    // oxlint-disable-next-line no-console -- Information for the reader of the output.
    console.log(`${what}; ${seconds} s, seed ${seed}`)
  })
