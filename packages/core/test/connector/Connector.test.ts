import { describe, expect } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { makeAttempt } from "../support/attempt.js"
import { it, pass, settle } from "../support/virtualTime.js"

/** A connection and its status. */
class Line {
  isOpen = true
  isReleased = false
  watches = 0
  readonly lost = Deferred.unsafeMake<void, string>(fiberId)
  constructor(readonly address: string) {}
}

const fiberId = Effect.runSync(Effect.fiberId)

/** A connector that records the connections that it opens. */
class RecordingServer {
  readonly log: Array<string> = []
  readonly lines: Array<Line> = []
  attempts = 0

  get last(): Line {
    return this.lines.at(-1)!
  }

  /** `before` runs first. Its resources belong to the connection too. */
  connector<E = never, R = never>(
    before: (attempt: Connector.Attempt<string>) => Effect.Effect<unknown, E, R> = () => Effect.void
  ): Connector.Connector<string, Line, E | string, Exclude<R, Scope.Scope>> {
    return Connector.make({
      connect: (address: string, attempt) =>
        Effect.gen(this, function*() {
          this.attempts++
          yield* before(attempt)
          const line = yield* Effect.acquireRelease(
            Effect.sync(() => new Line(address)),
            (line) =>
              Effect.sync(() => {
                line.isReleased = true
                this.log.push("line released")
              })
          )
          this.lines.push(line)
          return line
        }),
      closed: (line: Line) =>
        Effect.acquireUseRelease(
          Effect.sync(() => line.watches++),
          () => Deferred.await(line.lost),
          () => Effect.sync(() => line.watches--)
        ),
      isClosed: (line) => !line.isOpen
    })
  }
}

const attempt = makeAttempt({ serverName: "prices", generation: 3 })

/** The same connector in an uninterruptible region. */
const uninterruptible = <Connection, E, R>(
  { closed, connect, isClosed }: Connector.Connector<string, Connection, E, R>
): Connector.Connector<string, Connection, E, R> =>
  Connector.make({
    connect: (address: string, attempt: Connector.Attempt<string>) => Effect.uninterruptible(connect(address, attempt)),
    closed,
    isClosed
  })

/** Connects in a scope that the test closes. */
const open = <Connection, E, R>(
  connector: Connector.Connector<string, Connection, E, R>,
  attempting: Connector.Attempt<string> = attempt
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const fiber = yield* Effect.fork(Scope.extend(connector.connect("a", attempting), scope))
    // Runs until it waits.
    yield* settle
    return { fiber, close: Scope.close(scope, Exit.void) }
  })

/** A connector that records the addresses that it receives. */
const remembering = (given: Array<unknown>) =>
  Connector.make({
    connect: (address: URL, attempt) => {
      given.push(address.href, Option.map(attempt.previousAddress, ({ href }) => href))
      return Effect.succeed({})
    },
    closed: () => Effect.never
  }).pipe(Connector.mapAddress((text: string) => new URL(text)))

const isDone = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) => Effect.map(Fiber.poll(fiber), Option.isSome)

const failureOf = <A, E>(fiber: Fiber.Fiber<A, E>) => Effect.flip(Fiber.join(fiber))

const causeOf = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.map(Fiber.await(fiber), (exit) => Exit.isFailure(exit) ? exit.cause : Cause.empty)

