/**
 * A price feed for the demo, in a process of its own so that it can be killed. One price every 200 ms, numbered by the
 * time of day: a number that a client has not seen is a price that it has missed, whichever side was down.
 */
import { WebSocketServer } from "ws"

/** What the feed sends, as JSON. */
export interface Price {
  readonly number: number
  readonly symbol: string
  readonly price: number
}

const day = 86_400_000
const period = 200
const symbols = ["EURUSD", "GBPUSD", "USDJPY"]
const start = [1.0842, 1.2671, 151.32]

const priceNow = (): Price => {
  const number = Math.floor((Date.now() % day) / period)
  const index = number % symbols.length
  const price = start[index]! * (1 + Math.sin(number / 7) / 1000)
  return { number, symbol: symbols[index]!, price: Number(price.toFixed(4)) }
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) })

server.on("listening", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.send?.({ port: address.port })
})

setInterval(() => {
  const message = JSON.stringify(priceNow())
  server.clients.forEach((client) => client.send(message))
}, period)

// The demo owns this process: when it goes, so does the feed.
process.on("disconnect", () => process.exit())
