/** With `BENCH_QUICK=1` everything is shorter: to try a change of the benchmarks, not to publish. */
export const isQuick = process.env["BENCH_QUICK"] === "1"

/** A count for a full run, and for a quick one. */
export const full = (count: number, quick: number): number => isQuick ? quick : count
