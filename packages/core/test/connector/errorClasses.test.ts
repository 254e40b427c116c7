/** The cause of a failure or loss decides whether, when and where the next attempt is made. */
import { describe, expect } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import { type ClosedReason, ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { captureLog } from "../support/captureLog.js"
import { askNow, Line, now, pass, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

class Unauthorized extends Data.TaggedError("Unauthorized")<{ readonly user: string }> {}
class Busy extends Data.TaggedError("Busy")<{ readonly retryAfter: Duration.DurationInput }> {}
class Unreachable extends Data.TaggedError("Unreachable")<{ readonly host: string }> {}

type FeedError = Unauthorized | Busy | Unreachable

const unauthorized = new Unauthorized({ user: "me" })
const busy = (retryAfter: Duration.DurationInput) => new Busy({ retryAfter })
const unreachable = new Unreachable({ host: "a" })

const decide = (cause: Cause.Cause<Connector.AttemptFailure<FeedError>>): RetryPolicy.RetryDecision => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  switch (error?._tag) {
    case "Unauthorized":
      return RetryPolicy.giveUp
    case "Busy":
      return RetryPolicy.retryAfter(error.retryAfter)
    default:
      return RetryPolicy.follow
  }
}

const everyTen = RetryPolicy.fixed("10 seconds").pipe(RetryPolicy.classify(decide))

const tagOf = (cause: Cause.Cause<unknown>) =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => Cause.isEmpty(cause) ? "clean" : "defect",
    onSome: (error) => (error as { readonly _tag: string })._tag
  })

interface Script {
  readonly connect?: (address: string, number: number) => Effect.Effect<unknown, FeedError>
  readonly closed?: (number: number) => Effect.Effect<unknown, FeedError>
  readonly address?: Addresses.LookUp<string>
  readonly retry?: Schedule.Schedule<unknown, Cause.Cause<Connector.AttemptFailure<FeedError>>>
  readonly minUptime?: Duration.DurationInput
}

/** A persistent connection with a scripted server. Attempts are numbered from 1 over its whole life. */
const begin = (
  {
    address = () => Effect.succeed("a"),
    closed = () => Effect.never,
    connect = () => Effect.void,
    retry = everyTen,
    ...rest
  }: Script
) =>
  Effect.gen(function*() {
    const attempts: Array<string> = []
    const events: Array<string> = []
    const service = yield* PersistentConnection.make({
      serverName: "test",
      address,
      connector: Connector.make({
        connect: (address: string) =>
          Effect.gen(function*() {
            attempts.push(`${yield* now} ${address}`)
            const line = new Line(attempts.length, address)
            yield* connect(address, line.number)
            return line
          }),
        closed: (line) => closed(line.number)
      }),
      retry,
      onEvent: (event) =>
        Effect.sync(() => {
          events.push("cause" in event ? `${event._tag} ${tagOf(event.cause)}` : event._tag)
        }),
      ...rest
    })
    return { service, attempts, events }
  })

/** A short text for the reason of the close. */
const describeReason = (reason: ClosedReason<unknown>) =>
  reason._tag === "ClosedByOwner" ? reason._tag : `${reason._tag} ${tagOf(reason.cause)}`

const reasonOf = (error: unknown) => error instanceof ConnectionClosed ? describeReason(error.reason) : undefined

const reasonOfState = ({ service }: { readonly service: PersistentConnection.PersistentConnection<Line, FeedError> }) =>
  Effect.map(service.state.get, (state) => state._tag === "Closed" ? describeReason(state.reason) : state._tag)

