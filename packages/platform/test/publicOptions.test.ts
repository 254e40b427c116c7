import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Framing from "@persistent-connection/platform/Framing"
import * as FramingErrors from "@persistent-connection/platform/FramingError"
import * as PersistentSocket from "@persistent-connection/platform/PersistentSocket"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import * as TcpErrors from "@persistent-connection/platform/TcpError"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as WebSocketErrors from "@persistent-connection/platform/WebSocketError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readdirSync } from "node:fs"
import { WebSocket } from "ws"
import {
  argument,
  kinds,
  maybe,
  only,
  optionsOf,
  type Rows,
  secret,
  tryWrongOptions,
  values
} from "../../core/test/support/wrongOptions.js"

const tcp = TcpConnector.make()
const connectors = { ...only(tcp), takes: (value: unknown) => value === tcp }

const bytes = { takes: (value: unknown) => typeof value === "number" && value > 0, right: [1, 0.5, 1e308, Infinity] }
const someBytes = maybe(bytes)
const keepAlive = maybe({
  takes: (value) => value === false || value === Infinity || kinds.positive.takes(value) && !tooShort.includes(value),
  right: [false, "1 minute", Infinity, 32_767_000]
})
/** Durations of less than a second. */
const tooShort: ReadonlyArray<unknown> = [1, 1.5, 5n, 2 ** 53]

type PingOptions = WebSocketConnector.PingOptions
/** A plain object without any of the options. */
const isPlain = (value: unknown) =>
  isRecord(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
  ["interval", "timeout", "missedProbes"].every((option) => !Object.hasOwn(value as object, option))

const isRecord = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value)

const messagesKinds = { maxFrameSize: someBytes }
const linesKinds = { ...messagesKinds, newline: maybe(only("\n", "\r\n")) }

interface After {
  readonly after?: Duration.DurationInput | undefined
}
const statuses = {
  takes: (value: unknown) => typeof value === "number" && value >= 200 && value <= 599,
  right: [200, 503, 599]
}
const headers = {
  takes: (value: unknown) => isRecord(value) && Object.values(value as object).every((one) => typeof one === "string"),
  right: [{}, { "retry-after": "5" }]
}
const answer = TestWebSocket.accept()
const answers = only(answer, TestWebSocket.hang)
const scripts = {
  takes: (value: unknown) => Array.isArray(value) && value.length === 0,
  right: [[], [answer], [TestWebSocket.hang, answer]]
}

const feed = await Effect.runPromise(Effect.scoped(PersistentConnection.make({
  serverName: "feed",
  address: Effect.succeed({ path: "/nowhere" }),
  connector: tcp
})))
class Feed extends Context.Tag("Feed")<Feed, typeof feed>() {}
const line = { [TcpConnector.TypeId]: TcpConnector.TypeId, data: Stream.empty }

const onTestWebSocket = <A>(f: (self: TestWebSocket.TestWebSocket) => Effect.Effect<A>) =>
  Effect.flatMap(TestWebSocket.make(), f)

/** Excludes the row of the options object itself: `ping` may be false, and a URL has a `protocol`. */
const isOption = ({ option }: Rows[number]) => option !== ""

