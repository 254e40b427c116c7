import { assert, describe, it } from "@effect/vitest"
import * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"

/** What makes no sense as any option of these connectors. */
const wrong: ReadonlyArray<unknown> = [
  null,
  -1,
  -0.5,
  -Infinity,
  Number.NaN,
  -1n,
  "",
  "soon",
  "5 parsecs",
  "-3 seconds",
  "1e3",
  [],
  [1],
  [-1, 0],
  [Number.NaN, 0],
  ["1", "2"],
  {},
  { _tag: "Millis", millis: 5 },
  Object.create(null),
  Symbol("five"),
  () => 5,
  new Date(0),
  /five/,
  new Error("five")
]

const takers: ReadonlyArray<readonly [option: string, make: (value: never) => unknown, also: ReadonlyArray<unknown>]> =
  [
    ["connectTimeout", (connectTimeout) => WebSocketConnector.make({ connectTimeout }), [true, false]],
    ["sendTimeout", (sendTimeout) => WebSocketConnector.make({ sendTimeout }), [true, false]],
    ["closeTimeout", (closeTimeout) => WebSocketConnector.make({ closeTimeout }), [true, false]],
    ["sendHighWaterMark", (sendHighWaterMark) => WebSocketConnector.make({ sendHighWaterMark }), [0, "5", true]],
    ["receiveHighWaterMark", (receiveHighWaterMark) => WebSocketConnector.make({ receiveHighWaterMark }), [
      0,
      "5",
      true
    ]],
    ["receiveLimit", (receiveLimit) => WebSocketConnector.make({ receiveLimit }), [0, "5", true]],
    ["ping.interval", (interval) => WebSocketConnector.make({ ping: { interval } }), [0, true, false]],
    ["ping.timeout", (timeout) => WebSocketConnector.make({ ping: { timeout } }), [0, true, false]],
    ["ping.missedProbes", (missedProbes) => WebSocketConnector.make({ ping: { missedProbes } }), [
      0,
      1.5,
      Infinity,
      "5"
    ]],
    ["connectTimeout", (connectTimeout) => TcpConnector.make({ connectTimeout }), [true, false]],
    ["sendTimeout", (sendTimeout) => TcpConnector.make({ sendTimeout }), [true, false]],
    ["closeTimeout", (closeTimeout) => TcpConnector.make({ closeTimeout }), [true, false]],
    ["receiveHighWaterMark", (receiveHighWaterMark) => TcpConnector.make({ receiveHighWaterMark }), [0, "5", true]],
    ["receiveLimit", (receiveLimit) => TcpConnector.make({ receiveLimit }), [0, "5", true]],
    ["noDelay", (noDelay) => TcpConnector.make({ noDelay }), [0, 1, "true"]],
    ["keepAlive", (keepAlive) => TcpConnector.make({ keepAlive }), [0, 1, true, "10 hours"]],
    ["after", (after) => TestWebSocket.accept({ after }), [true, false]],
    ["status", (status) => TestWebSocket.refuse(status), [0, 101, 600, "503"]],
    ["platform", (platform) => Effect.runSync(TestWebSocket.make({ platform })), ["safari", 0]]
  ]

describe.each(takers)("the option %s", (option, make, also) => {
  it.each([...wrong, ...also])("is refused at once, by its name, if it is %o", (value) => {
    assert.throws(() => make(value as never), new RegExp(`${option} must be `))
  })
})

describe.each([
  ["ping", (value: never) => WebSocketConnector.make({ ping: value })],
  ["options", (value: never) => WebSocketConnector.make(value)],
  ["options", (value: never) => TcpConnector.make(value)]
])("what is given for %s", (option, make) => {
  it.each([null, 5, "10 seconds", true, [], () => ({}), Symbol("five")])(
    "is refused at once if it is %o",
    (value) => {
      assert.throws(() => make(value as never), new RegExp(`^${option} must be an object`))
    }
  )
})