describe("a final cause", () => {
  it.scoped("D11: a 401 makes the policy give up at once, and all waiting callers get the reason", () =>
    Effect.gen(function*() {
      const { attempts, events, service } = yield* begin({
        connect: (_, number) => number < 3 ? Effect.fail(unreachable) : Effect.fail(unauthorized)
      })
      yield* pass(15)
      const closed = yield* askNow(service.connectedOrClosed)
      const failed = yield* askNow(service.connectedOrFailedToConnect)
      const use = yield* askNow(PersistentConnection.use(service, () => Effect.never))
      const finished = yield* askNow(service.closeFinished)
      const connected = yield* askNow(service.connected)
      expect([closed, failed, use, finished].every(({ isWaiting }) => isWaiting)).toBe(true)
      yield* pass(5)
      expect(failed.error?._tag).toBe("Unauthorized")
      expect([reasonOf(closed.error), reasonOf(use.error)]).toEqual(["GaveUp Unauthorized", "GaveUp Unauthorized"])
      expect([finished.isWaiting, connected.isWaiting]).toEqual([false, true])
      // Later callers get it too.
      const later = yield* askNow(service.connectedOrFailedToConnect)
      expect([reasonOf(later.error), yield* reasonOfState({ service })]).toEqual([
        "GaveUp Unauthorized",
        "GaveUp Unauthorized"
      ])
      yield* pass(1_000)
      expect(attempts).toEqual(["0 a", "10 a", "20 a"])
      expect(events).toEqual([
        "AttemptingToConnect",
        "ObtainedAddress",
        "FailedToConnect Unreachable",
        "FailedToConnect Unauthorized"
      ])
    }))

  it.scoped("D11: the cause of a loss can be final", () =>
    Effect.gen(function*() {
      const { attempts, events, service } = yield* begin({
        closed: () => Effect.zipRight(sleep(100), Effect.fail(unauthorized))
      })
      yield* pass(99)
      const closed = yield* askNow(service.closeFinished)
      yield* pass(1)
      expect(closed.isWaiting).toBe(false)
      yield* pass(1_000)
      expect(yield* reasonOfState({ service })).toBe("GaveUp Unauthorized")
      expect([attempts, events.at(-1)]).toEqual([["0 a"], "Disconnected Unauthorized"])
    }))

  const others: ReadonlyArray<
    readonly [string, (cause: Cause.Cause<unknown>) => boolean, Effect.Effect<never, FeedError>]
  > = [
    ["a defect", Cause.isDie, Effect.die("bug")],
    ["a failed look-up", (cause) => tagOf(cause) === "Unreachable", Effect.fail(unreachable)]
  ]

  for (const [name, isFinal, failure] of others) {
    it.scoped(`D5: ${name} can be final`, () =>
      Effect.gen(function*() {
        const { attempts, service } = yield* begin({
          address: () => Effect.succeed("a"),
          connect: () => failure,
          retry: RetryPolicy.classify(
            RetryPolicy.fixed("10 seconds"),
            (cause) => isFinal(cause) ? RetryPolicy.giveUp : RetryPolicy.follow
          )
        })
        yield* pass(100)
        expect([attempts.length, (yield* service.state.get)._tag]).toEqual([1, "Closed"])
      }))
  }

  it.scoped("D5: a regular close by the peer can be final", () =>
    Effect.gen(function*() {
      const { attempts, service } = yield* begin({
        connect: (_, number) => number === 1 ? Effect.fail(unreachable) : Effect.void,
        closed: () => sleep(5),
        retry: RetryPolicy.classify(
          RetryPolicy.fixed("10 seconds"),
          (cause) => Cause.isEmpty(cause) ? RetryPolicy.giveUp : RetryPolicy.follow
        )
      })
      yield* pass(100)
      expect([attempts, (yield* service.state.get)._tag]).toEqual([["0 a", "10 a"], "Closed"])
    }))

  it.scoped("D10: a function that throws is logged and does not stop the loop", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        connect: () => Effect.fail(unreachable),
        retry: RetryPolicy.classify(RetryPolicy.fixed("1 second"), () => {
          throw new Error("bug")
        })
      })
      yield* pass(25)
      expect(attempts).toEqual(["0 a", "10 a", "20 a"])
    }))
})

