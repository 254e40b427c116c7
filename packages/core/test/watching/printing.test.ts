import { describe, expect, it } from "@effect/vitest"
import * as ConnectionError from "@persistent-connection/core/ConnectionError"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as ConnectionState from "@persistent-connection/core/ConnectionState"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { format, inspect } from "node:util"

const secret = "hunter2hunter2"
const url = `wss://bob:${secret}@feed.example.com/?token=${secret}`

class ReadFailed extends Data.TaggedError("ReadFailed")<{ readonly password: string; readonly cause: unknown }> {
  override get message(): string {
    return `read from ${url} failed`
  }
}
const cause = Cause.fail(new ReadFailed({ password: secret, cause: new Error(`reset by ${url}`) }))
const text = "read from wss://feed.example.com/ failed: reset by wss://feed.example.com/"

class Goodbye extends Data.TaggedError("Goodbye")<{ readonly message: string }> {
  readonly isRegularEnd = true
}
const goodbye = Cause.fail(new Goodbye({ message: "1001 going away" }))

/** The output of each of Effect's loggers for an effect that logs. */
const logged = (log: Effect.Effect<void>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const write = (...parts: ReadonlyArray<unknown>) => void lines.push(format(...parts))
  const loggers = [
    Logger.prettyLogger({ mode: "tty", colors: false }),
    Logger.map(Logger.jsonLogger, write),
    Logger.map(Logger.logfmtLogger, write),
    Logger.map(Logger.stringLogger, write)
  ]
  const original = console.log
  console.log = write
  try {
    return loggers.map((logger) => {
      Effect.runSync(Effect.provide(log, Logger.replace(Logger.defaultLogger, logger)))
      return lines.splice(0).join("\n")
    })
  } finally {
    console.log = original
  }
}

const printed = (value: unknown): ReadonlyArray<string> => [
  inspect(value, { depth: 20, showHidden: true }),
  format("%O", value),
  JSON.stringify(value),
  String(value),
  ...logged(Effect.logError(value))
]

const options = { serverName: "feed", generation: 1 }

