/** What the benchmarks ask of a library, and a client for all libraries that exchange messages. */

/** Called when a connection can be used, and when the library reports its loss. */
export interface Hooks {
  readonly up: () => void
  readonly down: () => void
}

/** `default`: as its documentation shows it. `fast`: every attempt at once, if the library can do that. */
export type Pace = "default" | "fast"

/** A connection for the measurements of throughput. Each method ends when everything has arrived. */
export interface Client {
  /** One message to the server and back. */
  readonly echo: (text: string) => Promise<unknown>
  /** `count` messages of this size from the server. */
  readonly receive: (count: number, size: number) => Promise<unknown>
  /** `count` times this message to the server. */
  readonly send: (count: number, text: string) => Promise<unknown>
  readonly close: () => unknown
}

export interface Peer {
  readonly name: string
  readonly server: "messages" | "rpc" | "redis"
  /** Keeps a connection until the returned function is called. */
  readonly keep: (port: number, hooks: Hooks, pace: Pace) => () => unknown
  readonly talk: (port: number) => Promise<Client>
}

interface MessageSocket {
  readonly send: (text: string) => unknown
  readonly close: () => unknown
}

export type OpenSocket = (
  port: number,
  on: Hooks & { readonly message: (text: string) => void },
  pace: Pace
) => MessageSocket

/** What handlers do before somebody sets another one. */
export const ignore = (): void => {}

/** How many messages are sent before the server is asked whether it has them all: about 4 MB at most. */
export const windowOf = (text: string): number => Math.max(16, Math.min(2_000, Math.floor(4e6 / text.length)))

const talkOver = (open: OpenSocket) => (port: number): Promise<Client> =>
  new Promise((resolve) => {
    let onMessage: (text: string) => void = ignore
    const answered = (count: number) =>
      new Promise<void>((done) => {
        let left = count
        onMessage = () => {
          if (--left === 0) done()
        }
      })
    const client: Client = {
      echo: (text) => {
        const answer = answered(1)
        socket.send(`E${text}`)
        return answer
      },
      receive: (count, size) => {
        const answer = answered(count)
        socket.send(`F ${count} ${size}`)
        return answer
      },
      send: async (count, text) => {
        const message = `S${text}`
        const batch = windowOf(message)
        for (let left = count; left > 0; left -= batch) {
          const answer = answered(1)
          for (let i = Math.min(left, batch); i > 0; i--) socket.send(message)
          socket.send("D")
          await answer
        }
      },
      close: () => socket.close()
    }
    const socket = open(
      port,
      { up: () => resolve(client), down: ignore, message: (text) => onMessage(text) },
      "fast"
    )
  })

export const messagePeer = (name: string, open: OpenSocket): Peer => ({
  name,
  server: "messages",
  keep: (port, hooks, pace) => {
    const socket = open(port, { ...hooks, message: ignore }, pace)
    return () => socket.close()
  },
  talk: talkOver(open)
})
