import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { pass } from "../support/virtualTime.js"

class Refused extends Data.TaggedError("Refused")<{ readonly status: number }> {}

const refuse = (status: number) => TestConnector.fail(new Refused({ status }))

/** A persistent connection to the server: 10 seconds between attempts, and no deadline. */
const connectTo = <Connection, E, Address>(server: TestConnector.TestConnector<Connection, E, Address>, to: Address) =>
  PersistentConnection.make({
    serverName: "test",
    address: Effect.succeed(to),
    connector: server.connector,
    retry: RetryPolicy.fixed("10 seconds"),
    attemptTimeout: Infinity
  })

/** One text for each attempt: its start and its outcome. */
const outcomes = <Connection, E, Address>(server: TestConnector.TestConnector<Connection, E, Address>) =>
  Effect.map(
    server.attempts,
    (attempts) =>
      attempts.map(({ begunAt, outcome }) =>
        `${begunAt / 1_000} ${outcome._tag}${outcome._tag === "UnderWay" ? "" : ` ${outcome.at / 1_000}`}`
      )
  )

/** The message of the defect of an effect. */
const mistake = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) =>
    Exit.isFailure(exit)
      ? Option.getOrUndefined(Option.map(Cause.dieOption(exit.cause), (defect) => (defect as Error).message))
      : undefined)

const stateOf = <Connection, E>(connection: PersistentConnection.PersistentConnection<Connection, E>) =>
  Effect.map(connection.state.get, (state) => state._tag)

