/**
 * Checks that the heap stays flat while attempts fail and connections are lost, with all observers attached. Virtual
 * time makes a simulated day as fast as its work.
 */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import { describe, expect, it } from "@effect/vitest"
import * as ConnectionLog from "@persistent-connection/core/ConnectionLog"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Mailbox from "effect/Mailbox"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { cases, isLong, seed } from "../support/proof.js"
import { heapUsed } from "../support/size.js"

/** 16 KiB, so that a retained object is visible in the heap. */
const ballast = (number: number): ReadonlyArray<number> => Array.from({ length: 2_048 }, () => number)

class Failure extends Data.TaggedError("Failure")<{
  readonly number: number
  readonly ballast: ReadonlyArray<number>
}> {
  override get message(): string {
    return `failure ${this.number}`
  }
}

const failure = (number: number) => new Failure({ number, ballast: ballast(number) })

const inbox = () => Effect.runSync(Mailbox.make<number, Failure>())

class Line {
  readonly ballast: ReadonlyArray<number>
  /** Two subscriptions. */
  readonly inboxes = [inbox(), inbox()] as const
  isLost = false
  readonly lost = Effect.runSync(Deferred.make<void, Failure>())

  constructor(readonly number: number) {
    this.ballast = ballast(number)
  }

  lose(exit: Exit.Exit<void, Failure>): void {
    this.isLost = true
    this.inboxes.forEach((inbox) => inbox.unsafeDone(exit))
    Deferred.unsafeDone(this.lost, exit)
  }
}

interface Scenario {
  readonly what: string
  /** The number of attempts, one per second of virtual time. */
  readonly total: number
  readonly succeeds: boolean
}

/** A persistent connection with all kinds of observers and users. Each kind counts what it observes. */
const start = ({ succeeds }: Scenario) => {
  const clock = new VirtualClock()
  const seen = new Map<string, number>()
  const see = (what: string) => Effect.sync(() => void seen.set(what, (seen.get(what) ?? 0) + 1))
  const logger = Logger.map(Logger.stringLogger, (line) => {
    if (line.length > 0) Effect.runSync(see("log"))
  })
  const scope = Effect.runSync(Scope.make())
  let attempts = 0
  const connector = Connector.make({
    connect: (_: string) =>
      Effect.suspend(() => {
        const number = ++attempts
        if (!succeeds) return Effect.fail(failure(number))
        return Effect.acquireRelease(
          Effect.sync(() => {
            const line = new Line(number)
            line.inboxes.forEach((inbox) => inbox.unsafeOfferAll([1, 2, 3]))
            return line
          }),
          () => see("release")
        )
      }),
    closed: (line: Line) => Deferred.await(line.lost),
    isClosed: (line) => line.isLost
  })
  const program = Effect.gen(function*() {
    const service = yield* PersistentConnection.make({
      serverName: "heap",
      address: Effect.sync(() => `address ${attempts}`),
      connector,
      retry: RetryPolicy.fixed("1 second"),
      minUptime: 0,
      onEvent: () => see("onEvent")
    })
    yield* ConnectionLog.track(service)
    yield* ConnectionMetrics.track(service)
    // A subscription without a consumer.
    yield* service.subscribe
    const consume = <A, E>(what: string, stream: Stream.Stream<A, E>, work: Effect.Effect<void> = Effect.void) =>
      Effect.forkScoped(Stream.runForEach(stream, () => Effect.zipRight(see(what), work)))
    yield* consume("events", service.events)
    yield* consume("events, slow consumer", service.events, Effect.sleep("7 seconds"))
    yield* consume("state", service.state.changes)
    yield* consume("state, slow consumer", service.state.changes, Effect.sleep("7 seconds"))
    yield* consume("current", service.current.changes)
    yield* consume("stream", PersistentConnection.stream(service, ({ inboxes }) => Mailbox.toStream(inboxes[0])))
    yield* consume(
      "resumableStream",
      PersistentConnection.resumableStream(service, {
        subscribe: ({ inboxes }) => Effect.succeed(Mailbox.toStream(inboxes[1])),
        cursor: (number) => number
      })
    )
    yield* Effect.forkScoped(PersistentConnection.forEachConnection(service, () => see("forEachConnection")))
    yield* Effect.forkScoped(PersistentConnection.useRetrying(service, () => Effect.never))
    const asking = Effect.exit(service.connectedOrFailedToConnect)
    yield* Effect.forkScoped(
      Effect.forever(Effect.zipRight(asking, Effect.zipRight(see("connectedOrFailedToConnect"), Effect.sleep(1_000))))
    )
    if (succeeds) {
      const lose = Effect.flatMap(
        service.connected,
        (line) => Effect.sync(() => line.lose(line.number % 2 === 0 ? Exit.void : Exit.fail(failure(line.number))))
      )
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep(1_000), lose)))
    }
  })
  const made = clock.run(program.pipe(
    Scope.extend(scope),
    Logger.withMinimumLogLevel(LogLevel.Info),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
    Effect.withRandom(Random.make(seed))
  ))
  clock.flush()
  expect(made.unsafePoll()).toEqual(Exit.void)
  return { clock, scope, seen, attempts: () => attempts }
}

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!