const table: Record<string, Rows> = {
  "Framing.lines": optionsOf<Framing.LinesOptions>(linesKinds, {}, (options) => Framing.lines(tcp, options)),
  "Framing.ndjson": [
    ...argument("schema", "schema", (schema) => Framing.ndjson(tcp, schema)),
    ...optionsOf<Framing.LinesOptions>(linesKinds, {}, (options) => Framing.ndjson(tcp, Schema.Unknown, options))
  ],
  "Framing.lengthPrefixed": optionsOf<Framing.LengthPrefixedOptions>(
    { ...messagesKinds, lengthBytes: only(1, 2, 4), endianness: maybe(only("big", "little")) },
    { lengthBytes: 1 },
    (options) => Framing.lengthPrefixed(tcp, options)
  ),
  "Framing.messages": optionsOf<Framing.MessagesOptions>(
    messagesKinds,
    {},
    (options) => Framing.messages(WebSocketConnector.make(), options)
  ),
  "Framing.text": argument("self", connectors, Framing.text),
  "Framing.json": argument("schema", "schema", (schema) => Framing.json(Framing.lines(tcp), schema)),
  "Framing.schema": argument(
    "schema",
    "schema",
    (schema) => Framing.schema(Framing.lines(tcp), schema as typeof Schema.String)
  ),
  "PersistentSocket.make": [
    ...argument("self", only(feed), (self) => PersistentSocket.make(self)),
    ...optionsOf<PersistentSocket.Options>(
      { waitTimeout: "duration?", whenLost: maybe(only("continue", "end")) },
      {},
      (options) => PersistentSocket.make(feed, options)
    )
  ],
  "PersistentSocket.layer": [
    ...argument("tag", only(Feed), (tag) => PersistentSocket.layer(tag as typeof Feed)),
    ...optionsOf<PersistentSocket.Options>(
      { waitTimeout: "duration?", whenLost: maybe(only("continue", "end")) },
      {},
      (options) => PersistentSocket.layer(Feed, options)
    )
  ],
  "PersistentSocket.fromConnection": argument(
    "connection",
    { ...only(line), right: [line] },
    PersistentSocket.fromConnection
  ),
  "TcpConnector.make": optionsOf<TcpConnector.Options>(
    {
      connectTimeout: "duration?",
      sendTimeout: "duration?",
      closeTimeout: "duration?",
      receiveHighWaterMark: someBytes,
      receiveLimit: someBytes,
      noDelay: "boolean?",
      keepAlive
    },
    {},
    TcpConnector.make
  ),
  "WebSocketConnector.make": [
    ...optionsOf<WebSocketConnector.Options>(
      {
        connectTimeout: "duration?",
        sendTimeout: "duration?",
        closeTimeout: "duration?",
        sendHighWaterMark: someBytes,
        receiveHighWaterMark: someBytes,
        receiveLimit: someBytes,
        ping: maybe({
          takes: (value) => value === false || isPlain(value),
          right: [false, {}]
        })
      },
      {},
      WebSocketConnector.make
    ),
    ...optionsOf<PingOptions>(
      { interval: "positive?", timeout: "positive?", missedProbes: "count?" },
      {},
      (ping) => WebSocketConnector.make({ ping })
    ).filter(isOption)
  ],
  "WebSocketConnector.layerWs": [
    ...argument("WebSocket", { ...kinds.func, right: [WebSocket] }, (given) => WebSocketConnector.layerWs(given)),
    ...argument(
      "options",
      maybe({ takes: isRecord, right: [{}, { headers: {} }] }),
      (options) => WebSocketConnector.layerWs(WebSocket, options)
    )
  ],
  "TestWebSocket.make": optionsOf<TestWebSocket.Options>(
    { script: maybe(scripts), platform: maybe(only("ws", "browser")) },
    {},
    TestWebSocket.make
  ),
  "TestWebSocket#always": argument("answer", answers, (answer) => onTestWebSocket((self) => self.always(answer))),
  "TestWebSocket#onNextAttempt": argument(
    "answers",
    answers,
    (answer) => onTestWebSocket((self) => self.onNextAttempt(answer))
  ),
  "TestWebSocket.accept": optionsOf<After & { readonly protocol?: string | undefined }>(
    { after: "duration?", protocol: "text?" },
    {},
    TestWebSocket.accept
  ).filter(isOption),
  "TestWebSocket.refuse": [
    ...argument("status", statuses, (status) => TestWebSocket.refuse(status)),
    ...optionsOf<NonNullable<Parameters<typeof TestWebSocket.refuse>[1]>>(
      { after: "duration?", headers: maybe(headers), body: "text?" },
      {},
      (options) => TestWebSocket.refuse(503, options)
    )
  ],
  "TestWebSocket.fail": [
    ...argument("code", "text?", (code) => TestWebSocket.fail(code)),
    ...optionsOf<After>({ after: "duration?" }, {}, (options) => TestWebSocket.fail("ECONNRESET", options))
  ]
}

const modules = {
  Framing,
  FramingError: FramingErrors,
  PersistentSocket,
  TcpConnector,
  TcpError: TcpErrors,
  TestWebSocket,
  WebSocketConnector,
  WebSocketError: WebSocketErrors
}

const source = (path: string) => new URL(`../${path}`, import.meta.url)

it("every public module is tested", () => {
  const files = ["src", "src/testing"].flatMap((folder) => readdirSync(source(folder)))
  const names = files.filter((file) => file.endsWith(".ts") && file !== "index.ts").map((file) => file.slice(0, -3))
  expect(Object.keys(modules).sort()).toEqual(names.sort())
})

tryWrongOptions(modules, table, {
  Framing: ["TypeId"],
  FramingError: ["FramingError"],
  TcpConnector: ["TypeId"],
  TcpError: ["TcpError"],
  TestWebSocket: ["hang"],
  WebSocketConnector: ["TypeId"],
  WebSocketError: ["WebSocketError"]
})

describe("an address", () => {
  const connect = <Address, Connection>(
    connector: Connector.Connector<Address, Connection, { readonly reason: { readonly _tag: string } }, never>,
    address: unknown
  ) =>
    Effect.runPromise(
      Effect.flip(
        Effect.scoped(connector.connect(address as Address, attempt as Connector.Attempt<Address>))
      )
    )
  const attempt: Connector.Attempt<never> = {
    serverName: "test",
    owner: {},
    generation: 1,
    number: 1,
    lastCause: Option.none(),
    previousAddress: Option.none(),
    elsewhere: false,
    failedAttempts: Effect.succeed(0),
    abort: Effect.fail,
    untimed: (effect) => effect
  }
  const open = WebSocketConnector.make()
  const webSocket = Connector.make({
    ...open,
    connect: (address: WebSocketConnector.WebSocketAddress, attempt) =>
      Effect.flatMap(TestWebSocket.make(), ({ layer }) => Effect.provide(open.connect(address, attempt), layer))
  })

  it.each(Object.entries(values))("of TCP fails with InvalidAddress if it is invalid: %s", async (_, value) => {
    const parts = typeof value === "string" ? [] : [{ host: value, port: 1 }, { path: value ?? null }]
    const ports = value === 1 ? [] : [{ host: "localhost", port: value }]
    for (const address of [value, ...parts, ...ports, { host: `wss://me:${secret}@example.com`, port: 1 }]) {
      const error = await connect(tcp, address)
      expect(error.reason._tag).toBe("InvalidAddress")
      expect(String(error)).not.toContain(secret)
    }
  })

  const notUrls = Object.entries(values).filter(([name]) => !["a URL", "a URL with a secret"].includes(name))

  it.each(notUrls)("of a WebSocket fails with InvalidAddress if it is invalid: %s", async (_, value) => {
    for (const address of [value, { url: value }]) {
      const error = await connect(webSocket, address)
      expect(error.reason._tag).toBe("InvalidAddress")
      expect(String(error)).not.toContain(secret)
    }
  })
})
