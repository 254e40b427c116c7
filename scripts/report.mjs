// A reporter for vitest. Prints the skipped tests, and the form and the seed of the proofs. If TEST_COUNTS names a
// file, writes "PASSED FAILED" to it, and then one line per failure.
import { writeFileSync } from "node:fs"
import { relative } from "node:path"

export default class Counts {
  onTestRunEnd(modules, unhandledErrors) {
    let passed = 0
    const skipped = []
    const failed = unhandledErrors.map((error) => `unhandled: ${firstLine(error)}`)
    for (const module of modules) {
      const file = relative(process.cwd(), module.moduleId)
      const fail = (what, errors) => {
        for (const error of errors) failed.push(`${file}: ${what}${firstLine(error)}`)
      }
      fail("", module.errors())
      for (const suite of module.children.allSuites()) fail(`${suite.fullName}: `, suite.errors())
      for (const test of module.children.allTests()) {
        const result = test.result()
        if (result.state === "passed") passed++
        else if (result.state === "skipped") skipped.push(`${file}: ${test.fullName}: ${reason(result)}`)
        else fail(`${test.fullName}: `, result.errors?.slice(0, 1) ?? [{ message: "did not run" }])
      }
    }
    for (const line of skipped) console.log(`skipped: ${line}`)
    console.log(`proofs: ${process.env.PROOF === "long" ? "long" : "short"} form, seed ${process.env.PROOF_SEED}`)
    if (process.env.TEST_COUNTS !== undefined) {
      writeFileSync(process.env.TEST_COUNTS, [`${passed} ${failed.length}`, ...failed, ""].join("\n"))
    }
  }
}

const firstLine = ({ message }) => String(message).split("\n", 1)[0]

const reason = (result) => result.note ?? "no reason given"
