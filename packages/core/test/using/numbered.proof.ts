/**
 * A server that numbers its messages and is killed at random points. Virtual time and a seed make every case
 * reproducible.
 */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as FiberId from "effect/FiberId"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { polled } from "../support/polled.js"
import { assertProperty, cases } from "../support/proof.js"

/** A connection. Messages in transit are lost with it; received messages are not. */
class Wire {
  isClosed = false
  released = 0
  readonly end = Deferred.unsafeMake<void, string>(FiberId.none)
  readonly inboxes = new Set<Mailbox.Mailbox<number, string>>()
  /** The messages that have reached the subscriber. */
  readonly received: Array<number> = []

  constructor(private readonly clock: VirtualClock, private readonly settings: Case) {}

  send(inbox: Mailbox.Mailbox<number, string>, message: number): void {
    this.clock.after(this.settings.latency, () => {
      if (this.isClosed) return
      inbox.unsafeOffer(message)
      this.received.push(message)
    })
  }

  cut(exit: Exit.Exit<void, string>): void {
    if (this.isClosed) return
    this.isClosed = true
    const ends = [
      () => Deferred.unsafeDone(this.end, exit),
      () => this.inboxes.forEach((inbox) => inbox.unsafeDone(exit))
    ]
    if (this.settings.streamEndsFirst) ends.reverse()
    ends.forEach((end) => end())
  }
}

interface Action {
  readonly at: number
  readonly does:
    | "send"
    | "burst"
    | "kill"
    | "reset"
    | "refresh"
    | "kill and send"
    | "send and kill"
    | "refuse"
    | "reconnect"
}

interface Case {
  readonly acts: ReadonlyArray<Action>
  /** The latency in ms. */
  readonly latency: number
  readonly connectTakes: number
  readonly subscribeTakes: number
  readonly consumerTakes: number
  readonly knowsIfClosed: boolean
  /** At the end of a connection, its stream ends before `closed` does. */
  readonly streamEndsFirst: boolean
  /** The stream is polled, not run. */
  readonly isPolled: boolean
  readonly retry: number
}

const horizon = 400

const settings: FastCheck.Arbitrary<Case> = FastCheck.record({
  acts: FastCheck.array(
    FastCheck.record({
      at: FastCheck.nat({ max: horizon }),
      does: FastCheck.constantFrom<Action["does"]>(
        "send",
        "send",
        "send",
        "burst",
        "kill",
        "reset",
        "refresh",
        "reconnect",
        "refuse",
        "kill and send",
        "send and kill"
      )
    }),
    { maxLength: 60 }
  ),
  latency: FastCheck.constantFrom(0, 1, 5),
  connectTakes: FastCheck.constantFrom(0, 1, 7),
  subscribeTakes: FastCheck.constantFrom(0, 1, 5),
  consumerTakes: FastCheck.constantFrom(0, 1, 20),
  knowsIfClosed: FastCheck.boolean(),
  streamEndsFirst: FastCheck.boolean(),
  isPolled: FastCheck.boolean(),
  retry: FastCheck.constantFrom(1, 3, 20)
})

interface CaseResult {
  /** All messages that the server has sent. */
  readonly log: ReadonlyArray<number>
  /** The number of messages that were sent before the first subscription. */
  readonly sentBefore: number
  /** The received messages of each connection. */
  readonly received: ReadonlyArray<number>
  readonly got: ReadonlyArray<PersistentConnection.Resumed<number>>
}