describe("the script", () => {
  it.scoped("without a script, every attempt succeeds", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* connectTo(server, "a")
      expect(yield* connection.connected).toMatchObject({ number: 1, address: "a" })
      yield* server.lose()
      yield* pass(10)
      expect(yield* connection.connected).toMatchObject({ number: 2, address: "a" })
    }))

  it.scoped("is followed in order, and the last answer repeats", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse(1), TestConnector.die("a bug"), refuse(2)] })
      yield* connectTo(server, "a")
      yield* pass(35)
      expect((yield* server.attempts).map((attempt) => attempt.outcome)).toMatchObject([
        { _tag: "Failed", at: 0, cause: Cause.fail(new Refused({ status: 1 })) },
        { _tag: "Failed", at: 10_000, cause: Cause.die("a bug") },
        { _tag: "Failed", at: 20_000, cause: Cause.fail(new Refused({ status: 2 })) },
        { _tag: "Failed", at: 30_000, cause: Cause.fail(new Refused({ status: 2 })) }
      ])
    }))

  it.scoped("onNextAttempt takes priority over the rest of the script", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse(1), refuse(2), TestConnector.succeed()] })
      yield* connectTo(server, "a")
      yield* pass(0)
      yield* server.onNextAttempt(refuse(7), refuse(8))
      yield* pass(40)
      const results = (yield* server.attempts).map(({ outcome }) =>
        outcome._tag === "Failed" ? Cause.squash(outcome.cause) : outcome._tag
      )
      expect(results).toEqual([...[1, 7, 8, 2].map((status) => new Refused({ status })), "Succeeded"])
    }))

  it.scoped("always replaces the script and the answers of onNextAttempt", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse(1), refuse(2)] })
      const connection = yield* connectTo(server, "a")
      yield* pass(0)
      yield* server.onNextAttempt(refuse(7))
      yield* server.always(TestConnector.succeed())
      yield* pass(10)
      yield* connection.connected
      yield* server.lose()
      yield* pass(10)
      expect(yield* outcomes(server)).toEqual(["0 Failed 0", "10 Succeeded 10", "20 Succeeded 20"])
    }))

  it.scoped("fails with the exact cause", () =>
    Effect.gen(function*() {
      const cause = Cause.parallel(Cause.fail(new Refused({ status: 1 })), Cause.die("a bug"))
      const server = yield* TestConnector.make({ script: [TestConnector.failCause(cause)] })
      const connection = yield* connectTo(server, "a")
      expect(yield* Effect.exit(connection.connectedOrFailedToConnect)).toEqual(Exit.failCause(cause))
    }))

  it.scoped("can decide by the address and the attempt", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({
        script: [
          TestConnector.decide((address: { readonly port: number }, attempt) =>
            attempt.number === 3 ? TestConnector.succeed() : refuse(address.port + attempt.number)
          )
        ]
      })
      yield* connectTo(server, { port: 80 })
      yield* pass(20)
      expect((yield* server.attempts).map((attempt) => attempt.outcome)).toMatchObject([
        { cause: Cause.fail(new Refused({ status: 81 })) },
        { cause: Cause.fail(new Refused({ status: 82 })) },
        { _tag: "Succeeded", connection: { address: { port: 80 } } }
      ])
    }))

  it.scoped("can delay an answer", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({
        script: [
          refuse(1).pipe(TestConnector.delayed("3 seconds")),
          TestConnector.succeed().pipe(TestConnector.delayed("2 seconds"), TestConnector.delayed("1 seconds"))
        ]
      })
      yield* connectTo(server, "a")
      yield* pass(20)
      expect(yield* outcomes(server)).toEqual(["0 Failed 3", "10 Succeeded 13"])
    }))

  it.scoped("can lose the connection later, in any order of the combinators", () =>
    Effect.gen(function*() {
      const cause = Cause.fail(new Refused({ status: 1 }))
      const server = yield* TestConnector.make({
        script: [
          TestConnector.succeed().pipe(
            TestConnector.delayed("2 seconds"),
            TestConnector.thenLose({ after: "3 seconds", cause })
          ),
          TestConnector.succeed().pipe(
            TestConnector.thenLose({ after: "3 seconds" }),
            TestConnector.delayed("2 seconds")
          ),
          TestConnector.decide(() => TestConnector.succeed()).pipe(
            TestConnector.thenLose({ after: "1 minute", cause }),
            TestConnector.thenLose({ after: "1 second" })
          ),
          refuse(2).pipe(TestConnector.thenLose({ after: "1 second" }))
        ]
      })
      const connection = yield* connectTo(server, "a")
      const losses: Array<unknown> = []
      const next = (seconds: number) =>
        Effect.gen(function*() {
          yield* pass(seconds)
          const state = yield* connection.state.get
          losses.push([state._tag, Option.getOrUndefined(state.lastCause)])
        })
      yield* next(4)
      yield* next(1)
      yield* next(9)
      yield* next(1)
      yield* next(6)
      yield* next(9)
      expect(losses).toEqual([
        ["Connected", undefined],
        ["Waiting", cause],
        ["Connected", cause],
        ["Waiting", Cause.empty],
        ["Waiting", Cause.empty],
        ["Waiting", Cause.fail(new Refused({ status: 2 }))]
      ])
    }))

  it.scoped("does not lose a released connection", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({
        script: [TestConnector.succeed().pipe(TestConnector.thenLose({ after: "1 minute" }))]
      })
      const connection = yield* connectTo(server, "a")
      yield* connection.connected
      yield* server.lose()
      yield* pass(10)
      yield* pass(55)
      expect(yield* stateOf(connection)).toBe("Connected")
      yield* pass(5)
      expect(yield* outcomes(server)).toEqual(["0 Succeeded 0", "10 Succeeded 10", "70 Succeeded 70"])
    }))

  it.scoped("can abort", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [TestConnector.abort(new Refused({ status: 403 }))] })
      const connection = yield* connectTo(server, "a")
      expect(yield* Effect.flip(connection.connectedOrFailedToConnect)).toEqual(new Refused({ status: 403 }))
      yield* connection.closeFinished
      expect(yield* outcomes(server)).toEqual(["0 Failed 0"])
    }))

  it("rejects negative times", () => {
    const { delayed, succeed, thenLose } = TestConnector
    expect(() => delayed(succeed(), -1)).toThrow("delay must be a duration of 0 or more, but is -1")
    expect(() => thenLose(succeed(), { after: -1 })).toThrow("after must be a duration of 0 or more, but is -1")
  })
})

