/**
 * The server of the playground, on the loopback only. It serves the page, and makes a world for each WebSocket on
 * `/control`: a feed behind a fault proxy. The page sends actions, such as `kill` or `slow:300`; the server answers each
 * one with `done`. After `fleet:` and settings, it runs the clients for which the page has no sockets, and reports their
 * phases.
 */
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { extname, join, normalize } from "node:path"
import { type WebSocket, WebSocketServer } from "ws"
import { type Action, actionTags, fleetFrom, initialWorld, nextWorld } from "../live/scenario.js"
import { decode } from "../live/scenarioText.js"
import { FaultProxy } from "./faultProxy.js"
import { FeedServer } from "./feedServer.js"
import * as Fleet from "./fleet.js"

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml"
}

/** Everything that the page loads comes from here; it connects to the worlds, which have ports of their own. */
const policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "connect-src 'self' ws://127.0.0.1:*"

export interface PlaygroundServer {
  readonly url: string
  readonly close: () => void
}

/** Serves the page in a folder. Port 0 means a free port. */
export const start = async (folder: string, port: number): Promise<PlaygroundServer> => {
  const http = createServer((request, response) => void serve(folder, request, response))
  const control = new WebSocketServer({ noServer: true })
  await new Promise<void>((resolve, reject) => {
    http.once("error", reject)
    http.listen(port, "127.0.0.1", resolve)
  })
  const host = `127.0.0.1:${(http.address() as AddressInfo).port}`
  http.on("upgrade", (request, socket, head) => {
    // Other sites may open WebSockets to the loopback too; their origin is not ours.
    if (request.url === "/control" && request.headers.origin === `http://${host}`) {
      control.handleUpgrade(request, socket, head, (page) => void makeWorld(page))
    } else {
      socket.destroy()
    }
  })
  return {
    url: `http://${host}/`,
    close: () => {
      for (const page of control.clients) page.terminate()
      http.close()
      http.closeAllConnections()
    }
  }
}

const serve = async (folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname)
  const file = join(folder, path === "/" ? "index.html" : path)
  const found = file.startsWith(folder) && await stat(file).then((entry) => entry.isFile(), () => false)
  response.writeHead(found ? 200 : 404, {
    "content-type": found ? types[extname(file)] ?? "application/octet-stream" : "text/plain",
    "content-security-policy": policy
  })
  if (found) createReadStream(file).pipe(response)
  else response.end("Not found")
}

/** A world that lives as long as the page is connected. */
const makeWorld = async (page: WebSocket): Promise<void> => {
  const start = Date.now()
  const now = () => Date.now() - start
  const feed = new FeedServer(now)
  const proxy = new FaultProxy(await feed.listening())
  if (page.readyState !== page.OPEN) return feed.close()
  let state = initialWorld

  const apply = async (action: Action): Promise<void> => {
    const next = nextWorld(state, action, now())
    if (next.upSince !== state.upSince) feed.restart()
    state = next
    if (action.tag === "silence") proxy.silence()
    if (action.tag === "announce") feed.announce()
    await proxy.follow(state)
  }

  const url = `ws://127.0.0.1:${await proxy.listen()}`
  let fleet: Fleet.Fleet | undefined
  let seen: Array<readonly [client: number, ...phase: ReadonlyArray<string | number>]> = []
  const report = setInterval(() => {
    if (seen.length > 0) page.send(JSON.stringify(seen))
    seen = []
  }, 100)

  let done = Promise.resolve()
  page.on("message", (data) => {
    const text = String(data)
    if (text.startsWith("fleet:")) {
      fleet?.stop()
      fleet = Fleet.start(url, decode(text.slice("fleet:".length)).settings, fleetFrom, (client, phase) => {
        seen.push([client, phase.tag, phase.since, phase.nextAttemptAt])
      })
      return
    }
    const action = parseAction(text)
    if (action === undefined) return page.close(1003)
    if (action.tag === "offline" || action.tag === "online" || action.tag === "close") fleet?.act(action)
    done = done.then(() => apply(action)).then(() => page.send("done"), () => page.close(1011))
  })
  page.on("error", () => page.terminate())
  page.on("close", () => {
    clearInterval(report)
    fleet?.stop()
    proxy.close()
    feed.close()
  })
  page.send(url)
}

const parseAction = (text: string): Action | undefined => {
  const [name, value = "0"] = text.split(":")
  const tag = actionTags.find((tag) => tag === name)
  return tag === undefined || !/^\d{1,5}$/.test(value) ? undefined : { tag, value: Number(value) }
}
