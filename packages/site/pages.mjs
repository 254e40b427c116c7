// The pages of the site, in the order of the sidebar.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { published, root } from "../../scripts/workspace.mjs"
import { modules, pageOf } from "./reference.mjs"

const guides = [
  ["Guides", ["start", "using", "setup", "policy", "health", "types", "transports", "rpc", "watching", "testing"]],
  ["Cookbook", ["troubleshooting", "migrating", "sequences", "postgres", "redis"]],
  ["Background", ["rules", "original", "benchmarks", "mutation"]]
]

const titleOf = (text) => /^# (.+)$/m.exec(text)[1].replaceAll("`", "")

/** The first sentence of a page. */
const summaryOf = (text) => {
  const paragraph = text.split(/\n\s*\n/).find((part) => !/^\s*(#|```|\||!\[|- )/.test(part)) ?? ""
  const plain = paragraph.replace(/\s+/g, " ").replace(/\[([^\]]*)\][([][^)\]]*[)\]]/g, "$1").replaceAll("*", "")
  return (/^.*?[.:](?= |$)/.exec(plain)?.[0] ?? plain).replace(/:$/, ".")
}

const page = (path, text, rest) => ({ path, text, title: titleOf(text), summary: summaryOf(text), ...rest })

/** The groups of the sidebar, with their pages. A guide that does not exist yet is left out. */
export const groups = (complain) => {
  const all = modules(complain)
  return [
    ...guides.map(([title, names]) => ({
      title,
      pages: names.filter((name) => existsSync(join(root, `docs/${name}.md`))).map((name) => {
        const file = `docs/${name}.md`
        return page(name, readFileSync(join(root, file), "utf8"), { file })
      })
    })),
    ...published.map((folder) => folder.split("/").at(-1)).map((name) => ({
      title: `API: ${name}`,
      pages: all.filter((module) => module.package === name).map((module) =>
        page(module.page, pageOf(module), { file: module.source, module })
      )
    }))
  ]
}
