/**
 * Serves the playground, which `npm start` has built:
 *
 *     npm start -- --port 8080
 */
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { start } from "./world/playgroundServer.js"

const { values } = parseArgs({ options: { port: { type: "string", default: "8321" } } })
const { url } = await start(fileURLToPath(new URL("../build/site", import.meta.url)), Number(values.port))
console.log(`The playground is at ${url}`)
