import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { connect } from "node:net"
import { fileURLToPath } from "node:url"
import { afterEach, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import * as Client from "../../src/live/client.js"
import { type Action, defaults, type Settings } from "../../src/live/scenario.js"
import { connectorFor } from "../../src/live/webSocketFeed.js"
import * as World from "../../src/live/world.js"
import { type PlaygroundServer, start } from "../../src/world/playgroundServer.js"

const folder = fileURLToPath(new URL("../../page", import.meta.url))

let server: PlaygroundServer | undefined

afterEach(() => {
  server?.close()
  server = undefined
})

const nextMessage = (socket: WebSocket): Promise<string> =>
  new Promise((resolve, reject) => {
    socket.once("message", (data) => resolve(String(data)))
    socket.once("close", () => reject(new Error("closed")))
    socket.once("error", reject)
  })

/** A world, controlled as the page does it. */
const openWorld = async () => {
  server ??= await start(folder, 0)
  const control = new WebSocket(`${server.url.replace("http", "ws")}control`, { origin: server.url.slice(0, -1) })
  const url = await nextMessage(control)
  const apply = async ({ tag, value = 0 }: Action) => {
    const done = nextMessage(control)
    control.send(`${tag}:${value}`)
    expect(await done).toBe("done")
  }
  return { control, url, apply }
}

const settings: Settings = { ...defaults, policy: "fixed", delay: 100, healthCheck: false }

/** Runs a test with a client in a new world. */
const withClient = async <A, E>(
  changes: Partial<Settings>,
  test: (
    client: Client.Client<unknown>,
    apply: (action: Action) => Effect.Effect<void>,
    url: string
  ) => Effect.Effect<A, E>
): Promise<A> => {
  const { apply, control, url } = await openWorld()
  const connector = connectorFor(WebSocketConnector.layerWs(WebSocket))
  const result = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const world = yield* World.make({ url, connector, apply: (action) => Effect.promise(() => apply(action)) })
    const client = yield* Client.make(world, { ...settings, ...changes }, "client")
    yield* client.connected
    return yield* test(client, world.apply, url)
  })))
  control.close()
  return result
}

const until = (client: Client.Client<unknown>, generation: number) =>
  client.state.changes.pipe(
    Stream.filter((state) => state._tag === "Connected" && state.generation >= generation),
    Stream.runHead
  )

const untilNot = (client: Client.Client<unknown>, tag: "Connected") =>
  client.state.changes.pipe(Stream.filter((state) => state._tag !== tag), Stream.runHead, Effect.map(Option.getOrThrow))

