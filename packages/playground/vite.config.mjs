import { fileURLToPath } from "node:url"
import { defineConfig } from "vite"

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))

// `--mode static` builds the page for a site without the playground's server: it simulates the server.
export default defineConfig(({ mode }) => ({
  root: path("page"),
  base: "./",
  define: { IS_STATIC: JSON.stringify(mode === "static") },
  resolve: {
    // The sources, without a build.
    alias: [
      { find: /^#internal\/(.+)\.js$/, replacement: path("../core/src/internal/$1.ts") },
      { find: /^@persistent-connection\/(core|platform)\/(.+)$/, replacement: path("../$1/src/$2.ts") }
    ],
    dedupe: ["effect"]
  },
  build: { outDir: path(mode === "static" ? "build/static" : "build/site"), emptyOutDir: true, target: "es2022" }
}))
