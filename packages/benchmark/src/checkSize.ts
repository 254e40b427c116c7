/** Fails if the packages add more to a bundle than their budgets allow: `npm run size`. */
import * as Effect from "effect/Effect"
import { budgets, compare } from "./budgets.js"
import { budgetedSizes } from "./size.js"

const comparisons = compare(await Effect.runPromise(budgetedSizes), budgets)
for (const { budget, isMet, size, what } of comparisons) {
  console.log(`${isMet ? "met     " : "EXCEEDED"}  ${what.padEnd(31)} ${size.toFixed(2)} kB (budget ${budget} kB)`)
}
if (comparisons.some(({ isMet }) => !isMet)) {
  console.error("Make it smaller; or raise the budget in packages/benchmark/src/budgets.ts, and say why in the commit.")
  process.exitCode = 1
}
