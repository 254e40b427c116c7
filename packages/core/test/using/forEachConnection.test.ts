import { describe, expect } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import {
  askNow,
  type Fixture,
  hasEnded,
  inScope,
  type Line,
  makeFixture,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const { forEachConnection, refresh } = PersistentConnection

/** A function for forEachConnection that records its runs. */
const visits = () => {
  const eventLog: Array<string> = []
  const say = (what: string) => Effect.sync(() => eventLog.push(what))
  const visit = (line: Line) => Effect.acquireRelease(say(`begin ${line.number}`), () => say(`end ${line.number}`))
  return { eventLog, say, visit }
}

describe("forEachConnection", () => {
  it.scoped("runs f on every connection, and closes its scope when the connection is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      const { eventLog, visit } = visits()
      yield* askNow(forEachConnection(service, visit))
      yield* pass(60)
      expect(eventLog).toEqual(["begin 1"])
      server.refuse("no")
      server.line.drop()
      yield* settle
      expect(eventLog).toEqual(["begin 1", "end 1"])
      server.accept()
      yield* pass(10)
      expect(eventLog).toEqual(["begin 1", "end 1", "begin 2"])
    }))

  it.scoped("also runs on a connection that ends as soon as it is established", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      server.closed = () => Effect.void
      const { eventLog, visit } = visits()
      yield* askNow(forEachConnection(service, visit))
      yield* pass(10)
      expect(eventLog).toEqual(["begin 1", "end 1", "begin 2", "end 2"])
    }))

  it.scoped("interrupts f when the connection is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const { eventLog, say, visit } = visits()
      yield* askNow(service.pipe(forEachConnection((line) =>
        visit(line).pipe(
          Effect.zipRight(Effect.never),
          Effect.onInterrupt(() => say(`interrupted ${line.number}`))
        )
      )))
      server.line.drop()
      yield* settle
      expect(eventLog).toEqual(["begin 1", "interrupted 1", "end 1", "begin 2"])
    }))

  it.scoped("moves on to the next connection at once when the current one is replaced", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* settle
      const { eventLog, visit } = visits()
      yield* askNow(forEachConnection(service, visit))
      const slow = yield* askNow(PersistentConnection.use(service, () => sleep(5)))
      yield* refresh(service)
      yield* settle
      expect(eventLog).toEqual(["begin 1", "end 1", "begin 2"])
      expect([slow.isWaiting, server.released]).toEqual([true, 0])
      yield* pass(5)
      expect(server.released).toBe(1)
    }))

  it.scoped("ends when the owner closes the persistent connection, and fails if it was aborted or gave up", () =>
    Effect.gen(function*() {
      const byOwner = yield* makeFixture()
      const aborted = yield* makeFixture()
      yield* settle
      const first = yield* askNow(forEachConnection(byOwner.service, () => Effect.never))
      const second = yield* askNow(forEachConnection(aborted.service, () => Effect.never))
      yield* byOwner.service.close
      yield* settle
      expect(first.exit).toEqual(Exit.void)
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      yield* settle
      expect(second.isWaiting, "the last connection is still open").toBe(true)
      aborted.server.line.drop()
      yield* settle
      expect(second.error).toBeInstanceOf(ConnectionClosed)
      expect((second.error as ConnectionClosed<Refused>).reason._tag).toBe("Aborted")
      // Also if it was closed before the call.
      expect((yield* askNow(forEachConnection(byOwner.service, () => Effect.never))).exit).toEqual(Exit.void)
      expect((yield* askNow(forEachConnection(aborted.service, () => Effect.never))).exit?._tag).toBe("Failure")
    }))

  it.scoped("fails with the failure of f on an open connection, and closes the scope of f", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const { eventLog, visit } = visits()
      const asked = yield* askNow(forEachConnection(service, (line) => Effect.zipRight(visit(line), refuse("full"))))
      expect(asked.failure).toBe("full")
      expect(eventLog).toEqual(["begin 1", "end 1"])
      const dead = yield* askNow(forEachConnection(service, (): Effect.Effect<void> => {
        throw new Error("bug")
      }))
      expect(dead.failure).toBe("bug!")
      const interrupted = yield* askNow(forEachConnection(service, () => Effect.interrupt))
      expect(interrupted.failure).toBe("The code interrupted itself!")
    }))

  it.scoped("continues if the loss causes the failure of f, but not after a defect", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* pass(60)
      const { eventLog, visit } = visits()
      const broken = (line: Line) => Effect.zipRight(Effect.sync(() => line.drop()), refuse("broken pipe"))
      const asked = yield* askNow(
        forEachConnection(
          service,
          (line) => Effect.zipRight(visit(line), line.number === 1 ? broken(line) : Effect.void)
        )
      )
      expect(asked.isWaiting).toBe(true)
      expect(eventLog).toEqual(["begin 1", "end 1", "begin 2"])
      yield* pass(60)
      const dead = yield* askNow(
        forEachConnection(service, (line) => Effect.zipRight(Effect.sync(() => line.drop()), Effect.die("bug")))
      )
      expect(dead.failure).toBe("bug!")
    }))

  it.scoped("reports a defect in the clean-up of f", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const asked = yield* askNow(
        forEachConnection(service, () => Effect.addFinalizer(() => Effect.die("clean-up")))
      )
      server.line.drop()
      yield* settle
      expect(asked.failure).toBe("clean-up!")
    }))

  it.scoped("starts on the next connection after the clean-up of f has ended, which delays nothing else", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const { eventLog, visit } = visits()
      yield* askNow(
        forEachConnection(service, (line) => Effect.zipRight(visit(line), Effect.addFinalizer(() => sleep(5))))
      )
      server.line.drop()
      yield* settle
      expect(yield* PersistentConnection.use(service, (line) => Effect.succeed(line.number))).toBe(2)
      expect(eventLog).toEqual(["begin 1"])
      yield* pass(5)
      expect(eventLog).toEqual(["begin 1", "end 1", "begin 2"])
    }))

  it.scoped("can be interrupted, together with f", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture()
      yield* settle
      const { eventLog, visit } = visits()
      const asked = yield* askNow(forEachConnection(service, visit))
      yield* Fiber.interrupt(asked.fiber)
      expect(asked.failure).toBe("interrupted")
      expect(eventLog).toEqual(["begin 1", "end 1"])
    }))

  it.scoped("moves on to the next connection also in an uninterruptible caller", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeFixture()
      yield* pass(60)
      const { eventLog, visit } = visits()
      yield* askNow(Effect.uninterruptible(forEachConnection(service, visit)))
      server.line.drop()
      yield* settle
      expect(eventLog).toEqual(["begin 1", "end 1", "begin 2"])
      yield* service.close
      yield* settle
      expect(eventLog.at(-1)).toBe("end 2")
    }))

  it.scoped("D7a: the loop does not wait for a handler that runs it, even if it always finds a connection", () =>
    Effect.gen(function*() {
      const { eventLog: visited, visit } = visits()
      const fixture: Fixture = yield* makeFixture({
        onEvent: (event) =>
          event._tag === "Connected" && event.generation === 1
            ? Effect.ignore(Effect.suspend(() => forEachConnection(fixture.service, visit)))
            : Effect.void
      })
      yield* settle
      yield* refresh(fixture.service)
      yield* settle
      expect(visited).toEqual(["begin 1", "end 1", "begin 2"])
      expect(fixture.eventLog.at(-1)).toBe("0 Connected 2")
    }))

  it.scoped("D8: has ended completely after the scope of the persistent connection was left", () =>
    Effect.gen(function*() {
      const [{ service }, scope] = yield* inScope(makeFixture())
      const { eventLog, visit } = visits()
      const asked = yield* askNow(forEachConnection(service, visit))
      expect(yield* hasEnded(scope)).toBe(true)
      expect(asked.exit).toEqual(Exit.void)
      expect(eventLog).toEqual(["begin 1", "end 1"])
    }))
})
