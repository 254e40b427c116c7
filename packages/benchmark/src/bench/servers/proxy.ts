/**
 * A proxy in a process of its own, between clients and a server. It has a port for each peer, notes when connections
 * arrive, and breaks them on request. The messages to it are `ProxyRequest`s.
 */
import { connect, createServer, type Server, type Socket } from "node:net"

/**
 * - `up`: forwards.
 * - `down`: ends a connection as soon as it arrives.
 * - `hangUp`: forwards, and ends every connection 200 ms after it has arrived.
 * - `silent`: forwards nothing any more, in both directions, and ends nothing.
 */
export type Mode = "up" | "down" | "hangUp" | "silent"

export type ProxyRequest =
  | { readonly do: "open"; readonly id: number; readonly target: number }
  | { readonly do: "set"; readonly id: number; readonly port: number; readonly mode: Mode }
  /** Ends all connections, and sets the zero of the times. */
  | { readonly do: "kick"; readonly id: number; readonly port: number }
  /** Asks for the times of the arrivals since the last kick. */
  | { readonly do: "arrivals"; readonly id: number; readonly port: number }

interface Line {
  readonly server: Server
  readonly target: number
  mode: Mode
  since: number
  arrivals: Array<number>
  readonly pairs: Set<readonly [client: Socket, server: Socket]>
}

const lines = new Map<number, Line>()

const accept = (line: Line, client: Socket): void => {
  line.arrivals.push(performance.now() - line.since)
  client.on("error", () => {})
  if (line.mode === "down") return void client.resetAndDestroy()
  // Nobody answers.
  if (line.mode === "silent") return
  const server = connect(line.target, "127.0.0.1")
  const pair = [client, server] as const
  line.pairs.add(pair)
  server.on("error", () => {})
  client.setNoDelay(true)
  server.setNoDelay(true)
  client.pipe(server)
  server.pipe(client)
  const end = () => {
    line.pairs.delete(pair)
    client.destroy()
    server.destroy()
  }
  client.on("close", end)
  server.on("close", end)
  if (line.mode === "hangUp") setTimeout(end, 200)
}

const silence = ([client, server]: readonly [Socket, Socket]): void => {
  client.unpipe(server)
  server.unpipe(client)
  server.removeAllListeners("close")
  // Reads on, or it would not see that the client gives up.
  client.resume()
  server.resume()
}

const open = (target: number): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer({ noDelay: true }, (client) => accept(line, client))
    const line: Line = { server, target, mode: "up", since: performance.now(), arrivals: [], pairs: new Set() }
    server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
      const { port } = server.address() as { readonly port: number }
      lines.set(port, line)
      resolve(port)
    })
  })

const answer = async (request: ProxyRequest): Promise<unknown> => {
  if (request.do === "open") return open(request.target)
  const line = lines.get(request.port)!
  switch (request.do) {
    case "set":
      line.mode = request.mode
      if (request.mode === "silent") line.pairs.forEach(silence)
      return line.pairs.size
    case "kick":
      line.arrivals = []
      line.since = performance.now()
      line.pairs.forEach(([client]) => client.resetAndDestroy())
      return line.pairs.size
    case "arrivals":
      return line.arrivals
  }
}

process.on("message", (request: ProxyRequest) => {
  void answer(request).then((value) => process.send?.({ id: request.id, value }))
})
process.on("disconnect", () => process.exit())
process.send?.({ port: 0 })
