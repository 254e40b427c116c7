/**
 * The price feed of the demo, in a separate process so that the demo can kill it. It sends one price every 200 ms. The
 * number of a price comes from the time of day, so a missing number is a missed price, also after a restart of the
 * feed.
 */
import { WebSocketServer } from "ws"

/** A message of the feed, as JSON. */
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

// Exits with the demo, which is the parent process.
process.on("disconnect", () => process.exit())