describe("a retry time named by the server", () => {
  it.scoped("counts from the failure, not from the beginning of the attempt; the delay of the policy follows it", () =>
    Effect.gen(function*() {
      const { attempts, service } = yield* begin({
        connect: (_, number) =>
          number === 1 ? Effect.zipRight(sleep(5), Effect.fail(busy("1 minute"))) : Effect.fail(unreachable)
      })
      yield* pass(5)
      expect(yield* service.state.get).toMatchObject({ _tag: "Waiting", nextAttemptAt: Option.some(75_000) })
      yield* pass(69.999)
      expect(attempts).toEqual(["0 a"])
      yield* pass(20.001)
      // After any other failure the delay runs from the beginning of the attempt (T1).
      expect(attempts).toEqual(["0 a", "75 a", "85 a", "95 a"])
    }))

  it.scoped("counts from the loss, regardless of the age of the connection", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        closed: () => Effect.zipRight(sleep(3_600), Effect.fail(busy("1 minute")))
      })
      yield* pass(4_000)
      expect(attempts).toEqual(["0 a", "3670 a"])
    }))

  it.scoped("neither shortens the delay of the policy nor stops its growth", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        connect: (_, number) => Effect.fail(number === 3 ? busy("1 second") : unreachable),
        retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "1 minute", jitter: "none" }).pipe(
          RetryPolicy.classify(decide)
        )
      })
      yield* pass(40)
      // Delays of 1, 2, 4 (plus the 1 that the server named), 8 and 16 seconds.
      expect(attempts).toEqual(["0 a", "1 a", "3 a", "8 a", "16 a", "32 a"])
    }))

  it.scoped("clients with the same retry time do not return at the same moment", () =>
    Effect.gen(function*() {
      const begunAt: Array<string> = []
      for (let seed = 0; seed < 20; seed++) {
        const { attempts } = yield* begin({
          connect: (_, number) => number === 1 ? Effect.fail(busy("1 minute")) : Effect.void,
          retry: RetryPolicy.classify(RetryPolicy.exponential({ base: "10 seconds" }), decide)
        }).pipe(Effect.withRandom(Random.make(seed)), Effect.zipLeft(settle))
        yield* pass(70)
        begunAt.push((Number(attempts[1]!.split(" ")[0]) - Number(attempts[0]!.split(" ")[0])).toFixed(1))
      }
      expect(new Set(begunAt).size).toBeGreaterThan(15)
      for (const at of begunAt) {
        expect(Number(at)).toBeGreaterThanOrEqual(60)
        expect(Number(at)).toBeLessThanOrEqual(70)
      }
    }))

  it.scoped("a time of 0 leaves only the delay of the policy, counted from now", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        connect: (_, number) => Effect.zipRight(sleep(3), Effect.fail(number === 1 ? busy(0) : unreachable))
      })
      yield* pass(24)
      expect(attempts).toEqual(["0 a", "13 a", "23 a"])
    }))

  it.scoped("reconnectNow does not wait for the named time", () =>
    Effect.gen(function*() {
      const { attempts, service } = yield* begin({
        connect: (_, number) => number === 1 ? Effect.fail(busy("1 hour")) : Effect.void
      })
      yield* pass(7)
      yield* PersistentConnection.reconnectNow(service)
      yield* settle
      expect(attempts).toEqual(["0 a", "7 a"])
    }))

  it.scoped("counts towards the limit of a policy with upTo", () =>
    Effect.gen(function*() {
      const { attempts, service } = yield* begin({
        connect: (_, number) => Effect.fail(number === 2 ? busy("1 hour") : unreachable),
        retry: RetryPolicy.fixed("10 seconds").pipe(Schedule.upTo("10 minutes"), RetryPolicy.classify(decide))
      })
      yield* pass(60)
      expect([attempts.length, (yield* service.state.get)._tag]).toEqual([2, "Closed"])
    }))

  it.each([
    ["retryAfter must be a finite duration of 0 or more, but is -1", -1],
    ["retryAfter must be a finite duration of 0 or more, but is Infinity", Infinity]
  ])("throws at once: %s", (message, time) => {
    expect(() => RetryPolicy.retryAfter(time)).toThrow(message)
  })
})

