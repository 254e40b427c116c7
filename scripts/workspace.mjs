import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

const manifest = (folder) => JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))

/** The folders of the published packages: all packages that are not private. */
export const published = manifest(".").workspaces.filter((folder) => !manifest(folder).private)