describe("answer", () => {
  it.scoped("ends an attempt that hangs", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [TestConnector.hang] })
      const connection = yield* connectTo(server, "a")
      yield* pass(100_000)
      expect(yield* stateOf(connection)).toBe("Connecting")
      expect(yield* outcomes(server)).toEqual(["0 UnderWay"])
      yield* server.answer(TestConnector.succeed())
      yield* connection.connected
      expect(yield* outcomes(server)).toEqual(["0 Succeeded 100000"])
    }))

  it.scoped("overrules the scripted answer of the running attempt only", () =>
    Effect.gen(function*() {
      const later = TestConnector.succeed().pipe(
        TestConnector.delayed("1 minute"),
        TestConnector.thenLose({ after: "1 second" })
      )
      const server = yield* TestConnector.make({ script: [later] })
      const connection = yield* connectTo(server, "a")
      yield* pass(1)
      yield* server.answer(TestConnector.succeed())
      yield* pass(5)
      expect(yield* stateOf(connection)).toBe("Connected")
      yield* server.lose()
      yield* pass(10)
      expect(yield* outcomes(server)).toEqual(["0 Succeeded 1", "10 UnderWay"])
    }))

  it.scoped("may be delayed and overruled too", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make<Refused>({ script: [TestConnector.hang] })
      yield* connectTo(server, "a")
      yield* pass(1)
      yield* server.answer(TestConnector.succeed().pipe(TestConnector.delayed("1 second")))
      yield* pass(0.5)
      yield* server.answer(TestConnector.hang)
      yield* pass(5)
      expect(yield* outcomes(server)).toEqual(["0 UnderWay"])
      yield* server.answer(refuse(1))
      yield* pass(0)
      expect(yield* outcomes(server)).toEqual(["0 Failed 6.5"])
    }))

  it.scoped("answers all running attempts", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [TestConnector.hang] })
      yield* connectTo(server, "a")
      yield* connectTo(server, "b")
      yield* pass(1)
      yield* server.answer(TestConnector.succeed())
      yield* pass(0)
      expect(yield* server.open).toMatchObject([{ address: "a" }, { address: "b" }])
    }))

  it.scoped("is a defect if no attempt is running", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const message = "There is no attempt under way to answer"
      expect(yield* mistake(server.answer(TestConnector.succeed()))).toBe(message)
      const connection = yield* connectTo(server, "a")
      yield* connection.connected
      expect(yield* mistake(server.answer(TestConnector.succeed()))).toBe(message)
    }))
})

describe("losing a connection", () => {
  it.scoped("is possible with and without an error", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make<Refused>()
      const connection = yield* connectTo(server, "a")
      yield* connection.connected
      yield* server.lose()
      yield* pass(10)
      expect((yield* connection.state.get).lastCause).toEqual(Option.some(Cause.empty))
      const cause = Cause.fail(new Refused({ status: 1 }))
      yield* server.lose(cause)
      yield* pass(10)
      expect((yield* connection.state.get).lastCause).toEqual(Option.some(cause))
    }))

  it.scoped("sets isClosed at once, before closed ends", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const line = yield* Effect.flatMap(connectTo(server, "a"), (connection) => connection.connected)
      expect(server.connector.isClosed?.(line)).toBe(false)
      yield* server.lose()
      expect(server.connector.isClosed?.(line)).toBe(true)
      expect(yield* server.open).toEqual([])
      expect(yield* server.leaked).toEqual([line])
    }))

  it.scoped("affects all open connections, or the given one", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const first = yield* Effect.flatMap(connectTo(server, "a"), (connection) => connection.connected)
      const second = yield* Effect.flatMap(connectTo(server, "b"), (connection) => connection.connected)
      yield* server.lose(Cause.empty, first)
      expect(yield* server.open).toEqual([second])
      yield* pass(10)
      yield* server.lose()
      expect(yield* server.open).toEqual([])
      yield* pass(10)
      expect(yield* server.opened).toBe(5)
    }))

  it.scoped("is a defect if there is no open connection", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      expect(yield* mistake(server.lose())).toBe("There is no open connection to lose")
      expect(yield* mistake(server.fallSilent())).toBe("There is no open connection to silence")
      const connection = yield* connectTo(server, "a")
      const line = yield* connection.connected
      yield* connection.close
      expect(yield* mistake(server.lose(Cause.empty, line))).toBe("There is no open connection to lose")
    }))
})

