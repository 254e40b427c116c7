import * as Effect from "effect/Effect"

/** A measured figure and its floor. */
export interface Figure {
  readonly what: string
  readonly value: number
  /** The unit of the value: `kB`, or `x` and the baseline that was measured in the same run. */
  readonly unit: string
  readonly floor: { readonly atMost: number } | { readonly atLeast: number }
}

export const isMet = ({ floor, value }: Figure): boolean =>
  "atMost" in floor ? value <= floor.atMost : value >= floor.atLeast

/** This part of all values lies below the result. */
export const quantile = (values: ReadonlyArray<number>, part: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))]!

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** Runs both effects in every round, in alternating order. Returns the results of all rounds. */
export const sideBySide = <A, E, R, E2, R2>(
  rounds: number,
  baseline: Effect.Effect<A, E, R>,
  subject: Effect.Effect<A, E2, R2>
): Effect.Effect<{ readonly baseline: ReadonlyArray<A>; readonly subject: ReadonlyArray<A> }, E | E2, R | R2> =>
  Effect.gen(function*() {
    const results = { baseline: [] as Array<A>, subject: [] as Array<A> }
    // The first round warms up, and does not count.
    for (let round = 0; round <= rounds; round++) {
      const first = round % 2 === 0 ? yield* baseline : undefined
      const ours = yield* subject
      const theirs = first ?? (yield* baseline)
      if (round === 0) continue
      results.baseline.push(theirs)
      results.subject.push(ours)
    }
    return results
  })

/** The median over rounds of the ratio of the subject to the baseline. */
export const ratio = <E, R, E2, R2>(
  rounds: number,
  baseline: Effect.Effect<number, E, R>,
  subject: Effect.Effect<number, E2, R2>
): Effect.Effect<number, E | E2, R | R2> =>
  Effect.map(
    sideBySide(rounds, baseline, subject),
    (results) => median(results.subject.map((value, round) => value / results.baseline[round]!))
  )

const nanos = () => Number(process.hrtime.bigint())

/** The nanoseconds that an effect takes. */
export const nanosOf = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const start = nanos()
    return Effect.map(effect, () => nanos() - start)
  })

/** The nanoseconds of each run of an effect, in the same loop as the baseline. */
export const nanosEach = <E, R>(count: number, effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let left = count
    const loop = Effect.whileLoop({ while: () => left-- > 0, body: () => effect, step: () => {} })
    return Effect.map(nanosOf(loop), (nanos) => nanos / count)
  })
