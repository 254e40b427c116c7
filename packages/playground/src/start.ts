/**
 * Serves the playground, which `npm start` has built:
 *
 *     npm start -- --port 8080
 */
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { start } from "./world/playgroundServer.js"

const { values } = parseArgs({ options: { port: { type: "string", default: "8321" } } })
const folder = fileURLToPath(new URL("../build/site", import.meta.url))

try {
  const { url } = await start(folder, Number(values.port))
  console.log(`The playground is at ${url}`)
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\nusage: npm start -- --port PORT`)
  process.exitCode = 1
}