const windows = isLong ? 24 : 12
/** The first windows do not count: code is compiled, and caches and buffers of slow consumers fill up. */
const warmUp = windows / 4

/**
 * A leak per attempt would cost at least a pointer of 8 bytes, and usually also an object of 24 bytes or more. So half
 * a pointer counts as no leak.
 */
const bytesPerAttempt = 4

/**
 * The fluctuation of V8 itself. The short form ends during the warm-up, so it detects only whole connections or errors
 * that are retained, by their ballast.
 */
const noise = isLong ? 128 * 1024 : 2 * 1024 * 1024

describe("the heap is flat, with log, metrics, events, states and streams attached", () => {
  it.each<Scenario>([
    { what: "failed attempts", total: cases(480, 100_000), succeeds: false },
    { what: "lost connections", total: cases(480, 20_000), succeeds: true }
  ])("over $total $what", async (scenario) => {
    const { attempts, clock, scope, seen } = start(scenario)
    const began = performance.now()
    const perWindow = Math.ceil(scenario.total / windows)
    const heaps: Array<number> = []
    for (let window = 1; window <= windows; window++) {
      for (let second = 0; second < perWindow; second++) {
        clock.advanceTo(clock.now + 1_000)
        // `current` is set by fibers with Effect's own scheduler.
        await new Promise((resolve) => setImmediate(resolve))
      }
      heaps.push(heapUsed())
    }
    const third = (windows - warmUp) / 3
    const growth = median(heaps.slice(-third)) - median(heaps.slice(warmUp, warmUp + third))
    const between = 2 * third * perWindow
    const seconds = ((performance.now() - began) / 1_000).toFixed(1)
    // oxlint-disable-next-line no-console -- Information for the reader of the output.
    console.log(
      `${attempts()} ${scenario.what}: ${(growth / between).toFixed(2)} bytes each, from ${
        heaps.map((heap) => (heap / 2 ** 20).toFixed(2)).join(" ")
      } MiB; ${seconds} s, seed ${seed}`
    )
    expect(attempts()).toBeGreaterThanOrEqual(scenario.total)
    const watched = scenario.succeeds
      ? ["log", "onEvent", "release", "events", "state", "current", "stream", "resumableStream", "forEachConnection"]
      : ["log", "onEvent", "events", "state"]
    expect(watched.filter((what) => (seen.get(what) ?? 0) < scenario.total * 0.9), "observers that observed too little")
      .toEqual([])
    expect(growth).toBeLessThan(bytesPerAttempt * between + noise)

    const leaving = clock.run(Scope.close(scope, Exit.void))
    clock.advanceTo(clock.now + 60_000)
    expect(leaving.unsafePoll()).not.toBeNull()
  })
})