describe("classify", () => {
  it.each<[string, string, () => unknown]>([
    ["nothing", "undefined", () => RetryPolicy.classify(RetryPolicy.standard, undefined as never)],
    ["nothing, with pipe", "undefined", () => RetryPolicy.standard.pipe(RetryPolicy.classify(undefined as never))],
    ["a decision", "object", () => RetryPolicy.standard.pipe(RetryPolicy.classify(RetryPolicy.giveUp as never))],
    ["a schedule alone", "undefined", () => (RetryPolicy.classify as Function)(RetryPolicy.standard)]
  ])("throws at once for %s instead of a function", (_, kind, make) => {
    expect(make).toThrow(`decide must be a function, but is of type ${kind}`)
  })

  const noDecisions: ReadonlyArray<readonly [string, unknown]> = [
    ["undefined", undefined],
    ["function", RetryPolicy.retryAfter],
    ["object", { _tag: "Retry" }],
    ["object", { _tag: "RetryAfter", time: "1 minute" }],
    ["object", { _tag: "RetryAfter" }],
    ["object", { _tag: "Later", time: Duration.minutes(1) }],
    ["boolean", true]
  ]

  for (const [kind, value] of noDecisions) {
    it.scoped(`D10: an invalid decision (${kind}) is logged, and the next attempt follows after 10 seconds`, () =>
      Effect.gen(function*() {
        const { captured, lines } = captureLog()
        const { attempts } = yield* captured(begin({
          connect: () => Effect.fail(unreachable),
          retry: RetryPolicy.classify(RetryPolicy.fixed("1 second"), () => value as RetryPolicy.RetryDecision)
        }))
        yield* pass(15)
        expect(attempts).toEqual(["0 a", "10 a"])
        expect(lines.map(({ cause }) => Cause.pretty(cause)).join()).toContain(
          `The result of decide must be follow, giveUp or retryAfter(time), but is of type ${kind}`
        )
      }))
  }

  it.effect("drives Effect.retry like any schedule", () =>
    Effect.gen(function*() {
      const attempts: Array<number> = []
      const errors = [unreachable, busy("1 minute"), unreachable, unauthorized, unreachable]
      const failing: Effect.Effect<never, FeedError> = Effect.flatMap(
        now,
        (at) => Effect.fail(errors[attempts.push(at) - 1]!)
      )
      const policy = everyTen.pipe(Schedule.mapInput((error: FeedError) => Cause.fail(error)))
      const asked = yield* askNow(Effect.retry(failing, policy))
      yield* pass(1_000)
      expect(attempts).toEqual([0, 10, 80, 90])
      expect(asked.error?._tag).toBe("Unauthorized")
    }))

  it.effect("if it is applied twice, the outer one decides first", () =>
    Effect.gen(function*() {
      const { attempts, service } = yield* begin({
        connect: (_, number) => Effect.fail(number === 1 ? unreachable : unauthorized),
        retry: everyTen.pipe(
          RetryPolicy.classify((cause: Cause.Cause<unknown>) =>
            tagOf(cause) === "Unreachable" ? RetryPolicy.retryAfter("5 seconds") : RetryPolicy.follow
          )
        )
      })
      yield* pass(60)
      expect([attempts, (yield* service.state.get)._tag]).toEqual([["0 a", "15 a"], "Closed"])
    }).pipe(Effect.scoped))
})

