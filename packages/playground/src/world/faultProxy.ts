/** A TCP proxy in front of a server, which disturbs the connections as the state of the world says. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { initialWorld, type WorldState } from "../live/scenario.js"

/** The connection of a client, and that to the server behind the proxy. */
interface Link {
  readonly client: Socket
  readonly upstream: Socket
  isSilent: boolean
}

export class FaultProxy {
  private state: WorldState = initialWorld
  private listener: Server | undefined
  private readonly links = new Set<Link>()
  /** Connections that get no answer. */
  private readonly hanging = new Set<Socket>()
  private port = 0

  /** The server listens on this port of the loopback. */
  constructor(private readonly serverPort: number) {}

  /** Listens on a free port of the loopback at first, and then always on the same. Gives the port. */
  async listen(): Promise<number> {
    if (this.listener !== undefined) return this.port
    const listener = createServer({ noDelay: true }, (client) => this.accept(client))
    this.listener = listener
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject)
      listener.listen(this.port, "127.0.0.1", resolve)
    })
    this.port = (listener.address() as AddressInfo).port
    return this.port
  }

  /** Follows the world. Completes when new connections are accepted, or refused, as it says. */
  async follow(state: WorldState): Promise<void> {
    this.state = state
    if (state.server === "down") { for (const link of this.links) breakLink(link) }
    if (state.server === "up" || state.server === "hanging") await this.listen()
    else this.refuse()
  }

  /** Nothing passes on the open connections any more. */
  silence(): void {
    for (const link of this.links) link.isSilent = true
  }

  close(): void {
    this.refuse()
    for (const link of this.links) breakLink(link)
    for (const client of this.hanging) client.destroy()
  }

  private refuse(): void {
    this.listener?.close()
    this.listener = undefined
  }

  private accept(client: Socket): void {
    client.on("error", () => client.destroy())
    if (this.state.server === "hanging") {
      this.hanging.add(client)
      client.on("close", () => this.hanging.delete(client))
      // Reads, to notice the end of the client.
      client.resume()
      return
    }
    const link: Link = { client, upstream: connect(this.serverPort, "127.0.0.1"), isSilent: false }
    this.links.add(link)
    const { upstream } = link
    upstream.on("error", () => upstream.destroy())
    client.on("data", (data) => link.isSilent || upstream.write(data))
    upstream.on("data", (data) => later(this.state.latency, () => link.isSilent || client.write(data)))
    client.on("end", () => link.isSilent || upstream.end())
    upstream.on("end", () => later(this.state.latency, () => link.isSilent || client.end()))
    client.on("close", () => {
      upstream.destroy()
      this.links.delete(link)
    })
    upstream.on("close", () => link.isSilent || later(this.state.latency, () => client.destroySoon()))
    if (this.state.dropAfter > 0) {
      const drop = setTimeout(() => breakLink(link), this.state.dropAfter)
      client.on("close", () => clearTimeout(drop))
    }
  }
}

/** Ends both sides at once, without a closing handshake. */
const breakLink = ({ client, upstream }: Link): void => {
  client.resetAndDestroy()
  upstream.destroy()
}

const later = (millis: number, f: () => void): void => {
  if (millis === 0) f()
  else setTimeout(f, millis)
}
