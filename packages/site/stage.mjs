// Puts the sources of the site together in build/site: the guides of docs/, the API reference, and the texts for tools.
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { root } from "../../scripts/workspace.mjs"
import { linker } from "./links.mjs"
import { groups } from "./pages.mjs"

const here = fileURLToPath(new URL(".", import.meta.url))
export const staged = join(root, "build/site")
const summary = "Keeps one connection to a server open for an Effect application: connects at once, reconnects after "
  + "every loss, and closes the connection exactly once, when its scope is left."

const put = (path, text) => {
  mkdirSync(dirname(join(staged, path)), { recursive: true })
  writeFileSync(join(staged, path), text)
}

/** https://llmstxt.org */
const llms = (sidebar) =>
  [
    "# persistent-connection",
    `> ${summary}`,
    "The whole documentation in one file: [llms-full.txt](/llms-full.txt). Every page is also there as Markdown.",
    ...sidebar.map(({ pages, title }) =>
      [`## ${title}\n`, ...pages.map((page) => `- [${page.title}](/${page.path}.md): ${page.summary}`)].join("\n")
    )
  ].join("\n\n") + "\n"

export const stage = () => {
  const problems = []
  const sidebar = groups((problem) => problems.push(problem)).filter(({ pages }) => pages.length > 0)
  if (problems.length > 0) throw new Error(problems.join("\n"))
  const pages = sidebar.flatMap((group) => group.pages)
  const rules = new Set(
    [...pages.find(({ path }) => path === "rules").text.matchAll(/^- \*\*([A-Z]\d+)\*\*/gm)].map((match) => match[1])
  )
  const link = linker(pages.flatMap(({ module }) => module ?? []), rules)

  rmSync(staged, { recursive: true, force: true })
  mkdirSync(staged, { recursive: true })
  // Pages load their images from the first folder, the home page from the second.
  for (const folder of ["images", "public/images"]) {
    cpSync(join(root, "docs/images"), join(staged, folder), { recursive: true })
  }
  cpSync(join(here, "index.md"), join(staged, "index.md"))
  for (const { file, module, path, text } of pages) {
    put(`${path}.md`, link(text, { file, module, page: path }))
    put(`public/${path}.md`, text)
  }
  put(
    "sidebar.json",
    JSON.stringify(sidebar.map(({ pages, title }) => ({
      text: title,
      collapsed: title.startsWith("API"),
      items: pages.map((page) => ({ text: page.title, link: `/${page.path}` }))
    })))
  )
  put("public/llms.txt", llms(sidebar))
  put("public/llms-full.txt", pages.map(({ text }) => text.trimEnd()).join("\n\n---\n\n") + "\n")
  const playground = join(root, "packages/playground/build/static")
  if (existsSync(playground)) cpSync(playground, join(staged, "public/playground"), { recursive: true })
  return pages.length
}
