import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import {
  type Asked,
  askNow,
  type Event,
  type Fixture,
  hasEnded,
  inScope,
  makeFixture,
  type Options,
  pass,
  refuse,
  Refused,
  sleep,
  stateTag
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

/** The kind of an operation. */
type Kind = "look" | "wait" | "await the end" | "end" | "close"

interface Operation {
  readonly name: string
  readonly kind: Kind
  readonly run: (fixture: Fixture) => Effect.Effect<unknown, unknown, Scope.Scope>
}

const operations: ReadonlyArray<Operation> = [
  { name: "connected", kind: "wait", run: ({ service }) => service.connected },
  { name: "connectedOrClosed", kind: "wait", run: ({ service }) => service.connectedOrClosed },
  { name: "connectedOrFailedToConnect", kind: "wait", run: ({ service }) => service.connectedOrFailedToConnect },
  { name: "currentConnection", kind: "look", run: ({ service }) => service.currentConnection },
  { name: "close", kind: "close", run: ({ service }) => service.close },
  { name: "isClosed", kind: "look", run: ({ service }) => service.isClosed },
  { name: "closeFinished", kind: "await the end", run: ({ service }) => service.closeFinished },
  {
    name: "closeWhenCurrentConnectionIsClosed",
    kind: "end",
    run: ({ service }) => service.closeWhenCurrentConnectionIsClosed
  },
  { name: "state.get", kind: "look", run: ({ service }) => service.state.get },
  { name: "subscribe", kind: "look", run: ({ service }) => service.subscribe },
  { name: "abort", kind: "end", run: ({ server }) => server.abort(new Refused({ text: "enough" })) }
]

/** A place where an operation is awaited once. An abort waits until there is an attempt to abort. */
interface Place {
  readonly name: string
  readonly onEvent?: (call: Effect.Effect<void>, event: Event) => Effect.Effect<unknown>
  readonly prepare?: (fixture: Fixture, call: Effect.Effect<void>) => void
  /** The steps that reach the place after the connection is established. */
  readonly reach?: (fixture: Fixture) => Effect.Effect<unknown>
  readonly closes?: true
}

const drop = ({ server }: Fixture) => Effect.sync(() => server.line.drop())

const inHandler = (tag: Event["_tag"]): Place => ({
  name: `the ${tag} handler`,
  onEvent: (call, event) => event._tag === tag ? call : Effect.void,
  prepare: ({ server }) => {
    if (tag !== "FailedToConnect") return
    server.connect = ({ number }) => number === 1 ? refuse("no") : Effect.void
  },
  reach: (fixture) => tag === "Disconnected" || tag === "AttemptingToConnect" ? drop(fixture) : Effect.void
})

const joined = (call: Effect.Effect<void>) => Effect.flatMap(Effect.fork(call), Fiber.join)

const places: ReadonlyArray<Place> = [
  inHandler("AttemptingToConnect"),
  inHandler("ObtainedAddress"),
  inHandler("FailedToConnect"),
  inHandler("Connected"),
  inHandler("Disconnected"),
  {
    name: "a child that the AttemptingToConnect handler waits for",
    onEvent: (call, event) => event._tag === "AttemptingToConnect" ? joined(call) : Effect.void,
    reach: drop
  },
  {
    name: "a child that the Connected handler waits for",
    onEvent: (call, event) => event._tag === "Connected" ? joined(call) : Effect.void
  },
  {
    name: "a fiber that the Connected handler leaves running",
    onEvent: (call, event) => event._tag === "Connected" ? Effect.forkDaemon(call) : Effect.void
  },
  {
    name: "the look-up",
    prepare: ({ server }, call) => {
      server.lookUp = () => Effect.as(call, "a")
    }
  },
  {
    name: "connect",
    prepare: ({ server }, call) => {
      server.connect = () => call
    }
  },
  {
    name: "an uninterruptible connect",
    prepare: ({ server }, call) => {
      server.connect = () => Effect.uninterruptible(call)
    }
  },
  {
    name: "a child that connect waits for",
    prepare: ({ server }, call) => {
      server.connect = () => joined(call)
    }
  },
  {
    name: "a child that an uninterruptible connect waits for",
    prepare: ({ server }, call) => {
      server.connect = () => Effect.uninterruptible(joined(call))
    }
  },
  {
    name: "a fiber that connect forks into the connection's scope",
    prepare: ({ server }, call) => {
      server.connect = () => Effect.forkScoped(call)
    }
  },
  {
    name: "closed, after the loss",
    prepare: ({ server }, call) => {
      server.closed = (line) => Effect.zipRight(line.lost, call)
    },
    reach: drop
  },
  {
    name: "a finalizer on loss",
    prepare: ({ server }, call) => {
      server.release = () => call
    },
    reach: drop
  },
  {
    name: "a child that a finalizer on loss waits for",
    prepare: ({ server }, call) => {
      server.release = () => joined(call)
    },
    reach: drop
  },
  {
    name: "a finalizer on close",
    prepare: ({ server }, call) => {
      server.release = () => call
    },
    reach: ({ service }) => Effect.forkDaemon(service.close),
    closes: true
  },
  {
    name: "a child that a finalizer on close waits for",
    prepare: ({ server }, call) => {
      server.release = () => joined(call)
    },
    reach: ({ service }) => Effect.forkDaemon(service.close),
    closes: true
  }
]

const moments = [
  { name: "at once", before: Effect.void },
  { name: "a second later", before: sleep(1) }
]

/** A call of an operation from inside, and its result. */
class Call {
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  exit: Exit.Exit<unknown, unknown> | undefined
  tookTime = false

  constructor(private readonly operation: Operation, private readonly before: Effect.Effect<void>) {}

  /** Awaits the operation on the first run. Ignores a failure; a defect becomes a defect of the place. */
  call(fixture: Fixture): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.fiber !== undefined) return Effect.void
      if (this.operation.name === "abort" && fixture.server.attempt === undefined) return Effect.void
      return Effect.withFiberRuntime((fiber) => {
        this.fiber = fiber
        return Effect.zipRight(this.before, this.measured(fixture))
      })
    })
  }

  private measured(fixture: Fixture): Effect.Effect<void> {
    return Effect.flatMap(Effect.clock, (clock) => {
      const begunAt = clock.unsafeCurrentTimeMillis()
      return Effect.scoped(this.operation.run(fixture)).pipe(
        // Stops a loop that would spin forever when the test ends, also in an uninterruptible region.
        Effect.interruptible,
        Effect.onExit((exit) =>
          Effect.sync(() => {
            this.exit = exit
            this.tookTime = clock.unsafeCurrentTimeMillis() > begunAt
          })
        ),
        Effect.ignore
      )
    })
  }
}