describe("the world", () => {
  it("kills the server and starts it again, on the same port", () =>
    withClient({}, (client, apply) =>
      Effect.gen(function*() {
        yield* apply({ tag: "kill" })
        yield* untilNot(client, "Connected")
        const failure = yield* Effect.flip(client.connectedOrFailedToConnect)
        expect(String(failure)).toContain("ECONNREFUSED")
        yield* apply({ tag: "start" })
        yield* until(client, 2)
      })))

  it("refuses new connections, and leaves open ones", () =>
    withClient({}, (client, apply, url) =>
      Effect.gen(function*() {
        yield* apply({ tag: "refuse" })
        const feed = yield* client.connected
        yield* feed.ping
        yield* Effect.promise(() => expect(nextMessage(new WebSocket(url))).rejects.toThrow("ECONNREFUSED"))
      })))

  it("accepts and never answers", () =>
    withClient({ connectTimeout: 300 }, (client, apply) =>
      Effect.gen(function*() {
        yield* apply({ tag: "kill" })
        yield* apply({ tag: "hang" })
        yield* untilNot(client, "Connected")
        yield* Effect.flip(client.connectedOrFailedToConnect).pipe(
          Effect.repeat({ until: (failure) => String(failure).includes("within 300ms") })
        )
      })))

  it("falls silent, which only a health check notices", () =>
    withClient({ healthCheck: true, interval: 200, timeout: 300 }, (client, apply) =>
      Effect.gen(function*() {
        yield* apply({ tag: "silence" })
        const state = yield* untilNot(client, "Connected")
        expect(JSON.stringify(state)).toContain("health check")
        yield* until(client, 2)
      })))

  it("drops new connections after a time", () =>
    withClient({}, (client, apply) =>
      Effect.gen(function*() {
        yield* apply({ tag: "drop", value: 50 })
        yield* apply({ tag: "kill" })
        yield* apply({ tag: "start" })
        yield* until(client, 4)
      })))

  it("slows everything down", () =>
    withClient({}, (client, apply) =>
      Effect.gen(function*() {
        yield* apply({ tag: "slow", value: 250 })
        const feed = yield* client.connected
        const [time] = yield* Effect.timed(feed.ping)
        expect(Duration.toMillis(time)).toBeGreaterThan(240)
      })))

  it("announces a restart, and the client replaces its connection without a loss", () =>
    withClient({}, (client, apply) =>
      Effect.gen(function*() {
        yield* apply({ tag: "announce" })
        const states = yield* client.state.changes.pipe(
          Stream.takeUntil((state) => state.generation === 2),
          Stream.runCollect
        )
        expect([...states].every((state) => state._tag === "Connected")).toBe(true)
      })))

  it("repeats messages after a gap, as far as the server has kept them", () =>
    withClient({}, (client, apply) =>
      Effect.gen(function*() {
        const items = yield* Client.messages(client).pipe(
          Stream.tap((item) =>
            item._tag === "Element" && item.value.number === 1 ? apply({ tag: "drop" }) : Effect.void
          ),
          Stream.takeUntil((item) => item._tag === "Element" && item.value.number >= 2),
          Stream.runCollect
        )
        const numbers = [...items].flatMap((item) => item._tag === "Element" ? [item.value.number] : [])
        expect(numbers.slice(1)).toEqual(numbers.slice(0, -1).map((number) => number + 1))
      })))

  it("goes offline and comes back", () =>
    withClient(
      { healthCheck: true, interval: 60_000, timeout: 200, delay: 60_000 },
      (client, apply) =>
        Effect.gen(function*() {
          yield* apply({ tag: "offline" })
          yield* apply({ tag: "online" })
          yield* untilNot(client, "Connected")
          yield* apply({ tag: "offline" })
          yield* apply({ tag: "online" })
          yield* until(client, 2)
        })
    ))
})

describe("the server of the playground", () => {
  it("serves the page only, and nothing outside its folder", async () => {
    server = await start(folder, 0)
    const page = await fetch(server.url)
    expect(page.status).toBe(200)
    expect(page.headers.get("content-security-policy")).toContain("default-src 'self'")
    expect((await fetch(`${server.url}nothing`)).status).toBe(404)
    const port = Number(new URL(server.url).port)
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(
        port,
        "127.0.0.1",
        () => socket.write("GET /../package.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
      )
      let text = ""
      socket.on("data", (data) => text += String(data)).on("close", () => resolve(text))
    })
    expect(answer).toContain("404")
  })

  it("gives a world to its own page only", async () => {
    server = await start(folder, 0)
    const stranger = new WebSocket(`${server.url.replace("http", "ws")}control`, { origin: "https://example.com" })
    await expect(nextMessage(stranger)).rejects.toThrow("socket hang up")
  })

  it("ends a world with its page", async () => {
    const { control, url } = await openWorld()
    const client = new WebSocket(url)
    const closed = new Promise((resolve) => client.on("close", resolve))
    await new Promise((resolve) => client.on("open", resolve))
    control.close()
    await closed
    await expect(nextMessage(new WebSocket(url))).rejects.toThrow("ECONNREFUSED")
  })

  it("runs clients for the page, and reports their phases", async () => {
    const { control } = await openWorld()
    const seen = new Map<number, string>()
    await new Promise<void>((resolve) => {
      control.on("message", (data) => {
        const text = String(data)
        if (!text.startsWith("[")) return
        for (const [client, tag] of JSON.parse(text)) seen.set(client, tag)
        if (seen.size === 10 && [...seen.values()].every((tag) => tag === "Connected")) resolve()
      })
      control.send("fleet:clients=110&policy=fixed")
    })
    expect([...seen.keys()].sort((a, b) => a - b)).toEqual([101, 102, 103, 104, 105, 106, 107, 108, 109, 110])
    control.removeAllListeners("message")
    control.send("kill")
    await new Promise<void>((resolve) =>
      control.on("message", (data) => {
        const text = String(data)
        if (text.startsWith("[") && text.includes("Waiting")) resolve()
      })
    )
  })
})
