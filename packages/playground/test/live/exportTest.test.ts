import { execFile } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, expect, it } from "vitest"
import { examples } from "../../src/live/examples.js"
import { exportTest } from "../../src/live/exportTest.js"
import { decode } from "../../src/live/scenarioText.js"

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const root = path("../../../..")
const folder = path("../../build/exported")

/** Together they use every policy and every action. */
const texts = [
  ...examples.map(({ text }) => text),
  "policy=exponential&base=300&maxDelay=4000&factor=3&jitter=decorrelated&do=1000:slow:400,2000:refuse,2500:silence,9000:start&until=20000",
  "policy=immediate&reconnectJitter=700&minUptime=0&healthCheck=false&do=3000:kill,3050:start,5000:close&until=6000",
  "policy=standard&do=1000:announce,7000:drop:900,9000:kill,9100:start&until=40000"
]

const run = (...args: ReadonlyArray<string>) =>
  new Promise<{ readonly failed: boolean; readonly output: string }>((resolve) => {
    execFile(
      process.execPath,
      args,
      { cwd: root },
      (error, stdout, stderr) => resolve({ failed: error !== null, output: stdout + stderr })
    )
  })

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [index, text] of texts.entries()) writeFileSync(`${folder}/${index}.test.ts`, exportTest(decode(text)))
  writeFileSync(
    `${folder}/tsconfig.json`,
    JSON.stringify({
      extends: "../../../../tsconfig.json",
      compilerOptions: {
        composite: false,
        declaration: false,
        declarationMap: false,
        noEmit: true,
        // The declarations of effect are checked by `npm run types`.
        skipLibCheck: true,
        paths: { "@persistent-connection/core/*": ["../../../core/src/*.ts"] }
      },
      include: ["*.ts"]
    })
  )
  writeFileSync(
    `${folder}/vitest.config.mjs`,
    `export default ${
      JSON.stringify({
        root: folder,
        // Loads effect once.
        test: { isolate: false, maxWorkers: 1, minWorkers: 1 },
        resolve: { alias: { "@persistent-connection/core": path("../../../core/src") } }
      })
    }`
  )
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("exports tests that compile", async () => {
  expect(await run(`${root}/node_modules/typescript/bin/tsc`, "-p", folder, "--pretty", "false"))
    .toEqual({ failed: false, output: "" })
})

it("exports tests that pass", async () => {
  const { failed, output } = await run(
    `${root}/node_modules/vitest/vitest.mjs`,
    "run",
    "--config",
    `${folder}/vitest.config.mjs`
  )
  expect(output).toContain(`${texts.length} passed`)
  expect(failed).toBe(false)
})
