// A reporter for vitest: names the skipped tests, and writes "PASSED FAILED" to the file that TEST_COUNTS names.
import { writeFileSync } from "node:fs"
import { relative } from "node:path"

export default class Counts {
  onTestRunEnd(modules, unhandledErrors) {
    let passed = 0
    let failed = unhandledErrors.length
    const skipped = []
    for (const module of modules) {
      failed += module.errors().length
      for (const suite of module.children.allSuites()) failed += suite.errors().length
      for (const test of module.children.allTests()) {
        const result = test.result()
        if (result.state === "passed") passed++
        else if (result.state === "skipped") {
          skipped.push(`${relative(process.cwd(), module.moduleId)}: ${test.fullName}: ${reason(result)}`)
        } else failed++
      }
    }
    for (const line of skipped) console.log(`skipped: ${line}`)
    if (process.env.TEST_COUNTS !== undefined) writeFileSync(process.env.TEST_COUNTS, `${passed} ${failed}\n`)
  }
}

const reason = (result) => result.note ?? "no reason given"
