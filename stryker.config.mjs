// Mutation testing: `npm run proof:mutation`, see docs/mutation.md.
import { relative } from "node:path"

/** Texts for people have a space. Tags, names and the values of options have none, and durations begin with a digit. */
const isMessage = (text) => /^\D.* /s.test(text)

const textOf = (node) =>
  node.type === "TemplateLiteral"
    ? node.quasis.map((quasi) => quasi.value.raw).join("…")
    : node.type === "StringLiteral"
    ? node.value
    : ""

const messages = { shouldIgnore: ({ node }) => isMessage(textOf(node)) ? "the text of a message" : undefined }

/** Says what no test has noticed, as soon as it is known. */
const survivors = {
  onMutantTested({ fileName, location, replacement, status }) {
    if (status !== "Survived" && status !== "NoCoverage") return
    console.log(
      `\n${relative(".", fileName)}:${location.start.line}:${location.start.column} ${status}: ${replacement}`
    )
  }
}

export const strykerPlugins = [
  { kind: "Ignore", name: "messages", value: messages },
  { kind: "Reporter", name: "survivors", factory: () => survivors }
]

export default {
  testRunner: "vitest",
  vitest: { configFile: "vitest.mutation.ts" },
  plugins: ["@stryker-mutator/vitest-runner", "./stryker.config.mjs"],
  ignorers: ["messages"],
  coverageAnalysis: "perTest",
  // Code that runs only while a module is loaded would need all tests for each mutant.
  ignoreStatic: true,
  concurrency: 2,
  timeoutMS: 30_000,
  timeoutFactor: 1,
  // The sandbox needs no other paths, and TypeScript 7 has no API to rewrite them with.
  tsconfigFile: "none",
  ignorePatterns: ["build", "dist"],
  tempDirName: "build/mutation/sandbox",
  reporters: ["dots", "survivors"],
  allowEmpty: true
}
