import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

const manifest = (folder) => JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))

/** The folders of the packages that are published: all but the private ones. */
export const published = manifest(".").workspaces.filter((folder) => !manifest(folder).private)
