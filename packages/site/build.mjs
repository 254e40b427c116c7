// Builds the documentation into build/docs, or serves it with --dev.
import { readdirSync, readFileSync, rmSync, watch } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build, createServer } from "vitepress"
import { root } from "../../scripts/workspace.mjs"
import { stage } from "./stage.mjs"

const here = fileURLToPath(new URL(".", import.meta.url))
const output = join(root, "build/docs")
const filesUnder = (folder, ending) =>
  readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith(ending))

/** Links to headings that do not exist, which VitePress does not check. */
const brokenAnchors = () => {
  const pages = new Map(
    filesUnder(output, ".html").filter((name) => !name.startsWith("playground")).map((name) => {
      const html = readFileSync(join(output, name), "utf8")
      return [name.replace(/\.html$/, ""), {
        ids: new Set([...html.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1])),
        links: [...html.matchAll(/\shref="([^"]*)#([^"]+)"/g)]
      }]
    })
  )
  const base = process.env.DOCS_BASE ?? "/"
  return [...pages].flatMap(([page, { links }]) =>
    links.flatMap(([, path, anchor]) => {
      if (path !== "" && !path.startsWith(base)) return []
      const target = path === "" ? page : path.slice(base.length).replace(/\.html$/, "").replace(/^$/, "index")
      const id = decodeURIComponent(anchor)
      return pages.get(target)?.ids.has(id) ? [] : [`${page}: there is no ${target}#${id}`]
    })
  )
}

/** Addresses that a browser would load from another host. */
const externalRequests = () =>
  [".html", ".css"].flatMap((ending) => filesUnder(output, ending)).flatMap((name) =>
    [
      ...readFileSync(join(output, name), "utf8").matchAll(
        /(?:<(?:script|img|iframe|source)[^>]*\ssrc=|<link[^>]*\shref=|url\(|@import )["']?((?:https?:)?\/\/[^"')\s]+)/g
      )
    ].map((match) => `${name}: loads ${match[1]}`)
  )

const pages = stage()
if (process.argv.includes("--dev")) {
  const server = await createServer(here)
  await server.listen()
  server.printUrls()
  for (const folder of ["docs", "packages/core/src", "packages/platform/src", "packages/rpc/src"]) {
    watch(join(root, folder), { recursive: true }, () => stage())
  }
} else {
  rmSync(output, { recursive: true, force: true })
  await build(here)
  const problems = [...brokenAnchors(), ...externalRequests()]
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exit(1)
  console.log(`${pages} pages in build/docs`)
}
