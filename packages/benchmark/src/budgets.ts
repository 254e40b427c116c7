import type { Sizes } from "./size.js"

/**
 * The most that the packages may add to a bundle, in kB, minified and compressed: the size at the time when the budget
 * was set, and 3 % more. Raise a budget only if the commit message gives the reason.
 */
export const budgets: Sizes = {
  "own code in a program": 24.6,
  "that program beyond one by hand": 9.7,
  "all of core": 31.8,
  "all of platform, without core": 12.86,
  "all of rpc, without core": 8.4
}

export interface Comparison {
  readonly what: string
  readonly size: number
  readonly budget: number
  readonly isMet: boolean
}

/** Compares each size with its budget. */
export const compare = (sizes: Sizes, budgets: Sizes): ReadonlyArray<Comparison> =>
  (Object.keys(budgets) as Array<keyof Sizes>).map((what) => ({
    what,
    size: sizes[what],
    budget: budgets[what],
    isMet: sizes[what] <= budgets[what]
  }))
