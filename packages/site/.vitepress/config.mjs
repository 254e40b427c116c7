import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { defineConfig } from "vitepress"
import { staged } from "../stage.mjs"

const repository = "https://github.com/persistent-connection/persistent-connection"
const has = (path) => existsSync(join(staged, path))

// As on GitHub, so that the links work there too
const slugify = (heading) => heading.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\s_-]/gu, "").replace(/\s/g, "-")

export default defineConfig({
  title: "persistent-connection",
  description: "Keeps one connection to a server open for an Effect application",
  // The path of the site on its host, such as "/persistent-connection/"
  base: process.env.DOCS_BASE ?? "/",
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