describe("a peer that falls silent", () => {
  it.scoped("does not answer pings, and the connection looks open", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* connectTo(server, "a")
      const line = yield* connection.connected
      yield* line.ping
      yield* server.connector.probe!(line)
      yield* server.fallSilent()
      const ping = yield* Effect.fork(line.ping)
      const probe = yield* Effect.fork(server.connector.probe!(line))
      yield* pass(1_000)
      expect([ping.unsafePoll(), probe.unsafePoll()]).toEqual([null, null])
      expect(server.connector.isClosed?.(line)).toBe(false)
      expect(yield* stateOf(connection)).toBe("Connected")
      expect(yield* server.open).toEqual([line])
    }))

  it.scoped("can still be lost later", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* connectTo(server, "a")
      const line = yield* connection.connected
      yield* server.fallSilent(line)
      yield* pass(1_000)
      yield* server.lose()
      yield* pass(0)
      expect(yield* outcomes(server)).toEqual(["0 Succeeded 0", "1000 Succeeded 1000"])
    }))

  it.scoped("does not affect the next connection", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const connection = yield* connectTo(server, "a")
      yield* connection.connected
      yield* server.fallSilent()
      yield* PersistentConnection.refresh(connection)
      yield* Effect.flatMap(connection.connected, (line) => line.ping)
    }))
})

describe("the information for a test", () => {
  it.scoped("the opened, open and released connections", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const count = Effect.all([server.opened, server.released, Effect.map(server.open, (all) => all.length)])
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(connectTo(server, "a"), scope)
      expect(yield* count).toEqual([0, 0, 0])
      const first = yield* connection.connected
      expect(yield* count).toEqual([1, 0, 1])
      expect(yield* server.leaked).toEqual([first])
      yield* server.lose()
      yield* pass(10)
      expect(yield* count).toEqual([2, 1, 1])
      yield* Scope.close(scope, Exit.void)
      expect(yield* count).toEqual([2, 2, 0])
      expect(yield* server.leaked).toEqual([])
    }))

  it.scoped("the attempts, with server name, address, time and outcome", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse(1), TestConnector.succeed(), TestConnector.hang] })
      const connection = yield* connectTo(server, "a")
      yield* pass(10)
      yield* server.lose()
      yield* pass(15)
      yield* connection.close
      const [, second] = yield* server.attempts
      expect(yield* server.attempts).toEqual([
        {
          number: 1,
          serverName: "test",
          address: "a",
          begunAt: 0,
          outcome: { _tag: "Failed", at: 0, cause: Cause.fail(new Refused({ status: 1 })) }
        },
        {
          number: 2,
          serverName: "test",
          address: "a",
          begunAt: 10_000,
          outcome: {
            _tag: "Succeeded",
            at: 10_000,
            connection: second?.outcome._tag === "Succeeded" && second.outcome.connection
          }
        },
        { number: 3, serverName: "test", address: "a", begunAt: 20_000, outcome: { _tag: "Interrupted", at: 25_000 } }
      ])
    }))

  it.scoped("a wait for a number of attempts", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [refuse(1)] })
      const second = yield* Effect.fork(server.awaitAttempts(2))
      yield* connectTo(server, "a")
      yield* server.awaitAttempts(1)
      yield* pass(9)
      expect(second.unsafePoll()).toBe(null)
      yield* pass(1)
      yield* Fiber.join(second)
    }))

  it.scoped("an earlier result does not change", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make()
      const before = yield* server.attempts
      yield* Effect.flatMap(connectTo(server, "a"), (connection) => connection.connected)
      expect(before).toEqual([])
    }))
})

