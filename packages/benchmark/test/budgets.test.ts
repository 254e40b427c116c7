import { describe, expect, it } from "vitest"
import { budgets, compare } from "../src/budgets.js"

const exceeded = (sizes: typeof budgets) => compare(sizes, budgets).filter(({ isMet }) => !isMet)

describe("the budgets of sizes", () => {
  it("are met by sizes that are equal", () => {
    expect(compare(budgets, budgets)).toHaveLength(Object.keys(budgets).length)
    expect(exceeded(budgets)).toEqual([])
  })

  it.each(Object.keys(budgets) as Array<keyof typeof budgets>)("are exceeded by more of: %s", (what) => {
    const size = budgets[what] + 0.001
    expect(exceeded({ ...budgets, [what]: size })).toEqual([{ what, size, budget: budgets[what], isMet: false }])
  })
})
