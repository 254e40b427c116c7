/** The page in headless Chromium, if that is installed. */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { build } from "vite"
import { type PlaygroundServer, start } from "../../src/world/playgroundServer.js"

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium"

/** Why the page cannot be tested here; undefined if it can. */
export const reasonToSkip = existsSync(executablePath)
  ? undefined
  : `Chromium is not installed at ${executablePath}; CHROMIUM names another path`

export interface Site {
  /** Opens the page. `failures` lists what goes wrong, and every request to another host. */
  readonly open: (hash: string, options?: BrowserContextOptions) => Promise<Opened>
  /** Closes all open pages. */
  readonly closePages: () => Promise<void>
  readonly close: () => Promise<void>
}

interface Opened {
  readonly page: Page
  readonly failures: ReadonlyArray<string>
}

/** Builds the page and serves it: with its server, by the command for users, or as static files. */
export const openSite = async (kind: "live" | "static"): Promise<Site> => {
  const server = await (kind === "live" ? npmStart() : serveStatic())
  const browser: Browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] })
  return {
    open: async (hash, options) => {
      const context = await browser.newContext({ viewport: { width: 1320, height: 1000 }, ...options })
      const page = await context.newPage()
      const failures: Array<string> = []
      page.on("pageerror", (error) => failures.push(String(error)))
      page.on("request", (request) => {
        const { hostname, protocol } = new URL(request.url())
        if (protocol !== "data:" && hostname !== "127.0.0.1") failures.push(`a request to ${hostname}`)
      })
      await page.goto(`${server.url}#${hash}`)
      return { page, failures }
    },
    closePages: async () => {
      await Promise.all(browser.contexts().map((context) => context.close()))
    },
    close: async () => {
      await browser.close()
      server.close()
    }
  }
}

const root = path("../../../..")

/** Runs `npm start`, until it tells its address. */
const npmStart = (): Promise<PlaygroundServer> =>
  new Promise((resolve, reject) => {
    // A process group of its own, because npm does not pass signals on.
    const child = spawn("npm", ["start", "--", "--port", "0"], { cwd: root, detached: true })
    let output = ""
    const read = (data: Buffer) => {
      output += String(data)
      const url = /The playground is at (\S+)/.exec(output)?.[1]
      if (url !== undefined) resolve({ url, close: () => process.kill(-child.pid!) })
    }
    child.stdout.on("data", read)
    child.stderr.on("data", read)
    child.on("exit", () => reject(new Error(output)))
  })

const serveStatic = async (): Promise<PlaygroundServer> => {
  await build({ configFile: path("../../vite.config.mjs"), mode: "static", logLevel: "error" })
  return start(path("../../build/static"), 0)
}