describe("connections", () => {
  interface Feed {
    readonly name: string
    readonly isThere: Effect.Effect<boolean>
  }

  it.scoped("can be made by the test from the default connection", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make<Feed, never, string>({
        connection: ({ address, number, ping }) => ({
          name: `${address} ${number}`,
          isThere: ping.pipe(Effect.timeoutTo({ duration: "1 second", onSuccess: () => true, onTimeout: () => false }))
        })
      })
      const connection = yield* connectTo(server, "a")
      const feed = yield* connection.connected
      expect(feed.name).toBe("a 1")
      expect(yield* feed.isThere).toBe(true)
      yield* server.fallSilent(feed)
      const isThere = yield* Effect.fork(feed.isThere)
      yield* pass(1)
      expect(yield* Fiber.join(isThere)).toBe(false)
    }))

  it.scoped("infer their types from the script and the constructor", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({
        connection: (line) => ({ name: `feed ${line.number}` }),
        script: [TestConnector.succeed(), refuse(1), TestConnector.succeed({ name: "given" })]
      })
      const connector: Connector.Connector<URL, { readonly name: string }, Refused> = server.connector
      expect(connector).toBe(server.connector)
      yield* Effect.flatMap(connectTo(server, "a"), (connection) => connection.connected)
      expect((yield* server.open).map(({ name }) => name)).toEqual(["feed 1"])
    }))

  it("that do not fit the given types are type errors", () => {
    const connection = () => ({ name: "a", isThere: Effect.succeed(true) })
    // @ts-expect-error -- The script fails with another error.
    expect(TestConnector.make<Feed, string>({ connection, script: [refuse(1)] })).toBeDefined()
    // @ts-expect-error -- There is no connection of that type.
    expect(TestConnector.make<Feed, Refused>({ script: [refuse(1)] })).toBeDefined()
  })

  it.scoped("can be given in the script, even twice", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make<string>({
        connection: ({ number }) => `made ${number}`,
        script: [
          TestConnector.succeed("given"),
          TestConnector.succeed(),
          TestConnector.succeed("given").pipe(TestConnector.thenLose({ after: "1 second" }))
        ]
      })
      const connection = yield* connectTo(server, "a")
      const connected: Array<string> = []
      for (let i = 0; i < 3; i++) {
        connected.push(yield* connection.connected)
        yield* pass(5)
        if (i < 2) yield* server.lose()
        yield* pass(5)
      }
      expect(connected).toEqual(["given", "made 2", "given"])
    }))

  it.scoped("whose constructor throws are failed attempts", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make<string>({
        connection: () => {
          throw new Error("no parts")
        }
      })
      yield* connectTo(server, "a")
      yield* pass(0)
      expect(yield* outcomes(server)).toEqual(["0 Failed 0"])
      expect(yield* server.opened).toBe(0)
    }))

  it.effect("of another connector are rejected", () =>
    Effect.gen(function*() {
      const { connector } = yield* TestConnector.make<string>({ connection: () => "mine" })
      expect(yield* mistake(connector.closed("theirs"))).toBe("The connection does not belong to this connector")
    }))
})

describe("the connector", () => {
  it.scoped("works with combinators", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({ script: [TestConnector.hang, TestConnector.succeed()] })
      const connection = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("a"),
        connector: server.connector.pipe(
          Connector.connectTimeout("3 seconds"),
          Connector.setup((line, address: string) => Effect.succeed({ line, address })),
          Connector.map(({ address, line }) => ({ name: `${address}${line.number}` }))
        ),
        retry: RetryPolicy.fixed("10 seconds")
      })
      yield* pass(10)
      expect(yield* connection.connected).toEqual({ name: "a1" })
      expect(yield* outcomes(server)).toEqual(["0 Interrupted 3", "10 Succeeded 10"])
    }))

  it.scopedLive("works in real time too", () =>
    Effect.gen(function*() {
      const server = yield* TestConnector.make({
        script: [
          refuse(1),
          TestConnector.succeed().pipe(
            TestConnector.delayed("1 millis"),
            TestConnector.thenLose({ after: "1 millis" })
          )
        ]
      })
      yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("a"),
        connector: server.connector,
        retry: RetryPolicy.fixed("1 millis")
      })
      yield* server.awaitAttempts(4)
      expect((yield* outcomes(server)).map((entry) => entry.split(" ")[1]).slice(0, 3))
        .toEqual(["Failed", "Succeeded", "Succeeded"])
    }))

  it.effect("is independent of other test connectors", () =>
    Effect.gen(function*() {
      const make = TestConnector.make()
      const one = yield* make
      const other = yield* make
      yield* Effect.scoped(Effect.flatMap(connectTo(one, "a"), (connection) => connection.connected))
      expect(yield* one.opened).toBe(1)
      expect(yield* other.opened).toBe(0)
    }))
})
