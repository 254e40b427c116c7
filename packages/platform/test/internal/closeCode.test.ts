import { assert, describe, it } from "@effect/vitest"
import { isRegular, meaning } from "../../src/internal/closeCode.js"

describe("the code of a close", () => {
  it("is regular for a server that is done or goes away, and for a close frame without a code", () => {
    const codes = [0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1011, 3000, 4000]
    assert.deepStrictEqual(codes.filter(isRegular), [1000, 1001, 1005])
  })

  it.each<[number, string]>([
    [1000, "normal closure"],
    [1004, "unknown code"],
    [2999, "unknown code"],
    [3000, "unauthorized"],
    [3001, "registered library code"],
    [3999, "registered library code"],
    [4000, "application code"],
    [4999, "application code"]
  ])("%d means: %s", (code, text) => {
    assert.strictEqual(meaning(code), text)
  })
})
