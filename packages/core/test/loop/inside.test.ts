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
  begin,
  describeCause,
  hasEnded,
  inScope,
  type Life,
  type Options,
  pass,
  refuse,
  Refused,
  Server,
  settle,
  sleep,
  stateTag
} from "../support/Life.js"
import { it } from "../support/virtualTime.js"

type Act = Effect.Effect<unknown>

/** A place inside a persistent connection where user code runs an operation. */
interface Place {
  readonly name: string
  readonly options?: (act: Act, server: Server) => Options
  readonly prepare?: (life: Life, act: Act) => void
  readonly reach?: (life: Life, act: Act) => Effect.Effect<unknown, unknown, Scope.Scope>
}

const drop = ({ server }: Life) => Effect.sync(() => server.line.drop())

const handler: Place = {
  name: "a handler",
  options: (act) => ({ onEvent: ({ _tag }) => _tag === "Connected" ? act : Effect.void })
}

/** A set-up fails with the loss if the connection is lost during it. */
const asRefused = (error: unknown) => error instanceof Refused ? error : new Refused({ text: String(error) })

const insiders: ReadonlyArray<Place> = [
  {
    name: "a look-up",
    prepare: ({ server }, act) => {
      server.lookUp = ({ generation }) => generation === 1 ? Effect.succeed("a") : Effect.as(act, "a")
    },
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  {
    name: "a connect",
    prepare: ({ server }, act) => {
      server.connect = ({ generation }) => generation === 1 ? Effect.void : act
    },
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  {
    name: "a set-up",
    options: (act, { connector: { closed, connect } }) => ({
      connector: Connector.make({ connect, closed }).pipe(
        Connector.setup((line, _, { generation }) => Effect.as(generation === 1 ? Effect.void : act, line)),
        Connector.mapError(asRefused)
      )
    }),
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  {
    name: "a probe",
    options: (act, { connector: { closed, connect } }) => ({
      connector: Connector.make({ connect, closed, probe: () => act })
    }),
    reach: ({ service }) => Effect.fork(PersistentConnection.reconnectNow(service, { whenConnected: "probe" }))
  },
  {
    name: "a closed",
    prepare: ({ server }, act) => {
      server.closed = (line) => Effect.zipRight(sleep(1), Effect.zipRight(act, line.lost))
    },
    reach: () => pass(1)
  },
  {
    name: "a policy",
    options: (act) => ({ retry: Schedule.tapInput(RetryPolicy.fixed("10 seconds"), () => act) }),
    reach: drop
  },
  {
    name: "a finalizer",
    prepare: ({ server }, act) => {
      server.release = ({ number }) => number === 1 ? act : sleep(10)
    },
    reach: ({ service }) => Effect.fork(PersistentConnection.refresh(service))
  },
  { name: "a use", reach: ({ service }, act) => Effect.fork(PersistentConnection.use(service, () => act)) }
]

/** Makes a fixture whose last release takes 10 seconds, and runs it until it reaches the place. */
const reach = ({ options, prepare, reach }: Place, act: (life: Life) => Act) =>
  Effect.gen(function*() {
    const server = new Server(() => 0)
    server.release = () => sleep(10)
    const lazy: Act = Effect.suspend(() => act(life))
    const life: Life = yield* begin(options?.(lazy, server), (life) => {
      life.server.release = () => sleep(10)
      prepare?.(life, lazy)
    })
    yield* settle
    yield* reach?.(life, lazy) ?? Effect.void
    yield* settle
    return life
  })

describe("D7b: a call of close or closeFinished", () => {
  for (const place of insiders) {
    /** The release takes 10 seconds, but the call ends at once: it returns, or the close interrupts it. */
    const endsAtOnce = (wait: (life: Life) => Effect.Effect<void>) =>
      Effect.gen(function*() {
        let hasEnded = false
        const life = yield* reach(place, (life) => Effect.onExit(wait(life), () => Effect.sync(() => hasEnded = true)))
        yield* askNow(life.service.close)
        expect(hasEnded).toBe(true)
        expect(yield* stateTag(life)).toBe("Closing")
        yield* pass(20)
        expect(yield* stateTag(life)).toBe("Closed")
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
        const life = yield* reach(handler, ({ service }) => {
          const close = Effect.map(service.close, () => {
            hasReturned = true
          })
          return inChild ? Effect.forkDaemon(close) : close
        })
        yield* pass(9)
        expect([hasReturned, yield* stateTag(life)]).toEqual([false, "Closing"])
        yield* pass(1)
        expect([hasReturned, yield* stateTag(life)]).toEqual([true, "Closed"])
        // D7a: the loop does not wait for the handler.
        expect(life.diary.at(-1)).toBe("10 Disconnected 1")
      }))
  }

  it.scoped("in the consumer of a stream, which counts as outside, waits until closing has finished", () =>
    Effect.gen(function*() {
      const life = yield* reach({ name: "outside" }, () => Effect.void)
      const consuming = yield* askNow(
        PersistentConnection.stream(life.service, () => Stream.concat(Stream.make(1), Stream.never)).pipe(
          Stream.runForEach(() => life.service.close)
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
      const life: Life = yield* begin({}, ({ server }) => {
        server.closed = (line) => Effect.zipRight(line.lost, Effect.suspend(() => life.service.connected))
      })
      yield* pass(1)
      life.server.line.drop()
      yield* settle
      expect(life.diary).toContain(`1 Disconnected 1 ${itself}`)
    }))

  it.scoped("in its own fiber: the policy dies, the defect is logged, and the next attempt follows after 10 s (D10)", () =>
    Effect.gen(function*() {
      const { heard, lines } = captureLog()
      const life: Life = yield* heard(begin({
        retry: Schedule.tapInput(
          RetryPolicy.fixed("1 second"),
          () => Effect.ignore(Effect.suspend(() => life.service.connectedOrClosed))
        )
      }, ({ server }) => {
        server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
      }))
      yield* pass(10)
      expect(life.server.attempts).toEqual([0, 10])
      const [{ cause, message }] = lines as [typeof lines[0] & {}]
      expect(message).toBe("The retry policy of \"test\" failed")
      expect(`${describeCause(cause)}`).toBe(itself)
    }))

  const inChild = (act: Act) => Effect.flatMap(Effect.fork(act), Fiber.join)

  it.scoped("in a child: `closed` waits until closing", () =>
    Effect.gen(function*() {
      const [life, scope] = yield* inScope(begin())
      life.server.closed = (line) => Effect.zipRight(line.lost, inChild(life.service.connected))
      yield* pass(1)
      life.server.line.drop()
      yield* pass(1_000)
      expect(yield* stateTag(life)).toBe("Connected")
      expect((yield* askNow(life.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(life)).toBe("Closed")
      expect(yield* hasEnded(scope)).toBe(true)
    }))

  it.scoped("in a child: the policy waits until closing", () =>
    Effect.gen(function*() {
      const asked: { connected: Act } = { connected: Effect.void }
      const [life, scope] = yield* inScope(begin({
        retry: Schedule.tapInput(RetryPolicy.fixed("1 second"), () => inChild(asked.connected))
      }, ({ server }) => server.refuse("no")))
      asked.connected = life.service.connected
      yield* pass(1_000)
      expect(life.server.attempts).toEqual([0])
      expect((yield* askNow(life.service.close)).isWaiting).toBe(false)
      expect(yield* stateTag(life)).toBe("Closed")
      expect(yield* hasEnded(scope)).toBe(true)
    }))
})
