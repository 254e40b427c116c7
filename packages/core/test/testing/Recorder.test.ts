import { describe, expect, it } from "@effect/vitest"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { pass } from "../support/virtualTime.js"

class Refused extends Data.TaggedError("Refused")<{ readonly status: number }> {
  override get message() {
    return `refused with ${this.status}`
  }
}

const refuse = TestConnector.fail(new Refused({ status: 503 }))

const optionsFor = <Connection, E>(server: TestConnector.TestConnector<Connection, E>) => ({
  serverName: "test",
  address: Effect.succeed("a"),
  connector: server.connector,
  retry: RetryPolicy.fixed("10 seconds")
})

const lines = <A extends { readonly _tag: string }>(recorder: Recorder.Recorder<A>) =>
  Effect.map(recorder.render, (text) => text.split("\n"))

describe("events", () => {
  it.scoped("are recorded from the first one, with their times", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse, refuse, TestConnector.succeed()] })
      const connection = yield* PersistentConnection.make(optionsFor(server))
      const events = yield* Recorder.events(connection)
      yield* pass(21)
      const line = yield* connection.connected
      yield* server.lose()
      yield* pass(1)
      expect(yield* events.entries).toEqual([
        { at: 0, value: ConnectionEvent.AttemptingToConnect({ generation: 1 }) },
        { at: 0, value: ConnectionEvent.ObtainedAddress({ address: undefined, attempt: 1 }) },
        {
          at: 0,
          value: ConnectionEvent.FailedToConnect({ cause: Cause.fail(new Refused({ status: 503 })), attempt: 1 })
        },
        { at: 20_000, value: ConnectionEvent.Connected({ connection: line, generation: 1 }) },
        { at: 21_000, value: ConnectionEvent.Disconnected({ cause: Cause.empty, generation: 1 }) }
      ])
    }))

  it.scoped("are recorded before a fiber that waits for their cause continues", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* PersistentConnection.make(optionsFor(server))
      const events = yield* Recorder.events(connection)
      const tags = Effect.map(events.entries, (entries) => entries.map((entry) => entry.value._tag))
      yield* connection.connected
      expect(yield* tags).toEqual(["AttemptingToConnect", "ObtainedAddress", "Connected"])
      yield* connection.close
      expect(yield* tags).toEqual(["AttemptingToConnect", "ObtainedAddress", "Connected", "Disconnected"])
    }))

  it.scoped("start with the most recent event for a late recorder (E2), and end with the scope", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* PersistentConnection.make(optionsFor(server))
      yield* pass(5)
      const scope = yield* Scope.make()
      const events = yield* Scope.extend(Recorder.events(connection), scope)
      expect(yield* lines(events)).toEqual(["5000 ms  Connected (connection 1)"])
      yield* Scope.close(scope, Exit.void)
      yield* server.lose()
      yield* pass(10)
      expect(yield* lines(events)).toHaveLength(1)
    }))

  it.scoped("are not lost, even hundreds of them", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({
        script: [TestConnector.succeed().pipe(TestConnector.thenLose({ after: "1 second" }))]
      })
      const connection = yield* PersistentConnection.make({ ...optionsFor(server), retry: RetryPolicy.fixed(0) })
      const events = yield* Recorder.events(connection)
      yield* pass(100)
      const lost = (yield* events.entries).filter(({ value }) => value._tag === "Disconnected")
      expect(lost.map(({ at }) => at)).toEqual(Array.from({ length: 100 }, (_, index) => (index + 1) * 1_000))
    }))
})

