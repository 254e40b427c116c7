import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const root = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const packages = root("packages")

export default defineConfig(({ mode }) => {
  // `npm test` runs the tests and the short form of the proofs. `npm run proof` runs the long form of the proofs.
  // `npm run test:page` tests the page of the playground in a browser, and `npm run screenshots` takes pictures of it.
  const isProof = mode === "proof"
  const isPage = mode === "page" || mode === "screenshots"
  process.env["PROOF"] ??= isProof ? "long" : "short"
  process.env["PROOF_SEED"] ??= "20261122"

  // Long timeouts, for a busy machine. Tests in virtual time detect a hang by themselves.
  const timeout = isProof ? 600_000 : 60_000

  const project = (folder: string, setupFiles: Array<string> = []) => ({
    extends: true as const,
    test: {
      name: folder,
      root: `${packages}/${folder}`,
      // The proof of the playground has no short form.
      include: isPage
        ? [`test/**/*.${mode === "page" ? "e2e" : "screenshots"}.ts`]
        : isProof
        ? ["test/**/*.proof.ts"]
        : ["test/**/*.test.ts", ...folder === "playground" ? [] : ["test/**/*.proof.ts"]],
      testTimeout: timeout,
      hookTimeout: timeout,
      setupFiles
    }
  })

  const setup = `${packages}/core/test/support/setup.ts`
  return {
    resolve: {
      // Tests use the sources, without a build. Internal modules cannot be imported by the name of the package.
      alias: [
        { find: /^#internal\/(.+)\.js$/, replacement: `${packages}/core/src/internal/$1.ts` },
        { find: /^@persistent-connection\/(core|platform|rpc)$/, replacement: `${packages}/$1/src/index.ts` },
        {
          find: /^@persistent-connection\/(core|platform|rpc)\/(?!internal\/)(.+)$/,
          replacement: `${packages}/$1/src/$2.ts`
        }
      ]
    },
    test: {
      reporters: ["default", root("scripts/report.mjs")],
      // Loads the modules once per worker instead of once per file, which makes the tests much faster.
      isolate: false,
      maxWorkers: "100%",
      minWorkers: "100%",
      projects: isPage
        ? [project("playground")]
        : isProof
        ? [project("core", [setup]), project("platform"), project("rpc"), project("playground")]
        : [project("core", [setup]), project("platform"), project("rpc"), project("playground"), project("benchmark")]
    }
  }
})
