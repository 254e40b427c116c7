// Packs the published packages and checks the tarballs.
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { published, root } from "./workspace.mjs"

let failed = 0

const run = (command, args, options) => spawnSync(command, args, { cwd: root, encoding: "utf8", ...options })
const step = (title, command, args) => {
  console.log(`\n${title}`)
  if (run(command, args, { stdio: "inherit" }).status !== 0) failed++
}
const bin = (tool) => join(root, "node_modules", ".bin", tool)
const complain = (message) => {
  console.error(message)
  failed++
}

step("build", bin("tsc"), ["-b", ...published])
if (failed > 0) process.exit(1)

const scratch = mkdtempSync(join(tmpdir(), "persistent-connection-packages-"))
try {
  for (const folder of published) {
    const packed = run("npm", ["pack", `./${folder}`, "--json", "--pack-destination", scratch])
    if (packed.status !== 0) {
      complain(packed.stderr)
      continue
    }
    const answer = JSON.parse(packed.stdout)
    const { filename, files, name } = Array.isArray(answer) ? answer[0] : Object.values(answer)[0]
    const tarball = join(scratch, filename)
    const paths = files.map((file) => file.path)
    const modules = paths.flatMap((path) => /^dist\/([^/]+)\.js$/.exec(path)?.[1] ?? [])
    console.log(`\n${name}: ${paths.length} files, modules ${modules.join(", ")}`)

    const texts = ["LICENSE", "README.md", "AGENTS.md", "CHANGELOG.md"]
    for (const wanted of [...texts, "dist/index.js", "dist/index.d.ts", "src/index.ts"]) {
      if (!paths.includes(wanted)) complain(`${name}: ${wanted} is not in the tarball`)
    }
    for (const path of paths) {
      const source = /^dist\/(.+)\.js$/.exec(path)?.[1]
      if (source !== undefined && !existsSync(join(root, folder, "src", `${source}.ts`))) {
        complain(`${name}: ${path} has no source; run \`npm run clean\` and build again`)
      }
      if (/(^|\/)(test|build)\/|\.test\.|tsbuildinfo/.test(path)) complain(`${name}: ${path} must not be published`)
    }

    step(`publint ${basename(tarball)}`, bin("publint"), ["--strict", tarball])
    const entrypoints = modules.map((module) => (module === "index" ? "." : module))
    step(`attw ${basename(tarball)}`, bin("attw"), [
      tarball,
      "--profile",
      "esm-only",
      "--format",
      "table-flipped",
      "--no-emoji",
      "--no-summary",
      "--entrypoints",
      ...entrypoints
    ])
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed === 0 ? 0 : 1)