describe("a recorder for onEvent", () => {
  it.effect("records all events inside a layer, with the addresses", () =>
    Effect.gen(function*() {
      class Feed extends Context.Tag("Feed")<Feed, PersistentConnection.PersistentConnection<TestConnector.Line>>() {}
      const server = yield* TestConnector.make()
      const events = yield* Recorder.make()
      yield* Feed.pipe(
        Effect.flatMap((feed) => feed.connected),
        Effect.provide(PersistentConnection.layer(Feed, {
          ...optionsFor(server),
          address: Effect.succeed({ host: "a.example.com" }),
          onEvent: events.record
        }))
      )
      expect(yield* lines(events)).toEqual([
        `0 ms  Connecting (connection 1)`,
        `0 ms  Attempt 1 has obtained the address {"host":"a.example.com"}`,
        `0 ms  Connected (connection 1)`,
        `0 ms  Connection 1 was closed`
      ])
    }))

  it.effect("records the events that are passed to it", () =>
    Effect.gen(function*() {
      const events = yield* Recorder.make<string, Refused, string>()
      expect(yield* events.render).toBe("")
      yield* pass(1)
      yield* events.record(ConnectionEvent.ObtainedAddress({ address: "a", attempt: 3 }))
      yield* events.record(ConnectionEvent.FailedToConnect({ cause: Cause.die(new Error("a bug")), attempt: 3 }))
      expect(yield* lines(events)).toEqual([
        "1000 ms  Attempt 3 has obtained the address a",
        "1000 ms  Attempt 3 failed: defect: a bug"
      ])
    }))
})

describe("waitFor", () => {
  it.scoped("finds a recorded entry, or waits for a new one", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* PersistentConnection.make(optionsFor(server))
      const events = yield* Recorder.events(connection)
      const connected = yield* events.waitFor("Connected")
      expect(connected.value.generation).toBe(1)
      expect(yield* events.waitFor("Connected")).toEqual(connected)

      const second = yield* Effect.fork(
        events.waitFor((event) => event._tag === "Connected" && event.generation === 2)
      )
      yield* server.lose()
      yield* pass(9)
      expect(second.unsafePoll()).toBe(null)
      yield* pass(1)
      expect((yield* Fiber.join(second)).at).toBe(10_000)
    }))

  it.scoped("narrows the type, also for states", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* PersistentConnection.make(optionsFor(server))
      const states = yield* Recorder.states(connection)
      const { value } = yield* states.waitFor((state) => state._tag === "Connected")
      const line: TestConnector.Line = value.connection
      expect(line.number).toBe(1)
    }))
})

describe("states", () => {
  it.scoped("are all recorded, even very short ones", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse, TestConnector.succeed()] })
      const connection = yield* PersistentConnection.make(optionsFor(server))
      const states = yield* Recorder.states(connection)
      yield* pass(10)
      yield* connection.closeWhenCurrentConnectionIsClosed
      yield* server.lose(Cause.fail(new Refused({ status: 500 })))
      yield* connection.closeFinished
      const seen = (yield* lines(states)).filter((line, index, all) => line !== all[index - 1])
      expect(seen).toEqual([
        "0 ms      Connecting  attempt 1",
        "0 ms      Connecting  attempt 1, deadline at 30000 ms",
        "0 ms      Connecting  attempt 1",
        "0 ms      Waiting     until 10000 ms, after refused with 503",
        "10000 ms  Connecting  attempt 2",
        "10000 ms  Connecting  attempt 2, deadline at 40000 ms",
        "10000 ms  Connected   generation 1",
        "10000 ms  Connected   generation 1, the last one",
        "10000 ms  Waiting     no further attempt, after refused with 500",
        "10000 ms  Closing     ClosedByOwner",
        "10000 ms  Closed      ClosedByOwner"
      ])
    }))

  it.scoped("start with the present state, with the time at which its phase began", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [TestConnector.succeed().pipe(TestConnector.delayed(2_000))] })
      const connection = yield* PersistentConnection.make({ ...optionsFor(server), retry: Schedule.stop })
      yield* pass(5)
      const scope = yield* Scope.make()
      const states = yield* Scope.extend(Recorder.states(connection), scope)
      expect(yield* states.entries).toEqual([{ at: 2_000, value: yield* connection.state.get }])
      yield* server.lose()
      yield* connection.closeFinished
      expect((yield* lines(states)).at(-1)).toBe("5000 ms  Closed      GaveUp: a close without an error")

      const late = yield* Scope.extend(Recorder.states(connection), scope)
      yield* Scope.close(scope, Exit.void)
      expect(yield* lines(late)).toEqual(["5000 ms  Closed      GaveUp: a close without an error"])
    }))

  it.scoped("are not recorded after the scope was left", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* PersistentConnection.make(optionsFor(server))
      const states = yield* Effect.scoped(Recorder.states(connection))
      yield* connection.connected
      expect(yield* lines(states)).toEqual(["0 ms  Connecting  attempt 1"])
    }))
})