describe("Connector", () => {
  describe("make", () => {
    it("has a type id, and can be piped", () => {
      const connector = Connector.make({ connect: () => Effect.succeed({}), closed: () => Effect.never })
      expect(connector[Connector.TypeId]).toBe(Connector.TypeId)
      expect(connector.pipe((self) => self === connector)).toBe(true)
    })

    it("A4: isClosed is absent if it was not given, also in derived connectors", () => {
      const connector = Connector.make<string, object>({
        connect: () => Effect.succeed({}),
        closed: () => Effect.never
      })
      const made = [
        connector,
        connector.pipe(Connector.connectTimeout("1 second")),
        connector.pipe(Connector.connectTimeout(Infinity)),
        connector.pipe(Connector.setup((connection) => Effect.succeed(connection))),
        connector.pipe(Connector.limitAttempts(Connector.makeAttemptLimiter(1))),
        connector.pipe(Connector.map((connection) => connection)),
        connector.pipe(Connector.mapError((error) => error)),
        connector.pipe(Connector.mapAddress((address: string) => address))
      ]
      expect(made.map(({ isClosed }) => isClosed)).toEqual(made.map(() => undefined))
    })

    it.scoped("every combinator passes terminate and close on to the original connector, with the original connection", () =>
      Effect.gen(function*() {
        const terminated: Array<object> = []
        const closing: Array<object> = []
        const connection = {}
        const connector = Connector.make<string, object>({
          connect: () => Effect.succeed(connection),
          closed: () => Effect.never,
          terminate: (connection) => Effect.sync(() => terminated.push(connection)),
          close: (connection) => Effect.sync(() => closing.push(connection))
        })
        const made: ReadonlyArray<Connector.Connector<string, object, unknown>> = [
          connector,
          connector.pipe(Connector.connectTimeout("1 second")),
          connector.pipe(Connector.setup((): Effect.Effect<object> => Effect.succeed({}))),
          connector.pipe(Connector.limitAttempts(Connector.makeAttemptLimiter(1))),
          connector.pipe(Connector.map((): object => ({}))),
          connector.pipe(Connector.mapError((error) => error)),
          connector.pipe(Connector.mapAddress((address: string) => address)),
          connector.pipe(Connector.healthCheck({ probe: () => Effect.void, interval: "1 hour", timeout: "1 second" }))
        ]
        for (const each of made) {
          const connected = yield* each.connect("a", attempt)
          yield* each.terminate!(connected)
          yield* each.close!(connected)
        }
        expect(terminated.map((each) => each === connection)).toEqual(made.map(() => true))
        expect(closing.map((each) => each === connection)).toEqual(made.map(() => true))
      }))

    it("throws at once if a member is not a function, and names the member", () => {
      const functions = { connect: () => Effect.succeed({}), closed: () => Effect.never }
      for (const name of ["connect", "closed", "isClosed", "probe", "terminate", "close"]) {
        expect(() => Connector.make({ ...functions, [name]: 5 })).toThrow(`${name} must be a function, but is of type`)
      }
    })

    it.effect("accepts an object with methods, also an instance of a class", () =>
      Effect.gen(function*() {
        class Wire {
          private readonly greeting = "hello"
          connect(address: string) {
            return Effect.succeed({ said: `${this.greeting} ${address}` })
          }
          closed() {
            return Effect.fail(this.greeting)
          }
        }
        const connector = Connector.make(new Wire()).pipe(Connector.map(({ said }) => ({ said })))
        const connection = yield* Effect.scoped(connector.connect("a", attempt))
        expect(connection).toEqual({ said: "hello a" })
        expect(yield* Effect.flip(connector.closed(connection))).toBe("hello")
      }))

    it.effect("every combinator gets the end of a connection from the original connector", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const check = <Connection, E>(connector: Connector.Connector<string, Connection, E>) =>
          Effect.gen(function*() {
            const { fiber } = yield* open(connector)
            const connection = yield* Fiber.join(fiber)
            const { last } = server
            expect(connector.isClosed?.(connection)).toBe(false)
            last.isOpen = false
            expect(connector.isClosed?.(connection)).toBe(true)
            const watch = yield* Effect.fork(connector.closed(connection))
            yield* settle
            expect(yield* isDone(watch)).toBe(false)
            expect(last.watches).toBe(1)
            yield* Deferred.fail(last.lost, "reset")
            expect(yield* failureOf(watch)).toBe("reset")
          })
        const connector = server.connector()
        yield* check(connector)
        yield* check(connector.pipe(Connector.connectTimeout("1 second")))
        yield* check(connector.pipe(Connector.setup((line) => Effect.succeed(line))))
        yield* check(connector.pipe(Connector.setup(() => Effect.succeed({}))))
        yield* check(connector.pipe(Connector.limitAttempts(Connector.makeAttemptLimiter(1))))
        yield* check(connector.pipe(Connector.map((line) => line)))
        yield* check(connector.pipe(Connector.map(() => ({})), Connector.map((line) => ({ line }))))
        yield* check(connector.pipe(Connector.mapError((error) => error)))
        yield* check(connector.pipe(Connector.mapAddress((address: string) => address)))
      }))
  })

  describe("connectTimeout", () => {
    it.effect("D9: fails after the timeout, and releases the acquired resources", () =>
      Effect.gen(function*() {
        let isReleased = false
        let isInterrupted = false
        const hanging = new RecordingServer().connector(() =>
          Effect.zipRight(
            Effect.addFinalizer(() =>
              Effect.sync(() => {
                isReleased = true
              })
            ),
            Effect.onInterrupt(Effect.never, () =>
              Effect.sync(() => {
                isInterrupted = true
              }))
          )
        )
        const { fiber } = yield* open(hanging.pipe(Connector.connectTimeout("5 seconds")))
        yield* pass(4.999)
        expect(yield* isDone(fiber)).toBe(false)
        yield* pass(0.001)
        const error = yield* failureOf(fiber)
        expect(error).toBeInstanceOf(Cause.TimeoutException)
        expect(error).toHaveProperty("message", "No connection to \"prices\" within 5s")
        expect(isInterrupted).toBe(true)
        expect(isReleased).toBe(true)
      }))

    it.effect("D4: if the connect is in time, the connection and its resources live as long as their scope", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const slow = server.connector(() => Effect.sleep("4 seconds"))
        const { close, fiber } = yield* open(Connector.connectTimeout(slow, "5 seconds"))
        yield* pass(4)
        expect(yield* Fiber.join(fiber)).toBe(server.last)
        yield* pass(3600)
        expect(server.log).toEqual([])
        yield* close
        expect(server.log).toEqual(["line released"])
      }))

    it.effect("D9: does not wait for an uninterruptible connect, and releases its late connection", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const slowConnect = server.connector(() => Effect.uninterruptible(Effect.sleep("1 minute")))
        const { close, fiber } = yield* open(uninterruptible(slowConnect).pipe(Connector.connectTimeout("5 seconds")))
        yield* pass(5)
        expect(yield* failureOf(fiber)).toBeInstanceOf(Cause.TimeoutException)
        expect(server.lines).toEqual([])
        yield* pass(55)
        expect(server.lines).toMatchObject([{ isReleased: true }])
        yield* close
        expect(server.log).toEqual(["line released"])
      }))

    it.effect("D8: the scope of the attempt stays open until a late connection has been released", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const slowConnect = server.connector(() => Effect.uninterruptible(Effect.sleep("1 minute")))
        const { close, fiber } = yield* open(slowConnect.pipe(Connector.connectTimeout("5 seconds")))
        yield* pass(5)
        yield* Fiber.await(fiber)
        const closing = yield* Effect.fork(close)
        yield* pass(54)
        expect(yield* isDone(closing)).toBe(false)
        yield* pass(1)
        expect(yield* isDone(closing)).toBe(true)
      }))

    it.effect("D9: does not wait for a finalizer that hangs", () =>
      Effect.gen(function*() {
        const hanging = new RecordingServer().connector(() => Effect.onInterrupt(Effect.never, () => Effect.never))
        const { fiber } = yield* open(hanging.pipe(Connector.connectTimeout("5 seconds")))
        yield* pass(5)
        expect(yield* failureOf(fiber)).toBeInstanceOf(Cause.TimeoutException)
      }))

    it.effect("D10: an exception of a late release is reported to the scope", () =>
      Effect.gen(function*() {
        const throwing = new RecordingServer().connector(() =>
          Effect.zipRight(Effect.addFinalizer(() => Effect.die("broken")), Effect.never)
        )
        const { close, fiber } = yield* open(throwing.pipe(Connector.connectTimeout("5 seconds")))
        yield* pass(5)
        expect(yield* failureOf(fiber)).toBeInstanceOf(Cause.TimeoutException)
        expect(yield* Effect.exit(close)).toEqual(Exit.die("broken"))
      }))

    it.effect("D1: interrupting the attempt interrupts the connect, and waits for it", () =>
      Effect.gen(function*() {
        const cleaning = yield* Deferred.make<void>()
        const server = new RecordingServer()
        const slow = server.connector(() => Effect.onInterrupt(Effect.never, () => Deferred.await(cleaning)))
        const { close, fiber } = yield* open(slow.pipe(Connector.connectTimeout("5 seconds")))
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* pass(60)
        expect(yield* isDone(interrupting)).toBe(false)
        yield* Deferred.succeed(cleaning, undefined)
        expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
        yield* close
        expect(server.lines).toEqual([])
      }))

    it.effect("D1: releases a connection that was established at the time of the interruption", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const slowConnect = server.connector(() => Effect.uninterruptible(Effect.sleep("1 second")))
        const { close, fiber } = yield* open(slowConnect.pipe(Connector.connectTimeout("5 seconds")))
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* pass(1)
        expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
        yield* close
        expect(server.lines.every((line) => line.isReleased)).toBe(true)
      }))

    it.effect("D9: untimed effects do not count, at any nesting depth", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        let untimed = 0
        const waiting = server.connector((attempt) =>
          Effect.sleep("3 seconds").pipe(
            Effect.zipRight(attempt.untimed(Effect.sleep("1 hour"))),
            Effect.zipRight(Effect.sleep("1999 millis"))
          )
        )
        const { fiber } = yield* open(
          waiting.pipe(Connector.connectTimeout("5 seconds"), Connector.connectTimeout("5 seconds")),
          {
            ...attempt,
            untimed: (effect) => {
              untimed++
              return effect
            }
          }
        )
        yield* pass(3)
        yield* pass(3600)
        yield* pass(1.998)
        expect(yield* isDone(fiber)).toBe(false)
        yield* pass(0.001)
        expect(yield* Fiber.join(fiber)).toBe(server.last)
        expect(untimed).toBe(1)
      }))

    it.effect("fails with the error of the connect", () =>
      Effect.gen(function*() {
        const typed = new RecordingServer().connector(() => Effect.fail("refused"))
        const thrown = new RecordingServer().connector(() => Effect.die("broken"))
        expect(yield* failureOf((yield* open(typed.pipe(Connector.connectTimeout(5)))).fiber)).toBe("refused")
        expect(yield* causeOf((yield* open(thrown.pipe(Connector.connectTimeout(5)))).fiber)).toEqual(
          Cause.die("broken")
        )
      }))

    it.effect("D1: does not hang in an uninterruptible attempt, and does not interrupt the connect", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const slow = server.connector(() => Effect.sleep("2 seconds"))
        const inTime = yield* open(uninterruptible(slow.pipe(Connector.connectTimeout("3 seconds"))))
        const tooLate = yield* open(uninterruptible(slow.pipe(Connector.connectTimeout("1 second"))))
        yield* pass(1)
        expect(yield* isDone(tooLate.fiber)).toBe(true)
        expect(yield* failureOf(tooLate.fiber)).toBeInstanceOf(Cause.TimeoutException)
        yield* pass(1)
        const line = yield* Fiber.join(inTime.fiber)
        expect(line.isReleased).toBe(false)
        expect(server.lines.filter((each) => each.isReleased)).toHaveLength(1)
      }))

    it.effect("keeps the FiberRef changes of the connect", () =>
      Effect.gen(function*() {
        const ref = FiberRef.unsafeMake("before")
        const setting = new RecordingServer().connector(() => FiberRef.set(ref, "after"))
        const connector = setting.pipe(Connector.connectTimeout(5), Connector.setup((line) => Effect.succeed(line)))
        yield* Effect.scoped(connector.connect("a", attempt))
        expect(yield* FiberRef.get(ref)).toBe("after")
      }))

    it.effect("D9: Duration.infinity is no limit", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const slow = server.connector(() => Effect.sleep("365 days"))
        const { fiber } = yield* open(slow.pipe(Connector.connectTimeout(Duration.infinity)))
        yield* pass(31536000)
        expect(yield* Fiber.join(fiber)).toBe(server.last)
      }))

    it.effect("D9: a function can return a separate timeout for each attempt", () =>
      Effect.gen(function*() {
        const hanging = new RecordingServer().connector(() => Effect.never).pipe(
          Connector.connectTimeout(({ number }) => number === 3 ? Duration.infinity : Duration.seconds(number))
        )
        const fibers = yield* Effect.forEach(
          [1, 2, 3],
          (number) => Effect.map(open(hanging, { ...attempt, number }), ({ fiber }) => fiber)
        )
        const ended = Effect.forEach(fibers, isDone)
        expect(yield* ended).toEqual([false, false, false])
        yield* pass(1)
        expect(yield* ended).toEqual([true, false, false])
        yield* pass(1)
        expect(yield* ended).toEqual([true, true, false])
        expect(yield* failureOf(fibers[1]!)).toHaveProperty("message", "No connection to \"prices\" within 2s")
        yield* pass(3600)
        expect(yield* ended).toEqual([true, true, false])
      }))

    it.effect("C6: an attempt fails if the function throws or returns an invalid timeout", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const throwing = server.connector().pipe(Connector.connectTimeout(() => {
          throw new Error("bug")
        }))
        expect(yield* causeOf((yield* open(throwing)).fiber)).toEqual(Cause.die(new Error("bug")))
        const negative = server.connector().pipe(Connector.connectTimeout(() => -1))
        expect(Cause.pretty(yield* causeOf((yield* open(negative)).fiber))).toContain(
          "connectTimeout must be a duration of 0 or more, but is -1"
        )
        expect(server.lines).toEqual([])
      }))

    it("throws at once for a negative duration", () => {
      expect(() => Connector.connectTimeout(new RecordingServer().connector(), -1)).toThrow(
        "connectTimeout must be a duration of 0 or more, but is -1"
      )
    })
  })

  describe("setup", () => {
    it.effect("receives the connection, the address and the attempt", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const connector = Connector.setup(server.connector(), (line, address, { generation }) =>
          Effect.succeed({ line, address, generation }))
        const { fiber } = yield* open(connector)
        expect(yield* Fiber.join(fiber)).toEqual({ line: server.last, address: "a", generation: 3 })
      }))

    it.effect("watches for a loss while the set-up runs, and no longer", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const watches: Array<number> = []
        const note = Effect.sync(() => watches.push(server.last.watches))
        const connector = server.connector().pipe(
          Connector.setup((line) => Effect.as(Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 2), note), line))
        )
        yield* Effect.scoped(Effect.zipRight(connector.connect("a", attempt), note))
        expect(watches).toEqual([1, 0])
      }))

    it.effect("D4: its resources live as long as the connection, and are released before it", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        let beats = 0
        const connector = server.connector().pipe(Connector.setup((line) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() => Effect.sync(() => server.log.push("set-up released")))
            yield* Effect.sync(() => beats++).pipe(Effect.delay("1 second"), Effect.forever, Effect.forkScoped)
            return line
          })
        ))
        const { close, fiber } = yield* open(connector)
        yield* Fiber.join(fiber)
        yield* pass(3)
        expect(beats).toBe(3)
        expect(server.log).toEqual([])
        yield* close
        expect(server.log).toEqual(["set-up released", "line released"])
        yield* pass(3)
        expect(beats).toBe(3)
      }))

    it.effect("fails the attempt when it fails, and stops watching", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const typed = server.connector().pipe(Connector.setup(() => Effect.fail("unauthorized")))
        expect(yield* failureOf((yield* open(typed)).fiber)).toBe("unauthorized")
        const thrown = server.connector().pipe(Connector.setup((): Effect.Effect<object> => {
          throw new Error("broken")
        }))
        expect(yield* causeOf((yield* open(thrown)).fiber)).toEqual(Cause.die(new Error("broken")))
        expect(server.lines.map((line) => line.watches)).toEqual([0, 0])
      }))

    it.effect("D5: a loss during the set-up interrupts it and fails the attempt with the cause of the loss", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const cleaning = yield* Deferred.make<void>()
        const hanging = server.connector().pipe(
          Connector.setup(() => Effect.onInterrupt(Effect.never, () => Deferred.await(cleaning)))
        )
        const { fiber } = yield* open(hanging)
        expect(server.last.watches).toBe(1)
        yield* Deferred.fail(server.last.lost, "reset")
        yield* settle
        expect(yield* isDone(fiber)).toBe(false)
        yield* Deferred.succeed(cleaning, undefined)
        expect(yield* causeOf(fiber)).toEqual(Cause.fail("reset"))
      }))

    it.effect("D5: a loss by a defect fails the attempt with that defect", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const { fiber } = yield* open(server.connector().pipe(Connector.setup(() => Effect.never)))
        yield* Deferred.die(server.last.lost, "broken")
        expect(yield* causeOf(fiber)).toEqual(Cause.die("broken"))
      }))

    it.effect("a loss without an error is a ConnectionLost", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const { fiber } = yield* open(server.connector().pipe(Connector.setup(() => Effect.never)))
        yield* Deferred.succeed(server.last.lost, undefined)
        const error = yield* failureOf(fiber)
        expect(error).toEqual(new ConnectionLost({ serverName: "prices", generation: 3, lossCause: Cause.empty }))
        expect(error).toHaveProperty("message", "Connection 3 to \"prices\" was closed")
      }))

    it.effect("a `closed` that interrupts itself is a loss, not an interruption of the attempt", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const { fiber } = yield* open(server.connector().pipe(Connector.setup(() => Effect.never)))
        yield* Deferred.interrupt(server.last.lost)
        const error = yield* failureOf(fiber)
        expect(error).toBeInstanceOf(ConnectionLost)
      }))

    it.effect("D10: a defect of the interrupted set-up is reported as well", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const { fiber } = yield* open(
          server.connector().pipe(
            Connector.setup(() => Effect.onInterrupt(Effect.never, () => Effect.die("broken")))
          )
        )
        yield* Deferred.fail(server.last.lost, "reset")
        expect(yield* causeOf(fiber)).toEqual(Cause.parallel(Cause.fail("reset"), Cause.die("broken")))
      }))

    it.effect("D1: interrupting the attempt interrupts the set-up and `closed`, and waits for both", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const cleaning = yield* Deferred.make<void>()
        const { fiber } = yield* open(
          server.connector().pipe(
            Connector.setup(() => Effect.onInterrupt(Effect.never, () => Deferred.await(cleaning)))
          )
        )
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* settle
        expect(yield* isDone(interrupting)).toBe(false)
        yield* Deferred.succeed(cleaning, undefined)
        expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
        expect(server.last.watches).toBe(0)
      }))

    it.effect("D1: does not hang in an uninterruptible attempt", () =>
      Effect.gen(function*() {
        const connector = new RecordingServer().connector().pipe(
          Connector.setup((line) => Effect.as(Effect.yieldNow(), line))
        )
        expect(yield* Fiber.join((yield* open(uninterruptible(connector))).fiber)).toBeInstanceOf(Line)
      }))

    it.effect("counts against a `connectTimeout` that is applied later", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const connector = server.connector().pipe(
          Connector.connectTimeout("2 seconds"),
          Connector.setup(() => Effect.never),
          Connector.connectTimeout("5 seconds")
        )
        const { fiber } = yield* open(connector)
        yield* pass(4)
        expect(yield* isDone(fiber)).toBe(false)
        yield* pass(1)
        expect(yield* failureOf(fiber)).toHaveProperty("message", "No connection to \"prices\" within 5s")
        expect(server.last).toMatchObject({ watches: 0, isReleased: true })
      }))
  })

  describe("limitAttempts", () => {
    /** Takes a permit, and returns a function that releases it. */
    const takePermit = (limiter: Connector.AttemptLimiter) =>
      Effect.gen(function*() {
        const end = yield* Deferred.make<void>()
        const { fiber } = yield* open(
          new RecordingServer().connector(() => Deferred.await(end)).pipe(Connector.limitAttempts(limiter))
        )
        return Effect.zipRight(Deferred.succeed(end, undefined), Fiber.join(fiber))
      })

    const hasPermit = (limiter: Connector.AttemptLimiter) =>
      Effect.gen(function*() {
        const { fiber } = yield* open(new RecordingServer().connector().pipe(Connector.limitAttempts(limiter)))
        yield* settle
        const hasEnded = fiber.unsafePoll() !== null
        yield* Fiber.interrupt(fiber)
        return hasEnded
      })

    it("rejects an invalid number of permits, and a value that is not a limiter", () => {
      for (const permits of [0, -1, 1.5, Infinity, NaN]) {
        expect(() => Connector.makeAttemptLimiter(permits)).toThrow("permits must be a whole number of 1 or more")
      }
      expect(() => Connector.limitAttempts(new RecordingServer().connector(), {} as Connector.AttemptLimiter))
        .toThrow("makeAttemptLimiter")
    })

    it.effect("limits the concurrent attempts of all connectors that share the limiter", () =>
      Effect.gen(function*() {
        const limiter = Connector.makeAttemptLimiter(2)
        const server = new RecordingServer()
        const slow = server.connector(() => Effect.sleep("1 second")).pipe(Connector.limitAttempts(limiter))
        const other = server.connector(() => Effect.sleep("1 second")).pipe(Connector.limitAttempts(limiter))
        const opened = yield* Effect.all([open(slow), open(other), open(slow), open(other), open(slow)])
        expect(server.attempts).toBe(2)
        yield* pass(1)
        // The first two are connected and stay open.
        expect(server.lines).toHaveLength(2)
        expect(server.attempts).toBe(4)
        yield* pass(2)
        yield* Effect.forEach(opened, ({ fiber }) => Fiber.join(fiber))
        expect(server.lines.some((line) => line.isReleased)).toBe(false)
      }))

    it.effect("releases the permit after every end of an attempt", () =>
      Effect.gen(function*() {
        const limiter = Connector.makeAttemptLimiter(1)
        const endings: ReadonlyArray<Effect.Effect<unknown, string>> = [
          Effect.void,
          Effect.fail("refused"),
          Effect.die("broken"),
          Effect.interrupt,
          Effect.never
        ]
        for (const ending of endings) {
          const { fiber } = yield* open(
            new RecordingServer().connector(() => ending).pipe(Connector.limitAttempts(limiter))
          )
          yield* Fiber.interrupt(fiber)
          expect(yield* hasPermit(limiter)).toBe(true)
        }
        const throwing = Connector.make<string, Line>({
          connect: () => {
            throw new Error("broken")
          },
          closed: () => Effect.never
        })
        yield* Fiber.await((yield* open(throwing.pipe(Connector.limitAttempts(limiter)))).fiber)
        expect(yield* hasPermit(limiter)).toBe(true)
      }))

    it.effect("D1: an attempt that is interrupted while it waits takes no permit", () =>
      Effect.gen(function*() {
        const limiter = Connector.makeAttemptLimiter(1)
        const server = new RecordingServer()
        const connector = server.connector().pipe(Connector.limitAttempts(limiter))
        const giveBack = yield* takePermit(limiter)
        const waiting = yield* open(connector)
        expect(Exit.isInterrupted(yield* Fiber.interrupt(waiting.fiber))).toBe(true)
        expect(yield* hasPermit(limiter)).toBe(false)
        // In the same turn in which it would get the permit.
        const unlucky = yield* open(connector)
        yield* giveBack
        yield* Fiber.interrupt(unlucky.fiber)
        expect(yield* hasPermit(limiter)).toBe(true)
      }))

    it.effect("D9: waiting for the permit is untimed, the connect is not", () =>
      Effect.gen(function*() {
        const limiter = Connector.makeAttemptLimiter(1)
        const events: Array<string> = []
        const connector = new RecordingServer().connector(() => Effect.sync(() => events.push("connect")))
        const giveBack = yield* takePermit(limiter)
        const { fiber } = yield* open(connector.pipe(Connector.limitAttempts(limiter)), {
          ...attempt,
          untimed: (effect) =>
            Effect.acquireUseRelease(
              Effect.sync(() => events.push("stop the clock")),
              () => effect,
              () => Effect.sync(() => events.push("start the clock"))
            )
        })
        events.push("permit")
        yield* giveBack
        yield* Fiber.join(fiber)
        expect(events).toEqual(["stop the clock", "permit", "start the clock", "connect"])
      }))

    it.effect("D9: waiting for the permit does not count against a `connectTimeout` that is applied later", () =>
      Effect.gen(function*() {
        const limiter = Connector.makeAttemptLimiter(1)
        const giveBack = yield* takePermit(limiter)
        const connector = new RecordingServer().connector(() => Effect.sleep("2 seconds")).pipe(
          Connector.limitAttempts(limiter),
          Connector.connectTimeout("5 seconds")
        )
        const { fiber } = yield* open(connector)
        yield* pass(3600)
        yield* giveBack
        yield* pass(2)
        expect(yield* Fiber.join(fiber)).toBeInstanceOf(Line)
      }))
  })

  describe("map", () => {
    it.effect("D4: returns a different connection with the same lifetime", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const connector = server.connector().pipe(Connector.map((line) => ({ of: line })))
        const { close, fiber } = yield* open(connector)
        expect(yield* Fiber.join(fiber)).toEqual({ of: server.last })
        yield* close
        expect(server.last.isReleased).toBe(true)
      }))

    it.effect("distinguishes its connections", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const connector = Connector.map(server.connector(), () => ({}))
        const one = yield* Fiber.join((yield* open(connector)).fiber)
        const other = yield* Fiber.join((yield* open(connector)).fiber)
        server.lines[0]!.isOpen = false
        expect(connector.isClosed?.(one)).toBe(true)
        expect(connector.isClosed?.(other)).toBe(false)
      }))

    it.effect("C6: a function that throws fails the attempt with a defect", () =>
      Effect.gen(function*() {
        const connector = new RecordingServer().connector().pipe(Connector.map((): object => {
          throw new Error("broken")
        }))
        expect(yield* causeOf((yield* open(connector)).fiber)).toEqual(Cause.die(new Error("broken")))
      }))

    it.effect("rejects connections of other connectors", () =>
      Effect.gen(function*() {
        const connector = new RecordingServer().connector().pipe(Connector.map((line) => ({ of: line })))
        const cause = yield* Effect.flip(Effect.sandbox(connector.closed({ of: new Line("a") })))
        expect(Cause.squash(cause)).toBeInstanceOf(Cause.IllegalArgumentException)
      }))
  })

  describe("mapError", () => {
    it.effect("changes the errors of connecting, of losing the connection, and of abort", () =>
      Effect.gen(function*() {
        const server = new RecordingServer()
        const aborted: Array<unknown> = []
        const refused = Connector.make<string, Line, string, string>({
          connect: (_address, attempt) => attempt.abort("given up"),
          closed: server.connector().closed
        }).pipe(Connector.mapError((of) => ({ of })))
        const { fiber } = yield* open(refused, {
          ...attempt,
          abort: (error) => Effect.zipRight(Effect.sync(() => aborted.push(error)), Effect.fail(error))
        })
        expect(yield* failureOf(fiber)).toEqual({ of: "given up" })
        expect(aborted).toEqual([{ of: "given up" }])
        const line = new Line("a")
        yield* Deferred.fail(line.lost, "reset")
        expect(yield* Effect.flip(refused.closed(line))).toEqual({ of: "reset" })
      }))

    it.effect("D5: does not change defects", () =>
      Effect.gen(function*() {
        const connector = new RecordingServer().connector(() => Effect.die("broken")).pipe(
          Connector.mapError(() => "other")
        )
        expect(yield* causeOf((yield* open(connector)).fiber)).toEqual(Cause.die("broken"))
      }))
  })

  describe("mapAddress", () => {
    it.effect("changes the address, and the previous one", () =>
      Effect.gen(function*() {
        const given: Array<unknown> = []
        yield* Effect.scoped(
          remembering(given).connect("wss://b", {
            ...attempt,
            previousAddress: Option.some("wss://a")
          })
        )
        yield* Effect.scoped(remembering(given).connect("wss://b", attempt))
        expect(given).toEqual(["wss://b/", Option.some("wss://a/"), "wss://b/", Option.none()])
      }))

    it.effect("C6: a function that throws for the address fails the attempt with a defect", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.scoped(remembering([]).connect("nonsense", attempt)))
        expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      }))

    it.effect("ignores an exception that the function throws for the previous address", () =>
      Effect.gen(function*() {
        const given: Array<unknown> = []
        yield* Effect.scoped(
          remembering(given).connect("wss://b", {
            ...attempt,
            previousAddress: Option.some("nonsense")
          })
        )
        expect(given).toEqual(["wss://b/", Option.none()])
      }))
  })
})
