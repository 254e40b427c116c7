// The tests that judge a mutant, see docs/mutation.md.
import { basename, dirname, relative } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import base from "./vitest.workspace.js"

/** They take long, and others notice most of the same; or they compare a source with a page, and Stryker changes it. */
const exclude = [
  "conformance/*",
  "model/*",
  "testing/*",
  "cookbook/*",
  "recipes/*",
  "endToEnd*",
  "Framing.property*"
].map((name) => `test/${name}`)

/** `TESTS` names fewer of them, for a first run whose survivors are then tested by all. */
const tests = (process.env["TESTS"] ?? "test/**/*.test.ts").split(",")

const durations = new Map<string, number>()

const folder = (file: string) => basename(dirname(file))

/** The tests that are about the mutated file come first, then the fast ones: the first failure ends the run. */
class NearestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const mutated = folder(this.ctx.config.related?.[0] ?? "")
    for (const { moduleId, project } of files) {
      const key = `${project.name}:${relative(this.ctx.config.root, moduleId)}`
      const { duration = 0 } = this.ctx.cache.getFileTestResults(key) ?? {}
      // A run that ended early says 0.
      durations.set(moduleId, Math.max(duration, durations.get(moduleId) ?? 0))
    }
    const cost = ({ moduleId }: TestSpecification) =>
      durations.get(moduleId)! + (folder(moduleId) === mutated ? 0 : 1e6)
    return files.sort((a, b) => cost(a) - cost(b))
  }
}

export default defineConfig((env) => {
  const { resolve, test } = base(env)
  const mutated = test.projects.find(({ test }) => test.name === (process.env["MUTATED"] ?? "core"))!
  return {
    resolve,
    test: {
      ...test,
      reporters: [],
      sequence: { sequencer: NearestFirst },
      projects: [{
        ...mutated,
        // A test that hangs is a test that fails.
        test: { ...mutated.test, include: tests, exclude, testTimeout: 10_000, hookTimeout: 10_000 }
      }]
    }
  }
})
