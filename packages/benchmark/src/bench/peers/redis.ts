/** The two clients of Redis. */
import { Redis } from "ioredis"
import { createClient } from "redis"
import { type Client, ignore, type Peer, windowOf } from "./peer.js"

/** Publishes to a channel without subscribers, which is the nearest to a message that is only read. */
const publishing = (publish: (text: string) => Promise<unknown>) => async (count: number, text: string) => {
  const batch = windowOf(text)
  for (let left = count; left > 0; left -= batch) {
    await Promise.all(Array.from({ length: Math.min(left, batch) }, () => publish(text)))
  }
}

/** Resolves after `count` calls of `got`. */
const counting = (count: number) => {
  let left = count
  let got = ignore
  const all = new Promise<void>((resolve) => {
    got = () => {
      if (--left === 0) resolve()
    }
  })
  return { all, got: () => got() }
}

const ioredis: Peer = {
  name: "ioredis",
  server: "redis",
  keep: (port, hooks, pace) => {
    const redis = new Redis({ port, host: "127.0.0.1", ...(pace === "fast" ? { retryStrategy: () => 0 } : {}) })
    redis.on("error", () => {})
    redis.on("ready", hooks.up)
    redis.on("close", hooks.down)
    return () => redis.disconnect()
  },
  talk: async (port) => {
    const redis = new Redis({ port, host: "127.0.0.1" })
    const subscriber = redis.duplicate()
    await subscriber.subscribe("data")
    const client: Client = {
      echo: (text) => redis.echo(text),
      receive: (count, size) => {
        const { all, got } = counting(count)
        subscriber.removeAllListeners("message")
        subscriber.on("message", got)
        void redis.publish("ask", `${count} ${size}`)
        return all
      },
      send: publishing((text) => redis.publish("none", text)),
      close: () => {
        redis.disconnect()
        subscriber.disconnect()
      }
    }
    return client
  }
}

const nodeRedis: Peer = {
  name: "redis",
  server: "redis",
  keep: (port, hooks, pace) => {
    const redis = createClient({
      socket: { port, host: "127.0.0.1", ...(pace === "fast" ? { reconnectStrategy: () => 0 } : {}) }
    })
    redis.on("error", hooks.down)
    redis.on("ready", hooks.up)
    redis.connect().catch(() => {})
    return () => redis.destroy()
  },
  talk: async (port) => {
    const redis = createClient({ socket: { port, host: "127.0.0.1" } })
    const subscriber = redis.duplicate()
    redis.on("error", ignore)
    subscriber.on("error", ignore)
    await Promise.all([redis.connect(), subscriber.connect()])
    let onMessage = ignore
    await subscriber.subscribe("data", () => onMessage())
    const client: Client = {
      echo: (text) => redis.echo(text),
      receive: (count, size) => {
        const { all, got } = counting(count)
        onMessage = got
        void redis.publish("ask", `${count} ${size}`)
        return all
      },
      send: publishing((text) => redis.publish("none", text)),
      close: () => {
        redis.destroy()
        subscriber.destroy()
      }
    }
    return client
  }
}

export const redisPeers: ReadonlyArray<Peer> = [ioredis, nodeRedis]
