// Applies the changesets: new versions, changelogs, and the lock file. changesets makes a release major if a peer
// leaves its range, and before 1.0 every minor release of a peer does. So while it runs, the published packages accept
// any version of each other, and afterwards the new one: they are tested, and released, only together.
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { published, root } from "./workspace.mjs"

const run = (command, ...args) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" })
  if (status !== 0) process.exitCode = 1
  return status === 0
}

/** Sets the peers among the published packages to `range(version)`. */
const setPeers = (range) => {
  for (const folder of published) {
    const file = join(root, folder, "package.json")
    const manifest = JSON.parse(readFileSync(file, "utf8"))
    for (const name of Object.keys(manifest.peerDependencies)) {
      if (name.startsWith("@persistent-connection/")) manifest.peerDependencies[name] = range(manifest.version)
    }
    writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`)
  }
}

setPeers(() => "*")
const applied = run(join(root, "node_modules/.bin/changeset"), "version")
setPeers((version) => `^${version}`)
if (applied && run("npm", "install", "--package-lock-only", "--ignore-scripts")) {
  run(process.execPath, "scripts/lock.mjs")
}
