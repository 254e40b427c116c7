// Type-checks all examples of the documentation against the sources of the packages, and evaluates those that can run:
// so the options that they give are checked too.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { published, root } from "./workspace.mjs"

const scratch = "build/examples"

const filesUnder = (folder, ending) =>
  existsSync(join(root, folder))
    ? readdirSync(join(root, folder), { recursive: true })
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
      .filter((name) => name.endsWith(ending) && !name.includes("/node_modules/"))
      .sort()
    : []

/** The fenced blocks of a text. `line` is the line number of the first line of code. */
const blocksOf = (origin, lines) => {
  const blocks = []
  let open
  for (const { number, text } of lines) {
    const fence = /^(\s*)(`{3,})\s*(.*)$/.exec(text)
    if (open === undefined) {
      if (fence) open = { indent: fence[1], marks: fence[2], words: fence[3].split(/\s+/), line: number + 1, code: [] }
    } else if (fence && fence[2].length >= open.marks.length && fence[3] === "") {
      if (["ts", "typescript"].includes(open.words[0])) {
        const skip = open.words.indexOf("no-check")
        const reason = skip === -1 ? undefined : open.words.slice(skip + 1).join(" ")
        if (reason === "") throw new Error(`${origin}:${open.line - 1}: say why this example is not compiled`)
        blocks.push({ origin, line: open.line, code: open.code, checked: skip === -1, reason })
      }
      open = undefined
    } else {
      open.code.push(text.startsWith(open.indent) ? text.slice(open.indent.length) : text.trimStart())
    }
  }
  if (open !== undefined) throw new Error(`${origin}:${open.line - 1}: this fence is not closed`)
  return blocks
}

const numbered = (text) => text.split("\n").map((line, index) => ({ number: index + 1, text: line }))

const ofMarkdown = (file) => blocksOf(file, numbered(readFileSync(join(root, file), "utf8")))

const ofSource = (file) => {
  const blocks = []
  let comment
  for (const { number, text } of numbered(readFileSync(join(root, file), "utf8"))) {
    if (/^\s*\/\*\*/.test(text)) comment = { lines: [], inExample: false, inFence: false }
    if (comment === undefined) continue
    const content = text.replace(/^\s*\*(?!\/) ?/, "")
    if (/^\s*```/.test(content)) comment.inFence = !comment.inFence
    else if (!comment.inFence && /^\s*@\w/.test(content)) comment.inExample = /^\s*@example\b/.test(content)
    if (comment.inExample && !/\*\/\s*$/.test(text)) comment.lines.push({ number, text: content })
    if (/\*\//.test(text)) {
      blocks.push(...blocksOf(file, comment.lines))
      comment = undefined
    }
  }
  return blocks
}

const examples = [
  ...[
    "README.md",
    "CONTRIBUTING.md",
    "packages/site/index.md",
    ...published.flatMap((folder) => [`${folder}/README.md`, `${folder}/AGENTS.md`])
  ]
    .filter((file) => existsSync(join(root, file)))
    .concat(filesUnder("docs", ".md"))
    .flatMap(ofMarkdown),
  ...published.flatMap((folder) => filesUnder(`${folder}/src`, ".ts")).flatMap(ofSource)
]
const checked = examples.filter((example) => example.checked)

rmSync(join(root, scratch), { recursive: true, force: true })
mkdirSync(join(root, scratch), { recursive: true })
const byFile = new Map()
for (const example of checked) {
  const file = `${example.origin.replace(/\W+/g, "-")}-${example.line}.ts`
  byFile.set(file, example)
  writeFileSync(
    join(root, scratch, file),
    [`// ${example.origin}:${example.line}`, ...example.code, "export {}", ""].join("\n")
  )
}
writeFileSync(
  join(root, scratch, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.json",
    compilerOptions: {
      composite: false,
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      rootDir: "../..",
      outDir: "dist",
      // An example may create a value without using it.
      noUnusedLocals: false,
      types: ["node"],
      paths: Object.fromEntries(published.flatMap((folder) => {
        const name = `@persistent-connection/${basename(folder)}`
        return [
          [name, [`../../${folder}/src/index.ts`]],
          [`${name}/internal/*`, ["./internal-modules-are-not-exported"]],
          [`${name}/*`, [`../../${folder}/src/*.ts`]]
        ]
      }))
    },
    files: [...byFile.keys()]
  })
)

for (const example of examples) {
  console.log(
    `${example.checked ? "checked " : "no-check"}  ${example.origin}:${example.line}` +
      (example.checked ? "" : `: ${example.reason}`)
  )
}
if (checked.length === 0) {
  console.error("No example was found.")
  process.exit(1)
}

const tsc = spawnSync(
  process.execPath,
  [join(root, "node_modules/typescript/bin/tsc"), "-p", scratch, "--pretty", "false"],
  { cwd: root, encoding: "utf8" }
)
process.stdout.write(
  tsc.stdout.replace(/^build\/examples\/(.+?)\((\d+),(\d+)\)/gm, (whole, file, line, column) => {
    const example = byFile.get(file)
    // The scratch file has one header line before the first line of the example.
    return example === undefined ? whole : `${example.origin}:${example.line + Number(line) - 2}:${column}`
  })
)
process.stderr.write(tsc.stderr)
const skipped = examples.length - checked.length
if (tsc.status !== 0) {
  rmSync(join(root, scratch, "dist"), { recursive: true, force: true })
  console.log(`${checked.length} examples checked, with errors, ${skipped} skipped`)
  process.exit(1)
}

/** Without what its reader declares, without starting a program that does not end, and outside the test runner. */
const canRun = ({ code }) => !/^declare |\brun(Main|Fork|Promise|Sync)\b|"@effect\/vitest"/m.test(code.join("\n"))
const runnable = [...byFile].filter(([, example]) => canRun(example))
writeFileSync(
  join(root, scratch, "evaluate.mjs"),
  [
    "let failed = 0",
    ...runnable.map(([file, { line, origin }]) =>
      `await import("./dist/build/examples/${
        file.replace(/ts$/, "js")
      }").catch((error) => { failed++; console.error("${origin}:${line}", error) })`
    ),
    "process.exit(failed === 0 ? 0 : 1)"
  ].join("\n")
)
// At run time the packages are their builds.
const tool = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status
const evaluated = tool(join(root, "node_modules/typescript/bin/tsc"), "-b", ...published) === 0 &&
  tool(join(root, scratch, "evaluate.mjs")) === 0
// Other checks would take the compiled copies for sources.
rmSync(join(root, scratch, "dist"), { recursive: true, force: true })
console.log(
  `${checked.length} examples compile, ${runnable.length} of them ${
    evaluated ? "run" : "do not all run"
  }, ${skipped} skipped`
)
process.exit(evaluated ? 0 : 1)