describe("the errors of the library", () => {
  const reasons: ReadonlyArray<ConnectionError.ClosedReason<ReadFailed>> = [
    { _tag: "Aborted", cause },
    { _tag: "GaveUp", cause }
  ]
  const errors = [
    new ConnectionError.ConnectionLost({ ...options, lossCause: cause }),
    ...reasons.map((reason) => new ConnectionError.ConnectionClosed({ serverName: "feed", reason })),
    new ConnectionError.NotConnected({ ...options, failedAttempts: 2, lastCause: Option.some(cause) })
  ]

  for (const error of errors) {
    it(`D12: have their cause, but are printed without it and without its secrets: ${error._tag}`, () => {
      const pretty = Cause.pretty(Cause.fail(error), { renderErrorCause: true })
      const all = [
        ...printed(error),
        pretty,
        Cause.pretty(Cause.die(new Error("failed", { cause: error })), { renderErrorCause: true }),
        ...printed(Cause.fail(error)),
        ...logged(Effect.logError("failed", Cause.fail(error)))
      ]
      for (const form of all) expect(form).not.toContain(secret)
      expect(error.message).toContain(text)
      expect(pretty).toContain(`${error._tag}: ${error.message}`)
      expect(inspect(error)).toContain(`${error._tag}: ${error.message}`)
      expect(JSON.parse(JSON.stringify(error))).toMatchObject({ _tag: error._tag, message: error.message })
      expect("cause" in error).toBe(false)
    })
  }

  it("D12: expose their causes to the program", () => {
    const [lost, aborted, , notConnected] = errors
    expect(lost).toMatchObject({ ...options, lossCause: cause })
    expect(aborted).toMatchObject({ serverName: "feed", reason: { _tag: "Aborted", cause } })
    expect(notConnected).toMatchObject({ ...options, lastCause: Option.some(cause) })
  })

  const lost = (lossCause: Cause.Cause<unknown>) =>
    new ConnectionError.ConnectionLost({ ...options, lossCause }).message

  it("D13: describe the end of the connection", () => {
    expect(lost(Cause.fail(new Error("read ECONNRESET")))).toBe("Connection 1 to \"feed\" was lost: read ECONNRESET")
    expect(lost(goodbye)).toBe("Connection 1 to \"feed\" was closed by the server: 1001 going away")
    expect(lost(Cause.empty)).toBe("Connection 1 to \"feed\" was closed")
  })

  const closed = (reason: ConnectionError.ClosedReason<unknown>) =>
    new ConnectionError.ConnectionClosed({ serverName: "feed", reason }).message

  it("D13: describe the reason of the close", () => {
    const start = "The persistent connection to \"feed\" is closed: "
    expect(closed({ _tag: "ClosedByOwner" })).toBe(`${start}its owner closed it`)
    expect(closed({ _tag: "Aborted", cause: Cause.fail("401") })).toBe(`${start}it was aborted with 401`)
    expect(closed({ _tag: "GaveUp", cause: Cause.fail("refused") })).toBe(
      `${start}its retry policy gave up after refused`
    )
    expect(closed({ _tag: "GaveUp", cause: goodbye })).toBe(
      `${start}its retry policy gave up after the server had closed the connection: 1001 going away`
    )
  })

  it("D13: distinguish a regular end from others", () => {
    expect(ConnectionError.isRegularEnd(goodbye)).toBe(true)
    expect(ConnectionError.isRegularEnd(Cause.parallel(goodbye, goodbye))).toBe(true)
    expect(ConnectionError.isRegularEnd(Cause.parallel(goodbye, cause))).toBe(false)
    expect(ConnectionError.isRegularEnd(Cause.parallel(goodbye, Cause.die("bug")))).toBe(false)
    expect(ConnectionError.isRegularEnd(Cause.fail({ isRegularEnd: "yes" }))).toBe(false)
    expect(ConnectionError.isRegularEnd(Cause.empty)).toBe(false)
  })
})

describe("NotConnected", () => {
  const message = (
    generation: number,
    failedAttempts: number,
    lastCause: Option.Option<Cause.Cause<unknown>> = Option.none()
  ) => new ConnectionError.NotConnected({ serverName: "feed", generation, failedAttempts, lastCause }).message

  it("says that there has been no connection yet", () => {
    expect(message(0, 0)).toBe("There has been no connection to \"feed\" yet")
    expect(message(0, 2, Option.some(Cause.fail("ECONNREFUSED")))).toBe(
      "There has been no connection to \"feed\" yet: the last attempt failed: ECONNREFUSED"
    )
  })

  it("describes the end of the last connection until an attempt has failed", () => {
    expect(message(1, 0, Option.some(Cause.fail("ECONNRESET")))).toBe(
      "There is no connection to \"feed\" now: connection 1 was lost: ECONNRESET"
    )
    expect(message(2, 0, Option.some(goodbye))).toBe(
      "There is no connection to \"feed\" now: connection 2 was closed by the server: 1001 going away"
    )
    expect(message(2, 0, Option.some(Cause.empty))).toBe(
      "There is no connection to \"feed\" now: connection 2 was closed"
    )
  })

  it("describes the failure of the last attempt, but not as a loss", () => {
    expect(message(1, 3, Option.some(Cause.fail("ECONNREFUSED")))).toBe(
      "There is no connection to \"feed\" now: the last attempt failed: ECONNREFUSED"
    )
  })
})

const connection = { password: secret, self: {} }
connection.self = connection