/** Runs a case, waits for a quiet minute, and leaves the scope. */
const runCase = (
  settings: Case,
  options: {
    /** The server can resume from a cursor. */
    readonly resumes: boolean
    /** With `stream` instead of `resumableStream`. */
    readonly isPlain?: boolean
    readonly onElement?: (element: PersistentConnection.Resumed<number>, log: ReadonlyArray<number>) => void
    readonly interruptAt?: number
  }
): CaseResult => {
  const clock = new VirtualClock()
  const scope = Effect.runSync(Scope.make())
  const wires: Array<Wire> = []
  const log: Array<number> = []
  const subscribers = new Map<Mailbox.Mailbox<number, string>, Wire>()
  let sentBefore: number | undefined
  let isUp = true

  const connector = Connector.make({
    connect: () =>
      Effect.gen(function*() {
        if (settings.connectTakes > 0) yield* Effect.sleep(settings.connectTakes)
        if (!isUp) return yield* Effect.fail("refused")
        return yield* Effect.acquireRelease(
          Effect.sync(() => {
            const wire = new Wire(clock, settings)
            wires.push(wire)
            return wire
          }),
          (wire) =>
            Effect.sync(() => {
              wire.released++
              wire.cut(Exit.void)
            })
        )
      }),
    closed: (wire: Wire) => Deferred.await(wire.end),
    ...(settings.knowsIfClosed ? { isClosed: (wire: Wire) => wire.isClosed } : {})
  })

  const subscribe = (wire: Wire, cursor: Option.Option<number>) =>
    Effect.gen(function*() {
      const inbox = yield* Mailbox.make<number, string>()
      if (settings.subscribeTakes > 0) yield* Effect.sleep(settings.subscribeTakes)
      if (wire.isClosed) return yield* Effect.fail("broken pipe")
      wire.inboxes.add(inbox)
      subscribers.set(inbox, wire)
      sentBefore ??= log.length
      yield* Effect.addFinalizer(() => Effect.sync(() => subscribers.delete(inbox)))
      if (options.resumes) log.slice(Option.getOrElse(cursor, () => 0)).forEach((message) => wire.send(inbox, message))
      return settings.isPolled ? polled(inbox) : Mailbox.toStream(inbox)
    })

  const made = clock.run(Scope.extend(
    PersistentConnection.make({
      serverName: "numbered",
      address: Effect.void,
      connector,
      retry: RetryPolicy.fixed(settings.retry)
    }),
    scope
  )).unsafePoll()
  if (made === null || Exit.isFailure(made)) throw new Error("make did not complete at once")
  const service = made.value

  const got: Array<PersistentConnection.Resumed<number>> = []
  const plain = PersistentConnection.stream(service, (wire) => Stream.unwrapScoped(subscribe(wire, Option.none())))
  const consumer = clock.run(Stream.runForEach(
    options.isPlain === true
      ? Stream.map(plain, (value): PersistentConnection.Resumed<number> => ({ _tag: "Element", value }))
      : PersistentConnection.resumableStream(service, { subscribe, cursor: (n) => n }),
    (element) =>
      Effect.suspend(() => {
        got.push(element)
        options.onElement?.(element, log)
        return settings.consumerTakes > 0 ? Effect.sleep(settings.consumerTakes) : Effect.void
      })
  ))

  const send = () => {
    log.push(log.length + 1)
    subscribers.forEach((wire, inbox) => wire.send(inbox, log.length))
  }
  const kill = (exit: Exit.Exit<void, string>) => wires.at(-1)?.cut(exit)
  const acts: { readonly [K in Action["does"]]: () => unknown } = {
    send,
    burst: () => Array.from({ length: 20 }, send),
    kill: () => kill(Exit.void),
    reset: () => kill(Exit.fail("reset")),
    "kill and send": () => [kill(Exit.void), send()],
    "send and kill": () => [send(), kill(Exit.void)],
    refresh: () => clock.run(Effect.ignore(PersistentConnection.refresh(service, { drain: 3 }))),
    reconnect: () => clock.run(PersistentConnection.reconnectNow(service, { whenConnected: "refresh" })),
    refuse: () => {
      isUp = false
      clock.after(15, () => {
        isUp = true
      })
    }
  }
  for (const { at, does } of settings.acts) clock.after(at, acts[does])
  if (options.interruptAt !== undefined) {
    clock.after(options.interruptAt, () => consumer.unsafeInterruptAsFork(FiberId.none))
  }
  clock.advanceTo(horizon + 60_000)
  const count = got.length

  const leaving = clock.run(Scope.close(scope, Exit.void))
  clock.advanceTo(clock.now + 60_000)
  expect(leaving.unsafePoll(), "the scope has been left").not.toBeNull()
  const exit = consumer.unsafePoll()
  expect(exit !== null && (Exit.isSuccess(exit) || Exit.isInterrupted(exit)), "the stream has ended").toBe(true)
  expect(wires.map(({ released }) => released), "every connection has been released once").toEqual(wires.map(() => 1))
  expect(subscribers.size, "every subscription has ended").toBe(0)
  const received = wires.flatMap((wire) => wire.received)
  return { log, sentBefore: sentBefore ?? log.length, received, got: got.slice(0, count) }
}

const elements = ({ got }: CaseResult) => got.flatMap((element) => element._tag === "Element" ? [element.value] : [])

const gaps = ({ got }: CaseResult) => got.flatMap((element) => element._tag === "Gap" ? [element] : [])

const check = (property: FastCheck.IProperty<[Case, number]>) => assertProperty(property, cases(60, 3_000))
const forAll = (predicate: (settings: Case, at: number) => void) =>
  FastCheck.property(settings, FastCheck.nat({ max: horizon }), predicate)

describe("a server that numbers its messages and is killed at random points", () => {
  it("S1: every number that a connection has received is delivered, before any number of the next connection", () =>
    check(forAll((settings) => {
      const staged = runCase(settings, { resumes: false, isPlain: true })
      expect(elements(staged)).toEqual(staged.received)
    })))

  it("S3: with resume, every number is delivered once and in order", () =>
    check(forAll((settings) => {
      const staged = runCase(settings, { resumes: true })
      expect(elements(staged)).toEqual(staged.log)
    })))

  it("S3: each gap has a marker with the connection that ends it, and its start and end", () =>
    check(forAll((settings) => {
      let generation = 1
      let end = 0
      for (const gap of gaps(runCase(settings, { resumes: true }))) {
        expect(gap.generation).toBeGreaterThan(generation)
        expect(gap.lostAt).toBeGreaterThanOrEqual(end)
        expect(gap.restoredAt).toBeGreaterThanOrEqual(gap.lostAt)
        generation = gap.generation
        end = gap.restoredAt
      }
    })))

  it("S3: without resume, the consumer misses nothing if it re-reads at each marker", () =>
    check(forAll((settings) => {
      const known = new Set<number>()
      const staged = runCase(settings, {
        resumes: false,
        onElement: (element, log) => {
          if (element._tag === "Element") known.add(element.value)
          else log.forEach((message) => known.add(message))
        }
      })
      expect(staged.log.filter((message) => message > staged.sentBefore && !known.has(message))).toEqual([])
      const order = elements(staged)
      expect(order).toEqual([...new Set(order)].sort((a, b) => a - b))
      expect(order).toEqual(staged.received)
    })))

  it("D8: an interruption of the consumer at a random point leaves nothing behind", () =>
    check(forAll((settings, at) => {
      const staged = runCase(settings, { resumes: true, interruptAt: at })
      expect(elements(staged)).toEqual(staged.log.slice(0, elements(staged).length))
    })))
})
