/** What is measured, and how it is summarised. */
import * as Effect from "effect/Effect"
import { quantile } from "../../measuring.js"

/** The median of some values, and their quartiles. */
export interface Spread {
  readonly low: number
  readonly median: number
  readonly high: number
}

export const spread = (values: ReadonlyArray<number>): Spread => ({
  low: quantile(values, 0.25),
  median: quantile(values, 0.5),
  high: quantile(values, 0.75)
})

/** The values of each contender, by its name, one for each round. */
export type Samples = Readonly<Record<string, ReadonlyArray<number>>>

/** The order of a round: each contender is first, second … last equally often. */
export const orderOf = <A>(contenders: ReadonlyArray<A>, round: number): ReadonlyArray<A> => {
  const first = round % contenders.length
  return [...contenders.slice(first), ...contenders.slice(0, first)]
}

/**
 * Runs every contender once in each round, in rotating order. There is one round more than that, which warms up and
 * does not count.
 */
export const inTurns = <E, R>(
  rounds: number,
  contenders: Readonly<Record<string, Effect.Effect<number, E, R>>>
): Effect.Effect<Samples, E, R> =>
  Effect.gen(function*() {
    const names = Object.keys(contenders)
    const samples: Record<string, Array<number>> = Object.fromEntries(names.map((name) => [name, []]))
    for (let round = 0; round <= rounds; round++) {
      for (const name of orderOf(names, round)) {
        const value = yield* contenders[name]!
        if (round > 0) samples[name]!.push(value)
      }
    }
    return samples
  })

/** The ratio of a contender to the baseline of the same round, for each round. */
export const ratios = (samples: Samples, subject: string, baseline: string): ReadonlyArray<number> =>
  samples[subject]!.map((value, round) => value / samples[baseline]![round]!)