describe("an event", () => {
  const events: ReadonlyArray<readonly [event: ConnectionEvent.ConnectionEvent<unknown, unknown>, message: string]> = [
    [ConnectionEvent.AttemptingToConnect({ generation: 2 }), "Connecting (connection 2)"],
    [ConnectionEvent.ObtainedAddress({ address: undefined, attempt: 3 }), "Attempt 3 has obtained an address"],
    [
      ConnectionEvent.ObtainedAddress({ address: url, attempt: 3 }),
      "Attempt 3 has obtained the address wss://feed.example.com/"
    ],
    [ConnectionEvent.FailedToConnect({ cause, attempt: 3 }), `Attempt 3 failed: ${text}`],
    [ConnectionEvent.Connected({ connection, generation: 2 }), "Connected (connection 2)"],
    [ConnectionEvent.Disconnected({ cause, generation: 2 }), `Connection 2 was lost: ${text}`],
    [
      ConnectionEvent.Disconnected({ cause: goodbye, generation: 2 }),
      "Connection 2 was closed by the server: 1001 going away"
    ],
    [ConnectionEvent.Disconnected({ cause: Cause.empty, generation: 2 }), "Connection 2 was closed"]
  ]

  for (const [event, message] of events) {
    it(`D12: has a message: ${message}`, () => expect(ConnectionEvent.message(event)).toBe(message))

    it(`D12: is printed without the connection and without secrets: ${message}`, () => {
      for (const form of printed(event)) {
        expect(form).not.toContain(secret)
        expect(form).toContain(event._tag)
      }
    })
  }

  it("D12: is printed with its numbers and with its reason", () => {
    expect(JSON.parse(JSON.stringify(events.map(([event]) => event)))).toEqual([
      { _tag: "AttemptingToConnect", generation: 2 },
      { _tag: "ObtainedAddress", attempt: 3 },
      { _tag: "ObtainedAddress", attempt: 3, address: "wss://feed.example.com/" },
      { _tag: "FailedToConnect", attempt: 3, cause: text },
      { _tag: "Connected", generation: 2 },
      { _tag: "Disconnected", generation: 2, cause: text },
      { _tag: "Disconnected", generation: 2, cause: "1001 going away" },
      { _tag: "Disconnected", generation: 2, cause: "a close without an error" }
    ])
    expect(inspect(events[3]![0])).toBe(inspect({ _tag: "FailedToConnect", attempt: 3, cause: text }))
  })

  it("is data: it has its fields, and equals an event with the same fields", () => {
    const make = () => ConnectionEvent.AttemptingToConnect({ generation: 2 })
    expect({ ...make() }).toEqual({ _tag: "AttemptingToConnect", generation: 2 })
    expect(Equal.equals(make(), make())).toBe(true)
    expect(ConnectionEvent.$is("AttemptingToConnect")(make())).toBe(true)
    const obtained = ConnectionEvent.ObtainedAddress({ address: url, attempt: 1 })
    expect(ConnectionEvent.mapAddress(obtained, () => 7)).toEqual(
      ConnectionEvent.ObtainedAddress({ address: 7, attempt: 1 })
    )
    for (const form of printed(ConnectionEvent.mapAddress(obtained, () => url))) expect(form).not.toContain(secret)
  })
})

describe("a state", () => {
  const common = { since: 0, generation: 1, attempt: 1, address: Option.some(url), lastCause: Option.some(cause) }
  const reason = { _tag: "GaveUp", cause } as const
  const states = [
    ConnectionState.Connecting({ ...common, deadline: Option.none() }),
    ConnectionState.Connected({ ...common, connection, isLast: false }),
    ConnectionState.Waiting({ ...common, nextAttemptAt: Option.none() }),
    ConnectionState.Closing({ ...common, connection: Option.some(connection), reason }),
    ConnectionState.Closed({ ...common, reason })
  ]

  for (const state of states) {
    it(`D12: is printed without the connection and without secrets: ${state._tag}`, () => {
      for (const form of printed(state)) {
        expect(form).not.toContain(secret)
        expect(form).toContain(state._tag)
        expect(form).toContain("read from wss://feed.example.com/ failed")
      }
    })
  }
})