describe("a cause that selects another address", () => {
  const isElsewhere = (cause: Cause.Cause<unknown>) => tagOf(cause) === "Unreachable"

  it.scoped("failover moves on after a refusal, and stays after a 401", () =>
    Effect.gen(function*() {
      const failures = [unreachable, unauthorized, busy(0), unreachable, unauthorized]
      const { attempts } = yield* begin({
        address: Addresses.failover(["a", "b", "c"], { failoverWhen: isElsewhere }),
        connect: (_, number) => Effect.fail(failures[number - 1] ?? unreachable),
        retry: RetryPolicy.fixed("10 seconds")
      })
      yield* pass(50)
      expect(attempts).toEqual(["0 a", "10 b", "20 b", "30 b", "40 c", "50 c"])
    }))

  it.scoped("without a predicate failover moves on after every failed attempt, and stays after a loss", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        address: Addresses.failover(["a", "b", "c"]),
        connect: (address) => address === "a" ? Effect.fail(unreachable) : Effect.void,
        closed: () => Effect.fail(unreachable)
      })
      yield* pass(30)
      expect(attempts).toEqual(["0 a", "10 b", "20 b", "30 b"])
    }))

  it.scoped("failover leaves a peer that accepts and hangs up, if the predicate is true for the cause of the loss", () =>
    Effect.gen(function*() {
      for (
        const [closed, failoverWhen] of [[Effect.fail(unreachable), isElsewhere], [Effect.void, Cause.isEmpty]] as const
      ) {
        const begun = yield* now
        const { attempts } = yield* begin({
          address: Addresses.failover(["a", "b"], { failoverWhen }),
          closed: (number) => number === 2 ? sleep(25).pipe(Effect.zipRight(Effect.fail(unauthorized))) : closed,
          retry: RetryPolicy.fixed("10 seconds")
        })
        yield* pass(55)
        const at = (seconds: number, address: string) => `${begun + seconds} ${address}`
        expect(attempts).toEqual([at(0, "a"), at(10, "b"), at(35, "b"), at(45, "a"), at(55, "b")])
      }
    }))

  it.scoped("fails back to the first address after a loss for which the predicate is false", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        address: Addresses.failover(["a", "b", "c"], { failoverWhen: isElsewhere, failBackAfter: "1 minute" }),
        connect: (_, number) => number === 1 ? Effect.fail(unreachable) : Effect.void,
        closed: () => Effect.zipRight(sleep(40), Effect.void)
      })
      yield* pass(100)
      // It leaves the first address at 10.
      expect(attempts).toEqual(["0 a", "10 b", "50 b", "90 a"])
    }))

  it.scoped("fails back to the first address if both a failback and a failover are due", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        address: Addresses.failover(["a", "b", "c"], { failoverWhen: isElsewhere, failBackAfter: "1 minute" }),
        connect: (_, number) => number === 1 ? Effect.fail(unreachable) : Effect.void,
        closed: () => Effect.zipRight(sleep(60), Effect.fail(unreachable)),
        retry: RetryPolicy.fixed("10 seconds")
      })
      yield* pass(200)
      // It leaves the first address at 10, returns at 70, and leaves again after the loss of that connection.
      expect(attempts).toEqual(["0 a", "10 b", "70 a", "130 b", "190 a"])
    }))

  it.scoped("C6: a predicate that throws makes the attempt fail", () =>
    Effect.gen(function*() {
      const { attempts, events } = yield* begin({
        address: Addresses.failover(["a", "b"], {
          failoverWhen: () => {
            throw new Error("bug")
          }
        }),
        connect: () => Effect.fail(unreachable)
      })
      yield* pass(30)
      expect(attempts).toEqual(["0 a"])
      expect(events.slice(2)).toEqual(["FailedToConnect Unreachable", "FailedToConnect defect"])
    }))

  it.scoped("together with classify: another address after a refusal, the same address after a named retry time", () =>
    Effect.gen(function*() {
      const { attempts } = yield* begin({
        address: Addresses.failover(["a", "b"], { failoverWhen: isElsewhere }),
        connect: (address, number) =>
          address === "a" ? Effect.fail(unreachable) : number === 2 ? Effect.fail(busy("1 minute")) : Effect.void
      })
      yield* pass(100)
      expect(attempts).toEqual(["0 a", "10 b", "80 b"])
    }))
})