const isUp = ({ service }: Fixture) => Effect.map(service.currentConnection, Option.exists((line) => !line.isLost))

/** Checks the result of an operation awaited from outside, while running and once closed. */
const expectFromOutside = (operation: Operation, asked: Asked<unknown, unknown>, isClosed: boolean) => {
  switch (operation.name) {
    case "connected":
      return expect(asked.exit?._tag).toBe(isClosed ? undefined : "Success")
    case "connectedOrClosed":
    case "connectedOrFailedToConnect":
      return expect(asked.exit?._tag).toBe(isClosed ? "Failure" : "Success")
    case "closeFinished":
      return expect(asked.exit?._tag).toBe(isClosed ? "Success" : undefined)
    default:
      return expect(asked.exit?._tag).toBe("Success")
  }
}

const check = (place: Place, operation: Operation, before: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const call = new Call(operation, before)
    yield* Effect.addFinalizer(() => call.fiber === undefined ? Effect.void : Fiber.interruptFork(call.fiber))
    const supervisor = yield* Supervisor.track
    const options: Options = {
      onEvent: (event) => place.onEvent?.(Effect.suspend(() => call.call(fixture)), event) ?? Effect.void
    }
    const [fixture, scope]: readonly [Fixture, Scope.CloseableScope] = yield* inScope(
      Effect.supervised(makeFixture(options, (fixture) => place.prepare?.(fixture, call.call(fixture))), supervisor)
    )

    // Reaches the place, and waits for a minute.
    yield* pass(5)
    if (place.reach !== undefined && call.fiber === undefined) yield* place.reach(fixture)
    yield* pass(60)
    expect(call.fiber, "the operation was called").toBeDefined()
    if (operation.kind === "look" || operation.kind === "end") {
      expect(call.exit?._tag).toBe("Success")
      expect(call.tookTime).toBe(false)
    }

    // The loop continues, or is closed.
    const isClosed = place.closes === true || operation.kind === "close" || operation.kind === "end"
    if (isClosed) {
      if (yield* isUp(fixture)) yield* drop(fixture)
      yield* pass(60)
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(yield* isUp(fixture)).toBe(false)
    } else {
      expect(yield* isUp(fixture), "the loop continues").toBe(true)
      const { number } = fixture.server.line
      yield* drop(fixture)
      yield* pass(60)
      expect(yield* isUp(fixture), "the loop continues after another loss").toBe(true)
      expect(fixture.server.line.number).toBe(number + 1)
    }

    // The same holds for callers outside.
    const asked = yield* askNow(Effect.scoped(operation.run(fixture)))
    expectFromOutside(operation, asked, isClosed)

    // Leaving the scope ends everything.
    expect(yield* hasEnded(scope), "the scope has been left").toBe(true)
    expect(yield* stateTag(fixture)).toBe("Closed")
    expect((yield* supervisor.value).length, "fibers left").toBe(0)
    expect(call.exit, "the call has ended").toBeDefined()
    expect(fixture.server.lines.map(({ released }) => released)).toEqual(fixture.server.lines.map(() => 1))
  })

for (const place of places) {
  describe(place.name, () => {
    for (const operation of operations) {
      for (const moment of moments) {
        it.scoped(
          `D7: ${operation.name}, awaited ${moment.name} in ${place.name}, does not deadlock`,
          () => check(place, operation, moment.before)
        )
      }
    }
  })
}
