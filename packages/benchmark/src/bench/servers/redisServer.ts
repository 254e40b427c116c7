/**
 * Starts Debian's `redis-server`, in memory only. Whoever publishes `COUNT SIZE` to the channel `ask` gets COUNT
 * messages of this size on the channel `data`, as ready-made commands. Sends the port 0 if there is no `redis-server`.
 */
import { Redis } from "ioredis"
import { spawn } from "node:child_process"
import { connect, createServer } from "node:net"
import { writeMany } from "../../frames.js"

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { readonly port: number }
      server.close(() => resolve(port))
    })
  })

const port = await freePort()
// No limit of the output, or it would end the connection of a subscriber that is slower than the publisher.
const options =
  `--port ${port} --bind 127.0.0.1 --appendonly no --maxclients 20000 --client-output-buffer-limit pubsub 0 0 0`
const redis = spawn("redis-server", [...options.split(" "), "--save", ""], { stdio: "ignore" })
const stop = () => {
  redis.kill()
  process.exit()
}
process.on("disconnect", stop)
process.on("SIGTERM", stop)
redis.on("error", () => process.send?.({ port: 0 }))
redis.on("spawn", () => {
  const asked = new Redis({ port, host: "127.0.0.1", retryStrategy: () => 50 })
  asked.on("error", () => {})
  asked.on("ready", () => {
    const tcp = connect(port, "127.0.0.1")
    tcp.resume()
    asked.on("message", (_, message: string) => {
      const [count, size] = message.split(" ").map(Number) as [number, number]
      const command = `*3\r\n$7\r\nPUBLISH\r\n$4\r\ndata\r\n$${size}\r\n${"x".repeat(size)}\r\n`
      void writeMany(tcp, Buffer.from(command), count)
    })
    void asked.subscribe("ask").then(() => process.send?.({ port }))
  })
})
