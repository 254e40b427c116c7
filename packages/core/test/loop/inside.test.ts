/** D7b, D7c: user code inside a persistent connection that waits for this persistent connection. */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { captureLog } from "../support/captureLog.js"
import {
  askNow,
  describeCause,
  type Fixture,
  hasEnded,
  inScope,
  makeFixture,
  type Options,
  pass,
  refuse,
  Refused,
  Server,
  settle,
  sleep,
  stateTag
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

type Call = Effect.Effect<unknown>

/** A place inside a persistent connection where user code runs an operation. */
interface Place {
  readonly name: string
  readonly options?: (call: Call, server: Server) => Options
  readonly prepare?: (fixture: Fixture, call: Call) => void
  readonly reach?: (fixture: Fixture, call: Call) => Effect.Effect<unknown, unknown, Scope.Scope>
}

const drop = ({ server }: Fixture) => Effect.sync(() => server.line.drop())

const handler: Place = {
  name: "a handler",
  options: (call) => ({ onEvent: ({ _tag }) => _tag === "Connected" ? call : Effect.void })
}

/** A set-up fails with the loss if the connection is lost during it. */
const asRefused = (error: unknown) => error instanceof Refused ? error : new Refused({ text: String(error) })

const placesInside: ReadonlyArray<Place> = [
  {
    name: "a look-up",
    prepare: ({ server }, call) => {
      server.lookUp = ({ generation }) => generation === 1 ? Effect.succeed("a") : Effect.as(call, "a")
    },
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  {
    name: "a connect",
    prepare: ({ server }, call) => {
      server.connect = ({ generation }) => generation === 1 ? Effect.void : call
    },
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  {
    name: "a set-up",
    options: (call, { connector: { closed, connect } }) => ({
      connector: Connector.make({ connect, closed }).pipe(
        Connector.setup((line, _, { generation }) => Effect.as(generation === 1 ? Effect.void : call, line)),
        Connector.mapError(asRefused)
      )
    }),
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  {
    name: "a probe",
    options: (call, { connector: { closed, connect } }) => ({
      connector: Connector.make({ connect, closed, probe: () => call })
    }),
    reach: ({ service }) => Effect.fork(PersistentConnection.reconnectNow(service, { whenConnected: "probe" }))
  },
  {
    name: "`closed`",
    prepare: ({ server }, call) => {
      server.closed = (line) => Effect.zipRight(sleep(1), Effect.zipRight(call, line.lost))
    },
    reach: () => pass(1)
  },
  {
    name: "a policy",
    options: (call) => ({ retry: Schedule.tapInput(RetryPolicy.fixed("10 seconds"), () => call) }),
    reach: drop
  },
  {
    name: "a finalizer",
    prepare: ({ server }, call) => {
      server.release = ({ number }) => number === 1 ? call : sleep(10)
    },
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  { name: "a use", reach: ({ service }, call) => Effect.fork(PersistentConnection.use(service, () => call)) }
]

/** Makes a fixture whose last release takes 10 seconds, and runs it until it reaches the place. */
const reach = ({ options, prepare, reach }: Place, call: (fixture: Fixture) => Call) =>
  Effect.gen(function*() {
    const server = new Server(() => 0)
    server.release = () => sleep(10)
    const lazy: Call = Effect.suspend(() => call(fixture))
    const fixture: Fixture = yield* makeFixture(options?.(lazy, server), (fixture) => {
      fixture.server.release = () => sleep(10)
      prepare?.(fixture, lazy)
    })
    yield* settle
    yield* reach?.(fixture, lazy) ?? Effect.void
    yield* settle
    return fixture
  })

describe("D7b: a call of close or closeFinished", () => {
  for (const place of placesInside) {
    /** The release takes 10 seconds, but the call ends at once: it returns, or the close interrupts it. */
    const endsAtOnce = (wait: (fixture: Fixture) => Effect.Effect<void>) =>
      Effect.gen(function*() {
        let hasEnded = false
        const fixture = yield* reach(place, (fixture) =>
          Effect.onExit(wait(fixture), () => Effect.sync(() => hasEnded = true)))
        yield* askNow(fixture.service.close)
        expect(hasEnded).toBe(true)
        expect(yield* stateTag(fixture)).toBe("Closing")
        yield* pass(20)
        expect(yield* stateTag(fixture)).toBe("Closed")
      })

    it.scoped(`in ${place.name}, after a call of close, waits only until closing has begun`, () =>
      endsAtOnce(({ service }) => service.close))

    it.scoped(`in ${place.name}, awaiting closeFinished in a child, waits only until closing has begun`, () =>
      endsAtOnce(({ service }) => Effect.flatMap(Effect.fork(service.closeFinished), Fiber.join)))
  }

  for (const inChild of [false, true]) {
    it.scoped(`in a handler${inChild ? ", or in a fiber that it forked" : ""}, waits until closing has finished`, () =>
      Effect.gen(function*() {
        let hasReturned = false
        const fixture = yield* reach(handler, ({ service }) => {
          const close = Effect.map(service.close, () => {
            hasReturned = true
          })
          return inChild ? Effect.forkDaemon(close) : close
        })
        yield* pass(9)
        expect([hasReturned, yield* stateTag(fixture)]).toEqual([false, "Closing"])
        yield* pass(1)
        expect([hasReturned, yield* stateTag(fixture)]).toEqual([true, "Closed"])
        // D7a: the loop does not wait for the handler.
        expect(fixture.eventLog.at(-1)).toBe("10 Disconnected 1")
      }))
  }

  it.scoped("in the consumer of a stream, which counts as outside, waits until closing has finished", () =>
    Effect.gen(function*() {
      const fixture = yield* reach({ name: "outside" }, () => Effect.void)
      const consuming = yield* askNow(
        PersistentConnection.stream(fixture.service, () => Stream.concat(Stream.make(1), Stream.never)).pipe(
          Stream.runForEach(() => fixture.service.close)
        )
      )
      yield* pass(9)
      expect(consuming.isWaiting).toBe(true)
      yield* pass(1)
      expect(consuming.isWaiting).toBe(false)
    }))
})

describe("D7c: `closed` or a policy that waits for its own connection", () => {
  const itself = "The connection to \"test\" waits for itself!"

  it.scoped("in its own fiber: `closed` dies with a readable message, which is the cause of the loss", () =>
    Effect.gen(function*() {
      const fixture: Fixture = yield* makeFixture({}, ({ server }) => {
        server.closed = (line) => Effect.zipRight(line.lost, Effect.suspend(() => fixture.service.connected))
      })
      yield* pass(1)
      fixture.server.line.drop()
      yield* settle
      expect(fixture.eventLog).toContain(`1 Disconnected 1 ${itself}`)
    }))

  it.scoped("in its own fiber: the policy dies, the defect is logged, and the next attempt follows after 10 s (D10)", () =>
    Effect.gen(function*() {
      const { captured, lines } = captureLog()
      const fixture: Fixture = yield* captured(makeFixture({
        retry: Schedule.tapInput(
          RetryPolicy.fixed("1 second"),
          () => Effect.ignore(Effect.suspend(() => fixture.service.connectedOrClosed))
        )
      }, ({ server }) => {
        server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      }))
      yield* pass(10)
      expect(fixture.server.attempts).toEqual([0, 10])
      const [{ cause, message }] = lines as [typeof lines[0] & {}]
      expect(message).toBe("The retry policy of \"test\" failed")
      expect(`${describeCause(cause)}`).toBe(itself)
    }))

  const inChild = (call: Call) => Effect.flatMap(Effect.fork(call), Fiber.join)

  it.scoped("in a child: `closed` waits until closing", () =>
    Effect.gen(function*() {
      const [fixture, scope] = yield* inScope(makeFixture())
      fixture.server.closed = (line) => Effect.zipRight(line.lost, inChild(fixture.service.connected))
      yield* pass(1)
      fixture.server.line.drop()
      yield* pass(1_000)
      expect(yield* stateTag(fixture)).toBe("Connected")
      expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(yield* hasEnded(scope)).toBe(true)
    }))

  it.scoped("in a child: the policy waits until closing", () =>
    Effect.gen(function*() {
      const asked: { connected: Call } = { connected: Effect.void }
      const [fixture, scope] = yield* inScope(makeFixture({
        retry: Schedule.tapInput(RetryPolicy.fixed("1 second"), () => inChild(asked.connected))
      }, ({ server }) => server.refuse("no")))
      asked.connected = fixture.service.connected
      yield* pass(1_000)
      expect(fixture.server.attempts).toEqual([0])
      expect((yield* askNow(fixture.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(yield* hasEnded(scope)).toBe(true)
    }))
})
