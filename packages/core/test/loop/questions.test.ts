/**
 * Frequent questions of new users, answered by tests to copy: in virtual time, with a server of ten lines.
 */
import { expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"

class Down extends Data.TaggedError("Down")<{}> {}

/** A server that accepts, refuses or hangs, and can break the last connection. */
class Server {
  answer: Effect.Effect<void, Down> = Effect.void
  cut: Effect.Effect<unknown> = Effect.void
  calls = 0
  lines = 0

  readonly connector = Connector.make({
    connect: (host: string) =>
      Effect.gen(this, function*() {
        this.calls++
        yield* this.answer
        const lost = yield* Deferred.make<void>()
        this.cut = Deferred.succeed(lost, undefined)
        yield* Effect.acquireRelease(Effect.sync(() => this.lines++), () => Effect.sync(() => this.lines--))
        return { host, lost }
      }),
    closed: ({ lost }) => Deferred.await(lost)
  })
}

const options = (server: Server) => ({
  serverName: "prices",
  address: Effect.succeed("prices.example.com"),
  connector: server.connector,
  retry: RetryPolicy.fixed("10 seconds")
})

it.scoped("T2: Does it reconnect? Yes, and at once if the connection was long-lived.", () =>
  Effect.gen(function*() {
    const server = new Server()
    const prices = yield* PersistentConnection.make(options(server))
    const first = yield* prices.connected

    yield* TestClock.adjust("1 hour")
    yield* server.cut
    yield* TestClock.adjust(0)

    const second = yield* prices.connected
    expect(second).not.toBe(first)
    expect(server.calls).toBe(2)
  }))

it.scoped("T1: How long does it wait? The delay of the policy, from the beginning of the last attempt.", () =>
  Effect.gen(function*() {
    const server = new Server()
    server.answer = Effect.delay(Effect.fail(new Down()), "3 seconds")
    yield* PersistentConnection.make(options(server))

    yield* TestClock.adjust("9 seconds")
    expect(server.calls).toBe(1)
    yield* TestClock.adjust("1 second")
    expect(server.calls).toBe(2)
  }))

it.scoped("A6: What do I see while the server is down? No connection, the last cause, and the time of the next attempt.", () =>
  Effect.gen(function*() {
    const server = new Server()
    server.answer = Effect.fail(new Down())
    const prices = yield* PersistentConnection.make(options(server))
    yield* TestClock.adjust("25 seconds")

    expect(yield* prices.currentConnection).toEqual(Option.none())
    expect(yield* prices.state.get).toMatchObject({
      _tag: "Waiting",
      attempt: 3,
      lastCause: Option.some(Cause.fail(new Down())),
      nextAttemptAt: Option.some(30_000)
    })
  }))

it.scoped("D14: When does the backoff start over? After a connection that lived for `minUptime`.", () =>
  Effect.gen(function*() {
    const server = new Server()
    server.answer = Effect.fail(new Down())
    const retry = RetryPolicy.exponential({ base: "1 second", maxDelay: "1 minute", jitter: "none" })
    yield* PersistentConnection.make({ ...options(server), retry })
    yield* TestClock.adjust("1 minute")
    expect(server.calls).toBe(6) // after 0, 1, 3, 7, 15 and 31 seconds

    server.answer = Effect.void
    yield* TestClock.adjust("1 hour")
    server.answer = Effect.fail(new Down())
    yield* server.cut
    server.calls = 0
    yield* TestClock.adjust("3 seconds")
    expect(server.calls).toBe(3) // after 0, 1 and 3 seconds
  }))

it.scoped("D9: What if connect hangs? The attempt ends at its deadline, and the next attempt follows.", () =>
  Effect.gen(function*() {
    const server = new Server()
    server.answer = Effect.never
    const prices = yield* PersistentConnection.make({ ...options(server), attemptTimeout: "20 seconds" })
    const result = yield* Effect.fork(Effect.flip(prices.connectedOrFailedToConnect))

    yield* TestClock.adjust("20 seconds")
    expect(yield* Fiber.join(result)).toMatchObject({ _tag: "TimeoutException" })
    expect(server.calls).toBe(2)
  }))

it.scoped("C3: What if the address look-up fails? The attempt fails, and the next one looks up again.", () =>
  Effect.gen(function*() {
    const server = new Server()
    let lookUps = 0
    const address = Effect.suspend(() => ++lookUps < 3 ? Effect.fail(new Down()) : Effect.succeed("b.example.com"))
    const prices = yield* PersistentConnection.make({ ...options(server), address })

    yield* TestClock.adjust("20 seconds")
    expect(lookUps).toBe(3)
    expect(yield* prices.connected).toMatchObject({ host: "b.example.com" })
  }))

it.scoped("A3: How do I wait with a timeout? With `Effect.timeout`, because waiting can be interrupted.", () =>
  Effect.gen(function*() {
    const server = new Server()
    server.answer = Effect.fail(new Down())
    const prices = yield* PersistentConnection.make(options(server))

    const impatient = yield* Effect.fork(Effect.flip(Effect.timeout(prices.connected, "1 minute")))
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.join(impatient)).toMatchObject({ _tag: "TimeoutException" })

    server.answer = Effect.void
    yield* TestClock.adjust("10 seconds")
    expect(yield* Effect.timeout(prices.connected, "1 minute")).toMatchObject({ host: "prices.example.com" })
  }))

it.effect("X1: How do I shut down cleanly? Close the scope, or call `close`, which waits for the release.", () =>
  Effect.gen(function*() {
    const server = new Server()
    const scope = yield* Scope.make()
    const prices = yield* PersistentConnection.make(options(server)).pipe(Scope.extend(scope))
    yield* prices.connected
    expect(server.lines).toBe(1)

    yield* prices.close
    expect(server.lines).toBe(0)
    expect(yield* Effect.flip(prices.connectedOrClosed)).toMatchObject({ _tag: "ConnectionClosed" })

    yield* Scope.close(scope, Exit.void)
    yield* TestClock.adjust("1 hour")
    expect(server.calls).toBe(1)
  }))
