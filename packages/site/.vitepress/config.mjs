import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { defineConfig } from "vitepress"
import { staged } from "../stage.mjs"

const repository = "https://github.com/persistent-connection/persistent-connection"
const has = (path) => existsSync(join(staged, path))

// As on GitHub, so that the links work there too
const slugify = (heading) => heading.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\s_-]/gu, "").replace(/\s/g, "-")

const icon =
  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path d='M1 8h14' stroke='%233451b2' stroke-width='2'/>"
  + "<g fill='%233451b2'><circle cx='3' cy='8' r='3'/><circle cx='13' cy='8' r='3'/></g></svg>"

export default defineConfig({
  title: "persistent-connection",
  description: "Keeps one connection to a server open for an Effect application",
  // The path of the site on its host, such as "/persistent-connection/"
  base: process.env.DOCS_BASE ?? "/",
  head: [["link", { rel: "icon", href: `data:image/svg+xml,${icon}` }]],
  srcDir: staged,
  srcExclude: ["public/**"],
  outDir: join(staged, "../docs"),
  cacheDir: join(staged, "../docs-cache"),
  cleanUrls: true,
  markdown: {
    anchor: { slugify },
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" }
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Guide", link: "/using" },
      { text: "Cookbook", link: "/troubleshooting" },
      { text: "Rules", link: "/rules" },
      { text: "API", link: "/reference/core/PersistentConnection" },
      ...has("benchmarks.md") ? [{ text: "Benchmarks", link: "/benchmarks" }] : [],
      ...has("public/playground") ? [{ text: "Playground", link: "/playground/index.html", target: "_self" }] : []
    ],
    sidebar: JSON.parse(readFileSync(join(staged, "sidebar.json"), "utf8")),
    socialLinks: [{ icon: "github", link: repository }],
    footer: { message: "MIT licence" }
  }
})
