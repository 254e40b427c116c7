import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const root = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const packages = root("packages")

export default defineConfig(({ mode }) => {
  // `npm test` runs the tests, and the proofs in their short form. `npm run proof` runs the proofs at length.
  const isProof = mode === "proof"
  process.env["PROOF"] ??= isProof ? "long" : "short"
  process.env["PROOF_SEED"] ??= "20261122"

  // For a machine that has other things to do: what runs in virtual time notices by itself that it hangs.
  const timeout = isProof ? 600_000 : 60_000

  const project = (folder: string, setupFiles: Array<string> = []) => ({
    extends: true as const,
    test: {
      name: folder,
      root: `${packages}/${folder}`,
      include: isProof ? ["test/**/*.proof.ts"] : ["test/**/*.test.ts", "test/**/*.proof.ts"],
      testTimeout: timeout,
      hookTimeout: timeout,
      setupFiles
    }
  })

  const setup = `${packages}/core/test/support/setup.ts`
  return {
    resolve: {
      // Tests run on the sources, without a build; what is internal stays out of reach by the package's name.
      alias: [
        { find: /^#internal\/(.+)\.js$/, replacement: `${packages}/core/src/internal/$1.ts` },
        { find: /^@persistent-connection\/(core|platform)$/, replacement: `${packages}/$1/src/index.ts` },
        {
          find: /^@persistent-connection\/(core|platform)\/(?!internal\/)(.+)$/,
          replacement: `${packages}/$1/src/$2.ts`
        }
      ]
    },
    test: {
      reporters: ["default", root("scripts/report.mjs")],
      // Loading the modules once a worker, not once a file, is most of what makes the tests fast.
      isolate: false,
      maxWorkers: "100%",
      minWorkers: "100%",
      projects: isProof
        ? [project("core", [setup]), project("platform"), project("playground")]
        : [project("core", [setup]), project("platform")]
    }
  }
})
