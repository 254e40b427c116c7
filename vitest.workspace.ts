import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const packages = fileURLToPath(new URL("packages", import.meta.url))

const project = (folder: string, options: { readonly timeout: number }) => ({
  extends: true as const,
  test: {
    name: folder,
    root: `${packages}/${folder}`,
    include: ["test/**/*.test.ts"],
    testTimeout: options.timeout,
    hookTimeout: options.timeout
  }
})

export default defineConfig({
  resolve: {
    // Tests run on the sources, without a build; what is internal stays out of reach by the package's name.
    alias: [
      { find: /^#internal\/(.+)\.js$/, replacement: `${packages}/core/src/internal/$1.ts` },
      { find: /^@persistent-connection\/(core|platform)$/, replacement: `${packages}/$1/src/index.ts` },
      { find: /^@persistent-connection\/(core|platform)\/(?!internal\/)(.+)$/, replacement: `${packages}/$1/src/$2.ts` }
    ]
  },
  test: {
    projects: [
      project("core", { timeout: 10_000 }),
      project("platform", { timeout: 20_000 }),
      project("playground", { timeout: 180_000 })
    ]
  }
})
